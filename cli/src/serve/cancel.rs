//! Stops the jobs of executions that are no more, as the reconciler does on AWS.

use std::sync::Arc;

use longhaul_core::ExecutionId;
use longhaul_emulator::{EventDetails, ServiceEvent};
use longhaul_lambda::JobRunner;
use longhaul_process::ProcessBackend;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// Follows the service until it ends. An execution that is missed, because too much happened at once, loses nothing but time:
/// its jobs' supervisors learn from their next heartbeat that their callbacks are closed.
pub(super) async fn follow(mut news: Receiver<ServiceEvent>, jobs: ProcessBackend) {
    let runner = JobRunner::new(Arc::new(jobs));
    loop {
        let (arn, reason) = match news.recv().await {
            Ok(ServiceEvent::History { arn, event }) => match event.details {
                EventDetails::ExecutionStopped { .. } => (arn, "the execution was stopped"),
                EventDetails::ExecutionTimedOut { .. } => (arn, "the execution timed out"),
                EventDetails::ExecutionFailed { .. } => (arn, "the execution failed"),
                _ => continue,
            },
            Ok(_) => continue,
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(
                    missed,
                    "jobs of executions that ended just now stop a little later"
                );
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let runner = runner.clone();
        tokio::spawn(async move {
            let execution = ExecutionId::from_arn(arn.as_str());
            match runner.cancel_all(&execution, reason).await {
                Ok(outcomes) => {
                    for (job, outcome) in outcomes {
                        if let Err(error) = outcome {
                            tracing::warn!(%job, %error, "a job could not be cancelled");
                        }
                    }
                }
                Err(error) => tracing::warn!(%arn, %error, "the jobs could not be listed"),
            }
        });
    }
}
