//! Inputs by reference: where a payload store is plugged in.

use async_trait::async_trait;

/// Reads payloads that are too large to travel with the job.
#[async_trait]
pub(crate) trait PayloadReader: Send + Sync {
    /// The payload that `uri` names.
    ///
    /// # Errors
    ///
    /// A [`PayloadError`] when there is no such payload, or it cannot be read.
    async fn read(&self, uri: &str) -> Result<Vec<u8>, PayloadError>;
}

/// A payload that could not be had, in a sentence for the person who has to act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct PayloadError(String);

impl PayloadError {
    /// This worker has no store to read `uri` from.
    pub(crate) fn no_store(uri: &str) -> Self {
        Self(format!(
            "the job's input is in a payload store, at {uri}, and this worker is built without one: \
             give the job a smaller input, or the place of its data as its input"
        ))
    }
}

/// No store: every payload is an error.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NoStore;

#[async_trait]
impl PayloadReader for NoStore {
    async fn read(&self, uri: &str) -> Result<Vec<u8>, PayloadError> {
        Err(PayloadError::no_store(uri))
    }
}
