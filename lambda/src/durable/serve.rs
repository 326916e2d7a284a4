//! Serving a durable handler over the Lambda Runtime API.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use lambda_runtime::{LambdaEvent, service_fn};
use sdk::{InvocationPayload, Options};
use serde_json::{Value, json};

use super::{BoxError, DurableContext, Future, Serialize, TypedError, sdk};

/// An error that ends an execution, as `GetDurableExecution` shall show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExecutionError {
    pub(crate) error_type: String,
    pub(crate) message: String,
    pub(crate) data: Option<String>,
}

/// A service function for `handler` whose `FAILED` answers carry type, message and data just
/// as the handler gave them. The SDK offers a handler no way to set `ErrorData`, flattens
/// messages and adds up to 64 frames of our own stack.
pub(crate) fn service<F, Fut, O>(
    handler: F,
    client: aws_sdk_lambda::Client,
) -> Result<impl Fn(LambdaEvent<InvocationPayload>) -> Answer + Send + Sync + Clone, BoxError>
where
    F: Fn(Value, DurableContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, ExecutionError>> + Send,
    O: Serialize + Send + 'static,
{
    let options = Options::builder().lambda_client(client).build()?;
    let failures = Arc::new(Failures::default());
    let handler = Arc::new(handler);
    let noted = Arc::clone(&failures);
    let inner = Arc::new(sdk::wrap(
        move |event: Value, ctx: DurableContext| {
            let handler = Arc::clone(&handler);
            let failures = Arc::clone(&noted);
            async move {
                let request_id = ctx.lambda_context().request_id.clone();
                handler(event, ctx).await.map_err(|error| {
                    let typed = TypedError::with_type(&error.error_type, error.message.clone());
                    failures.put(request_id, error);
                    BoxError::from(typed)
                })
            }
        },
        options,
    ));
    Ok(move |event: LambdaEvent<InvocationPayload>| -> Answer {
        let inner = Arc::clone(&inner);
        let failures = Arc::clone(&failures);
        Box::pin(async move {
            let request_id = event.context.request_id.clone();
            let answer = inner(event).await;
            let failure = failures.take(&request_id);
            let mut answer = serde_json::to_value(answer?)?;
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
            Ok(answer)
        })
    })
}

/// The answer to one invocation.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Value, lambda_runtime::Error>> + Send>>;

/// The failures of invocations in flight, by request id.
#[derive(Debug, Default)]
struct Failures(Mutex<HashMap<String, ExecutionError>>);

impl Failures {
    fn put(&self, request_id: String, failure: ExecutionError) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(request_id, failure);
    }

    fn take(&self, request_id: &str) -> Option<ExecutionError> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(request_id)
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
