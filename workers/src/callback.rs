//! The callback as a worker sees it: three calls, and four things that can come back.

use async_trait::async_trait;
use longhaul_core::JobFailure;

/// The three calls by which a worker speaks of its attempt.
///
/// [`LambdaCallbacks`](crate::LambdaCallbacks) makes them through the AWS Lambda API. Each call
/// is one try: trying again is up to the caller.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait CallbackApi: Send + Sync {
    /// Completes the callback with a result, which is JSON
    /// (`SendDurableExecutionCallbackSuccess`).
    ///
    /// # Errors
    ///
    /// A [`CallbackError`] whose kind says what to do next.
    async fn succeed(&self, result: &[u8]) -> Result<(), CallbackError>;

    /// Completes the callback with a failure (`SendDurableExecutionCallbackFailure`).
    ///
    /// # Errors
    ///
    /// A [`CallbackError`] whose kind says what to do next.
    async fn fail(&self, failure: &JobFailure) -> Result<(), CallbackError>;

    /// Says that the job is alive (`SendDurableExecutionCallbackHeartbeat`).
    ///
    /// # Errors
    ///
    /// A [`CallbackError`] whose kind says what to do next.
    async fn heartbeat(&self) -> Result<(), CallbackError>;
}

/// What an error of the callback's service means for the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallbackErrorKind {
    /// The callback is completed, timed out or unknown: nobody listens any more.
    Closed,
    /// The service will never take this request: the payload is invalid or too large.
    Refused,
    /// The worker's credentials do not allow the call.
    Denied,
    /// The service could not be reached, is broken or too busy: the same call may work later.
    Passing,
}

/// An error of one call. It has no source: what lies below it may quote the callback token, and
/// the message has been cleaned of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallbackError {
    kind: CallbackErrorKind,
    message: String,
}

impl CallbackError {
    /// An error of `kind`. The message must not hold the callback token.
    pub fn new(kind: CallbackErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What the error means for the worker.
    #[must_use]
    pub fn kind(&self) -> CallbackErrorKind {
        self.kind
    }
}

impl CallbackErrorKind {
    /// What an answer with this error code and HTTP status means. No status means that there was
    /// no answer.
    ///
    /// An answer without a code does not come from the service itself but from something on the
    /// way to it, so it is taken as passing unless its status leaves no doubt.
    #[must_use]
    pub fn of_answer(code: Option<&str>, status: Option<u16>) -> Self {
        match code {
            Some("CallbackTimeoutException" | "ResourceNotFoundException") => return Self::Closed,
            // Credentials that will be refreshed, and clocks that the SDK corrects.
            Some(
                "ExpiredToken"
                | "ExpiredTokenException"
                | "RequestExpired"
                | "RequestTimeTooSkewed"
                | "InvalidSignatureException"
                | "RequestTimeout"
                | "RequestTimeoutException",
            ) => return Self::Passing,
            Some(code) if code.contains("Throttl") || code.starts_with("TooManyRequests") => {
                return Self::Passing;
            }
            Some("AccessDeniedException" | "AccessDenied") => return Self::Denied,
            _ => {}
        }
        match (status, code) {
            (Some(401 | 403), _) => Self::Denied,
            (Some(413), _) | (Some(400), Some(_)) => Self::Refused,
            _ => Self::Passing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_closed_refused_denied_or_passing() {
        use CallbackErrorKind::{Closed, Denied, Passing, Refused};
        for (code, status, kind) in [
            (Some("CallbackTimeoutException"), Some(400), Closed),
            (Some("ResourceNotFoundException"), Some(404), Closed),
            (Some("InvalidParameterValueException"), Some(400), Refused),
            (Some("RequestTooLargeException"), Some(413), Refused),
            (None, Some(413), Refused),
            (Some("AccessDeniedException"), Some(403), Denied),
            (Some("AccessDeniedException"), Some(400), Denied),
            (Some("UnrecognizedClientException"), Some(403), Denied),
            (None, Some(403), Denied),
            (Some("ExpiredTokenException"), Some(403), Passing),
            (Some("InvalidSignatureException"), Some(403), Passing),
            (Some("TooManyRequestsException"), Some(429), Passing),
            (Some("ThrottlingException"), Some(400), Passing),
            (Some("ServiceException"), Some(500), Passing),
            (Some("KMSAccessDeniedException"), Some(502), Passing),
            (None, Some(400), Passing),
            (None, Some(404), Passing),
            (None, Some(503), Passing),
            (None, None, Passing),
        ] {
            assert_eq!(
                CallbackErrorKind::of_answer(code, status),
                kind,
                "{code:?} {status:?}"
            );
        }
    }
}
