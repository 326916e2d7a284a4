//! Steps: what is done once and recorded, and tried again where that may help.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use rand::Rng as _;
use sdk::{RetryDecision, TypedError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Again, BoxError, DurableContext, DurableError, Raw, StepFailure, sdk};

/// How often a submit, a describe or a cancel is tried before its last error is taken for final.
pub(crate) const STEP_ATTEMPTS: u32 = 6;

/// A step body's failure that will not be tried again, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) error_type: String,
    pub(crate) message: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) anew: bool,
}

/// What a step records. A final failure is a value like any other: a failing step costs 70 ms
/// for its backtrace in SDK 0.1.0, and comes back as another error on replay.
#[derive(Serialize, Deserialize)]
enum Recorded<T> {
    #[serde(rename = "ok")]
    Ok(T),
    #[serde(rename = "refused")]
    Refused(Refusal),
}

/// The value that a step recorded, if it did what it should.
pub(crate) fn recorded<T: DeserializeOwned>(payload: &str) -> Option<T> {
    match serde_json::from_str(payload).ok()? {
        Recorded::Ok(value) => Some(value),
        Recorded::Refused(_) => None,
    }
}

/// Runs `body` as a durable step and returns what was recorded. Failures that may be tried
/// again are, [`STEP_ATTEMPTS`] times in all; the execution is suspended in between.
pub(crate) fn step<T, F, Fut>(
    ctx: &DurableContext,
    name: String,
    body: F,
) -> impl Future<Output = Result<Result<T, Refusal>, DurableError>> + Send + use<'_, T, F, Fut>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    F: FnOnce(u32) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, StepFailure>> + Send + 'static,
{
    let body: Body = Box::new(move |attempt| {
        let tried = body(attempt);
        Box::pin(async move { Ok(serde_json::to_string(&settle(attempt, tried.await)?)?) })
    });
    async move {
        let text = step_text(ctx, name, body).await?;
        match serde_json::from_str(&text) {
            Ok(Recorded::Ok(value)) => Ok(Ok(value)),
            Ok(Recorded::Refused(refusal)) => Ok(Err(refusal)),
            Err(error) => Err(DurableError::new(
                "what a step recorded was not read",
                error,
            )),
        }
    }
}

/// What is recorded of a try, or why there is to be another.
fn settle<T>(attempt: u32, tried: Result<T, StepFailure>) -> Result<Recorded<T>, BoxError> {
    let failure = match tried {
        Ok(value) => return Ok(Recorded::Ok(value)),
        Err(failure) => failure,
    };
    match failure.again {
        Some(again) if attempt < STEP_ATTEMPTS => {
            let message = failure.message;
            let passing = Passing { again, message };
            Err(TypedError::with_type(failure.error_type, passing).into())
        }
        _ => Ok(Recorded::Refused(Refusal {
            error_type: failure.error_type,
            message: failure.message,
            anew: failure.anew,
        })),
    }
}

/// What a step does on its try of that number, and the JSON that it records.
///
/// Boxed twice. The SDK copies a step's body several times before it sees that there is nothing left to run, and makes room in
/// every copy for the body's future; and it would be compiled once more for every body.
type Body =
    Box<dyn FnOnce(u32) -> Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>> + Send>;

async fn step_text(ctx: &DurableContext, name: String, body: Body) -> Result<String, DurableError> {
    ctx.step(move |step| body(step.attempt()))
        .name(name)
        .retry_strategy(decide)
        .serdes(Raw)
        .await
        .map_err(|error| DurableError::new("a step was not recorded", error))
}

/// A failure that passes.
#[derive(Debug)]
struct Passing {
    again: Again,
    message: String,
}

impl fmt::Display for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Passing {}

fn decide(error: &sdk::StepError, attempt: u32) -> RetryDecision {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(link) = cause {
        if let Some(passing) = link.downcast_ref::<Passing>() {
            return RetryDecision::Retry {
                delay: delay_before_next(passing.again, attempt),
            };
        }
        cause = link.source();
    }
    // Not one of ours: a panic or a serialisation failure in the SDK, which will not pass.
    RetryDecision::Stop
}

fn delay_before_next(again: Again, attempt: u32) -> Duration {
    let most = match again {
        Again::Soon => 1,
        Again::Backoff => (1_u64 << attempt.clamp(1, 6)).min(60),
    };
    // The service counts in whole seconds from 1; half fixed, half drawn.
    Duration::from_secs(rand::rng().random_range(most.div_ceil(2)..=most))
}
