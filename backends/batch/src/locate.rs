//! Finds the job of a start without submitting anything.

use async_trait::async_trait;
use longhaul_core::{BackendError, Job, JobHandle, Locate};

use crate::backend::BatchBackend;
use crate::error::Call;
use crate::{NAME, job_name};

/// Costs one `ListJobs`. Finds the job in the configured queue, in any state, for as long as Batch
/// keeps it. Where a start has left two jobs, it is the one that [`start`] keeps.
///
/// [`start`]: longhaul_core::ComputeBackend::start
#[async_trait]
impl Locate for BatchBackend {
    async fn locate(&self, job: &Job) -> Result<Option<JobHandle>, BackendError> {
        let name = job_name(job.execution(), job.start_key());
        let jobs = self.jobs_of_start(&name).await.map_err(|error| {
            let queue = &self.config().job_queue;
            let what = format!(
                "look for job `{}` on AWS Batch queue `{queue}` as `{name}`",
                job.name()
            );
            error.into_backend_error(Call::List, &what)
        })?;
        let first = jobs.into_iter().next();
        Ok(first.map(|job| JobHandle::new(NAME, job.id)))
    }
}
