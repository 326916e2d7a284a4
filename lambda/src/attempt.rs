//! One attempt of one job: callback, start, suspend, result or reason.

use std::sync::Arc;
use std::time::Duration;

use longhaul_core::{
    BackendError, BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId,
    FailureClass, Job, JobFailure, JobHandle, JobSpec, PayloadError, Retry, payload,
};
use tracing::Instrument as _;

use crate::durable::{
    self, Again, CallbackError, CallbackOptions, Completed, DurableContext, DurableError,
    ReportedError, StepFailure,
};
use crate::error::RunError;
use crate::explain::{add_reason, merge};
use crate::operations;
use crate::runner::{JobRunner, Setup};
use crate::told::Which;

/// The reason that a platform is given when a job is stopped because nobody listens any more.
const NOBODY_LISTENS: &str = "longhaul: the callback is closed";

/// What is added to the refusal of a job that is too large, where there is no payload store.
const NO_STORE: &str =
    "; with a payload store (LONGHAUL_PAYLOAD_STORE) a large input would go by reference";

/// How an attempt ended.
pub(crate) enum Ended {
    Succeeded(Completed<JobHandle>),
    Failed(JobHandle, Box<JobFailure>),
    NotStarted {
        error_type: String,
        message: String,
        /// Whether another attempt may start where this one did not.
        anew: bool,
    },
}

/// One attempt of one job.
pub(crate) struct Attempt<'a> {
    pub(crate) ctx: &'a DurableContext,
    pub(crate) spec: &'a Arc<JobSpec>,
    /// What the job is called in the names of its operations.
    pub(crate) label: &'a str,
    pub(crate) runner: &'a JobRunner,
    pub(crate) backend: &'a Arc<dyn ComputeBackend>,
    /// The heartbeat timeout where the spec does not say.
    pub(crate) heartbeat: Option<Duration>,
    /// What is left of the job's deadline, where that is less than the timeout.
    pub(crate) limit: Option<Duration>,
    /// From 1.
    pub(crate) number: u32,
    pub(crate) together: &'a dyn Together,
}

/// What a job is told of, and tells, the jobs that it is run together with. One that is run alone
/// is told nothing: `()`.
pub(crate) trait Together: Send + Sync {
    /// Whether another attempt may be made.
    fn goes_on(&self) -> bool {
        true
    }

    /// The job was started, now or before this replay.
    fn started(&self, handle: &JobHandle) {
        let _ = handle;
    }
}

impl Together for () {}

impl Attempt<'_> {
    pub(crate) async fn run(&self) -> Result<Ended, RunError> {
        let timeout = self.limit.unwrap_or(self.spec.timeout);
        let heartbeat = self
            .spec
            .heartbeat
            .or(self.heartbeat)
            .filter(|h| !h.is_zero() && *h < timeout);
        let options = CallbackOptions {
            callback_name: operations::callback(self.label, self.number),
            submit_name: operations::start(self.label, self.number),
            timeout: Some(timeout),
            heartbeat,
        };
        let start = Start {
            runner: Arc::clone(&self.runner.setup),
            backend: Arc::clone(self.backend),
            spec: Arc::clone(self.spec),
            ctx: self.ctx.clone(),
            number: self.number,
            heartbeat,
            limit: self.limit,
        };
        let waited = durable::wait_noting(
            self.ctx,
            options,
            async move |token, tries| {
                // Only where the start is made: a replay makes no span.
                let span = tracing::info_span!(
                    "start",
                    job = %start.spec.name,
                    attempt = start.number,
                    execution = %ExecutionId::from_arn(start.ctx.execution_arn()),
                    tries,
                    handle = tracing::field::Empty,
                );
                start.run(&token).instrument(span).await
            },
            |handle| self.together.started(handle),
        )
        .await;
        // What only a failure needs is boxed: room for it in this future would be copied with it on every replay of a
        // job that did not fail.
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
                let mut failure = read_failure(&error);
                if self.limit.is_some() && failure.class == FailureClass::TimedOut {
                    // The worker knows one timeout and not which of two it is.
                    failure.class = FailureClass::DeadlineExceeded;
                }
                let silent = failure.class == FailureClass::Lost && failure.reason.is_none();
                let failure = if silent {
                    Box::pin(self.explain_and_cancel(&handle, failure)).await?
                } else {
                    failure
                };
                Ok(Ended::Failed(handle, Box::new(failure)))
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
                let failure = Box::pin(self.explain_and_cancel(&handle, failure)).await?;
                Ok(Ended::Failed(handle, Box::new(failure)))
            }
            Err(CallbackError::TimedOut { handle, .. }) => {
                let failure = Box::pin(self.explain_and_cancel(&handle, self.too_late())).await?;
                Ok(Ended::Failed(handle, Box::new(failure)))
            }
            Err(CallbackError::Durable(source)) => Err(self.durable_error(source)),
        }
    }

    /// The failure of an attempt whose time is over.
    fn too_late(&self) -> JobFailure {
        let within = |timeout| {
            format!(
                "no result within {}",
                longhaul_core::format_duration(timeout)
            )
        };
        match self.limit {
            None => JobFailure::new(FailureClass::TimedOut).with_message(within(self.spec.timeout)),
            Some(left) => {
                let mut message = within(left);
                if let Some(whole) = self.spec.deadline {
                    let whole = longhaul_core::format_duration(whole);
                    message = format!(
                        "{message}, which is what was left of the deadline of {whole} for all attempts"
                    );
                }
                JobFailure::new(FailureClass::DeadlineExceeded).with_message(message)
            }
        }
    }

    fn durable_error(&self, source: DurableError) -> RunError {
        RunError::Durable {
            job: self.spec.name.clone(),
            source,
        }
    }

    /// Asks the platform for the true reason, then stops what may still run.
    async fn explain_and_cancel(
        &self,
        handle: &JobHandle,
        seen: JobFailure,
    ) -> Result<JobFailure, RunError> {
        let backend = Arc::clone(self.backend);
        let job = handle.clone();
        let status = durable::step(
            self.ctx,
            operations::describe(self.label, self.number),
            async move |_| backend.describe(&job).await.map_err(|e| step_failure(&e)),
        )
        .await
        .map_err(|source| self.durable_error(source))?;

        let backend = Arc::clone(self.backend);
        let job = handle.clone();
        let cancelled: Result<CancelOutcome, _> = durable::step(
            self.ctx,
            operations::cancel(self.label, self.number),
            async move |_| {
                backend
                    .cancel(&job, NOBODY_LISTENS)
                    .await
                    .map_err(|e| step_failure(&e))
            },
        )
        .await
        .map_err(|source| self.durable_error(source))?;

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

/// What the start step needs. It owns it all, for the step outlives the call that makes it.
struct Start {
    runner: Arc<Setup>,
    backend: Arc<dyn ComputeBackend>,
    /// Shared, so that a replay, which starts nothing, copies nothing.
    spec: Arc<JobSpec>,
    /// For the execution's ARN. Its id is a hash, which a replay does not need.
    ctx: DurableContext,
    number: u32,
    heartbeat: Option<Duration>,
    limit: Option<Duration>,
}

impl Start {
    /// Within the span that names the attempt.
    async fn run(self, token: &CallbackToken) -> Result<JobHandle, StepFailure> {
        let runner = &*self.runner;
        let mut spec = Arc::unwrap_or_clone(self.spec);
        if let Some(limit) = self.limit {
            // What the worker and the platform are told of.
            spec.timeout = limit;
        }
        let execution = ExecutionId::from_arn(self.ctx.execution_arn());
        let mut job = Job::new(spec, execution, self.number, token)
            .with_heartbeat(self.heartbeat)
            .with_times();
        if let Some(trace) = &runner.trace {
            job = job.with_trace(trace.clone());
        }
        if let Some(store) = &runner.store {
            job = job.with_payload_store(store.base());
        }
        let mut started = self.backend.start(&job, token).await;
        if let (Err(error), Some(store)) = (&started, &runner.store)
            && error.kind() == BackendErrorKind::TooLarge
        {
            // Nothing was started. The input goes by reference, the same on every repetition.
            job = payload::put_input(&**store, job)
                .await
                .map_err(|error| payload_failure(&error))?;
            started = self.backend.start(&job, token).await;
        }
        match started {
            Ok(handle) => {
                let which = Which {
                    job: job.name(),
                    backend: self.backend.name(),
                    arn: self.ctx.execution_arn(),
                    attempt: self.number,
                };
                runner.teller.started(which, &handle, &runner.clock);
                Ok(handle.with_started_at(runner.clock.now()))
            }
            Err(error) => {
                tracing::warn!(kind = %error.kind(), error = %error.full_message(), "did not start");
                let mut failure = step_failure(&error);
                if error.kind() == BackendErrorKind::TooLarge && runner.store.is_none() {
                    failure.message.push_str(NO_STORE);
                }
                Err(failure)
            }
        }
    }
}

fn payload_failure(error: &PayloadError) -> StepFailure {
    StepFailure {
        error_type: format!("Longhaul.Payload.{}", error.kind().as_str()),
        message: error.full_message(),
        again: error.kind().is_temporary().then_some(Again::Backoff),
        anew: false,
    }
}

pub(crate) fn step_failure(error: &BackendError) -> StepFailure {
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

#[cfg(test)]
#[path = "attempt_log_tests.rs"]
mod log_tests;
