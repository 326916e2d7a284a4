//! A durable function for the tests, as it would be deployed: the event says what it shall do.

use std::io::Write as _;
use std::time::Duration;

use aws_durable_execution_sdk as durable;
use durable::{BoxError, DurableContext, RetryDecision};
use serde_json::{Value, json};

// Some per cent more executions a second than with glibc's: see benches/README.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

async fn handler(event: Value, ctx: DurableContext) -> Result<Value, BoxError> {
    match event["do"].as_str().unwrap_or_default() {
        "echo" => Ok(event),
        "greet" => greet(&event, &ctx).await,
        "callback" => callback(&event, &ctx).await,
        "retry" => retry(&event, &ctx).await,
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
        "steps" => {
            let mut total = 0;
            for n in 0..event["count"].as_i64().unwrap_or_default() {
                total += ctx.step(move |_| async move { Ok(n) }).await?;
            }
            Ok(json!(total))
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
    let journal = Journal::of(event);
    let name: String = ctx
        .step(move |step| async move {
            journal.note("fetch-name", step.attempt())?;
            Ok(name)
        })
        .name("fetch-name")
        .await?;
    ctx.wait(Duration::from_secs(1)).name("cooldown").await?;
    let journal = Journal::of(event);
    let greeting: String = ctx
        .step(move |step| async move {
            journal.note("format", step.attempt())?;
            Ok(format!("hello, {name}"))
        })
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

async fn retry(event: &Value, ctx: &DurableContext) -> Result<Value, BoxError> {
    let journal = Journal::of(event);
    let attempt: u32 = ctx
        .step(move |step| {
            let journal = journal.clone();
            async move {
                journal.note("flaky", step.attempt())?;
                if step.attempt() < 3 {
                    Err("not yet".into())
                } else {
                    Ok(step.attempt())
                }
            }
        })
        .name("flaky")
        .retry_strategy(|_: &_, _: u32| RetryDecision::Retry {
            delay: Duration::from_secs(1),
        })
        .await?;
    Ok(json!(attempt))
}

/// A wait, a retry, a callback with a heartbeat, one whose heartbeats never come and a chained invocation in one execution.
async fn everything(event: &Value, ctx: &DurableContext) -> Result<Value, BoxError> {
    let flaky = retry(event, ctx).await?;
    ctx.wait(Duration::from_secs(1)).name("pause").await?;
    let callback = ctx
        .create_callback::<Value>()
        .name("approval")
        .heartbeat(Duration::from_secs(60))
        .await?;
    let approval = callback.result().await?;
    let silent = ctx
        .create_callback::<Value>()
        .name("silent")
        .heartbeat(Duration::from_secs(1))
        .await?;
    let heard = silent.result().await.is_ok();
    let target = event["target"].as_str().unwrap_or_default().to_owned();
    let other: Value = ctx
        .invoke(
            target,
            json!({"do": "greet", "name": "you", "journal": event["journal"]}),
        )
        .name("other")
        .await?;
    Ok(json!([flaky, approval, heard, other]))
}

/// What ran, in a file that the event names: how a test sees that a step ran twice.
#[derive(Clone)]
struct Journal(Option<String>);

impl Journal {
    fn of(event: &Value) -> Self {
        Self(event["journal"].as_str().map(ToOwned::to_owned))
    }

    fn note(&self, step: &str, attempt: u32) -> std::io::Result<()> {
        let Some(path) = &self.0 else {
            return Ok(());
        };
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?;
        // In one write, so that two processes cannot mix their lines.
        file.write_all(format!("{step} {attempt}\n").as_bytes())
    }
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
