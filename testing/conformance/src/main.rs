//! One function for every requirement of AWS's conformance suite that we run: its name says which one it is.
//!
//! The suite's own files (`aws-durable-execution-conformance-tests` on PyPI) say in prose what each handler shall do;
//! `conformance-4-1` is the handler of `callback/4-1.yaml`; `conformance-echo` and `conformance-failing` are invoked by others. `run.py` beside this crate runs the suite.

mod callbacks;
mod children;
mod conditions;
mod invokes;
mod logs;
mod serdes;
mod steps;
mod submitted;
mod waits;

use aws_durable_execution_sdk as durable;
use durable::{BoxError, DurableContext};
use serde_json::Value;

/// What every function's name begins with.
const PREFIX: &str = "conformance-";

async fn handler(event: Value, ctx: DurableContext) -> Result<Value, BoxError> {
    let name = std::env::var("AWS_LAMBDA_FUNCTION_NAME")?;
    let id = name
        .strip_prefix(PREFIX)
        .ok_or_else(|| format!("a function of the suite is {PREFIX}ID, not {name:?}"))?;
    if let Some(answer) = invokes::target(id, event.clone()) {
        return answer;
    }
    match id.split_once('-').map_or((id, ""), |parts| parts) {
        ("1", n) => steps::handle(n, event, ctx).await,
        ("2", n) => waits::handle(n, ctx).await,
        ("3", n) => children::handle(n, event, ctx).await,
        ("4", n) => callbacks::handle(n, event, ctx).await,
        ("5", n) => invokes::handle(n, event, ctx).await,
        ("6", n) => conditions::handle(n, event, ctx).await,
        ("7", n) => submitted::handle(n, event, ctx).await,
        _ => Err(unknown(id)),
    }
}

/// There is no handler for requirement `id`.
fn unknown(id: &str) -> BoxError {
    format!("no handler for requirement {id}").into()
}

/// The text of an event that shall be one.
fn text(event: &Value) -> Result<String, BoxError> {
    event
        .as_str()
        .map(ToOwned::to_owned)
        .ok_or_else(|| format!("the input should be a string, not {event}").into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    durable::run(handler).await
}
