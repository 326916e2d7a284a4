//! Runs one job from a durable function: start, suspend, result or reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use longhaul_core::{
    BackendError, BackendErrorKind, CallbackResult, CancelOutcome, ComputeBackend, ExecutionId,
    JobHandle, JobName, JobSpec, JobTimes, PayloadError, PayloadStore, TraceContext,
};
use serde::de::DeserializeOwned;

use crate::attempts::Succeeded;
use crate::clock::Clock;
use crate::durable::{self, DurableContext, DurableError};
use crate::error::RunError;
use crate::told::Teller;
use crate::{operations, stored};

/// A job's result and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobReport<T> {
    /// What the job returned.
    pub result: T,
    /// The job's name.
    pub job: JobName,
    /// The attempt that returned it.
    pub handle: JobHandle,
    /// How many attempts were made, from 1.
    pub attempts: u32,
    /// When the job ran, in the attempt that returned the result. The worker tells it together with the
    /// result, so it is recorded with the callback. `None` where a worker does not: one that is
    /// not the supervisor or a job in Rust, as a rule.
    pub times: Option<JobTimes>,
}

impl<T> JobReport<T> {
    /// How long the job waited for its machine and its image: from when the platform had accepted it
    /// ([`JobHandle::started_at`], recorded by the start's step) to when its own work
    /// [began](JobTimes::begun). Two clocks: the function's and the job's machine's; never less
    /// than zero. `None` where one of the two is not known.
    #[must_use]
    pub fn queue_time(&self) -> Option<Duration> {
        self.times?.queue_time(&self.handle)
    }

    /// How long the job ran, by its own machine's clock; `None` where [`times`](Self::times) is.
    #[must_use]
    pub fn run_time(&self) -> Option<Duration> {
        self.times.map(|times| times.run_time())
    }

    /// Where the job's logs are, a URL or a path: what the backend said when it started the job,
    /// recorded in the handle. `None` where it did not know yet: AWS Batch names a log stream when
    /// the job runs, and ECS needs to be configured with where its logs go.
    #[must_use]
    pub fn logs(&self) -> Option<&str> {
        self.handle.logs()
    }
}

impl JobReport<CallbackResult> {
    /// The report with its result read as a `T`. `stored` is the text of a result that is in the
    /// payload store.
    pub(crate) fn read_as<T: DeserializeOwned>(
        self,
        stored: Result<Option<String>, PayloadError>,
    ) -> Result<JobReport<T>, RunError> {
        let Self {
            result,
            job,
            handle,
            attempts,
            times,
        } = self;
        let text = match (stored, result) {
            (Ok(Some(text)), _) | (Ok(None), CallbackResult::Inline(text)) => text,
            (Ok(None), CallbackResult::Reference(uri)) => uri.location(),
            (Err(error), _) => return Err(payload_error(&job, handle, error)),
        };
        let result = decode(&job, &handle, &text)?;
        Ok(JobReport {
            result,
            job,
            handle,
            attempts,
            times,
        })
    }
}

/// One backend and what the runner assumes of it.
#[derive(Debug, Clone)]
pub(crate) struct Enabled {
    pub(crate) backend: Arc<dyn ComputeBackend>,
    pub(crate) heartbeat: Option<Duration>,
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
    pub(crate) setup: Arc<Setup>,
}

/// What a runner consists of. Shared: every job of every replay holds on to it.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    default: String,
    enabled: BTreeMap<String, Enabled>,
    pub(crate) store: Option<Arc<dyn PayloadStore>>,
    pub(crate) clock: Clock,
    pub(crate) teller: Teller,
    pub(crate) trace: Option<TraceContext>,
}

impl JobRunner {
    /// How long a worker may be silent where neither the job nor the configuration says.
    pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(300);

    /// A runner whose jobs run on `backend`, with a heartbeat timeout of
    /// [`DEFAULT_HEARTBEAT`](Self::DEFAULT_HEARTBEAT) where a job does not say.
    #[must_use]
    pub fn new(backend: Arc<dyn ComputeBackend>) -> Self {
        let default = backend.name().to_owned();
        let setup = Setup {
            default,
            enabled: BTreeMap::new(),
            store: None,
            clock: Clock::default(),
            teller: Teller::default(),
            trace: None,
        };
        let setup = Arc::new(setup);
        Self { setup }.with_backend(backend, Some(Self::DEFAULT_HEARTBEAT))
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
        self.setup_mut()
            .enabled
            .insert(name, Enabled { backend, heartbeat });
        self
    }

    /// The same runner with a payload store, for inputs that a backend cannot carry inline and
    /// results that a callback cannot. The workers must be able to reach it.
    #[must_use]
    pub fn with_payload_store(mut self, store: Arc<dyn PayloadStore>) -> Self {
        self.setup_mut().store = Some(store);
        self
    }

    /// The same runner with another clock than the system's, for tests in virtual time. It dates starts and
    /// keeps deadlines.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use longhaul_core::MockComputeBackend;
    /// use longhaul_lambda::JobRunner;
    ///
    /// let mut backend = MockComputeBackend::new();
    /// backend.expect_name().return_const("mock".to_owned());
    /// let runner = JobRunner::new(Arc::new(backend)).with_clock(|| std::time::UNIX_EPOCH);
    /// ```
    #[must_use]
    pub fn with_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.setup_mut().clock = Clock::new(now);
        self
    }

    /// The same runner, whose jobs are in the trace of the execution's first invocation: AWS X-Ray's, as
    /// the Lambda Runtime API hands it over. Workers find it in `TRACEPARENT` and `_X_AMZN_TRACE_ID`
    /// (see [`contract`](longhaul_core::contract#trace-context)). Without it, jobs of one execution are a trace
    /// of their own.
    ///
    /// One durable step for all the jobs of the runner that comes back, in which the trace is
    /// recorded: a start that is repeated, perhaps by an invocation with another trace, must hand
    /// over the same, or a platform that keeps to idempotency keys refuses it. So call it once, at
    /// a fixed place in the handler.
    ///
    /// # Errors
    ///
    /// When the durable service or the SDK failed.
    pub async fn in_trace_of(&self, ctx: &DurableContext) -> Result<Self, DurableError> {
        let header = ctx.lambda_context().xray_trace_id.clone();
        let recorded = durable::step(ctx, operations::trace(), async move |_| Ok(header));
        // It has no failure to record.
        let header = recorded.await?.unwrap_or_default();
        let mut runner = self.clone();
        runner.setup_mut().trace = header.as_deref().and_then(TraceContext::from_xray);
        Ok(runner)
    }

    pub(crate) fn setup_mut(&mut self) -> &mut Setup {
        Arc::make_mut(&mut self.setup)
    }

    /// The names of the backends that a job may name.
    pub fn backends(&self) -> impl Iterator<Item = &str> {
        self.setup.enabled.keys().map(String::as_str)
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
    pub fn run<T: DeserializeOwned>(
        &self,
        ctx: &DurableContext,
        job: JobSpec,
    ) -> impl Future<Output = Result<JobReport<T>, RunError>> + Send {
        // Before the future is made, which would be moved with the whole of it.
        let job = Arc::new(job);
        async move {
            let succeeded = self.run_shared(ctx, &job).await?;
            if succeeded.is_stored() {
                // Boxed: what is read anew on every replay pays for it, and no other.
                return Box::pin(async {
                    let report = succeeded.unread(job, ctx.execution_arn())?.report;
                    self.read(report).await
                })
                .await;
            }
            succeeded.inline(job)
        }
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
        let job = Arc::new(job);
        let succeeded = self.run_shared(ctx, &job).await?;
        Ok(succeeded.unread(job, ctx.execution_arn())?.report)
    }

    async fn run_shared(
        &self,
        ctx: &DurableContext,
        job: &Arc<JobSpec>,
    ) -> Result<Succeeded, RunError> {
        valid(job)?;
        let label = operations::label(&job.name, None);
        self.attempts(ctx, job, &label, &()).await
    }

    /// Reads what [`run_unread`](Self::run_unread) left unread. A result in the payload store is
    /// read anew on every replay: what a reference names never changes, and recording it would
    /// break the limit that it was meant to keep.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        report: JobReport<CallbackResult>,
    ) -> Result<JobReport<T>, RunError> {
        let text = match &report.result {
            CallbackResult::Inline(_) => Ok(None),
            CallbackResult::Reference(uri) => {
                Box::pin(stored::read(self.setup.store.as_deref(), uri))
                    .await
                    .map(Some)
            }
        };
        report.read_as(text)
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
        for enabled in self.setup.enabled.values() {
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

    /// Whether the job can run here at all.
    pub(crate) fn check(&self, job: &JobSpec) -> Result<(), RunError> {
        valid(job)?;
        self.setup.choose(job).map(drop)
    }
}

fn valid(job: &JobSpec) -> Result<(), RunError> {
    job.validate().map_err(|source| RunError::InvalidJob {
        job: job.name.clone(),
        source,
    })
}

impl Setup {
    /// The backend that the job is to run on.
    pub(crate) fn choose(&self, job: &JobSpec) -> Result<&Enabled, RunError> {
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

pub(crate) fn payload_error(job: &JobName, handle: JobHandle, source: PayloadError) -> RunError {
    RunError::Payload {
        job: job.clone(),
        handle,
        source: Box::new(source),
    }
}

pub(crate) fn decode<T: DeserializeOwned>(
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
    // Where in the result it went wrong is found out only when it did: every replay would pay for keeping track of it.
    if let Ok(result) = serde_json::from_str(payload) {
        return Ok(result);
    }
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
#[path = "trace_tests.rs"]
mod trace_tests;

#[cfg(test)]
#[path = "payload_tests.rs"]
mod payload_tests;
