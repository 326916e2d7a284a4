//! The functions that replay a history, from the bytes of an event to those of the answer.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use aws_durable_execution_sdk as sdk;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Intercept, Region};
use lambda_runtime::{Context, LambdaEvent};
use longhaul_core::{
    BackendError, BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, Job, JobHandle,
    JobName, JobSpec,
};
use longhaul_lambda::durable::{CallbackOptions, StepFailure, wait_for_callback};
use longhaul_lambda::{DurableContext, ExecutionError, JobRunner, RunAllOptions, function};
use sdk::BoxError;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::history::{self, Shape, Size};
use crate::recorded;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A floor: the event is read into a `Value`, and that is all.
    Value,
    /// A lower floor: the event is read without copying, into an index of its operations.
    Borrowed,
    /// The SDK's `create_callback`, `step` and `result`.
    SdkRaw,
    /// The SDK's `wait_for_callback`.
    SdkWait,
    /// Our `durable::wait_for_callback`.
    OurWait,
    /// `JobRunner::run`.
    Run,
    /// `JobRunner::run_all`, and one job after it.
    RunAll,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Value,
        Self::Borrowed,
        Self::SdkRaw,
        Self::SdkWait,
        Self::OurWait,
        Self::Run,
        Self::RunAll,
    ];

    /// What it is called in tables and on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Borrowed => "borrowed",
            Self::SdkRaw => "sdk-raw",
            Self::SdkWait => "sdk-wait",
            Self::OurWait => "our-wait",
            Self::Run => "run",
            Self::RunAll => "run-all",
        }
    }

    /// The event that it replays.
    ///
    /// # Errors
    ///
    /// When one that has to be recorded cannot be.
    pub async fn event(self, size: Size) -> Result<Vec<u8>, BoxError> {
        match self {
            Self::SdkWait => Ok(history::event(Shape::Nested, size)),
            Self::RunAll => recorded::event(size).await,
            _ => Ok(history::event(Shape::Flat, size)),
        }
    }
}

pub(crate) type Answered = Pin<Box<dyn Future<Output = Result<Vec<u8>, BoxError>> + Send>>;

/// One subject, ready to be given events.
pub struct Replay {
    serve: Serve,
    calls: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("calls", &self.calls())
            .finish()
    }
}

impl Replay {
    /// Makes `subject` ready.
    ///
    /// # Errors
    ///
    /// When the SDK does not take its options.
    pub fn new(subject: Subject) -> Result<Self, BoxError> {
        let calls = Arc::new(AtomicUsize::new(0));
        let client = client(&calls);
        let serve: Serve = match subject {
            Subject::Value => Box::new(|bytes| {
                let read = serde_json::from_slice::<Value>(bytes);
                Box::pin(async move {
                    let all = read?;
                    let all = all["InitialExecutionState"]["Operations"].as_array();
                    Ok(all.map_or(0, Vec::len).to_string().into_bytes())
                })
            }),
            Subject::Borrowed => Box::new(|bytes| {
                let read = borrowed(bytes).map_err(BoxError::from);
                Box::pin(async move { Ok(read?.to_string().into_bytes()) })
            }),
            Subject::SdkRaw => by_sdk(sdk_raw, client)?,
            Subject::SdkWait => by_sdk(sdk_wait, client)?,
            Subject::OurWait => by_us(our_wait, &calls, client)?,
            Subject::Run => by_us(run, &calls, client)?,
            Subject::RunAll => by_us(run_all, &calls, client)?,
        };
        Ok(Self { serve, calls })
    }

    /// From the bytes of an event to those of the answer.
    ///
    /// # Errors
    ///
    /// When the event cannot be replayed.
    pub async fn answer(&self, event: &[u8]) -> Result<Vec<u8>, BoxError> {
        (self.serve)(event).await
    }

    /// How many calls of the durable service and of the backend were tried since it was made.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

/// The answer that `subject` must give.
#[must_use]
pub fn expected(subject: Subject, size: Size) -> Vec<u8> {
    match subject {
        Subject::Value | Subject::Borrowed => (2 * size.jobs + 1).to_string().into_bytes(),
        _ => {
            // Each result's length without its quotes: every one of them was read.
            let length = size.jobs * (history::result(0, size).len() - 2);
            let result = length.to_string();
            serde_json::json!({"Status": "SUCCEEDED", "Result": result})
                .to_string()
                .into_bytes()
        }
    }
}

/// An index of an event's operations by id, none of which is copied; how many there are.
fn borrowed(bytes: &[u8]) -> Result<usize, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Event<'a> {
        #[serde(borrow)]
        initial_execution_state: State<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct State<'a> {
        #[serde(borrow)]
        operations: Vec<Operation<'a>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Operation<'a> {
        id: &'a str,
        status: &'a str,
        #[serde(borrow)]
        callback_details: Option<&'a RawValue>,
        #[serde(borrow)]
        step_details: Option<&'a RawValue>,
    }
    let event: Event<'_> = serde_json::from_slice(bytes)?;
    let operations = &event.initial_execution_state.operations;
    let index: HashMap<&str, &Operation<'_>> = operations.iter().map(|one| (one.id, one)).collect();
    let ended = index.values().filter(|one| one.status != "PENDING");
    Ok(ended
        .filter(|one| one.callback_details.is_none() || one.step_details.is_none())
        .count())
}

async fn sdk_raw(jobs: usize, ctx: DurableContext) -> Result<usize, BoxError> {
    let mut length = 0;
    for _ in 0..jobs {
        let callback = ctx.create_callback::<String>().name("callback job").await?;
        let _handle: Value = ctx
            .step(|_| async { Err("submitted".into()) })
            .name("start job")
            .await?;
        length += callback.result().await?.len();
    }
    Ok(length)
}

async fn sdk_wait(jobs: usize, ctx: DurableContext) -> Result<usize, BoxError> {
    let mut length = 0;
    for _ in 0..jobs {
        let wait = ctx.wait_for_callback::<String, _, _>(|_, _| async { Err("submitted".into()) });
        length += wait.name("job").await?.len();
    }
    Ok(length)
}

async fn our_wait(jobs: usize, ctx: DurableContext, _: JobRunner) -> Result<usize, ExecutionError> {
    let mut length = 0;
    for _ in 0..jobs {
        let options = CallbackOptions {
            callback_name: "callback job".to_owned(),
            submit_name: "start job".to_owned(),
            timeout: None,
            heartbeat: None,
        };
        let refuse = |_, _| async {
            Err::<Value, _>(StepFailure {
                error_type: "Submitted".to_owned(),
                message: String::new(),
                again: None,
                anew: false,
            })
        };
        let completed = wait_for_callback(&ctx, options, refuse).await;
        let completed =
            completed.map_err(|error| ExecutionError::new("Bench", format!("{error:?}")))?;
        let result: String = serde_json::from_str(&completed.payload)
            .map_err(|error| ExecutionError::new("Bench", error.to_string()))?;
        length += result.len();
    }
    Ok(length)
}

async fn run(jobs: usize, ctx: DurableContext, runner: JobRunner) -> Result<usize, ExecutionError> {
    let mut length = 0;
    for _ in 0..jobs {
        let job = JobSpec::new(JobName::from_text("job")).with_command(["work"]);
        length += runner.run::<String>(&ctx, job).await?.result.len();
    }
    Ok(length)
}

/// As [`run`], all at once, and one more job after them.
pub(crate) async fn run_all(
    jobs: usize,
    ctx: DurableContext,
    runner: JobRunner,
) -> Result<usize, ExecutionError> {
    let job = || JobSpec::new(JobName::from_text("job")).with_command(["work"]);
    let all = (0..jobs).map(|_| job()).collect();
    let report = runner.run_all::<String>(&ctx, all, RunAllOptions::new());
    let length = report
        .await?
        .results()
        .map(|(_, result)| result.len())
        .sum();
    runner.run::<String>(&ctx, job()).await?;
    Ok(length)
}

pub(crate) type Serve = Box<dyn Fn(&[u8]) -> Answered + Send + Sync>;

pub(crate) fn by_sdk<F, Fut>(handler: F, client: aws_sdk_lambda::Client) -> Result<Serve, BoxError>
where
    F: Fn(usize, DurableContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<usize, BoxError>> + Send + 'static,
{
    let options = sdk::Options::builder().lambda_client(client).build()?;
    let service = Arc::new(sdk::wrap(handler, options));
    Ok(Box::new(move |bytes| {
        let event = serde_json::from_slice(bytes);
        let service = Arc::clone(&service);
        Box::pin(async move {
            let answer = service(LambdaEvent::new(event?, context())).await?;
            Ok(serde_json::to_vec(&answer)?)
        })
    }))
}

fn by_us<F, Fut>(
    handler: F,
    calls: &Arc<AtomicUsize>,
    client: aws_sdk_lambda::Client,
) -> Result<Serve, BoxError>
where
    F: Fn(usize, DurableContext, JobRunner) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<usize, ExecutionError>> + Send + 'static,
{
    let runner = JobRunner::new(Arc::new(Refusing(Arc::clone(calls))));
    let service = function::service(runner, client, handler)?;
    Ok(Box::new(move |bytes| {
        let event = serde_json::from_slice(bytes);
        let service = service.clone();
        Box::pin(async move {
            let answer = service(LambdaEvent::new(event?, context())).await?;
            Ok(serde_json::to_vec(&answer)?)
        })
    }))
}

pub(crate) fn context() -> Context {
    let mut context = Context::default();
    context.request_id = "5f1b0dcb-4a0c-4a65-9a2e-1f3d7b1b9a11".to_owned();
    context
}

/// Counts, and lets nothing through: a replay calls nobody.
#[derive(Debug)]
struct Refusing(Arc<AtomicUsize>);

#[async_trait]
impl ComputeBackend for Refusing {
    fn name(&self) -> &str {
        "none"
    }

    async fn start(&self, _: &Job, _: &CallbackToken) -> Result<JobHandle, BackendError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(BackendError::new(
            BackendErrorKind::Denied,
            "a replay starts nothing",
        ))
    }

    async fn cancel(&self, _: &JobHandle, _: &str) -> Result<CancelOutcome, BackendError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(BackendError::new(
            BackendErrorKind::Denied,
            "a replay stops nothing",
        ))
    }
}

impl Intercept for Refusing {
    fn name(&self) -> &'static str {
        "no calls"
    }

    fn read_before_execution(
        &self,
        _: &aws_sdk_lambda::config::interceptors::BeforeSerializationInterceptorContextRef<'_>,
        _: &mut aws_sdk_lambda::config::ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err("a replay calls nobody".into())
    }
}

fn client(calls: &Arc<AtomicUsize>) -> aws_sdk_lambda::Client {
    let refusing = Refusing(Arc::clone(calls));
    client_of(|config| {
        config
            .endpoint_url("http://127.0.0.1:9")
            .interceptor(refusing)
    })
}

pub(crate) fn client_of(
    more: impl FnOnce(aws_sdk_lambda::config::Builder) -> aws_sdk_lambda::config::Builder,
) -> aws_sdk_lambda::Client {
    let config = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"));
    aws_sdk_lambda::Client::from_conf(more(config).build())
}
