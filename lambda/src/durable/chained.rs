//! Chained executions: functions that are invoked from an execution and waited for.

use sdk::OperationErrorKind;
use sdk::serdes::{Serdes, SerdesContext};

use super::{BoxError, DurableContext, DurableError, Raw, ReportedError, sdk};

/// One function to invoke.
pub(crate) struct Invoke {
    /// The operation's name.
    pub(crate) name: String,
    /// Name or ARN of the function, with its qualifier.
    pub(crate) target: String,
    /// Writes the event, as JSON. Not called where the invocation was recorded before.
    pub(crate) event: Event,
}

/// Writes an event.
pub(crate) type Event = Box<dyn FnOnce() -> Result<String, serde_json::Error> + Send>;

/// Why a chained execution has no result.
#[derive(Debug)]
pub(crate) enum InvokeError {
    /// It ended without one.
    Ended { end: End, error: ReportedError },
    /// The durable service or the SDK failed.
    Durable(DurableError),
}

/// How a chained execution ended that has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Failed,
    TimedOut,
    Stopped,
}

/// Invokes the functions, all of them before any is waited for, suspends, and returns what each
/// returned when all have ended: its JSON as it is. An operation each.
pub(crate) async fn invoke_all(
    ctx: &DurableContext,
    functions: Vec<Invoke>,
) -> Vec<Result<String, InvokeError>> {
    let started: Vec<_> = functions
        .into_iter()
        .map(|function| {
            ctx.invoke::<String, Event>(function.target, function.event)
                .name(function.name)
                .payload_serdes(Written)
                .serdes(Raw)
                .spawn()
        })
        .collect();
    let mut results = Vec::with_capacity(started.len());
    for result in started {
        results.push(result.await.map_err(classify));
    }
    results
}

fn classify(error: sdk::OperationError) -> InvokeError {
    let (OperationErrorKind::Invoke(_), Some(wire)) = (error.kind(), error.wire()) else {
        return InvokeError::Durable(DurableError::new(
            "a chained execution was not recorded",
            error,
        ));
    };
    let text = |part: Option<&str>| part.map(str::to_owned);
    InvokeError::Ended {
        end: match error.status() {
            Some("TIMED_OUT") => End::TimedOut,
            Some("STOPPED") => End::Stopped,
            _ => End::Failed,
        },
        error: ReportedError {
            error_type: text(wire.error_type()),
            message: text(wire.error_message()),
            data: text(wire.error_data()),
        },
    }
}

/// The name of the function that runs, with the version that runs: what a later version makes of
/// an event is not known. `None` where the runtime does not say.
pub(crate) fn own_name(ctx: &DurableContext) -> Option<String> {
    let context = ctx.lambda_context();
    let function = &context.env_config;
    if !function.function_name.is_empty() && !function.version.is_empty() {
        return Some(format!("{}:{}", function.function_name, function.version));
    }
    let arn = &context.invoked_function_arn;
    (!arn.is_empty()).then(|| arn.clone())
}

/// Events are written when they are sent, and never read here.
struct Written;

impl Serdes<Event> for Written {
    async fn serialize(&self, event: Event, _: SerdesContext) -> Result<String, BoxError> {
        Ok(event()?)
    }

    async fn deserialize(&self, _: String, _: SerdesContext) -> Result<Event, BoxError> {
        Err("an event is not read where it is sent".into())
    }
}
