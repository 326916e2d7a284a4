//! Runs one job from a durable function: start, suspend, result or reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use longhaul_core::{
    BackendError, BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId,
    FailureClass, Job, JobFailure, JobHandle, JobSpec, JobState, JobStatus, Retry,
};
use serde::de::DeserializeOwned;

use crate::durable::{
    self, Again, CallbackError, CallbackOptions, Completed, DurableContext, DurableError,
    ReportedError, StepFailure,
};
use crate::error::RunError;
use crate::operations;

/// The reason that a platform is given when a job is stopped because nobody listens any more.
const NOBODY_LISTENS: &str = "longhaul: the callback is closed";

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
    pub async fn run<T: DeserializeOwned>(
        &self,
        ctx: &DurableContext,
        job: JobSpec,
    ) -> Result<JobReport<T>, RunError> {
        let enabled = self.choose(&job)?;
        job.validate().map_err(|source| RunError::InvalidJob {
            job: job.name.clone(),
            source,
        })?;
        let execution = ExecutionId::from_arn(ctx.execution_arn());
        let mut attempt = 1;
        loop {
            let one = Attempt {
                ctx,
                spec: &job,
                enabled,
                execution: &execution,
                number: attempt,
            };
            let delay = match one.run().await? {
                Ended::Succeeded(Completed { handle, payload }) => {
                    return decode(&job, handle, &payload, attempt);
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
                .map_err(|source| durable_error(&job, source))?;
            attempt += 1;
        }
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

fn durable_error(job: &JobSpec, source: DurableError) -> RunError {
    RunError::Durable {
        job: job.name.clone(),
        source,
    }
}

fn decode<T: DeserializeOwned>(
    job: &JobSpec,
    handle: JobHandle,
    payload: &str,
    attempts: u32,
) -> Result<JobReport<T>, RunError> {
    let mut reader = serde_json::Deserializer::from_str(payload);
    let read = serde_path_to_error::deserialize(&mut reader);
    match read {
        Ok(result) => match reader.end() {
            Ok(()) => Ok(JobReport {
                result,
                handle,
                attempts,
            }),
            Err(source) => Err(RunError::Decode {
                job: job.name.clone(),
                handle,
                path: ".".to_owned(),
                source,
            }),
        },
        Err(error) => Err(RunError::Decode {
            job: job.name.clone(),
            handle,
            path: error.path().to_string(),
            source: error.into_inner(),
        }),
    }
}

/// How an attempt ended.
enum Ended {
    Succeeded(Completed<JobHandle>),
    Failed(JobHandle, JobFailure),
    NotStarted {
        error_type: String,
        message: String,
        /// Whether another attempt may start where this one did not.
        anew: bool,
    },
}

/// One attempt of one job.
struct Attempt<'a> {
    ctx: &'a DurableContext,
    spec: &'a JobSpec,
    enabled: &'a Enabled,
    execution: &'a ExecutionId,
    number: u32,
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Ended, RunError> {
        let heartbeat = self
            .spec
            .heartbeat
            .or(self.enabled.heartbeat.filter(|h| *h < self.spec.timeout))
            .filter(|h| !h.is_zero());
        let options = CallbackOptions {
            callback_name: operations::callback(&self.spec.name, self.number),
            submit_name: operations::start(&self.spec.name, self.number),
            timeout: Some(self.spec.timeout),
            heartbeat,
        };
        let backend = Arc::clone(&self.enabled.backend);
        let spec = self.spec.clone();
        let execution = self.execution.clone();
        let number = self.number;
        let waited = durable::wait_for_callback(self.ctx, options, async move |token, tries| {
            start(&*backend, spec, execution, number, heartbeat, &token, tries).await
        })
        .await;
        match waited {
            Ok(completed) => Ok(Ended::Succeeded(completed)),
            Err(CallbackError::Refused {
                error_type,
                message,
                anew,
            }) => Ok(Ended::NotStarted {
                error_type,
                message,
                anew,
            }),
            Err(CallbackError::Failed { handle, error }) => {
                let failure = read_failure(&error);
                let silent = failure.class == FailureClass::Lost && failure.reason.is_none();
                let failure = if silent {
                    self.explain_and_cancel(&handle, failure).await?
                } else {
                    failure
                };
                Ok(Ended::Failed(handle, failure))
            }
            Err(CallbackError::TimedOut {
                handle,
                heartbeat: true,
            }) => {
                let text = format!(
                    "the worker sent no heartbeat for {}",
                    heartbeat.map_or_else(String::new, longhaul_core::format_duration)
                );
                let failure = JobFailure::new(FailureClass::Lost).with_message(text);
                let failure = self.explain_and_cancel(&handle, failure).await?;
                Ok(Ended::Failed(handle, failure))
            }
            Err(CallbackError::TimedOut { handle, .. }) => {
                let text = format!(
                    "no result within {}",
                    longhaul_core::format_duration(self.spec.timeout)
                );
                let failure = JobFailure::new(FailureClass::TimedOut).with_message(text);
                let failure = self.explain_and_cancel(&handle, failure).await?;
                Ok(Ended::Failed(handle, failure))
            }
            Err(CallbackError::Durable(source)) => Err(durable_error(self.spec, source)),
        }
    }

    /// Asks the platform for the true reason, then stops what may still run.
    async fn explain_and_cancel(
        &self,
        handle: &JobHandle,
        seen: JobFailure,
    ) -> Result<JobFailure, RunError> {
        let name = &self.spec.name;
        let backend = Arc::clone(&self.enabled.backend);
        let job = handle.clone();
        let status = durable::step(
            self.ctx,
            operations::describe(name, self.number),
            async move |_| backend.describe(&job).await.map_err(|e| step_failure(&e)),
        )
        .await
        .map_err(|source| durable_error(self.spec, source))?;

        let backend = Arc::clone(&self.enabled.backend);
        let job = handle.clone();
        let cancelled: Result<CancelOutcome, _> = durable::step(
            self.ctx,
            operations::cancel(name, self.number),
            async move |_| {
                backend
                    .cancel(&job, NOBODY_LISTENS)
                    .await
                    .map_err(|e| step_failure(&e))
            },
        )
        .await
        .map_err(|source| durable_error(self.spec, source))?;

        let mut failure = match status {
            Ok(status) => merge(seen, status),
            Err(refusal) => add_reason(
                seen,
                format!("the platform could not be asked: {}", refusal.message),
            ),
        };
        if let Err(refusal) = cancelled {
            failure = add_reason(
                failure,
                format!("and could not be told to stop the job: {}", refusal.message),
            );
        }
        Ok(failure)
    }
}

/// Starts one attempt. What the backend could not carry is not an error of the durable service,
/// so it is turned into what the step records.
async fn start(
    backend: &dyn ComputeBackend,
    spec: JobSpec,
    execution: ExecutionId,
    number: u32,
    heartbeat: Option<Duration>,
    token: &CallbackToken,
    tries: u32,
) -> Result<JobHandle, StepFailure> {
    let job = Job::new(spec, execution, number, token).with_heartbeat(heartbeat);
    match backend.start(&job, token).await {
        Ok(handle) => {
            tracing::info!(
                job = %job.name(), attempt = number, execution = %job.execution(), %handle,
                "started"
            );
            Ok(handle)
        }
        Err(error) => {
            tracing::warn!(
                job = %job.name(), attempt = number, execution = %job.execution(), tries,
                kind = %error.kind(), error = %error.full_message(), "did not start"
            );
            Err(step_failure(&error))
        }
    }
}

fn step_failure(error: &BackendError) -> StepFailure {
    StepFailure {
        error_type: backend_error_type(error.kind()),
        message: error.full_message(),
        again: match error.retry() {
            Retry::SameToken => Some(Again::Soon),
            Retry::Backoff => Some(Again::Backoff),
            _ => None,
        },
        // A platform that keeps to idempotency keys repeats its first answer: only a new token
        // can find new room.
        anew: error.retry() == Retry::OtherCapacity,
    }
}

fn backend_error_type(kind: BackendErrorKind) -> String {
    format!("Longhaul.Backend.{kind}")
}

fn read_failure(error: &ReportedError) -> JobFailure {
    JobFailure::from_wire(
        error.error_type.as_deref(),
        error.message.as_deref(),
        error.data.as_deref(),
    )
}

/// What the handler saw (a timeout, silence), corrected by what the platform knows.
fn merge(seen: JobFailure, status: JobStatus) -> JobFailure {
    if let Some(mut known) = status.failure {
        // The platform knows why: that is the reason, and what we saw is how we noticed.
        known.message = Some(match (known.message.take(), seen.message) {
            (Some(why), Some(noticed)) => format!("{why}; {noticed}"),
            (Some(text), None) | (None, Some(text)) => text,
            (None, None) => known.to_string(),
        });
        known.exit_code = known.exit_code.or(status.exit_code);
        known.signal = known.signal.or(status.signal);
        known.logs = known.logs.or(status.logs);
        return known;
    }
    let state = match status.state {
        JobState::Pending => Some("the platform says that it has not started yet"),
        JobState::Running => Some("the platform says that it is still running"),
        JobState::Stopping => Some("the platform says that it is stopping"),
        JobState::Ended => Some("the platform says that it has ended"),
        _ => Some("the platform does not know it"),
    };
    let mut failure = seen;
    failure.exit_code = failure.exit_code.or(status.exit_code);
    failure.signal = failure.signal.or(status.signal);
    failure.logs = failure.logs.or(status.logs);
    match (status.reason, state) {
        (Some(reason), _) => add_reason(failure, reason),
        (None, Some(state)) => add_reason(failure, state.to_owned()),
        (None, None) => failure,
    }
}

fn add_reason(mut failure: JobFailure, text: String) -> JobFailure {
    failure.reason = Some(match failure.reason.take() {
        Some(reason) => format!("{reason}; {text}"),
        None => text,
    });
    failure
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
