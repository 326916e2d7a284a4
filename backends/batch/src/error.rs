//! What went wrong in a call of the Batch API, and which [`BackendError`] that is.

use std::error::Error;

use aws_sdk_batch::error::{ProvideErrorMetadata, SdkError};
use longhaul_core::{BackendError, BackendErrorKind, Retry};

/// The codes with which AWS services say that a caller is too fast.
const THROTTLING: [&str; 9] = [
    "EC2ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// The codes with which AWS services say that a caller may not, or is not known.
const DENIED: [&str; 13] = [
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "NotAuthorized",
    "OptInRequired",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
];

/// A call of the Batch API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Submit,
    List,
    Describe,
    Terminate,
}

impl Call {
    fn action(self) -> &'static str {
        match self {
            Self::Submit => "batch:SubmitJob",
            Self::List => "batch:ListJobs",
            Self::Describe => "batch:DescribeJobs",
            Self::Terminate => "batch:TerminateJob",
        }
    }
}

/// Why a call of the Batch API gave no result. Holds nothing of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// Batch answered that it will not: nothing was done.
    #[error("Batch answered {code} ({status}): {message}")]
    Refused {
        status: u16,
        code: String,
        message: String,
    },
    /// Batch answered that it is broken: it may have been done.
    #[error("Batch answered {code} ({status}): {message}")]
    Broken {
        status: u16,
        code: String,
        message: String,
    },
    /// No answer, or none that can be read: it may have been done.
    #[error("Batch gave no answer that can be read: {0}")]
    NoAnswer(String),
    /// The request never left: nothing was done.
    #[error("the request could not be made: {0}")]
    NotSent(String),
}

impl<E> From<SdkError<E>> for CallError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        let SdkError::ServiceError(answer) = &error else {
            return match &error {
                SdkError::ConstructionFailure(_) => Self::NotSent(causes(&error)),
                _ => Self::NoAnswer(causes(&error)),
            };
        };
        let status = answer.raw().status().as_u16();
        let code = answer.err().code().unwrap_or("an error without a code");
        let code = code.to_owned();
        let message = answer.err().message().unwrap_or("(no message)").to_owned();
        match status {
            200..300 => Self::NoAnswer(format!("{status} with {}", causes(answer.err()))),
            500.. => Self::Broken {
                status,
                code,
                message,
            },
            _ => Self::Refused {
                status,
                code,
                message,
            },
        }
    }
}

/// The messages of `error` and its causes, the same text only once.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// Whether an answer says that the caller is too fast. Batch may say it in the message of a
/// `ClientException`.
pub(crate) fn says_throttled(code: &str, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    THROTTLING.contains(&code)
        || ["rate exceeded", "too many requests", "throttl"]
            .iter()
            .any(|words| message.contains(words))
}

impl CallError {
    /// The same error with `secret` struck out, should an answer quote the request.
    pub(crate) fn without(self, secret: &str) -> Self {
        let clean = |text: String| text.replace(secret, "(redacted)");
        match self {
            Self::Refused {
                status,
                code,
                message,
            } => Self::Refused {
                status,
                code,
                message: clean(message),
            },
            Self::Broken {
                status,
                code,
                message,
            } => Self::Broken {
                status,
                code,
                message: clean(message),
            },
            Self::NoAnswer(text) => Self::NoAnswer(clean(text)),
            Self::NotSent(text) => Self::NotSent(clean(text)),
        }
    }

    /// The kind of error that this is for the backend.
    fn kind(&self, call: Call) -> BackendErrorKind {
        match self {
            Self::Refused {
                status,
                code,
                message,
            } => refusal(call, *status, code, message),
            Self::NotSent(_) => BackendErrorKind::Unavailable,
            Self::Broken { code, message, .. } if says_throttled(code, message) => {
                BackendErrorKind::Throttled
            }
            Self::Broken { .. } | Self::NoAnswer(_) if call == Call::Submit => {
                BackendErrorKind::Ambiguous
            }
            Self::Broken { .. } | Self::NoAnswer(_) => BackendErrorKind::Unavailable,
        }
    }

    /// The error of the backend that was doing `what`, such as `` start job `render` ``.
    pub(crate) fn into_backend_error(self, call: Call, what: &str) -> BackendError {
        let kind = self.kind(call);
        let advice = advice(kind, call, &self);
        let error = BackendError::new(kind, format!("{what}: {advice}"));
        let error = match (&self, kind) {
            // Batch has decided; asking again changes nothing.
            (Self::Refused { .. }, BackendErrorKind::Unavailable) if call != Call::Submit => {
                error.with_retry(Retry::Never)
            }
            _ => error,
        };
        error.with_source(self)
    }
}

/// What a refusal means. Batch says nearly everything with `ClientException`, so its words are
/// what tells one from another.
fn refusal(call: Call, status: u16, code: &str, message: &str) -> BackendErrorKind {
    let words = message.to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|part| words.contains(part));
    if status == 429 || says_throttled(code, message) {
        BackendErrorKind::Throttled
    } else if DENIED.contains(&code)
        || matches!(status, 401 | 403)
        || says(&["not authorized to perform"])
    {
        BackendErrorKind::Denied
    } else if status == 413
        || says(&[
            "job size must be",
            "length must be at most",
            "request entity too large",
        ])
    {
        BackendErrorKind::TooLarge
    } else if says(&["not found", "does not exist", "doesn't exist"]) {
        BackendErrorKind::NotFound
    } else if call != Call::Submit || says(&["disabled", "not enabled", "enabled state"]) {
        BackendErrorKind::Unavailable
    } else {
        BackendErrorKind::InvalidSpec
    }
}

/// What happened, in a few words, and what to do about it.
fn advice(kind: BackendErrorKind, call: Call, error: &CallError) -> String {
    match kind {
        BackendErrorKind::Throttled => format!(
            "{} is asked for too often; start fewer jobs a second",
            call.action()
        ),
        BackendErrorKind::Denied => format!(
            "not allowed; give the caller's role the action {}",
            denied_action(error).unwrap_or_else(|| call.action().to_owned())
        ),
        BackendErrorKind::TooLarge => "larger than Batch takes (8,192 characters of container \
             overrides, 30 KiB in all); give the input by reference"
            .to_owned(),
        BackendErrorKind::NotFound => "the queue or the job definition is not there; check \
             BATCH_JOB_QUEUE, BATCH_JOB_DEFINITION and the region"
            .to_owned(),
        BackendErrorKind::InvalidSpec => {
            "Batch refuses the job as it is described; change the job or the job definition"
                .to_owned()
        }
        BackendErrorKind::Ambiguous => {
            "the job may have been submitted; start it again with the same token, which finds it"
                .to_owned()
        }
        _ if matches!(error, CallError::Refused { .. }) => format!("{} was refused", call.action()),
        _ => "Batch could not be asked; try again".to_owned(),
    }
}

/// The action that IAM says is missing, as in `… not authorized to perform: batch:TagResource on
/// resource …`.
fn denied_action(error: &CallError) -> Option<String> {
    let CallError::Refused { message, .. } = error else {
        return None;
    };
    let (_, rest) = message.split_once("to perform: ")?;
    let action = rest.split_whitespace().next()?;
    action
        .contains(':')
        .then(|| action.trim_end_matches('.').to_owned())
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
