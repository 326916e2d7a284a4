//! Suite `step`: requirements 1-1 to 1-20.

use std::path::Path;
use std::time::Duration;

use aws_durable_execution_sdk as durable;
use durable::builders::{JitterStrategy, RetryStrategyConfig};
use durable::{BoxError, DurableContext, OperationError, RetryDecision, StepSemantics, TypedError};
use serde_json::{Value, json};

use crate::logs::log;
use crate::serdes::Uppercase;
use crate::text;

const SECOND: Duration = Duration::from_secs(1);
const TRANSIENT: &str = "TransientError";

pub(crate) async fn handle(n: &str, event: Value, ctx: DurableContext) -> Result<Value, BoxError> {
    let arn = ctx.execution_arn().to_owned();
    match n {
        "1" | "2" => {
            let name = text(&event)?;
            let step = ctx.step(|_| async move { Ok(json!(format!("Hello, {name}!"))) });
            let step = if n == "2" {
                step.name("custom_step_name")
            } else {
                step
            };
            Ok(step.await?)
        }
        "3" => {
            let first: String = ctx.step(|_| async { Ok("first".to_owned()) }).await?;
            Ok(value(&ctx, json!(format!("{first}_second"))).await?)
        }
        "4" => {
            let count = event["tags"].as_array().map_or(0, Vec::len);
            Ok(value(&ctx, json!({"user": event, "count": count})).await?)
        }
        "5" => Ok(value(&ctx, Value::Null).await?),
        "6" => {
            let input = text(&event)?;
            let step = ctx.step(|_| async move { Ok(input) }).serdes(Uppercase);
            Ok(json!(step.await?))
        }
        "7" => {
            let name = text(&event)?;
            Ok(ctx
                .step(|_| async move {
                    log(&arn, &format!("Greeting step started for: {name}"));
                    let greeting = format!("Hello, {name}!");
                    log(&arn, &format!("Greeting step completed with: {greeting}"));
                    Ok(json!(greeting))
                })
                .await?)
        }
        "8" | "9" => {
            let result = if n == "8" { "computed" } else { "cached_value" };
            let result = value(&ctx, json!(result)).await?;
            ctx.wait(Duration::from_secs(if n == "8" { 2 } else { 1 }))
                .await?;
            Ok(result)
        }
        "10" => {
            let caught = match fails(&ctx, "Error", 1).await {
                Ok(value) => return Err(format!("a failure was expected, not {value}").into()),
                Err(error) => error.to_string(),
            };
            ctx.wait(SECOND).await?;
            Ok(json!(caught))
        }
        "11" => Ok(succeeds_at(&ctx, 2, config(2, SECOND, 1.0), "Operation succeeded").await?),
        "12" => Ok(fails(&ctx, "Error", 4).await?),
        // The one step with the SDK's own retry strategy.
        "13" => Ok(ctx
            .step(|step| async move { reached(step.attempt(), 3, "third time") })
            .await?),
        "14" => {
            let retry = config(3, Duration::from_secs(2), 3.0);
            Ok(succeeds_at(&ctx, 3, retry, "third time").await?)
        }
        "15" => Ok(ctx
            .step(|step| async move {
                match step.attempt() {
                    1 => Err(TypedError::with_type(TRANSIENT, "only once").into()),
                    _ => Ok(json!("second time")),
                }
            })
            .retry_strategy(|error, _| {
                if transient(error) {
                    RetryDecision::Retry { delay: SECOND }
                } else {
                    RetryDecision::Stop
                }
            })
            .await?),
        "16" => Ok(fails(&ctx, TRANSIENT, 1).await?),
        "17" => {
            let input = text(&event)?;
            Ok(ctx
                .step(|_| async move {
                    log(&arn, &input);
                    std::process::exit(1)
                })
                .name("at_most_once_flaky_step")
                .semantics(StepSemantics::AtMostOncePerRetry)
                .retry_strategy(|_, _| RetryDecision::Stop)
                .await?)
        }
        "18" => {
            let input = text(&event)?;
            Ok(ctx
                .step(|step| async move {
                    log(&arn, &input);
                    if step.attempt() == 1 {
                        std::process::exit(1);
                    }
                    Ok(json!("succeeded on second attempt"))
                })
                .semantics(StepSemantics::AtMostOncePerRetry)
                .retry_strategy_config(config(2, SECOND, 1.0))
                .await?)
        }
        "19" => Ok(fails(&ctx, "Error", 1).await?),
        "20" => match fails(&ctx, "Error", 1).await {
            Ok(value) => Err(format!("a failure was expected, not {value}").into()),
            Err(_) => Ok(value(&ctx, json!("fallback_result")).await?),
        },
        _ => Err(crate::unknown(n)),
    }
}

/// Ends the process, the first time that execution `arn` asks: a file says that it has.
pub(crate) fn crash_once(arn: &str) -> std::io::Result<()> {
    let id = arn.rsplit('/').next().unwrap_or(arn);
    let marker = Path::new(&std::env::temp_dir()).join(format!("longhaul-conformance-{id}"));
    if marker.exists() {
        return std::fs::remove_file(marker);
    }
    std::fs::File::create_new(marker)?;
    std::process::exit(1)
}

fn config(attempts: u32, delay: Duration, rate: f64) -> RetryStrategyConfig {
    RetryStrategyConfig::builder()
        .max_attempts(attempts)
        .initial_delay(delay)
        .backoff_rate(rate)
        .jitter(JitterStrategy::None)
        .build()
}

async fn value(ctx: &DurableContext, value: Value) -> Result<Value, OperationError> {
    ctx.step(|_| async move { Ok(value) }).await
}

/// A step that fails in each of `attempts` attempts, one second apart.
async fn fails(ctx: &DurableContext, kind: &str, attempts: u32) -> Result<Value, OperationError> {
    let error = TypedError::with_type(kind, "the step fails");
    ctx.step(|_| async move { Err(error.into()) })
        .retry_strategy_config(config(attempts, SECOND, 1.0))
        .await
}

/// A step that fails until its attempt number `first`.
async fn succeeds_at(
    ctx: &DurableContext,
    first: u32,
    retry: RetryStrategyConfig,
    result: &'static str,
) -> Result<Value, OperationError> {
    ctx.step(move |step| async move { reached(step.attempt(), first, result) })
        .retry_strategy_config(retry)
        .await
}

fn reached(attempt: u32, first: u32, result: &str) -> Result<Value, BoxError> {
    if attempt < first {
        return Err(format!("attempt {attempt} fails").into());
    }
    Ok(json!(result))
}

/// Whether the step's own error is the one that is worth a retry.
fn transient(error: &durable::StepError) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(typed) = cause.downcast_ref::<TypedError>() {
            return typed.error_type() == TRANSIENT;
        }
        source = cause.source();
    }
    false
}
