//! Why a backend could not do what it was asked.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What went wrong, in the words that decide what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BackendErrorKind {
    /// The job can never start as it is described.
    InvalidSpec,
    /// The job is larger than the backend can carry: give its input by reference.
    TooLarge,
    /// The caller may not do this.
    Denied,
    /// A cluster, queue, definition, program or folder is not there.
    NotFound,
    /// Too many requests for now.
    Throttled,
    /// The platform has no room of the kind that was asked for.
    Capacity,
    /// The request may or may not have been carried out.
    Ambiguous,
    /// The backend has no such operation.
    Unsupported,
    /// The platform did not answer, or answered that it is broken.
    Unavailable,
}

impl BackendErrorKind {
    /// The name of the kind, as in `Longhaul.Backend.Throttled`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidSpec => "InvalidSpec",
            Self::TooLarge => "TooLarge",
            Self::Denied => "Denied",
            Self::NotFound => "NotFound",
            Self::Throttled => "Throttled",
            Self::Capacity => "Capacity",
            Self::Ambiguous => "Ambiguous",
            Self::Unsupported => "Unsupported",
            Self::Unavailable => "Unavailable",
        }
    }

    /// What may be tried after an error of this kind, unless the error says otherwise.
    #[must_use]
    pub fn retry(self) -> Retry {
        match self {
            Self::InvalidSpec
            | Self::TooLarge
            | Self::Denied
            | Self::NotFound
            | Self::Unsupported => Retry::Never,
            Self::Throttled | Self::Unavailable => Retry::Backoff,
            Self::Capacity => Retry::OtherCapacity,
            Self::Ambiguous => Retry::SameToken,
        }
    }
}

impl fmt::Display for BackendErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What may be tried after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Retry {
    /// Nothing: it will fail again.
    Never,
    /// The same again, later.
    Backoff,
    /// The same job on other capacity at once, or a new attempt with a new token later. The same
    /// token would only get the same answer.
    OtherCapacity,
    /// The same again, soon and with the same token: the first try may have worked.
    SameToken,
}

/// An error of a [`ComputeBackend`](crate::ComputeBackend).
///
/// `Display` is one frame: what was tried, on what, what came back, what to do. The cause is
/// its [`source`](Error::source).
#[derive(Debug)]
#[non_exhaustive]
pub struct BackendError {
    kind: BackendErrorKind,
    retry: Retry,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl BackendError {
    /// An error of `kind`, to be retried as the kind suggests.
    pub fn new(kind: BackendErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            retry: kind.retry(),
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

    /// The same error with another advice than its kind's.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> BackendErrorKind {
        self.kind
    }

    /// What may be tried next.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// This error's message and those of its causes, joined by `: `.
    #[must_use]
    pub fn full_message(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_frame_and_the_cause_is_the_source() {
        let error = BackendError::new(BackendErrorKind::Unavailable, "start the job")
            .with_source(std::io::Error::other("connection refused"));
        assert_eq!(error.to_string(), "start the job");
        assert_eq!(
            error.source().map(ToString::to_string).as_deref(),
            Some("connection refused")
        );
        assert_eq!(error.full_message(), "start the job: connection refused");
    }

    #[test]
    fn an_error_is_retried_as_its_kind_suggests_unless_told_otherwise() {
        let error = BackendError::new(BackendErrorKind::Capacity, "no room");
        assert_eq!(error.retry(), Retry::OtherCapacity);
        assert_eq!(error.with_retry(Retry::Never).retry(), Retry::Never);
        assert_eq!(BackendErrorKind::Ambiguous.retry(), Retry::SameToken);
        assert_eq!(BackendErrorKind::Denied.retry(), Retry::Never);
    }
}
