//! Jobs that run to their end over the embedded service in this process, and what they cost between function and service.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_durable_execution_sdk as sdk;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_lambda::config::{
    BehaviorVersion, ConfigBag, Credentials, Intercept, Region, RuntimeComponents,
};
use lambda_runtime::{Context, LambdaEvent};
use longhaul_core::{
    BackendError, CallbackToken, CancelOutcome, ComputeBackend, FailureClass, Job, JobFailure,
    JobHandle, JobName, JobSpec,
};
use longhaul_emulator::{
    Api, CallbackId, ErrorObject, ExecutionArn, FunctionConfig, HistoryRequest, Invocation,
    InvocationError, InvocationHandler, Outcome, Service, ServiceConfig, Settled, StartExecution,
    TestClock, Timestamp,
};
use longhaul_lambda::{
    ChainedOptions, DurableContext, ExecutionError, JobRunner, MAX_JOBS, RunAllOptions, function,
};
use sdk::BoxError;

use crate::replay::{Answered, Serve, by_sdk};

/// How the function runs its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `JobRunner::run`, one job after another.
    Run,
    /// `JobRunner::run_all`, so many at once; in parts where they are more than an execution can hold.
    RunAll(usize),
    /// The SDK's `wait_for_callback`, one job after another: the shape of AWS's sample for ECS.
    SdkWait,
}

/// What becomes of the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Each ends well while the function sleeps.
    Succeed,
    /// Each succeeds as soon as it is started, whatever the function does.
    SucceedAtOnce,
    /// The first attempt of each is interrupted, the second succeeds.
    InterruptedOnce,
    /// None is ever heard of again.
    Silent,
}

/// What an execution took.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Cost {
    /// Calls of `CheckpointDurableExecution`.
    pub checkpoints: usize,
    /// Calls of `GetDurableExecutionState`.
    pub states: usize,
    /// Invocations of the function.
    pub invocations: usize,
    /// Bytes of all the bodies that these calls sent.
    pub sent: usize,
    /// Bytes of all the events that the function was invoked with.
    pub received: usize,
    /// Durable operations, without the execution itself.
    pub operations: usize,
    /// How often a job was started.
    pub starts: usize,
    /// Real time.
    pub took: Duration,
    /// Whether the execution succeeded.
    pub succeeded: bool,
}

#[derive(Debug, Default)]
struct Counts {
    checkpoints: AtomicUsize,
    states: AtomicUsize,
    sent: AtomicUsize,
}

#[derive(Debug, Clone)]
struct Counting(Arc<Counts>);

impl Intercept for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let path = request.uri().split('?').next().unwrap_or_default();
        let counter = if path.ends_with("/checkpoint") {
            &self.0.checkpoints
        } else if path.ends_with("/state") {
            &self.0.states
        } else {
            return Err("the function makes no other calls".into());
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let bytes = request.body().bytes().unwrap_or_default().len();
        self.0.sent.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// A backend that keeps the tokens of its jobs, for somebody to report what became of them.
#[derive(Debug, Clone)]
struct Kept {
    jobs: Arc<Mutex<Vec<(u32, CallbackToken)>>>,
    starts: Arc<AtomicUsize>,
    /// Reports by itself, as soon as it can.
    at_once: Arc<OnceLock<Api>>,
}

impl Kept {
    fn new() -> Self {
        Self {
            jobs: Arc::default(),
            starts: Arc::default(),
            at_once: Arc::default(),
        }
    }

    fn put(&self, attempt: u32, token: CallbackToken) {
        self.starts.fetch_add(1, Ordering::Relaxed);
        if let Some(api) = self.at_once.get() {
            let api = api.clone();
            tokio::spawn(async move { report(&api, &token, None).await });
        } else {
            self.lock().push((attempt, token));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(u32, CallbackToken)>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ComputeBackend for Kept {
    fn name(&self) -> &str {
        "kept"
    }

    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
        self.put(job.attempt(), token.clone());
        Ok(JobHandle::new("kept", job.start_key().as_str()))
    }

    async fn cancel(&self, _: &JobHandle, _: &str) -> Result<CancelOutcome, BackendError> {
        Ok(CancelOutcome::Cancelled)
    }
}

async fn report(
    api: &Api,
    token: &CallbackToken,
    failure: Option<JobFailure>,
) -> Result<(), BoxError> {
    let id = CallbackId::parse(token.expose())?;
    match failure {
        None => api.succeed_callback(&id, Some("1".to_owned())).await?,
        Some(failure) => {
            let error = ErrorObject {
                error_type: Some(failure.error_type().to_owned()),
                error_message: Some(failure.error_message()),
                error_data: Some(failure.error_data()),
                ..ErrorObject::default()
            };
            api.fail_callback(&id, error).await?;
        }
    }
    Ok(())
}

/// The function, there before the service that it talks to.
#[derive(Default)]
struct Function {
    serve: OnceLock<Serve>,
    invocations: AtomicUsize,
    received: AtomicUsize,
}

#[async_trait]
impl InvocationHandler for Function {
    async fn invoke(&self, invocation: Invocation) -> Result<bytes::Bytes, InvocationError> {
        self.invocations.fetch_add(1, Ordering::Relaxed);
        self.received
            .fetch_add(invocation.event.len(), Ordering::Relaxed);
        let failed = |error: BoxError| InvocationError::new("Failed", error.to_string());
        let serve = self.serve.get().ok_or_else(|| failed("too early".into()))?;
        let answer: Answered = serve(&invocation.event);
        answer.await.map(Into::into).map_err(failed)
    }
}

fn job() -> JobSpec {
    JobSpec::new(JobName::from_text("job"))
        .with_command(["work"])
        .with_timeout(Duration::from_secs(3_600))
}

async fn ours(
    jobs: usize,
    way: Way,
    ctx: DurableContext,
    runner: JobRunner,
) -> Result<usize, ExecutionError> {
    let failed = |error: &dyn std::error::Error| ExecutionError::new("Bench", error.to_string());
    let Way::RunAll(at_once) = way else {
        let mut sum = 0;
        for _ in 0..jobs {
            let report = runner.run::<usize>(&ctx, job()).await;
            sum += report.map_err(|error| failed(&error))?.result;
        }
        return Ok(sum);
    };
    let all = (0..jobs).map(|_| job()).collect();
    let options = RunAllOptions::new().at_once(at_once);
    let report = if jobs > MAX_JOBS {
        let options = ChainedOptions::new(options).target("bench:$LATEST");
        runner.run_all_chained::<usize>(&ctx, all, options).await
    } else {
        runner.run_all::<usize>(&ctx, all, options).await
    };
    let report = report.map_err(|error| failed(&error))?;
    Ok(report.results().map(|(_, result)| result).sum())
}

async fn sdk_wait(jobs: usize, kept: Kept, ctx: DurableContext) -> Result<usize, BoxError> {
    let mut sum = 0;
    for _ in 0..jobs {
        let kept = kept.clone();
        let wait = ctx.wait_for_callback::<usize, _, _>(move |_, id| {
            let kept = kept.clone();
            async move {
                kept.put(1, CallbackToken::new(id.to_string())?);
                Ok(())
            }
        });
        let wait = wait.name("job").timeout(Duration::from_secs(3_600));
        sum += wait.await?;
    }
    Ok(sum)
}

/// A service on a folder of its own, and a function in this process.
pub struct Stage {
    /// The service, which knows the function as `bench`.
    pub service: Service,
    client: Client,
    function: Arc<Function>,
    counts: Arc<Counts>,
    _state: tempfile::TempDir,
}

impl Stage {
    /// Starts the service, on the machine's own clock where there is no other.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn new(clock: Option<TestClock>) -> Result<Self, BoxError> {
        let state = tempfile::tempdir()?;
        let function = Arc::new(Function::default());
        let handler = FunctionConfig::handler("bench", function.clone() as Arc<_>);
        let mut config = ServiceConfig::new(state.path()).function(handler);
        if let Some(clock) = clock {
            config = config.clock(Arc::new(clock));
        }
        let service = Service::start(config).await?;
        let counts = Arc::new(Counts::default());
        let client = Client::from_conf(
            aws_sdk_lambda::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("us-east-1"))
                .endpoint_url(service.url())
                .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
                .interceptor(Counting(Arc::clone(&counts)))
                .build(),
        );
        Ok(Self {
            service,
            client,
            function,
            counts,
            _state: state,
        })
    }

    fn serve(&self, serve: Serve) {
        drop(self.function.serve.set(serve));
    }

    /// Lets the function be this handler, as `function::main` would serve it.
    ///
    /// # Errors
    ///
    /// When the SDK does not take its options.
    pub fn serve_ours<H, Fut, Out>(&self, runner: JobRunner, handler: H) -> Result<(), BoxError>
    where
        H: Fn(usize, DurableContext, JobRunner) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Out, ExecutionError>> + Send + 'static,
        Out: serde::Serialize + Send + 'static,
    {
        let handler = function::with_parts(handler);
        let service = function::service(runner, self.client.clone(), handler)?;
        let invocations = AtomicUsize::new(0);
        self.serve(Box::new(move |bytes: &[u8]| -> Answered {
            let event = serde_json::from_slice(bytes);
            let service = service.clone();
            // Each has an id of its own: what is kept of it is found by that, and a part begins while its parent still runs.
            let mut context = Context::default();
            context.request_id = invocations.fetch_add(1, Ordering::Relaxed).to_string();
            Box::pin(async move {
                let answer = service(LambdaEvent::new(event?, context)).await?;
                Ok(serde_json::to_vec(&answer)?)
            })
        }));
        Ok(())
    }
}

/// Runs `jobs` jobs in one execution to its end.
///
/// # Errors
///
/// When the service or the function cannot be set up, or a report is refused.
pub async fn run(jobs: usize, way: Way, fate: Fate) -> Result<Cost, BoxError> {
    let kept = Kept::new();
    // Time moves only when nothing is left to do, unless the jobs report by themselves.
    let clock = TestClock::new(Timestamp::from_millis(1_767_225_600_000));
    let stage = Stage::new((fate != Fate::SucceedAtOnce).then(|| clock.clone())).await?;
    if way == Way::SdkWait {
        let kept = kept.clone();
        let handler = move |jobs, ctx| sdk_wait(jobs, kept.clone(), ctx);
        stage.serve(by_sdk(handler, stage.client.clone())?);
    } else {
        let runner = JobRunner::new(Arc::new(kept.clone()));
        stage.serve_ours(runner, move |jobs, ctx, runner| {
            ours(jobs, way, ctx, runner)
        })?;
    }
    let api = stage.service.api().clone();
    if fate == Fate::SucceedAtOnce {
        drop(kept.at_once.set(api.clone()));
    }

    let began = std::time::Instant::now();
    let arn = api
        .start_execution(StartExecution::new("bench", jobs.to_string()))
        .await?
        .arn;
    let outcome = if fate == Fate::SucceedAtOnce {
        api.wait(&arn).await?
    } else {
        drive(&stage.service, &arn, &kept, &clock, fate).await?
    };
    let took = began.elapsed();
    let operations = operations(&api, &arn).await?;
    stage.service.shutdown().await;
    let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    Ok(Cost {
        checkpoints: read(&stage.counts.checkpoints),
        states: read(&stage.counts.states),
        invocations: read(&stage.function.invocations),
        sent: read(&stage.counts.sent),
        received: read(&stage.function.received),
        operations,
        starts: read(&kept.starts),
        took,
        succeeded: matches!(outcome, Outcome::Succeeded(_)),
    })
}

/// Reports what became of the jobs whenever the function sleeps, and else lets the time pass.
async fn drive(
    service: &Service,
    arn: &ExecutionArn,
    kept: &Kept,
    clock: &TestClock,
    fate: Fate,
) -> Result<Outcome, BoxError> {
    let api = service.api();
    let mut events = service.subscribe();
    let mut over = pin!(api.wait(arn));
    loop {
        let settled = api.settle().await?;
        tokio::select! {
            biased;
            outcome = &mut over => return Ok(outcome?),
            () = std::future::ready(()) => {}
        }
        let Settled::Until(due) = settled else {
            drop(events.recv().await);
            continue;
        };
        let jobs = match fate {
            Fate::Silent => Vec::new(),
            _ => std::mem::take(&mut *kept.lock()),
        };
        let idle = jobs.is_empty();
        for (attempt, token) in jobs {
            let failure = (fate == Fate::InterruptedOnce && attempt == 1)
                .then(|| JobFailure::new(FailureClass::Interrupted));
            report(api, &token, failure).await?;
        }
        match due {
            Some(due) if idle => clock.advance_to(due),
            // Over, and the wait is about to say so.
            None if idle => tokio::task::yield_now().await,
            _ => {}
        }
    }
}

/// How many operations the history names, without the execution itself.
async fn operations(api: &Api, arn: &ExecutionArn) -> Result<usize, BoxError> {
    let mut ids = BTreeSet::new();
    let mut request = HistoryRequest::default();
    request.max_items = 1_000;
    loop {
        let page = api.history(arn, request.clone()).await?;
        let found = page.items.into_iter().filter_map(|event| event.operation);
        ids.extend(found.map(|operation| operation.id));
        request.marker = page.next_marker;
        if request.marker.is_none() {
            return Ok(ids.len().saturating_sub(1));
        }
    }
}
