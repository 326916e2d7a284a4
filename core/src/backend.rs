//! The one trait that a place to run jobs implements.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::{
    BackendError, BackendErrorKind, CallbackToken, CancelOutcome, ExecutionId, Job, JobHandle,
    JobStatus,
};

/// A place that can run jobs: ECS, AWS Batch, local processes, or your own.
///
/// Two methods are required, two are provided. A wrapper around another backend must forward
/// all four, or it silently loses what the inner one can do: put
/// `#[deny(clippy::missing_trait_methods)]` on its `impl`.
///
/// # Promises
///
/// - **A start is idempotent in its token.** The durable function runs the start as a step that
///   may be repeated after a crash. However often and however concurrently `start` is called
///   with one token, at most one job runs, and every call that succeeds returns a handle to it.
/// - **The token is a secret.** It goes to the job's environment and nowhere else: not into a
///   log, a tag, an error, a `Debug` or a file that others can read.
/// - **A cancel is idempotent.** A job that is finished or unknown is not an error.
/// - **A missing exit code is never 0.**
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ComputeBackend: Debug + Send + Sync {
    /// The backend's name, as it stands in handles and configuration: `ecs`, `batch`, `process`.
    fn name(&self) -> &str;

    /// Starts `job` and hands it `token`, with the environment of
    /// [`Job::environment`](crate::Job::environment).
    ///
    /// Returns as soon as the platform has accepted the job; it does not wait for the job to run.
    ///
    /// # Errors
    ///
    /// A [`BackendError`] whose [`retry`](BackendError::retry) says what may be tried next.
    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError>;

    /// Stops the job, giving it the platform's grace period. `reason` is shown to people.
    ///
    /// # Errors
    ///
    /// When the platform could not be asked, or refused. Never because the job was finished or
    /// unknown: that is a [`CancelOutcome`].
    async fn cancel(&self, job: &JobHandle, reason: &str) -> Result<CancelOutcome, BackendError>;

    /// What the platform knows of the job: state, exit code, reason. Used to explain silence.
    ///
    /// Provided: a status whose state is [`JobState::Unknown`](crate::JobState::Unknown).
    ///
    /// # Errors
    ///
    /// When the platform could not be asked. A job that the platform has forgotten is a status
    /// with state `Unknown`.
    async fn describe(&self, job: &JobHandle) -> Result<JobStatus, BackendError> {
        let _ = job;
        Ok(JobStatus::unknown())
    }

    /// The jobs of one execution that may still run. Used to clean up after an execution that
    /// ended without its handler.
    ///
    /// Provided: an error of kind [`Unsupported`](BackendErrorKind::Unsupported).
    ///
    /// # Errors
    ///
    /// When the platform could not be asked, or the backend cannot list.
    async fn list(&self, execution: &ExecutionId) -> Result<Vec<JobHandle>, BackendError> {
        Err(BackendError::new(
            BackendErrorKind::Unsupported,
            format!(
                "list the jobs of execution {execution}: backend `{}` cannot list",
                self.name()
            ),
        ))
    }
}
