//! Stopping what is left of a fan-out that ended early.

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_core::{
    BackendError, BackendErrorKind, ComputeBackend, ExecutionId, JobHandle, JobName, JobSpec,
};
use serde::{Deserialize, Serialize};

use super::tally::Tally;
use crate::attempt::step_failure;
use crate::durable::{self, DurableContext, DurableError, StepFailure};
use crate::operations;
use crate::runner::JobRunner;

/// The reason that a platform is given.
const OVER: &str = "longhaul: the jobs that it ran with are over";

/// What was stopped.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rest {
    /// Jobs of the fan-out that were running, as far as this process knew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) stopped: Vec<(usize, JobHandle)>,
    /// Why some may still be running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

impl JobRunner {
    /// Stops every job of the execution that may still run, as one durable step. They are found by
    /// the execution's id; those that this process knows of are stopped as well, for a platform's
    /// list may lag behind.
    pub(crate) async fn stop_rest(
        &self,
        ctx: &DurableContext,
        name: &JobName,
        jobs: &[Arc<JobSpec>],
        tally: &Tally,
    ) -> Result<Rest, DurableError> {
        let execution = ExecutionId::from_arn(ctx.execution_arn());
        let mut backends = BTreeMap::new();
        for job in jobs {
            if let Ok(enabled) = self.setup.choose(job) {
                let name = enabled.backend.name().to_owned();
                backends.insert(name, Arc::clone(&enabled.backend));
            }
        }
        let running = tally.running();
        let stopped = durable::step(ctx, operations::stop_rest(name), async move |_| {
            let backends = backends.values();
            for backend in backends {
                stop(&**backend, &execution, &running).await?;
            }
            Ok(Rest {
                stopped: running,
                problem: None,
            })
        })
        .await?;
        Ok(stopped.unwrap_or_else(|refusal| {
            tracing::error!(
                error = refusal.message,
                "jobs of a fan-out may still be running"
            );
            Rest {
                stopped: Vec::new(),
                problem: Some(refusal.message),
            }
        }))
    }
}

async fn stop(
    backend: &dyn ComputeBackend,
    execution: &ExecutionId,
    known: &[(usize, JobHandle)],
) -> Result<(), StepFailure> {
    // What is known is stopped even where nobody can say what else there is.
    let mut failed: Option<BackendError> = None;
    let mut handles = match backend.list(execution).await {
        Ok(handles) => handles,
        Err(error) if error.kind() == BackendErrorKind::Unsupported => Vec::new(),
        Err(error) => {
            failed = Some(error);
            Vec::new()
        }
    };
    let known = known.iter().map(|(_, handle)| handle);
    for handle in known.filter(|handle| handle.backend() == backend.name()) {
        if !handles.contains(handle) {
            handles.push(handle.clone());
        }
    }
    // Every one is tried: that one cannot be stopped must not keep the others running.
    for handle in handles {
        if let Err(error) = backend.cancel(&handle, OVER).await {
            failed = failed.or(Some(error));
        }
    }
    match failed {
        Some(error) => Err(step_failure(&error)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use longhaul_core::{CancelOutcome, MockComputeBackend};

    use super::*;

    #[tokio::test]
    async fn what_is_known_is_stopped_even_where_nothing_can_be_listed() {
        let mut backend = MockComputeBackend::new();
        backend.expect_name().return_const("mock".to_owned());
        backend.expect_list().returning(|_| {
            Err(BackendError::new(
                BackendErrorKind::Denied,
                "list tasks: no",
            ))
        });
        let cancel = backend.expect_cancel().times(1);
        cancel.returning(|_, _| Ok(CancelOutcome::Cancelled));
        let known = [
            (3, JobHandle::new("mock", "1")),
            (4, JobHandle::new("other", "2")),
        ];
        let execution = ExecutionId::from_arn("arn");
        let failure = stop(&backend, &execution, &known).await.unwrap_err();
        assert!(failure.message.contains("list tasks"), "{failure:?}");
    }
}
