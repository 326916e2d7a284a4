//! Looking a job up by what it was started with.

use async_trait::async_trait;

use crate::{BackendError, ComputeBackend, Job, JobHandle};

/// A backend that can tell, without starting anything, whether a start has a job.
///
/// Apart from [`ComputeBackend`], because few need it: a backend that others fall back on (see
/// `Fallback`, feature `wrappers`) does. A start that is repeated after a crash must find the
/// job on the backend that has it, before another backend may be asked to start one.
#[async_trait]
pub trait Locate: ComputeBackend {
    /// The handle of the job that was started with the start key of `job`, running or ended, for
    /// as long as the platform knows of it; `None` when the platform knows none.
    ///
    /// Reads only. What [`start`](ComputeBackend::start) would return for the same token, where
    /// it would start nothing.
    ///
    /// # Errors
    ///
    /// When the platform could not be asked. Never because there is no such job.
    async fn locate(&self, job: &Job) -> Result<Option<JobHandle>, BackendError>;
}
