//! Why an event was not handled.

use longhaul_core::{BackendError, ExecutionId, JobHandle};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::callbacks::CallbackApiError;

/// Why an event was not handled. The invocation fails with it: Lambda tries the event again, and
/// then sends it to the dead-letter queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// The event is not what it says it is.
    #[error("the event is malformed")]
    Malformed(#[from] Malformed),
    /// A job of ours ended, and the durable service could not be told.
    #[error("job {job} has ended, and its callback could not be failed")]
    Callback {
        /// The job.
        job: JobHandle,
        /// What the service answered.
        source: CallbackApiError,
    },
    /// An execution ended, and a backend could not say which of its jobs still run.
    #[error("execution {execution} has ended, and its jobs could not all be listed")]
    List {
        /// The execution.
        execution: ExecutionId,
        /// What the first backend that could not said.
        source: BackendError,
    },
    /// An execution ended, and some of its jobs could not be stopped. The others were.
    #[error(
        "execution {execution} has ended, and {failed} of its {listed} running jobs could not be stopped, {job} among them"
    )]
    Stop {
        /// The execution.
        execution: ExecutionId,
        /// How many jobs it had.
        listed: usize,
        /// How many of them could not be stopped.
        failed: usize,
        /// The first of these.
        job: JobHandle,
        /// Why.
        source: BackendError,
    },
}

impl ReconcileError {
    /// The type that the failed invocation shows.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "Longhaul.Reconciler.Malformed",
            Self::Callback { .. } => "Longhaul.Reconciler.Callback",
            Self::List { .. } | Self::Stop { .. } => "Longhaul.Reconciler.Jobs",
        }
    }
}

/// An event that is not what it says it is. Quotes nothing of the event but the names of its
/// members: their values may be a callback token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    message: String,
}

impl Malformed {
    /// What is wrong, in half a sentence. It must not hold the callback token.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// Reads `value`, which is called `name` in the error.
pub(super) fn read<T: DeserializeOwned>(name: &str, value: Value) -> Result<T, Malformed> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." {
            name.to_owned()
        } else {
            format!("{name}.{path}")
        };
        Malformed::new(format!("`{at}`: {}", without_values(error.inner())))
    })
}

/// What serde says, but for what it found: that may be the token.
fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None if text.starts_with("missing field ") => text,
        None => "it cannot be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "read for the errors alone")]
    struct Shape {
        list: Vec<u8>,
        variant: Variant,
    }

    #[derive(Debug, Deserialize)]
    enum Variant {
        A,
    }

    #[test]
    fn an_error_says_where_and_what_is_expected_and_quotes_no_value() {
        for (value, expected) in [
            (json!({"list": []}), "`event`: missing field `variant`"),
            (
                json!({"list": "c2VjcmV0"}),
                "`event.list`: expected a sequence",
            ),
            (
                json!({"list": [1, "c2VjcmV0"]}),
                "`event.list[1]`: expected u8",
            ),
            (
                json!({"list": [], "variant": "c2VjcmV0"}),
                "`event.variant`: expected `A`",
            ),
            (json!("c2VjcmV0"), "`event`: expected struct Shape"),
        ] {
            let error = read::<Shape>("event", value).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn what_serde_says_in_other_words_is_left_out() {
        use serde::de::Error as _;
        let error = serde_json::Error::custom("odd: c2VjcmV0");
        assert_eq!(without_values(&error), "it cannot be read");
    }
}
