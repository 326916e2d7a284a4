//! Suite `wait_for_condition`: requirements 6-1 to 6-13.

use std::time::Duration;

use aws_durable_execution_sdk as durable;
use durable::builders::JitterStrategy;
use durable::builders::wait_for_condition::{WaitStrategy, WaitStrategyBuilder};
use durable::{BoxError, DurableContext, OperationError};
use serde_json::{Value, json};

use crate::serdes::Uppercase;

pub(crate) async fn handle(n: &str, event: Value, ctx: DurableContext) -> Result<Value, BoxError> {
    let threshold = event.as_i64().unwrap_or_default();
    let number = match n {
        "1" => count(&ctx, 0, threshold).await?,
        "2" => {
            ctx.wait_for_condition(|_, state: i64| async move { Ok(state) }, 5)
                .wait_strategy(every(1, move |state| *state >= threshold).build())
                .await?
        }
        "3" => {
            ctx.wait_for_condition(|_, state: i64| async move { Ok(state + 1) }, 0)
                .name("poll-status")
                .wait_strategy(every(1, |state| *state >= 2).build())
                .await?
        }
        "4" => count(&ctx, 5, threshold).await?,
        "5" => {
            ctx.wait_for_condition(|_, state: i64| async move { Ok(state + 1) }, 0)
                .wait_strategy(every(2, move |state| *state >= threshold).build())
                .await?
        }
        "6" => {
            ctx.wait_for_condition(|_, state: i64| async move { Ok(state + 1) }, 0)
                .wait_strategy(every(1, |_| false).max_attempts(3).build())
                .await?
        }
        "7" => failing(&ctx).await?,
        "8" => match failing(&ctx).await {
            Ok(value) => return Err(format!("a failure was expected, not {value}").into()),
            Err(_) => return Ok(json!("recovered")),
        },
        "9" => {
            let check = |_, mut state: Value| async move {
                let attempts = state["attempts"].as_i64().unwrap_or_default() + 1;
                state["attempts"] = attempts.into();
                if attempts >= 2 {
                    state["status"] = "DONE".into();
                }
                Ok(state)
            };
            let start = json!({"status": "PENDING", "attempts": 0});
            return Ok(ctx
                .wait_for_condition(check, start)
                .wait_strategy(every(1, |state: &Value| state["status"] == "DONE").build())
                .await?);
        }
        "10" => {
            return Ok(ctx
                .wait_for_condition(|_, _| async { Ok(Value::Null) }, Value::Null)
                .wait_strategy(every(1, |_| true).build())
                .await?);
        }
        "11" => {
            // In capitals on the wire, and for the check in what it was.
            let check = |_, state: String| async move { Ok(state.to_lowercase() + "x") };
            let state = ctx
                .wait_for_condition(check, String::new())
                .wait_strategy(every(1, |state: &String| state.len() >= 2).build())
                .serdes(Uppercase)
                .await?;
            return Ok(json!(state.to_lowercase()));
        }
        "12" => {
            let state = count(&ctx, 0, threshold).await?;
            ctx.step(move |_| async move { Ok::<i64, BoxError>(state * 10) })
                .await?
        }
        "13" => {
            let first = count(&ctx, 0, 2).await?;
            count(&ctx, first, 4).await?
        }
        _ => return Err(crate::unknown(n)),
    };
    Ok(json!(number))
}

/// Checks every `seconds` until `done`.
fn every<S>(
    seconds: u64,
    done: impl Fn(&S) -> bool + Send + Sync + 'static,
) -> WaitStrategyBuilder<S> {
    WaitStrategy::builder(done)
        .initial_delay(Duration::from_secs(seconds))
        .backoff_rate(1.0)
        .jitter(JitterStrategy::None)
}

/// Counts up from `from`, one at a check, to `to`.
async fn count(ctx: &DurableContext, from: i64, to: i64) -> Result<i64, OperationError> {
    ctx.wait_for_condition(|_, state: i64| async move { Ok(state + 1) }, from)
        .wait_strategy(every(1, move |state| *state >= to).build())
        .await
}

/// A check that fails.
async fn failing(ctx: &DurableContext) -> Result<i64, OperationError> {
    ctx.wait_for_condition(|_, _: i64| async { Err("the check fails".into()) }, 0)
        .wait_strategy(every(1, |_| true).build())
        .await
}
