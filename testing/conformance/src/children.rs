//! Suite `child`: requirements 3-1 to 3-18.

use std::time::Duration;

use aws_durable_execution_sdk as durable;
use durable::{BoxError, DurableContext, OperationError, RetryDecision};
use serde_json::{Value, json};

use crate::logs::log;
use crate::serdes::Uppercase;
use crate::text;

const SECOND: Duration = Duration::from_secs(1);

pub(crate) async fn handle(n: &str, event: Value, ctx: DurableContext) -> Result<Value, BoxError> {
    let wish = n.to_owned();
    match n {
        "2" => {
            let value = event["value"].clone();
            let child = ctx.run_in_child_context(|ctx| async move { Ok(step(&ctx, value).await?) });
            Ok(child.name(text(&event["name"])?).await?)
        }
        "5" => match child(&ctx, wish, event.clone()).await {
            Ok(value) => Err(format!("a failure was expected, not {value}").into()),
            Err(_) => Ok(step(&ctx, event).await?),
        },
        "9" | "11" | "17" => {
            let value = child(&ctx, wish, event.clone()).await?;
            ctx.wait(SECOND).await?;
            // The result of 3-11 is too large to be looked at.
            Ok(if n == "11" { event } else { value })
        }
        "13" => {
            child(&ctx, wish, event.clone()).await?;
            Ok(step(&ctx, event).await?)
        }
        "14" => {
            let value = text(&event)?;
            let child = ctx.run_in_child_context(|ctx| async move {
                Ok(ctx
                    .step(|_| async move { Ok::<String, BoxError>(value) })
                    .await?)
            });
            Ok(json!(child.name("child").serdes(Uppercase).await?))
        }
        "18" => {
            let value = child(&ctx, wish, event).await?;
            let value = step(&ctx, value).await?;
            ctx.wait(SECOND).await?;
            Ok(value)
        }
        _ => Ok(child(&ctx, wish, event).await?),
    }
}

/// A child context that does what requirement `n` asks of it.
async fn child(ctx: &DurableContext, n: String, event: Value) -> Result<Value, OperationError> {
    ctx.run_in_child_context(|ctx| inside(ctx, n, event))
        .name("child")
        .await
}

async fn inside(ctx: DurableContext, n: String, event: Value) -> Result<Value, BoxError> {
    match n.as_str() {
        "1" | "9" => Ok(step(&ctx, event).await?),
        "3" => {
            let first = step(&ctx, event).await?;
            Ok(step(&ctx, first).await?)
        }
        "4" | "5" => Ok(failing(&ctx, 1).await?),
        "6" => {
            step(&ctx, event.clone()).await?;
            let nested = ctx
                .run_in_child_context(|ctx| async move { Ok(step(&ctx, event).await?) })
                .name("inner");
            Ok(nested.await?)
        }
        "7" => Ok(ctx
            .step(move |step| async move {
                match step.attempt() {
                    1 => Err("the first attempt fails".into()),
                    _ => Ok(event),
                }
            })
            .retry_strategy(|_, _| RetryDecision::Retry { delay: SECOND })
            .await?),
        "8" => Ok(failing(&ctx, 2).await?),
        "10" | "18" => {
            let value = step(&ctx, event).await?;
            ctx.wait(SECOND).await?;
            Ok(value)
        }
        "11" => {
            let value = step(&ctx, event).await?;
            log(ctx.execution_arn(), &text(&value)?);
            Ok(json!("x".repeat(300 * 1024)))
        }
        "12" => {
            let arn = ctx.execution_arn().to_owned();
            Ok(ctx
                .step(move |_| async move {
                    crate::steps::crash_once(&arn)?;
                    Ok(event)
                })
                .await?)
        }
        "13" => {
            ctx.wait(SECOND).await?;
            Ok(event)
        }
        "15" => Err("the child fails".into()),
        "16" => Ok(Value::Null),
        "17" => {
            log(ctx.execution_arn(), &text(&event)?);
            Ok(event)
        }
        _ => Err(crate::unknown(&n)),
    }
}

/// A step that returns `value`.
async fn step(ctx: &DurableContext, value: Value) -> Result<Value, OperationError> {
    ctx.step(|_| async move { Ok(value) }).await
}

/// A step that fails in each of `attempts` attempts.
async fn failing(ctx: &DurableContext, attempts: u32) -> Result<Value, OperationError> {
    ctx.step(|_| async { Err("the step fails".into()) })
        .retry_strategy(move |_, attempt| {
            if attempt < attempts {
                RetryDecision::Retry { delay: SECOND }
            } else {
                RetryDecision::Stop
            }
        })
        .await
}
