//! Suite `wait_for_callback`: requirements 7-1 to 7-15.

use std::time::Duration;

use aws_durable_execution_sdk as durable;
use durable::{BoxError, DurableContext, RetryDecision, StepContext};
use serde_json::{Value, json};

use crate::text;

/// A submitter that has nothing to do: whoever completes the callback reads its ID from the history.
async fn submitted(_: StepContext, _: String) -> Result<(), BoxError> {
    Ok(())
}

pub(crate) async fn handle(n: &str, event: Value, ctx: DurableContext) -> Result<Value, BoxError> {
    match n {
        "2" => return Ok(wait(&ctx, "approval".to_owned()).await?),
        "3" => return Ok(ctx.wait_for_callback::<Value, _, _>(submitted).await?),
        "9" => {
            wait(&ctx, "first".to_owned()).await?;
            return Ok(wait(&ctx, "second".to_owned()).await?);
        }
        _ => {}
    }
    let name = text(&event)?;
    match n {
        "7" => {
            let result: Value = ctx
                .wait_for_callback(|_, _| async { Err("the submitter was told to fail".into()) })
                .name(name)
                .submitter_retry(|_, attempt| match attempt {
                    1 => RetryDecision::Retry {
                        delay: Duration::from_secs(1),
                    },
                    _ => RetryDecision::Stop,
                })
                .await?;
            return Ok(result);
        }
        "8" => {
            let child = ctx.run_in_child_context(|ctx| async move {
                wait(&ctx, name).await.map_err(Into::into)
            });
            return Ok(child.name("wrapper").await?);
        }
        "10" => {
            ctx.wait(Duration::from_secs(1)).await?;
            let _: String = ctx.step(|_| async { Ok("fixed".to_owned()) }).await?;
            return Ok(wait(&ctx, name).await?);
        }
        _ => {}
    }
    let builder = ctx.wait_for_callback::<Value, _, _>(submitted).name(name);
    let waiting = match n {
        "5" | "14" => builder.timeout(Duration::from_secs(3)),
        "12" => builder.heartbeat(Duration::from_secs(5)),
        "13" => builder.heartbeat(Duration::from_secs(10)),
        _ => builder,
    };
    match n {
        "1" | "4" | "5" | "12" | "13" | "15" => Ok(waiting.await?),
        "6" => Ok(waiting.await.unwrap_or_else(|_| json!("recovered"))),
        "11" => Ok(waiting.await?["status"].clone()),
        "14" => Ok(waiting.await.unwrap_or_else(|_| json!("timed-out-handled"))),
        _ => Err(crate::unknown(n)),
    }
}

async fn wait(ctx: &DurableContext, name: String) -> Result<Value, durable::OperationError> {
    ctx.wait_for_callback(submitted).name(name).await
}
