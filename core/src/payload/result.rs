//! The text with which a worker completes a callback: a result, or where it is.

use crate::JobTimes;
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
///
/// A worker that is [asked for it](crate::contract::TIMES) tells when the job ran, in a line before
/// either of them:
///
/// ```text
/// longhaul-result/1 begun=1767225600000 ended=1767225660000
/// ```
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
        "what the worker sent is of version {version:?}, and this function knows version 1: update the function before the worker"
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

    /// What the line with times begins with, and no JSON either.
    const TIMES: &'static str = "longhaul-result/";

    /// The text for the callback.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            Self::Inline(result) => result.clone(),
            Self::Reference(uri) => format!("{}1 {uri}", Self::MARK),
        }
    }

    /// The text for the callback, `text`, with the line that tells when the job ran before it.
    #[must_use]
    pub fn timed(times: JobTimes, text: &str) -> String {
        format!("{}1 {}\n{text}", Self::TIMES, times.header())
    }

    /// When the job ran, where a callback's text begins with a line that tells it, and the text
    /// without that line.
    #[must_use]
    pub fn split_times(text: &str) -> (Option<JobTimes>, &str) {
        let timed = text.strip_prefix(Self::TIMES);
        let timed = timed.and_then(|rest| rest.strip_prefix("1 "));
        match timed.and_then(|rest| rest.split_once('\n')) {
            Some((header, text)) => (JobTimes::from_header(header), text),
            None => (None, text),
        }
    }

    /// Whether a callback's text begins as a reference: for readers that need not copy what is
    /// none.
    #[must_use]
    pub fn is_reference(text: &str) -> bool {
        text.starts_with(Self::MARK)
    }

    /// Reads a callback's text, with or without times.
    ///
    /// # Errors
    ///
    /// [`InvalidReference`] for text that begins as a reference and is none. Never for JSON.
    pub fn decode(text: &str) -> Result<Self, InvalidReference> {
        let (_, text) = Self::split_times(text);
        let later = text.strip_prefix(Self::TIMES);
        let Some(rest) = later.or_else(|| text.strip_prefix(Self::MARK)) else {
            return Ok(Self::Inline(text.to_owned()));
        };
        if later.is_some() {
            return Err(InvalidReference::version(rest));
        }
        match rest.split_once(' ') {
            Some(("1", uri)) => Ok(Self::Reference(uri.parse()?)),
            _ => Err(InvalidReference::version(rest)),
        }
    }
}

impl InvalidReference {
    /// `rest` is what follows the mark.
    fn version(rest: &str) -> Self {
        let version = rest.split_once(' ').map_or(rest, |(version, _)| version);
        Self::Version {
            version: version.chars().take(20).collect(),
        }
    }
}
