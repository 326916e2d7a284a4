//! Runs one job from a durable function: start, suspend, result or reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use longhaul_core::{
    BackendError, BackendErrorKind, CallbackResult, CancelOutcome, ComputeBackend, ExecutionId,
    JobHandle, JobName, JobSpec, PayloadError, PayloadStore, payload,
};
use serde::de::DeserializeOwned;

use crate::attempt::{Attempt, Ended};
use crate::durable::{self, Completed, DurableContext};
use crate::error::RunError;
use crate::{operations, stored};

/// A job's result and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobReport<T> {
    /// What the job returned.
    pub result: T,
    /// The attempt that returned it.
    pub handle: JobHandle,
    /// How many attempts were made, from 1.
    pub attempts: u32,
}

/// One backend and what the runner assumes of it.
#[derive(Debug, Clone)]
struct Enabled {
    backend: Arc<dyn ComputeBackend>,
    heartbeat: Option<Duration>,
}

/// Runs jobs from a durable function.
///
/// ```no_run
/// use longhaul_core::JobSpec;
/// use longhaul_lambda::{DurableContext, JobRunner, RunError};
///
/// async fn handler(ctx: DurableContext, runner: JobRunner) -> Result<String, RunError> {
///     let job: JobSpec = serde_json::from_str(r#"{"name":"render","command":["render"]}"#).unwrap();
///     let report = runner.run::<String>(&ctx, job).await?;
///     Ok(report.result)
/// }
/// ```
///
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct JobRunner {
    default: String,
    enabled: Arc<BTreeMap<String, Enabled>>,
    store: Option<Arc<dyn PayloadStore>>,
}

impl JobRunner {
    /// How long a worker may be silent where neither the job nor the configuration says.
    pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(300);

    /// A runner whose jobs run on `backend`, with a heartbeat timeout of
    /// [`DEFAULT_HEARTBEAT`](Self::DEFAULT_HEARTBEAT) where a job does not say.
    #[must_use]
    pub fn new(backend: Arc<dyn ComputeBackend>) -> Self {
        let default = backend.name().to_owned();
        let runner = Self {
            default,
            enabled: Arc::new(BTreeMap::new()),
            store: None,
        };
        runner.with_backend(backend, Some(Self::DEFAULT_HEARTBEAT))
    }

    /// The same runner with one more backend, which jobs may name, or with another default
    /// `heartbeat` for one that it has. The timeout counts from the moment the callback is
    /// created, so it must cover the time that a job takes to come up; `None` is no timeout.
    #[must_use]
    pub fn with_backend(
        mut self,
        backend: Arc<dyn ComputeBackend>,
        heartbeat: Option<Duration>,
    ) -> Self {
        let name = backend.name().to_owned();
        Arc::make_mut(&mut self.enabled).insert(name, Enabled { backend, heartbeat });
        self
    }

    /// The same runner with a payload store, for inputs that a backend cannot carry inline and
    /// results that a callback cannot. The workers must be able to reach it.
    #[must_use]
    pub fn with_payload_store(mut self, store: Arc<dyn PayloadStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// The names of the backends that a job may name.
    pub fn backends(&self) -> impl Iterator<Item = &str> {
        self.enabled.keys().map(String::as_str)
    }

    /// Runs `job` to its end: starts it, suspends until it reports, and returns its result, read
    /// as a `T`. Attempts that fail are followed by others as the job's retry policy says.
    ///
    /// Two durable operations and three checkpoint calls for a job that succeeds at once.
    ///
    /// # Errors
    ///
    /// [`RunError`]: [`Failed`](RunError::Failed) with a [`JobFailure`] when the job started and
    /// did not succeed; the other variants when it did not start, its result cannot be read as
    /// a `T`, or the durable service failed.
    ///
    /// [`JobFailure`]: longhaul_core::JobFailure
    pub async fn run<T: DeserializeOwned>(
        &self,
        ctx: &DurableContext,
        job: JobSpec,
    ) -> Result<JobReport<T>, RunError> {
        let name = job.name.clone();
        let report = self.run_unread(ctx, job).await?;
        self.read(&name, report).await
    }

    /// Like [`run`](Self::run), but leaves a result that is in the payload store there: for a
    /// function that only passes it on, or that wants to know its size before it reads it with
    /// [`PayloadStore::get`].
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run), without those of reading the result.
    pub async fn run_unread(
        &self,
        ctx: &DurableContext,
        job: JobSpec,
    ) -> Result<JobReport<CallbackResult>, RunError> {
        let enabled = self.choose(&job)?;
        job.validate().map_err(|source| RunError::InvalidJob {
            job: job.name.clone(),
            source,
        })?;
        let job = Arc::new(job);
        let execution = ExecutionId::from_arn(ctx.execution_arn());
        let mut attempt = 1;
        loop {
            let one = Attempt {
                ctx,
                spec: &job,
                backend: &enabled.backend,
                heartbeat: enabled.heartbeat,
                store: self.store.as_ref(),
                execution: &execution,
                number: attempt,
            };
            let delay = match one.run().await? {
                Ended::Succeeded(completed) => {
                    return unread(&job.name, &execution, attempt, completed);
                }
                Ended::Failed(handle, failure) => {
                    let delay = job.retry.delay_after(attempt, failure.class);
                    delay.ok_or_else(|| RunError::Failed {
                        job: job.name.clone(),
                        handle,
                        attempts: attempt,
                        source: Box::new(failure),
                    })?
                }
                Ended::NotStarted {
                    error_type,
                    message,
                    anew,
                } => {
                    let delay = job.retry.delay(attempt).filter(|_| anew);
                    delay.ok_or_else(|| RunError::NotStarted {
                        job: job.name.clone(),
                        error_type,
                        message,
                    })?
                }
            };
            tracing::info!(job = %job.name, attempt, ?delay, "the job is tried again");
            durable::wait(ctx, operations::backoff(&job.name, attempt), delay)
                .await
                .map_err(|source| RunError::Durable {
                    job: job.name.clone(),
                    source,
                })?;
            attempt += 1;
        }
    }

    /// Reads what [`run_unread`](Self::run_unread) left unread. A result in the payload store is
    /// read anew on every replay: what a reference names never changes, and recording it would
    /// break the limit that it was meant to keep.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        job: &JobName,
        report: JobReport<CallbackResult>,
    ) -> Result<JobReport<T>, RunError> {
        let JobReport {
            result,
            handle,
            attempts,
        } = report;
        let text = match result {
            CallbackResult::Inline(text) => text,
            CallbackResult::Reference(uri) => {
                match stored::read(self.store.as_deref(), &uri).await {
                    Ok(text) => text,
                    Err(error) => return Err(payload_error(job, handle, error)),
                }
            }
        };
        let result = decode(job, &handle, &text)?;
        Ok(JobReport {
            result,
            handle,
            attempts,
        })
    }

    /// Stops every job of `execution` that may still run, on every enabled backend that can list
    /// its jobs: for an execution that ended without its handler. Returns what became of each.
    ///
    /// # Errors
    ///
    /// The first backend that could not list, after all the others were asked.
    pub async fn cancel_all(
        &self,
        execution: &ExecutionId,
        reason: &str,
    ) -> Result<Vec<(JobHandle, Result<CancelOutcome, BackendError>)>, BackendError> {
        let mut outcomes = Vec::new();
        let mut failed = None;
        for enabled in self.enabled.values() {
            match enabled.backend.list(execution).await {
                Ok(handles) => {
                    for handle in handles {
                        let outcome = enabled.backend.cancel(&handle, reason).await;
                        outcomes.push((handle, outcome));
                    }
                }
                Err(error) if error.kind() == BackendErrorKind::Unsupported => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(outcomes),
        }
    }

    fn choose(&self, job: &JobSpec) -> Result<&Enabled, RunError> {
        let wanted = job.backend.as_deref().unwrap_or(&self.default);
        self.enabled
            .get(wanted)
            .ok_or_else(|| RunError::UnknownBackend {
                job: job.name.clone(),
                wanted: wanted.to_owned(),
                enabled: self.enabled.keys().cloned().collect(),
            })
    }
}

/// The report of an attempt that succeeded.
fn unread(
    job: &JobName,
    execution: &ExecutionId,
    attempts: u32,
    completed: Completed<JobHandle>,
) -> Result<JobReport<CallbackResult>, RunError> {
    let Completed {
        handle,
        token,
        payload,
    } = completed;
    let result = if CallbackResult::is_reference(&payload) {
        match payload::decode_result(execution, &token.start_key(), &payload) {
            Ok(result) => result,
            Err(error) => return Err(payload_error(job, handle, error)),
        }
    } else {
        CallbackResult::Inline(payload)
    };
    Ok(JobReport {
        result,
        handle,
        attempts,
    })
}

fn payload_error(job: &JobName, handle: JobHandle, source: PayloadError) -> RunError {
    RunError::Payload {
        job: job.clone(),
        handle,
        source: Box::new(source),
    }
}

fn decode<T: DeserializeOwned>(
    job: &JobName,
    handle: &JobHandle,
    payload: &str,
) -> Result<T, RunError> {
    let unreadable = |path: String, source| RunError::Decode {
        job: job.clone(),
        handle: handle.clone(),
        path,
        source,
    };
    let mut reader = serde_json::Deserializer::from_str(payload);
    let result = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| unreadable(error.path().to_string(), error.into_inner()))?;
    reader
        .end()
        .map_err(|source| unreadable(".".to_owned(), source))?;
    Ok(result)
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "payload_tests.rs"]
mod payload_tests;
