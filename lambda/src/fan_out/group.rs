//! One context of a fan-out: its jobs, one after the other.

use std::sync::Arc;

use longhaul_core::{
    CallbackResult, ExecutionId, JobSpec, PayloadError, PayloadErrorKind, PayloadKey, PayloadKind,
};

use super::outcome::{Ended, GroupOutcome, How};
use super::plan::Plan;
use super::tally::{Member, Tally};
use crate::attempts::{Succeeded, Unread};
use crate::durable::fan_out::Part;
use crate::durable::{BoxError, DurableContext};
use crate::error::RunError;
use crate::runner::{JobReport, JobRunner};
use crate::{operations, stored};

/// The largest result, in bytes, that is recorded itself where there is a payload store: a
/// thousand of them, recorded twice (the callback's and the context's), stay below the 100 MB that
/// an execution can hold.
const RECORDED_RESULT: usize = 32 * 1024;

/// What a context can record, in bytes, less what it records beside results. The SDK records no
/// larger result and would run the context again on every replay.
const CONTEXT: usize = 240 * 1024;

/// The contexts of a fan-out.
#[derive(Debug)]
pub(crate) struct Group {
    runner: JobRunner,
    jobs: Vec<Arc<JobSpec>>,
    plan: Plan,
    tally: Arc<Tally>,
}

impl Group {
    pub(crate) fn new(runner: JobRunner, jobs: Vec<Arc<JobSpec>>, tally: Arc<Tally>) -> Self {
        let plan = Plan::of(jobs.len());
        Self {
            runner,
            jobs,
            plan,
            tally,
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        self.plan
    }

    pub(crate) fn jobs(&self) -> &[Arc<JobSpec>] {
        &self.jobs
    }

    /// Runs the jobs of group number `group`.
    pub(crate) async fn run(
        &self,
        ctx: &DurableContext,
        group: usize,
    ) -> Result<Part<GroupOutcome>, BoxError> {
        let mine = self.plan.group(group);
        let room = CONTEXT / mine.len().max(1);
        let mut outcome = GroupOutcome {
            group,
            jobs: Vec::with_capacity(mine.len()),
        };
        for index in mine.clone() {
            let Some(job) = self.jobs.get(index) else {
                break;
            };
            if self.tally.is_decided() {
                break;
            }
            outcome.jobs.push(self.job(ctx, job, index, room).await?);
            if index + 1 < mine.end && self.tally.count(group, &outcome.jobs, false) {
                return self.ends(outcome).await;
            }
        }
        if self.tally.count(group, &outcome.jobs, true) {
            return self.ends(outcome).await;
        }
        Ok(Part::Done(outcome))
    }

    async fn ends(&self, outcome: GroupOutcome) -> Result<Part<GroupOutcome>, BoxError> {
        self.tally.all_recorded().await;
        Ok(Part::Ends(outcome))
    }

    async fn job(
        &self,
        ctx: &DurableContext,
        job: &Arc<JobSpec>,
        index: usize,
        room: usize,
    ) -> Result<Ended, BoxError> {
        let label = operations::label(&job.name, Some(index));
        let member = Member {
            tally: &self.tally,
            index,
        };
        let ended = match self.runner.attempts(ctx, job, &label, &member).await {
            Ok(succeeded) => self
                .keep(ctx, Arc::clone(job), succeeded, room)
                .await
                .map(|report| Ended {
                    index,
                    how: How::succeeded(&report),
                    job: report.job,
                }),
            Err(error) => Err(error),
        };
        match ended {
            Ok(ended) => Ok(ended),
            Err(error) => match Ended::failed(index, &error) {
                Some(ended) => Ok(ended),
                None => Err(error.into()),
            },
        }
    }

    /// The report as it is recorded: a result that is too large for it goes to the payload store.
    /// Repeating it is harmless: the same result goes to the same place.
    async fn keep(
        &self,
        ctx: &DurableContext,
        job: Arc<JobSpec>,
        succeeded: Succeeded,
        room: usize,
    ) -> Result<JobReport<CallbackResult>, RunError> {
        let Unread { mut report, token } = succeeded.unread(job, ctx.execution_arn())?;
        let CallbackResult::Inline(text) = &report.result else {
            return Ok(report);
        };
        let fits = serde_json::Value::from(text.as_str()).to_string().len() <= room;
        let Some(store) = self.runner.setup.store.as_deref() else {
            if fits {
                return Ok(report);
            }
            let error = PayloadError::new(
                PayloadErrorKind::TooLarge,
                format!(
                    "keep the result: its {} bytes are more than one of many jobs can leave without a payload \
                     store: set {} for the function, or write a smaller result",
                    text.len(),
                    longhaul_core::contract::PAYLOAD_STORE,
                ),
            );
            return Err(payload_error(report, error));
        };
        if text.len() <= RECORDED_RESULT && fits {
            return Ok(report);
        }
        let execution = ExecutionId::from_arn(ctx.execution_arn());
        let key = PayloadKey::new(execution, token.start_key(), PayloadKind::Result);
        match stored::put(store, &key, text).await {
            Ok(uri) => {
                report.result = CallbackResult::Reference(uri);
                Ok(report)
            }
            Err(error) if fits => {
                tracing::warn!(
                    job = %report.job, error = %error.full_message(),
                    "a large result is recorded in the execution, for it cannot be put into the payload store"
                );
                Ok(report)
            }
            Err(error) => Err(payload_error(report, error)),
        }
    }
}

fn payload_error(report: JobReport<CallbackResult>, error: PayloadError) -> RunError {
    crate::runner::payload_error(&report.job, report.handle, error)
}
