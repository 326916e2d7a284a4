//! An execution has ended without a result: its jobs are stopped.

use std::time::SystemTime;

use longhaul_core::{CancelOutcome, ExecutionId};
use serde::Deserialize;
use serde_json::Value;

use super::error::read;
use super::{ReconcileError, Reconciled, Reconciler};

/// Who sends the events.
pub(super) const SOURCE: &str = "aws.lambda";
/// What they are called (AWS Lambda Developer Guide, "Monitoring durable functions").
pub(super) const DETAIL_TYPE: &str = "Durable Execution Status Change";

/// What matters of the event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    durable_execution_arn: String,
    status: String,
}

/// How an execution ended that may have left jobs behind.
#[derive(Clone, Copy)]
enum End {
    Stopped,
    TimedOut,
    Failed,
}

impl End {
    fn read(status: &str) -> Option<Self> {
        match status {
            "STOPPED" => Some(Self::Stopped),
            "TIMED_OUT" => Some(Self::TimedOut),
            "FAILED" => Some(Self::Failed),
            _ => None,
        }
    }

    /// What the platforms are told as the reason.
    fn reason(self) -> &'static str {
        match self {
            Self::Stopped => "the durable execution was stopped",
            Self::TimedOut => "the durable execution timed out",
            Self::Failed => "the durable execution failed",
        }
    }

    /// Whether an invocation of the handler may have been at work, which nobody interrupts: it may
    /// still start a job, and the platforms may not list yet what it has just started.
    fn may_start_more(self) -> bool {
        matches!(self, Self::Stopped | Self::TimedOut)
    }
}

impl Reconciler {
    /// Stops the jobs of an execution that ended. `told_at` is when Lambda told so.
    pub(super) async fn execution_changed(
        &self,
        detail: Value,
        told_at: Option<SystemTime>,
    ) -> Result<Reconciled, ReconcileError> {
        let detail: Detail = read("detail", detail)?;
        let arn = &detail.durable_execution_arn;
        if let Some(function) = &self.function
            && !arn
                .strip_prefix(function.as_str())
                .is_some_and(|rest| rest.starts_with(':'))
        {
            return Ok(Reconciled::Ignored {
                why: format!("execution {arn} is of another function"),
            });
        }
        let Some(end) = End::read(&detail.status) else {
            return Ok(Reconciled::Ignored {
                why: format!("execution {arn} is {}", detail.status),
            });
        };
        let execution = ExecutionId::from_arn(arn);
        let mut stopped = self.stop_jobs(&execution, end).await?;
        let grace = self.left(self.grace, told_at);
        if end.may_start_more() && !grace.is_zero() {
            self.clock.sleep(grace).await;
            stopped += self.stop_jobs(&execution, end).await?;
        }
        Ok(Reconciled::JobsStopped { execution, stopped })
    }

    /// Stops the jobs that run now, and says how many did.
    async fn stop_jobs(&self, execution: &ExecutionId, end: End) -> Result<usize, ReconcileError> {
        let outcomes = self
            .runner
            .cancel_all(execution, end.reason())
            .await
            .map_err(|source| ReconcileError::List {
                execution: execution.clone(),
                source,
            })?;
        let listed = outcomes.len();
        let mut stopped = 0;
        let mut failures = Vec::new();
        for (job, outcome) in outcomes {
            match outcome {
                Ok(CancelOutcome::Cancelled) => stopped += 1,
                Ok(_) => {}
                Err(error) => failures.push((job, error)),
            }
        }
        let failed = failures.len();
        match failures.into_iter().next() {
            None => Ok(stopped),
            Some((job, source)) => Err(ReconcileError::Stop {
                execution: execution.clone(),
                listed,
                failed,
                job,
                source,
            }),
        }
    }
}
