//! A durable function of one's own: configuration, log, runtime and errors around a handler.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::LambdaEvent;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::durable::serve::{self, ExecutionError};
pub use crate::durable::serve::{Answer, InvocationPayload};
use crate::durable::{BoxError, DurableContext, DurableError};
use crate::error::full_message;
use crate::{Config, JobRunner, NotMet, RunAllError, RunError};

/// The whole life of a durable function's process: configuration and backends from the
/// [environment](crate::config), the log, and `handler` for every event, as often as it is
/// replayed. Returns the exit code: 2 for a wrong configuration, 1 when serving failed.
///
/// What the handler returns is the execution's result. What it fails with is the execution's
/// error, with the type, message and data of the job that failed. An event that is no `I` fails
/// the execution with `Longhaul.InvalidEvent`. Checkpoints that many jobs write at once are sent
/// together.
///
/// ```no_run
/// use longhaul_core::{JobName, JobSpec};
/// use longhaul_lambda::{DurableContext, ExecutionError, JobRunner, function};
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> std::process::ExitCode {
///     function::main(render).await
/// }
///
/// async fn render(scene: String, ctx: DurableContext, runner: JobRunner) -> Result<u32, ExecutionError> {
///     let job = JobSpec::new(JobName::from_text("render")).with_command(["render"]).with_input(scene);
///     Ok(runner.run::<u32>(&ctx, job).await?.result)
/// }
/// ```
pub async fn main<H, F, I, O>(handler: H) -> ExitCode
where
    H: Fn(I, DurableContext, JobRunner) -> F + Send + Sync + 'static,
    F: Future<Output = Result<O, ExecutionError>> + Send + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
{
    crate::log::init();
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    exit_code(serve(config, handler).await)
}

/// [`main`] over a runner of one's own: for a backend that [`Config`] does not know. Of the
/// [environment](crate::config) it reads `LONGHAUL_LOG` and what AWS's SDK does. Returns the exit
/// code: 1 when serving failed.
///
/// ```no_run
/// use std::sync::Arc;
/// use longhaul_core::{ComputeBackend, JobSpec};
/// use longhaul_lambda::{JobRunner, function};
///
/// async fn serve(mine: impl ComputeBackend + 'static) -> std::process::ExitCode {
///     let runner = JobRunner::new(Arc::new(mine));
///     function::main_with(runner, |job: JobSpec, ctx, runner: JobRunner| async move {
///         Ok(runner.run::<serde_json::Value>(&ctx, job).await?.result)
///     })
///     .await
/// }
/// ```
pub async fn main_with<H, F, I, O>(runner: JobRunner, handler: H) -> ExitCode
where
    H: Fn(I, DurableContext, JobRunner) -> F + Send + Sync + 'static,
    F: Future<Output = Result<O, ExecutionError>> + Send + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
{
    crate::log::init();
    let sdk_config = crate::aws::config().await;
    let client = aws_sdk_lambda::Client::new(&sdk_config);
    exit_code(serve::run(over(runner, handler), client).await)
}

fn exit_code(served: Result<(), BoxError>) -> ExitCode {
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "error: the function cannot serve: {}",
                full_message(&*error)
            );
            ExitCode::FAILURE
        }
    }
}

/// Serves `handler` over the Lambda Runtime API until the process is ended.
///
/// The AWS client is built before the first invocation, but for its TLS, which the first request that is encrypted makes
/// ready.
///
/// # Errors
///
/// When the Runtime API cannot be reached, or a backend cannot be built.
pub async fn serve<H, F, I, O>(config: Config, handler: H) -> Result<(), BoxError>
where
    H: Fn(I, DurableContext, JobRunner) -> F + Send + Sync + 'static,
    F: Future<Output = Result<O, ExecutionError>> + Send + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
{
    let sdk_config = crate::aws::config().await;
    let client = aws_sdk_lambda::Client::new(&sdk_config);
    let runner = config.build(&sdk_config)?.runner().clone();
    serve::run(over(runner, handler), client).await
}

/// A service function for `lambda_runtime`, from the bytes of an event to its answer, for
/// middleware of one's own and for measuring: what [`main`] serves, over a given `runner` and the
/// `client` that checkpoints are written with.
///
/// # Errors
///
/// When the SDK does not take its options.
pub fn service<H, F, I, O>(
    runner: JobRunner,
    client: aws_sdk_lambda::Client,
    handler: H,
) -> Result<
    impl Fn(LambdaEvent<InvocationPayload>) -> Answer + Send + Sync + Clone + use<H, F, I, O>,
    BoxError,
>
where
    H: Fn(I, DurableContext, JobRunner) -> F + Send + Sync + 'static,
    F: Future<Output = Result<O, ExecutionError>> + Send + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
{
    serve::service(over(runner, handler), client)
}

/// `handler` as the SDK serves it.
pub(crate) fn over<H, F, I, O>(
    runner: JobRunner,
    handler: H,
) -> impl Fn(Value, DurableContext) -> Handled<O> + Send + Sync + 'static
where
    H: Fn(I, DurableContext, JobRunner) -> F + Send + Sync + 'static,
    F: Future<Output = Result<O, ExecutionError>> + Send + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
{
    let handler = Arc::new(handler);
    move |event, ctx| {
        let (handler, runner) = (Arc::clone(&handler), runner.clone());
        Box::pin(async move {
            let event = read(event)?;
            handler(event, ctx, runner).await.inspect_err(|error| {
                tracing::error!(
                    error_type = error.error_type,
                    error = error.message,
                    "the execution fails"
                );
            })
        })
    }
}

/// The event as the handler takes it.
fn read<I: DeserializeOwned>(event: Value) -> Result<I, ExecutionError> {
    serde_path_to_error::deserialize(event).map_err(|error| {
        let path = error.path().to_string();
        ExecutionError::new(
            "Longhaul.InvalidEvent",
            format!(
                "the event is not what this function takes, at `{path}`: {}",
                error.into_inner()
            ),
        )
    })
}

/// `handler` for a function that also runs the parts of
/// [`run_all_chained`](JobRunner::run_all_chained): an event that is a part is run by the runner, any
/// other is the handler's.
///
/// Whoever may invoke such a function may have it run any job: the jobs of a part are in its event.
/// So it is not what every function does.
///
/// ```no_run
/// use longhaul_core::JobSpec;
/// use longhaul_lambda::{ChainedOptions, DurableContext, ExecutionError, JobRunner, function};
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> std::process::ExitCode {
///     function::main(function::with_parts(all)).await
/// }
///
/// async fn all(jobs: Vec<JobSpec>, ctx: DurableContext, runner: JobRunner) -> Result<u64, ExecutionError> {
///     let report = runner.run_all_chained::<u64>(&ctx, jobs, ChainedOptions::default()).await?;
///     Ok(report.into_results()?.into_iter().sum())
/// }
/// ```
pub fn with_parts<H, F, I, O>(
    handler: H,
) -> impl Fn(Value, DurableContext, JobRunner) -> Handled<PartOr<O>> + Send + Sync + 'static
where
    H: Fn(I, DurableContext, JobRunner) -> F + Send + Sync + 'static,
    F: Future<Output = Result<O, ExecutionError>> + Send + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
{
    let handler = Arc::new(handler);
    move |event: Value, ctx: DurableContext, runner: JobRunner| {
        let handler = Arc::clone(&handler);
        Box::pin(async move {
            if let Some(answer) = runner.run_part(&ctx, &event).await? {
                return Ok(PartOr::Part(answer));
            }
            handler(read(event)?, ctx, runner).await.map(PartOr::Other)
        })
    }
}

/// What a function [`with_parts`] returns.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PartOr<O> {
    /// The answer to a part.
    Part(Value),
    /// What its own handler returns.
    Other(O),
}

/// What a handler makes of an event.
pub type Handled<O> = std::pin::Pin<Box<dyn Future<Output = Result<O, ExecutionError>> + Send>>;

impl ExecutionError {
    /// An error of this type, without data.
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            error_type: error_type.into(),
            message: message.into(),
            data: None,
        }
    }
}

impl From<RunError> for ExecutionError {
    fn from(error: RunError) -> Self {
        Self {
            error_type: error.error_type().to_owned(),
            message: error.error_message(),
            data: error.error_data(),
        }
    }
}

impl From<DurableError> for ExecutionError {
    fn from(error: DurableError) -> Self {
        Self::new("Longhaul.Durable", full_message(&error))
    }
}

impl From<RunAllError> for ExecutionError {
    fn from(error: RunAllError) -> Self {
        Self::new(error.error_type(), error.error_message())
    }
}

impl From<NotMet> for ExecutionError {
    fn from(error: NotMet) -> Self {
        Self::new("Longhaul.NotMet", error.to_string())
    }
}

impl From<BoxError> for ExecutionError {
    fn from(error: BoxError) -> Self {
        Self::new("Error", full_message(&*error))
    }
}
