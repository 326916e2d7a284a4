//! The payload store: where inputs and results go that are too large to travel inline.
//!
//! An input that a backend cannot carry is put into the store before the start, and the worker
//! gets its URI in `LONGHAUL_INPUT_URI`. A result that a callback cannot carry is put there by
//! the worker, and the callback carries a [reference](CallbackResult::Reference).
//!
//! A [`PayloadUri`] holds the SHA-256 and the size of what it names. So a payload that was
//! deleted, cut short or replaced is an error that says so, never a wrong result.
//!
//! The store itself is the crate `longhaul-payload`: S3, a local folder, memory.

mod error;
mod result;
mod uri;

use std::fmt::Debug;

use async_trait::async_trait;
use serde_json::Value;

pub use error::{PayloadError, PayloadErrorKind};
pub use result::{CallbackResult, InvalidReference};
pub use uri::{InvalidPayloadUri, PayloadKey, PayloadKind, PayloadUri};

use crate::contract::MAX_INLINE_RESULT;
use crate::{ExecutionId, Job, StartKey};

/// A place that keeps payloads.
///
/// # Promises
///
/// - **A put is idempotent.** The same content under the same key may be put any number of
///   times, and concurrently, for one URI. Other content under a key that is taken is an error
///   of kind [`Changed`](PayloadErrorKind::Changed): what a URI names never changes.
/// - **A put that succeeded is durable**, as far as the place is, and is seen by every `get` that
///   begins afterwards.
/// - **A get returns what was put, or an error.** Size and SHA-256 are checked.
/// - **A store serves its own URIs only.** One that lies outside its base is refused before
///   anything is read.
/// - **Payloads are private**: no more people can read them than can read the store.
#[async_trait]
pub trait PayloadStore: Debug + Send + Sync {
    /// What every URI of this store begins with, such as `s3://bucket/prefix`: no `/` at the end.
    fn base(&self) -> &str;

    /// Keeps `content` under `key`.
    ///
    /// # Errors
    ///
    /// A [`PayloadError`] of kind `TooLarge`, `Changed`, `Denied`, `Missing` (the bucket or folder
    /// is not there) or `Unavailable`.
    async fn put(&self, key: &PayloadKey, content: Vec<u8>) -> Result<PayloadUri, PayloadError>;

    /// What `uri` names.
    ///
    /// # Errors
    ///
    /// A [`PayloadError`] of any kind.
    async fn get(&self, uri: &PayloadUri) -> Result<Vec<u8>, PayloadError>;
}

/// Puts the input of `job` into `store`. The job that comes back carries the URI in place of the
/// input. What a runner does when a start is [`TooLarge`](crate::BackendErrorKind::TooLarge);
/// repeating it is harmless.
///
/// # Errors
///
/// Those of [`PayloadStore::put`].
pub async fn put_input(store: &dyn PayloadStore, job: Job) -> Result<Job, PayloadError> {
    let content = job.input().to_string().into_bytes();
    let uri = store.put(&PayloadKey::input(&job), content).await?;
    Ok(job.with_input_uri(uri))
}

/// Reads an input: what a worker does with `LONGHAUL_INPUT_URI`.
///
/// # Errors
///
/// Those of [`PayloadStore::get`], and [`InvalidUri`](PayloadErrorKind::InvalidUri) when the URI
/// names something that is not JSON.
pub async fn get_input(store: &dyn PayloadStore, uri: &PayloadUri) -> Result<Value, PayloadError> {
    let content = store.get(uri).await?;
    serde_json::from_slice(&content).map_err(|error| {
        PayloadError::new(
            PayloadErrorKind::InvalidUri,
            format!("read the input {uri}: it is not JSON"),
        )
        .with_source(error)
    })
}

/// The text with which a worker completes its callback: `result`, JSON, itself when it fits,
/// else a reference to it in `store`.
///
/// # Errors
///
/// Those of [`PayloadStore::put`], and [`TooLarge`](PayloadErrorKind::TooLarge) when the result
/// does not fit and there is no store.
pub async fn send_result(
    store: Option<&dyn PayloadStore>,
    execution: &ExecutionId,
    start_key: &StartKey,
    result: String,
) -> Result<CallbackResult, PayloadError> {
    if result.len() <= MAX_INLINE_RESULT {
        return Ok(CallbackResult::Inline(result));
    }
    let Some(store) = store else {
        return Err(PayloadError::new(
            PayloadErrorKind::TooLarge,
            format!(
                "send the result: its {} bytes are more than the {MAX_INLINE_RESULT} that travel inline, and \
                 there is no payload store: set {} for the function, or write a smaller result",
                result.len(),
                crate::contract::PAYLOAD_STORE,
            ),
        ));
    };
    let key = PayloadKey::new(execution.clone(), start_key.clone(), PayloadKind::Result);
    let uri = store.put(&key, result.into_bytes()).await?;
    Ok(CallbackResult::Reference(uri))
}

/// What a callback's `text` is: a result, or where the result of this very attempt is. Nothing is
/// read.
///
/// A reference is taken only when it names the result of this attempt: whoever completes a
/// callback chooses its text, and must not choose what the function reads.
///
/// # Errors
///
/// [`InvalidUri`](PayloadErrorKind::InvalidUri) for a reference that cannot be read or names
/// something else.
pub fn decode_result(
    execution: &ExecutionId,
    start_key: &StartKey,
    text: &str,
) -> Result<CallbackResult, PayloadError> {
    let decoded = CallbackResult::decode(text).map_err(|error| {
        refused("the callback's reference is not one".to_owned()).with_source(error)
    })?;
    let key = PayloadKey::new(execution.clone(), start_key.clone(), PayloadKind::Result);
    match &decoded {
        CallbackResult::Reference(uri) if *uri.key() != key => Err(refused(format!(
            "{uri} is not the result of this attempt, which is {key}"
        ))),
        _ => Ok(decoded),
    }
}

/// Reads a result that is in the payload store.
///
/// # Errors
///
/// Those of [`PayloadStore::get`], and [`InvalidUri`](PayloadErrorKind::InvalidUri) when there is
/// no store, or what is there is not UTF-8.
pub async fn get_result(
    store: Option<&dyn PayloadStore>,
    uri: &PayloadUri,
) -> Result<String, PayloadError> {
    let Some(store) = store else {
        return Err(refused(format!(
            "{uri} is in a payload store, and there is none here: set {} for the function",
            crate::contract::PAYLOAD_STORE
        )));
    };
    let content = store.get(uri).await?;
    String::from_utf8(content)
        .map_err(|error| refused(format!("{uri} is not UTF-8")).with_source(error))
}

/// The result, JSON, that a callback's `text` is or refers to: [`decode_result`], then
/// [`get_result`].
///
/// # Errors
///
/// Those of both.
pub async fn receive_result(
    store: Option<&dyn PayloadStore>,
    execution: &ExecutionId,
    start_key: &StartKey,
    text: &str,
) -> Result<String, PayloadError> {
    match decode_result(execution, start_key, text)? {
        CallbackResult::Inline(result) => Ok(result),
        CallbackResult::Reference(uri) => get_result(store, &uri).await,
    }
}

fn refused(problem: String) -> PayloadError {
    PayloadError::new(
        PayloadErrorKind::InvalidUri,
        format!("read the result: {problem}"),
    )
}

#[cfg(test)]
mod tests;
