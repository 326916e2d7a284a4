//! A durable function for the tests, as it would be deployed: the event says what it shall do.

use std::time::Duration;

use aws_durable_execution_sdk as durable;
use durable::{BoxError, DurableContext, RetryDecision};
use serde_json::{Value, json};

async fn handler(event: Value, ctx: DurableContext) -> Result<Value, BoxError> {
    match event["do"].as_str().unwrap_or_default() {
        "echo" => Ok(event),
        "greet" => greet(&event, &ctx).await,
        "callback" => callback(&event, &ctx).await,
        "retry" => retry(&ctx).await,
        "fail" => Err("told to fail".into()),
        "invoke" => {
            let target = event["target"].as_str().unwrap_or_default().to_owned();
            Ok(ctx
                .invoke::<Value, _>(target, event["input"].clone())
                .name("other")
                .await?)
        }
        "context" => {
            let sum = ctx
                .run_in_child_context(|ctx| async move {
                    let a: i64 = ctx.step(|_| async { Ok(1) }).name("one").await?;
                    ctx.wait(Duration::from_secs(1)).await?;
                    let b: i64 = ctx.step(|_| async { Ok(2) }).name("two").await?;
                    Ok(a + b)
                })
                .name("sum")
                .await?;
            Ok(json!(sum))
        }
        "many" => {
            let mut total = 0;
            for n in 0..event["count"].as_i64().unwrap_or_default() {
                total += ctx.step(move |_| async move { Ok(n) }).await?;
            }
            ctx.wait(Duration::from_secs(1)).await?;
            Ok(json!(total))
        }
        "big" => {
            let size = usize::try_from(event["size"].as_u64().unwrap_or_default())?;
            let mut total = 0;
            for n in 0..event["count"].as_u64().unwrap_or_default() {
                let part: String = ctx
                    .step(move |_| async move { Ok(n.to_string().repeat(size)) })
                    .await?;
                total += part.len();
            }
            ctx.wait(Duration::from_secs(1)).await?;
            Ok(json!(total))
        }
        "everything" => everything(&event, &ctx).await,
        "crash" => {
            ctx.step(|_| async { Ok(()) }).name("before").await?;
            crash_once(&event);
            Ok(json!("survived"))
        }
        "hold" => {
            ctx.step(|_| async { Ok(()) }).name("before").await?;
            while !std::path::Path::new(event["marker"].as_str().unwrap_or_default()).exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(json!("held"))
        }
        "sleep" => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            Ok(Value::Null)
        }
        "exit" => std::process::exit(7),
        "pid" => {
            let before = std::process::id();
            ctx.wait(Duration::from_secs(1)).await?;
            Ok(json!(before))
        }
        other => Err(format!("unknown wish {other:?}").into()),
    }
}

async fn greet(event: &Value, ctx: &DurableContext) -> Result<Value, BoxError> {
    let name = event["name"].as_str().unwrap_or("world").to_owned();
    println!("greeting {name}");
    let name: String = ctx
        .step(move |_| async move { Ok(name) })
        .name("fetch-name")
        .await?;
    ctx.wait(Duration::from_secs(1)).name("cooldown").await?;
    let greeting: String = ctx
        .step(move |_| async move { Ok(format!("hello, {name}")) })
        .name("format")
        .await?;
    Ok(json!(greeting))
}

async fn callback(event: &Value, ctx: &DurableContext) -> Result<Value, BoxError> {
    let mut builder = ctx.create_callback::<Value>().name("approval");
    if let Some(seconds) = event["timeout"].as_u64() {
        builder = builder.timeout(Duration::from_secs(seconds));
    }
    if let Some(seconds) = event["heartbeat"].as_u64() {
        builder = builder.heartbeat(Duration::from_secs(seconds));
    }
    let callback = builder.await?;
    Ok(callback.result().await?)
}

async fn retry(ctx: &DurableContext) -> Result<Value, BoxError> {
    let attempt: u32 = ctx
        .step(|step| async move {
            if step.attempt() < 3 {
                Err("not yet".into())
            } else {
                Ok(step.attempt())
            }
        })
        .name("flaky")
        .retry_strategy(|_: &_, _: u32| RetryDecision::Retry {
            delay: Duration::from_secs(1),
        })
        .await?;
    Ok(json!(attempt))
}

/// A wait, a retry, a callback with a heartbeat and a chained invocation in one execution.
async fn everything(event: &Value, ctx: &DurableContext) -> Result<Value, BoxError> {
    let flaky = retry(ctx).await?;
    ctx.wait(Duration::from_secs(1)).name("pause").await?;
    let callback = ctx
        .create_callback::<Value>()
        .name("approval")
        .heartbeat(Duration::from_secs(60))
        .await?;
    let approval = callback.result().await?;
    let target = event["target"].as_str().unwrap_or_default().to_owned();
    let other: Value = ctx
        .invoke(target, json!({"do": "greet", "name": "you"}))
        .name("other")
        .await?;
    Ok(json!([flaky, approval, other]))
}

/// Ends the process the first time: `marker` names a file that says whether it has.
fn crash_once(event: &Value) {
    let Some(marker) = event["marker"].as_str() else {
        return;
    };
    if std::fs::File::create_new(marker).is_ok() {
        std::process::exit(3);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    durable::run(handler).await
}
