//! The only module that names the AWS durable SDK: one callback and one submit, waited for.
//!
//! It is built on the SDK's `create_callback`, `step` and `result`, not on the SDK's own
//! `wait_for_callback`. In `aws-durable-execution-sdk` 0.1.0 that one writes five checkpoints
//! where three do, throws away what the submitter returns (so nothing could be cancelled),
//! changes its error kind between the first run and a replay, and reports a heartbeat timeout
//! as a plain timeout. When a later SDK mends that, this module is the only one that changes.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use aws_durable_execution_sdk as sdk;
use longhaul_core::{CallbackToken, InvalidToken};
use sdk::serdes::{Serdes, SerdesContext};
use sdk::{CallbackErrorKind, OperationErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use sdk::{BoxError, DurableContext};

pub(crate) mod chained;
mod envelope;
pub(crate) mod fan_out;
mod news;
pub(crate) mod serve;
mod step;

pub(crate) use step::{recorded, step};

/// A filter that keeps back what a handler logs while it is replayed, for it was logged before.
pub(crate) fn replay_filter() -> sdk::ReplayFilterLayer {
    sdk::ReplayFilterLayer::new()
}

/// What [`wait_for_callback`] is to do.
#[derive(Debug, Clone)]
pub struct CallbackOptions {
    /// The name of the callback operation. Stable: another name breaks running executions.
    pub callback_name: String,
    /// The name of the step that submits. Stable too.
    pub submit_name: String,
    /// After how long the callback fails, in whole seconds; `None` is never.
    pub timeout: Option<Duration>,
    /// After how long without a heartbeat the callback fails, in whole seconds; `None` is never.
    pub heartbeat: Option<Duration>,
}

/// A step body that did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailure {
    /// The `ErrorType` under which it is recorded.
    pub error_type: String,
    /// What happened.
    pub message: String,
    /// When it may be tried again; `None` is never.
    pub again: Option<Again>,
    /// Whether a new callback may be submitted where this one was not.
    pub anew: bool,
}

/// How soon a step may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// After a second or so: the first try may have worked.
    Soon,
    /// After a wait that doubles from 2 s to 60 s, with jitter.
    Backoff,
}

/// A callback that succeeded: what the submit returned, and the raw payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed<H> {
    /// What the submit returned, as it was recorded.
    pub handle: H,
    /// The token that the submit was given.
    pub token: CallbackToken,
    /// The payload as it was sent, `null` where there was none. Not necessarily JSON.
    pub payload: String,
}

/// Why there is no payload.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallbackError<H> {
    /// The submit failed for good, or too often: nobody holds the callback.
    Refused {
        /// The `ErrorType` of the submit's error.
        error_type: String,
        /// Its message.
        message: String,
        /// Whether a new callback may be submitted where this one was not.
        anew: bool,
    },
    /// Whoever held the callback reported a failure.
    Failed {
        /// What the submit returned.
        handle: H,
        /// The error as it was reported.
        error: ReportedError,
    },
    /// Nobody completed the callback in time.
    TimedOut {
        /// What the submit returned.
        handle: H,
        /// Whether it was the heartbeat that was missing.
        heartbeat: bool,
    },
    /// The durable service or the SDK failed.
    Durable(DurableError),
}

/// The error object that somebody sent with a callback failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportedError {
    /// `ErrorType`.
    pub error_type: Option<String>,
    /// `ErrorMessage`.
    pub message: Option<String>,
    /// `ErrorData`.
    pub data: Option<String>,
}

/// A failure of the durable service or the SDK, not of the job.
#[derive(Debug)]
pub struct DurableError {
    what: &'static str,
    source: BoxError,
}

impl DurableError {
    fn new(what: &'static str, source: impl Into<BoxError>) -> Self {
        Self {
            what,
            source: source.into(),
        }
    }
}

impl fmt::Display for DurableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl StdError for DurableError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

/// Mints a callback, runs `submit` with its token as a durable step, suspends, and returns what
/// the submit returned together with the payload.
///
/// `submit` gets the token and the number of the try, from 1. It runs at least once: it may be
/// run again with the same token after a crash, so it must be idempotent in the token. What it
/// returns is recorded. A [`StepFailure`] that may not be tried again is recorded as well, so a
/// replay sees the same.
///
/// Two operations and three checkpoint calls where the first try works; two invocations.
///
/// # Errors
///
/// [`CallbackError`]: the submit was refused, the callback failed or timed out, or the durable
/// service failed.
pub async fn wait_for_callback<H, F, Fut>(
    ctx: &DurableContext,
    options: CallbackOptions,
    submit: F,
) -> Result<Completed<H>, CallbackError<H>>
where
    H: Serialize + DeserializeOwned + Send + 'static,
    F: FnOnce(CallbackToken, u32) -> Fut + Send + 'static,
    Fut: Future<Output = Result<H, StepFailure>> + Send + 'static,
{
    wait_noting(ctx, options, submit, |_| ()).await
}

/// [`wait_for_callback`], which tells `noted` what the submit returned before it suspends: on
/// every replay, for it is of this process's memory.
pub(crate) async fn wait_noting<H, F, Fut>(
    ctx: &DurableContext,
    options: CallbackOptions,
    submit: F,
    noted: impl FnOnce(&H),
) -> Result<Completed<H>, CallbackError<H>>
where
    H: Serialize + DeserializeOwned + Send + 'static,
    F: FnOnce(CallbackToken, u32) -> Fut + Send + 'static,
    Fut: Future<Output = Result<H, StepFailure>> + Send + 'static,
{
    let mut create = ctx
        .create_callback::<String>()
        .name(options.callback_name)
        .serdes(Raw);
    if let Some(timeout) = options.timeout {
        create = create.timeout(timeout);
    }
    if let Some(heartbeat) = options.heartbeat {
        create = create.heartbeat(heartbeat);
    }
    let callback = create.await.map_err(|error| {
        CallbackError::Durable(DurableError::new("the callback was not created", error))
    })?;
    let token = CallbackToken::new(callback.id()).map_err(|error: InvalidToken| {
        CallbackError::Durable(DurableError::new(
            "the service minted a bad callback",
            error,
        ))
    })?;

    let given = token.clone();
    let handle = match step(ctx, options.submit_name, move |attempt| {
        submit(given, attempt)
    })
    .await
    .map_err(CallbackError::Durable)?
    {
        Ok(handle) => handle,
        Err(refusal) => {
            return Err(CallbackError::Refused {
                error_type: refusal.error_type,
                message: refusal.message,
                anew: refusal.anew,
            });
        }
    };

    noted(&handle);
    match callback.result().await {
        Ok(payload) => Ok(Completed {
            handle,
            token,
            payload,
        }),
        Err(error) => Err(classify(handle, error)),
    }
}

fn classify<H>(handle: H, error: sdk::OperationError) -> CallbackError<H> {
    let wire = error.wire();
    let text = |part: Option<&str>| part.map(str::to_owned);
    match error.kind() {
        OperationErrorKind::Callback(callback) => match callback.kind() {
            CallbackErrorKind::TimedOut { .. } | CallbackErrorKind::HeartbeatTimedOut { .. } => {
                let by_type = wire.and_then(|wire| wire.error_type()) == Some("Callback.Heartbeat");
                let by_kind =
                    matches!(callback.kind(), CallbackErrorKind::HeartbeatTimedOut { .. });
                CallbackError::TimedOut {
                    handle,
                    heartbeat: by_type || by_kind,
                }
            }
            CallbackErrorKind::ExternalFailure { .. } => CallbackError::Failed {
                handle,
                error: ReportedError {
                    error_type: text(wire.and_then(|wire| wire.error_type())),
                    message: text(wire.and_then(|wire| wire.error_message())),
                    data: text(wire.and_then(|wire| wire.error_data())),
                },
            },
            _ => CallbackError::Durable(DurableError::new("the callback was not read", error)),
        },
        _ => CallbackError::Durable(DurableError::new("the callback was not read", error)),
    }
}

/// `duration` in whole seconds, upwards: the durable service counts in seconds.
pub(crate) fn whole(duration: Duration) -> Duration {
    let part = u64::from(duration.subsec_nanos() > 0);
    Duration::from_secs(duration.as_secs().saturating_add(part))
}

/// Suspends the execution for `duration`.
pub(crate) async fn wait(
    ctx: &DurableContext,
    name: String,
    duration: Duration,
) -> Result<(), DurableError> {
    let duration = whole(duration);
    if duration.is_zero() {
        return Ok(());
    }
    ctx.wait(duration)
        .name(name)
        .await
        .map_err(|error| DurableError::new("a wait was not recorded", error))
}

/// Hands the text over as it is. With the SDK's JSON serdes a callback's payload that is not JSON fails
/// `create_callback` on replay, before the handle is read, and then nothing could be cancelled.
struct Raw;

impl Serdes<String> for Raw {
    async fn serialize(&self, value: String, _: SerdesContext) -> Result<String, BoxError> {
        Ok(value)
    }

    async fn deserialize(&self, wire: String, _: SerdesContext) -> Result<String, BoxError> {
        Ok(wire)
    }
}
