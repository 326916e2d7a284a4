//! Serving a durable handler over the Lambda Runtime API.

use std::collections::HashMap;
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
    let runs = Arc::new(Runs::default());
    let handler = Arc::new(handler);
    let (noted, told) = (Arc::clone(&runs), Arc::clone(&news));
    let inner = Arc::new(sdk::wrap(
        move |input: Box<RawValue>, ctx: DurableContext| {
            let handler = Arc::clone(&handler);
            let runs = Arc::clone(&noted);
            told.begin(ctx.execution_arn());
            let request_id = ctx.lambda_context().request_id.clone();
            let event = serde_json::from_str(input.get());
            runs.begin(&request_id, ctx.execution_arn(), input);
            async move {
                handler(event?, ctx).await.map_err(|error| {
                    let typed = TypedError::with_type(&error.error_type, error.message.clone());
                    runs.fail(&request_id, error);
                    BoxError::from(typed)
                })
            }
        },
        options,
    ));
    Ok(move |event: LambdaEvent<InvocationPayload>| -> Answer {
        let inner = Arc::clone(&inner);
        let runs = Arc::clone(&runs);
        let news = Arc::clone(&news);
        Box::pin(async move {
            let LambdaEvent {
                payload: mut next,
                context,
            } = event;
            let invocation = Invocation {
                news: &news,
                runs: &runs,
                context: &context,
            };
            loop {
                let answer = inner(LambdaEvent::new(next.into(), context.clone())).await?;
                let answer = serde_json::to_value(answer)?;
                match invocation.again(&answer)? {
                    Some(event) => next = serde_json::from_value(event)?,
                    None => return Ok(invocation.answer(answer)),
                }
            }
        })
    })
}

/// One invocation. What was kept of it goes with it, however it ends.
struct Invocation<'a> {
    news: &'a News,
    runs: &'a Runs,
    context: &'a lambda_runtime::Context,
}

impl Invocation<'_> {
    /// The event to run the handler again with, where it suspended past something.
    ///
    /// # Errors
    ///
    /// When there is something and no time: a failed invocation is followed by another one, a
    /// suspended one with nothing to tell is not.
    fn again(&self, answer: &Value) -> Result<Option<Value>, BoxError> {
        if answer.get("Status") != Some(&json!("PENDING")) {
            return Ok(None);
        }
        let again = self
            .runs
            .lock()
            .get(&self.context.request_id)
            .and_then(|run| self.news.again(&run.arn, run.input.get()));
        if again.is_some() && self.is_nearly_over() {
            return Err("the invocation's time is nearly over and jobs have ended: it is to be followed by another".into());
        }
        Ok(again)
    }

    fn is_nearly_over(&self) -> bool {
        let deadline = UNIX_EPOCH.checked_add(Duration::from_millis(self.context.deadline));
        // Without a deadline, as in a test, there is time.
        self.context.deadline != 0
            && deadline.is_none_or(|deadline| SystemTime::now() + LAST_CALL > deadline)
    }

    /// The answer, with the error just as the handler gave it.
    fn answer(&self, mut answer: Value) -> Value {
        let failure = self.runs.failure(&self.context.request_id);
        if let Some(failure) = failure
            && answer.get("Status") == Some(&json!("FAILED"))
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

impl Drop for Invocation<'_> {
    fn drop(&mut self) {
        if let Some(run) = self.runs.take(&self.context.request_id) {
            self.news.end(&run.arn);
        }
    }
}

/// The answer to one invocation.
pub type Answer = Pin<Box<dyn Future<Output = Result<Value, lambda_runtime::Error>> + Send>>;

/// The handlers of invocations in flight, by request id.
#[derive(Debug, Default)]
struct Runs(Mutex<HashMap<String, Run>>);

/// What is known of one.
#[derive(Debug)]
struct Run {
    arn: String,
    /// The execution's input, to run the handler again with.
    input: Box<RawValue>,
    failure: Option<ExecutionError>,
}

impl Runs {
    fn begin(&self, request_id: &str, arn: &str, input: Box<RawValue>) {
        let run = Run {
            arn: arn.to_owned(),
            input,
            failure: None,
        };
        self.lock().insert(request_id.to_owned(), run);
    }

    fn fail(&self, request_id: &str, failure: ExecutionError) {
        if let Some(run) = self.lock().get_mut(request_id) {
            run.failure = Some(failure);
        }
    }

    fn failure(&self, request_id: &str) -> Option<ExecutionError> {
        self.lock().get_mut(request_id)?.failure.take()
    }

    fn take(&self, request_id: &str) -> Option<Run> {
        self.lock().remove(request_id)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Run>> {
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
