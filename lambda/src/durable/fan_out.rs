//! Several contexts that run side by side, one of which may end them all.
//!
//! It is built on the SDK's `map`. A part that is suspended keeps its place and is replayed with
//! the others; a completed one is not replayed at all, the service leaves its operations out.
//! In SDK 0.1.0 a part's predicate cannot end a map that has suspended parts (it looks only at
//! parts that completed in their input's order), a failing part can: so the part that ends the
//! others fails, and its outcome travels in the error's message. That costs one backtrace for a
//! whole fan-out, not one for each failed job.

use std::fmt;
use std::marker::PhantomData;

use sdk::TypedError;
use sdk::builders::map_parallel::{BatchItemStatus, CompletionConfig};
use sdk::serdes::{Serdes, SerdesContext};

use super::{
    BoxError, DeserializeOwned, DurableContext, DurableError, Future, Serialize, StdError, sdk,
};

/// The `ErrorType` of the part that ends the others.
const ENDS: &str = "Longhaul.FanOutEnds";

/// What stands before the outcome in its message.
const MARK: &str = "longhaul-outcome/1 ";

/// How one part went.
pub(crate) enum Part<G> {
    /// It is done; the others go on.
    Done(G),
    /// It is done, and what has not ended by now shall not go on. Parts that are suspended stay
    /// so, parts that have not begun never begin.
    Ends(G),
}

/// What is known of all the parts.
pub(crate) struct Parts<G> {
    /// The outcomes of those that ended.
    pub(crate) outcomes: Vec<G>,
    /// Whether one of them ended the others.
    pub(crate) ended_early: bool,
}

/// Side by side: how many contexts, and how many of them at once.
pub(crate) struct Side {
    /// The operation's name.
    pub(crate) name: String,
    /// How many contexts.
    pub(crate) parts: usize,
    /// How many at once, from 1.
    pub(crate) at_once: usize,
}

/// Runs `body` once for every part, each in a context of its own with the name that `named` gives
/// it. `seen` is told every recorded outcome, on every replay, before any part that has not ended
/// is run; an outcome may be told more than once.
pub(crate) async fn side_by_side<G, S, F, Fut>(
    ctx: &DurableContext,
    side: Side,
    named: impl Fn(usize) -> String + Send + Sync + 'static,
    seen: S,
    body: F,
) -> Result<Parts<G>, DurableError>
where
    G: Serialize + DeserializeOwned + Send + Sync + 'static,
    S: Fn(&G) + Send + Sync + 'static,
    F: Fn(DurableContext, usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Part<G>, BoxError>> + Send + 'static,
{
    let body = std::sync::Arc::new(body);
    let run = move |part: DurableContext, _: usize, index: usize| {
        let body = std::sync::Arc::clone(&body);
        async move {
            match body(part, index).await? {
                Part::Done(outcome) => Ok(outcome),
                Part::Ends(outcome) => {
                    let text = format!("{MARK}{}", serde_json::to_string(&outcome)?);
                    Err(BoxError::from(TypedError::with_type(ENDS, Outcome(text))))
                }
            }
        }
    };
    let items: Vec<usize> = (0..side.parts).collect();
    let batch = ctx
        .map(items, run)
        .name(side.name)
        .max_concurrency(side.at_once)
        .completion(CompletionConfig::with_tolerated_failure_count(0))
        .item_namer(named)
        .serdes(Seen {
            seen,
            of: PhantomData,
        })
        .await_batch()
        .await
        .map_err(|error| DurableError::new("the fan-out was not recorded", error))?;

    let mut parts = Parts {
        outcomes: Vec::with_capacity(side.parts),
        ended_early: false,
    };
    for item in batch.items {
        match (item.status, item.result) {
            (BatchItemStatus::Succeeded, Some(outcome)) => parts.outcomes.push(outcome),
            (BatchItemStatus::Failed, _) => {
                let message = item.error_message.unwrap_or_default();
                parts.outcomes.push(read_end(&message).ok_or_else(|| {
                    DurableError::new("a part of the fan-out failed by itself", message)
                })?);
                parts.ended_early = true;
            }
            _ => {}
        }
    }
    Ok(parts)
}

fn read_end<G: DeserializeOwned>(message: &str) -> Option<G> {
    let (_, json) = message.split_once(MARK)?;
    serde_json::from_str(json).ok()
}

/// An outcome as an error's message.
#[derive(Debug)]
struct Outcome(String);

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Outcome {}

/// JSON, and who is told of what was recorded. What a completed part recorded passes through here
/// and nowhere else of ours: its body is not run again.
struct Seen<G, S> {
    seen: S,
    of: PhantomData<fn() -> G>,
}

impl<G, S> Serdes<G> for Seen<G, S>
where
    G: Serialize + DeserializeOwned + Send + Sync + 'static,
    S: Fn(&G) + Send + Sync + 'static,
{
    async fn serialize(&self, value: G, _: SerdesContext) -> Result<String, BoxError> {
        Ok(serde_json::to_string(&value)?)
    }

    async fn deserialize(&self, wire: String, _: SerdesContext) -> Result<G, BoxError> {
        let value = serde_json::from_str(&wire)?;
        (self.seen)(&value);
        Ok(value)
    }
}
