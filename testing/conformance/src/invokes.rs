//! Suite `invoke`: requirements 5-1 to 5-16, and the two functions they invoke.

use std::time::Duration;

use aws_durable_execution_sdk as durable;
use durable::{BoxError, DurableContext, OperationError};
use serde_json::{Value, json};

use crate::serdes::Uppercase;
use crate::text;

/// Returns what it gets.
const ECHO: &str = "conformance-echo";

/// Always fails.
const FAILING: &str = "conformance-failing";

const SECOND: Duration = Duration::from_secs(1);

/// The largest payload of a chained invocation, in bytes: `OperationUpdate$Payload` in the API model.
const LARGEST: usize = 1_048_576;

pub(crate) async fn handle(n: &str, event: Value, ctx: DurableContext) -> Result<Value, BoxError> {
    match n {
        "1" | "3" | "4" => Ok(echo(&ctx, event).await?),
        "2" => {
            let name = text(&event["name"])?;
            let echoed = ctx.invoke::<Value, _>(qualified(ECHO), event["payload"].clone());
            Ok(echoed.name(name).await?)
        }
        "5" => Ok(fail(&ctx).await?),
        "6" => {
            caught(&ctx).await?;
            Ok(json!("fallback"))
        }
        "7" => {
            // With its quotation marks, exactly the limit.
            let echoed = echo(&ctx, json!("x".repeat(LARGEST - 2))).await?;
            Ok(json!(text(&echoed)?.len()))
        }
        "8" => {
            let echoed = ctx.invoke::<Value, _>(qualified(ECHO), event["payload"].clone());
            Ok(echoed.tenant_id(text(&event["tenantId"])?).await?)
        }
        "9" => {
            let echoed = echo(&ctx, event).await?;
            ctx.wait(SECOND).await?;
            Ok(echoed)
        }
        "10" => {
            caught(&ctx).await?;
            ctx.wait(SECOND).await?;
            Ok(json!("fallback"))
        }
        "11" => {
            let value = step(&ctx, json!("from the step")).await?;
            Ok(echo(&ctx, value).await?)
        }
        "12" => {
            let value = echo(&ctx, json!("to the step")).await?;
            Ok(step(&ctx, value).await?)
        }
        "13" => Ok(ctx
            .run_in_child_context(|ctx| async move { Ok(echo(&ctx, event).await?) })
            .await?),
        "14" => {
            let first = echo(&ctx, json!("first")).await?;
            // By its bare name, which means `$LATEST`.
            let second = ctx.invoke::<Value, _>(ECHO, json!("second")).await?;
            Ok(json!([first, second]))
        }
        "15" => {
            // The wire text must be JSON, and stays so in capitals.
            let payload = event.to_string();
            let echoed = ctx.invoke::<Value, _>(qualified(ECHO), payload);
            Ok(echoed.payload_serdes(Uppercase).await?)
        }
        "16" => {
            let echoed = ctx
                .invoke::<String, _>(qualified(ECHO), event)
                .serdes(Uppercase);
            // What the serialisation sees is JSON text: its quotation marks are part of the result.
            Ok(json!(echoed.await?))
        }
        _ => Err(crate::unknown(n)),
    }
}

/// The function of this name that the others invoke.
pub(crate) fn target(name: &str, event: Value) -> Option<Result<Value, BoxError>> {
    match name {
        "echo" => Some(Ok(event)),
        "failing" => Some(Err("the target fails".into())),
        _ => None,
    }
}

/// A durable function is invoked by a version, an alias or this.
fn qualified(function: &str) -> String {
    format!("{function}:$LATEST")
}

async fn echo(ctx: &DurableContext, value: Value) -> Result<Value, OperationError> {
    ctx.invoke(qualified(ECHO), value).await
}

async fn fail(ctx: &DurableContext) -> Result<Value, OperationError> {
    ctx.invoke(qualified(FAILING), Value::Null).await
}

/// Invokes the function that fails, and fails when that one does not.
async fn caught(ctx: &DurableContext) -> Result<(), BoxError> {
    match fail(ctx).await {
        Ok(value) => Err(format!("a failure was expected, not {value}").into()),
        Err(_) => Ok(()),
    }
}

async fn step(ctx: &DurableContext, value: Value) -> Result<Value, OperationError> {
    ctx.step(|_| async move { Ok(value) }).await
}
