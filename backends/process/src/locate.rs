//! Finds the job of a start without starting anything.

use async_trait::async_trait;
use longhaul_core::{BackendError, Job, JobHandle, Locate};

use crate::ProcessBackend;
use crate::backend::{blocking, handle};
use crate::record::End;
use crate::stage::Stage;

/// Finds a job from the moment that a shim has taken it until its directory is pruned. A start
/// that was killed before that has no job, and neither has one that failed: a repeated start tells
/// of it again.
#[async_trait]
impl Locate for ProcessBackend {
    async fn locate(&self, job: &Job) -> Result<Option<JobHandle>, BackendError> {
        let directory = self.root.job(job.start_key().clone());
        blocking("look for a job", move || {
            Ok(match directory.stage()? {
                Stage::Unknown | Stage::Unclaimed => None,
                Stage::Ended(exit, _) if matches!(exit.end, End::NotStarted(_)) => None,
                _ => Some(handle(&directory)),
            })
        })
        .await
    }
}
