//! Errors of the command, each with its exit code.

use std::error::Error;
use std::process::ExitCode;

/// Why the command ends without a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// Bad usage, a bad job file or a bad configuration: the person can mend it.
    #[error("{0}")]
    Usage(String),
    /// Something failed that should not have.
    #[error("{what}")]
    Broken {
        /// What was tried.
        what: String,
        /// What came back.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl CliError {
    pub(crate) fn broken(
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Broken {
            what: what.into(),
            source: source.into(),
        }
    }

    /// 2 for what the person can mend, 1 for the rest.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Broken { .. } => ExitCode::FAILURE,
        }
    }
}

/// An error's message and those of its causes, joined by `: `.
pub(crate) fn full_message(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(link) = cause {
        let part = link.to_string();
        // Some libraries repeat their cause in their own message.
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = link.source();
    }
    text
}
