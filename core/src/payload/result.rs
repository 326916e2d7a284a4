//! The text with which a worker completes a callback: a result, or where it is.

use crate::payload::{InvalidPayloadUri, PayloadUri};

/// What a callback's text is.
///
/// A result is JSON, and travels as it is. A reference is the one line
///
/// ```text
/// longhaul-payload/1 s3://bucket/prefix/<execution id>/<start key>/result.json#sha256=…&size=…
/// ```
///
/// which is not JSON: no JSON text begins with the letter `l`. So a job can return any JSON at
/// all, a text or an object that looks like a reference included, and it is never taken for one;
/// nothing has to be escaped, and a worker that knows nothing of references need not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallbackResult {
    /// The result itself.
    Inline(String),
    /// Where the result is.
    Reference(PayloadUri),
}

/// Text that begins as a reference and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidReference {
    /// The worker speaks a later version.
    #[error(
        "the reference is of version {version:?}, and this function knows version 1: update the function before the worker"
    )]
    Version {
        /// The version, or the beginning of what stands there.
        version: String,
    },
    /// What follows is not the URI of a payload.
    #[error("the reference names no payload")]
    Uri(#[from] InvalidPayloadUri),
}

impl CallbackResult {
    /// What every reference begins with, and no JSON.
    const MARK: &'static str = "longhaul-payload/";

    /// The text for the callback.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            Self::Inline(result) => result.clone(),
            Self::Reference(uri) => format!("{}1 {uri}", Self::MARK),
        }
    }

    /// Whether a callback's text begins as a reference: for readers that need not copy what is
    /// none.
    #[must_use]
    pub fn is_reference(text: &str) -> bool {
        text.starts_with(Self::MARK)
    }

    /// Reads a callback's text.
    ///
    /// # Errors
    ///
    /// [`InvalidReference`] for text that begins as a reference and is none. Never for JSON.
    pub fn decode(text: &str) -> Result<Self, InvalidReference> {
        let Some(rest) = text.strip_prefix(Self::MARK) else {
            return Ok(Self::Inline(text.to_owned()));
        };
        match rest.split_once(' ') {
            Some(("1", uri)) => Ok(Self::Reference(uri.parse()?)),
            other => {
                let version = other.map_or(rest, |(version, _)| version);
                Err(InvalidReference::Version {
                    version: version.chars().take(20).collect(),
                })
            }
        }
    }
}
