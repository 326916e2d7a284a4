//! Suite `callback`: requirements 4-1 to 4-19.

use std::time::Duration;

use aws_durable_execution_sdk::{BoxError, DurableContext};
use serde_json::{Value, json};

use crate::serdes::{Moment, Number};
use crate::text;

pub(crate) async fn handle(n: &str, event: Value, ctx: DurableContext) -> Result<Value, BoxError> {
    if matches!(n, "17" | "18" | "19") {
        return two(n, &event, &ctx).await;
    }
    let name = if n == "2" {
        "approval".to_owned()
    } else {
        text(&event)?
    };
    match n {
        "15" => {
            let callback = ctx.create_callback::<Value>().name(name).serdes(Moment);
            return Ok(json!({"received": callback.await?.result().await?}));
        }
        "16" => {
            let callback = ctx.create_callback::<i64>().name(name).serdes(Number);
            let count = callback.await?.result().await?;
            return Ok(json!({"count": count, "doubled": 2 * count}));
        }
        _ => {}
    }
    let builder = ctx.create_callback::<Value>().name(name);
    let builder = match n {
        "3" | "8" => builder.timeout(Duration::from_secs(5)),
        "11" | "14" => builder.timeout(Duration::from_secs(3)),
        "4" => builder.heartbeat(Duration::from_secs(5)),
        "5" => builder.heartbeat(Duration::from_secs(10)),
        _ => builder,
    };
    let callback = builder.await?;
    match n {
        "1" | "2" | "3" | "4" | "5" | "6" => {}
        "7" | "8" => {
            let _: String = ctx.step(|_| async { Ok("between".to_owned()) }).await?;
        }
        "9" | "10" => ctx.wait(Duration::from_secs(5)).await?,
        "11" => ctx.wait(Duration::from_secs(6)).await?,
        "12" => {
            let result = callback.result().await?;
            ctx.wait(Duration::from_secs(2)).await?;
            return Ok(result);
        }
        "13" | "14" => {
            let message = match callback.result().await {
                Ok(result) => return Err(format!("a failure was expected, not {result}").into()),
                Err(error) => error.to_string(),
            };
            ctx.wait(Duration::from_secs(2)).await?;
            return Ok(json!(message));
        }
        _ => return Err(crate::unknown(n)),
    }
    Ok(callback.result().await?)
}

/// Two callbacks, whose names are the two elements of the input.
async fn two(n: &str, event: &Value, ctx: &DurableContext) -> Result<Value, BoxError> {
    let [first, second] = [text(&event[0])?, text(&event[1])?];
    let create = |name| ctx.create_callback::<Value>().name(name);
    let a = create(first).await?;
    let (a, b) = match n {
        "17" => {
            let a = a.result().await?;
            (a, create(second).await?.result().await?)
        }
        "18" => {
            let b = create(second).await?;
            (a.result().await?, b.result().await?)
        }
        _ => {
            let b = create(second).await?.result().await?;
            (a.result().await?, b)
        }
    };
    Ok(json!([a, b]))
}
