//! Why a payload could not be kept or had.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What went wrong with a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PayloadErrorKind {
    /// Nothing is there: never put, deleted, expired; or the bucket or folder itself is not.
    Missing,
    /// What is there is not what was put: another size, another SHA-256.
    Changed,
    /// The caller may not read or write there.
    Denied,
    /// The store did not answer, or answered that it is broken. Try again later.
    Unavailable,
    /// The URI cannot be read, or lies outside the store.
    InvalidUri,
    /// The payload is larger than the store takes or gives.
    TooLarge,
}

impl PayloadErrorKind {
    /// The name of the kind.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "Missing",
            Self::Changed => "Changed",
            Self::Denied => "Denied",
            Self::Unavailable => "Unavailable",
            Self::InvalidUri => "InvalidUri",
            Self::TooLarge => "TooLarge",
        }
    }

    /// Whether the same again, later, may work: only when the store was unavailable.
    #[must_use]
    pub fn is_temporary(self) -> bool {
        self == Self::Unavailable
    }
}

impl fmt::Display for PayloadErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of a [`PayloadStore`](crate::PayloadStore).
///
/// `Display` is one frame: what was tried, on what, what came back, what to do. The cause is
/// its [`source`](Error::source).
#[derive(Debug)]
#[non_exhaustive]
pub struct PayloadError {
    kind: PayloadErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl PayloadError {
    /// An error of `kind`.
    pub fn new(kind: PayloadErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> PayloadErrorKind {
        self.kind
    }

    /// This error's message and those of its causes, joined by `: `. A cause that is in the text
    /// already is not repeated: some stores' errors tell theirs themselves.
    #[must_use]
    pub fn full_message(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            let part = error.to_string();
            if !text.contains(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for PayloadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}
