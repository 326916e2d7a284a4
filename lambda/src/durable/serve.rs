//! Serving a durable handler over the Lambda Runtime API.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use lambda_runtime::{LambdaEvent, service_fn};
use sdk::{Options, TypedError};
use serde_json::value::RawValue;
use serde_json::{Value, json};

pub use super::envelope::InvocationPayload;
use super::news::{News, Watch};
use super::{BoxError, DurableContext, Duration, Future, Serialize, sdk};

/// How long a checkpoint waits for others to be sent with it: with a thousand jobs, a call for each
/// job instead of five (measured with SDK 0.1.0). Creating a callback and suspending do not wait.
const TOGETHER: Duration = Duration::from_millis(20);

/// An error that ends an execution, just as `GetDurableExecution` shall show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionError {
    /// `ErrorType`.
    pub error_type: String,
    /// `ErrorMessage`.
    pub message: String,
    /// `ErrorData`.
    pub data: Option<String>,
}

/// How long before the invocation's own end the handler is not run again within it.
const LAST_CALL: Duration = Duration::from_secs(5);

/// A service function for `handler` whose `FAILED` answers carry type, message and data just
/// as the handler gave them: the SDK offers a handler no way to set `ErrorData`, flattens
/// messages and adds up to 64 frames of our own stack. A handler that suspended past
/// [news](super::news) is run again.
///
/// The event goes to the SDK as it was read, once: it holds the whole history, so that a copy of it
/// costs the more the more jobs have ended. What of it is read says [`InvocationPayload`].
pub(crate) fn service<F, Fut, O>(
    handler: F,
    client: aws_sdk_lambda::Client,
) -> Result<impl Fn(LambdaEvent<InvocationPayload>) -> Answer + Send + Sync + Clone, BoxError>
where
    F: Fn(Value, DurableContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, ExecutionError>> + Send,
    O: Serialize + Send + 'static,
{
    let news = Arc::new(News::default());
    let config = client.config().to_builder();
    let config = config.interceptor(Watch(Arc::clone(&news))).build();
    let options = Options::builder()
        .lambda_client(aws_sdk_lambda::Client::from_conf(config))
        .checkpoint_batching(true)
        .checkpoint_delay(TOGETHER)
        .build()?;
    let handler = Arc::new(handler);
    let told = Arc::clone(&news);
    let inner = Arc::new(sdk::wrap(
        move |input: Box<RawValue>, ctx: DurableContext| {
            let handler = Arc::clone(&handler);
            // The SDK calls it in the task of the invocation.
            let run = RUN.try_with(Arc::clone).unwrap_or_default();
            let told = Arc::clone(&told);
            told.begin(ctx.execution_arn());
            let event = serde_json::from_str(input.get());
            run.begin(&ctx, input);
            async move {
                let ended = handler(event?, ctx).await;
                // It did not suspend, so it is not run again.
                run.end(&told);
                ended.map_err(|error| {
                    let typed = TypedError::with_type(&error.error_type, error.message.clone());
                    run.lock().failure = Some(error);
                    BoxError::from(typed)
                })
            }
        },
        options,
    ));
    Ok(move |event: LambdaEvent<InvocationPayload>| -> Answer {
        let inner = Arc::clone(&inner);
        let news = Arc::clone(&news);
        Box::pin(async move {
            let invocation = Invocation {
                news: &news,
                run: Arc::default(),
                deadline: event.context.deadline,
            };
            let mut next = LambdaEvent::new(event.payload.into_sdk(), event.context);
            loop {
                let answer = RUN.scope(Arc::clone(&invocation.run), inner(next)).await?;
                let answer = serde_json::to_value(answer)?;
                match invocation.again(&answer)? {
                    Some(event) => next = event,
                    None => return Ok(invocation.answer(answer)),
                }
            }
        })
    })
}

/// One invocation.
struct Invocation<'a> {
    news: &'a News,
    run: Arc<Run>,
    /// When it ends, in milliseconds since the epoch; 0 where nobody says.
    deadline: u64,
}

impl Invocation<'_> {
    /// The event to run the handler again with, where it suspended past something.
    ///
    /// # Errors
    ///
    /// When there is something and no time: a failed invocation is followed by another one, a
    /// suspended one with nothing to tell is not.
    fn again(
        &self,
        answer: &Value,
    ) -> Result<Option<LambdaEvent<sdk::InvocationPayload>>, BoxError> {
        if !is(answer, "PENDING") {
            return Ok(None);
        }
        let known = self.run.lock();
        let Some(begun) = &known.begun else {
            return Ok(None);
        };
        let event = self
            .news
            .again(begun.ctx.execution_arn(), begun.input.get());
        let Some(event) = event else {
            return Ok(None);
        };
        if self.is_nearly_over() {
            return Err("the invocation's time is nearly over and jobs have ended: it is to be followed by another".into());
        }
        let context = begun.ctx.lambda_context().clone();
        Ok(Some(LambdaEvent::new(
            serde_json::from_value(event)?,
            context,
        )))
    }

    fn is_nearly_over(&self) -> bool {
        let deadline = UNIX_EPOCH.checked_add(Duration::from_millis(self.deadline));
        // Without a deadline, as in a test, there is time.
        self.deadline != 0
            && deadline.is_none_or(|deadline| SystemTime::now() + LAST_CALL > deadline)
    }

    /// The answer, with the error just as the handler gave it.
    fn answer(&self, mut answer: Value) -> Value {
        if is(&answer, "FAILED")
            && let Some(failure) = self.run.lock().failure.take()
        {
            let mut error = json!({
                "ErrorType": failure.error_type,
                "ErrorMessage": failure.message,
            });
            if let Some(data) = failure.data {
                error["ErrorData"] = Value::String(data);
            }
            answer["Error"] = error;
        }
        answer
    }
}

/// Whether the answer has this status.
fn is(answer: &Value, status: &str) -> bool {
    answer.get("Status").and_then(Value::as_str) == Some(status)
}

impl Drop for Invocation<'_> {
    fn drop(&mut self) {
        self.run.end(self.news);
    }
}

/// The answer to one invocation.
pub type Answer = Pin<Box<dyn Future<Output = Result<Value, lambda_runtime::Error>> + Send>>;

tokio::task_local! {
    /// The handler of the invocation that a task is about.
    static RUN: Arc<Run>;
}

/// A handler that runs, or has run.
#[derive(Debug, Default)]
struct Run(Mutex<Known>);

/// What is known of it.
#[derive(Debug, Default)]
struct Known {
    /// `None` until it began, and once it has ended.
    begun: Option<Begun>,
    failure: Option<ExecutionError>,
}

/// What it began with, to run it again.
#[derive(Debug)]
struct Begun {
    ctx: DurableContext,
    /// The execution's.
    input: Box<RawValue>,
}

impl Run {
    fn begin(&self, ctx: &DurableContext, input: Box<RawValue>) {
        let ctx = ctx.clone();
        *self.lock() = Known {
            begun: Some(Begun { ctx, input }),
            failure: None,
        };
    }

    /// It is not run again in this invocation.
    fn end(&self, news: &News) {
        if let Some(begun) = self.lock().begun.take() {
            news.end(begun.ctx.execution_arn());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves `handler` until the process is ended.
pub(crate) async fn run<F, Fut, O>(
    handler: F,
    client: aws_sdk_lambda::Client,
) -> Result<(), BoxError>
where
    F: Fn(Value, DurableContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, ExecutionError>> + Send,
    O: Serialize + Send + 'static,
{
    lambda_runtime::run(service_fn(service(handler, client)?)).await
}
