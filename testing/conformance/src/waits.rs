//! Suite `wait`: requirements 2-1 to 2-5.

use std::time::Duration;

use aws_durable_execution_sdk::{BoxError, DurableContext};
use serde_json::{Value, json};

pub(crate) async fn handle(n: &str, ctx: DurableContext) -> Result<Value, BoxError> {
    match n {
        "1" => ctx.wait(Duration::from_secs(2)).await?,
        "2" => {
            ctx.wait(Duration::from_secs(2))
                .name("custom_wait_name")
                .await?;
        }
        "3" => {
            ctx.wait(Duration::from_secs(2)).name("wait-1").await?;
            ctx.wait(Duration::from_secs(2)).name("wait-2").await?;
            return Ok(json!({"completedWaits": 2}));
        }
        "4" => ctx.wait(Duration::from_secs(60)).await?,
        "5" => ctx.wait(Duration::from_secs(60 * 60)).await?,
        _ => return Err(crate::unknown(n)),
    }
    Ok(json!("waited"))
}
