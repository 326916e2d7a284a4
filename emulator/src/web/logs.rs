//! The one thing that the page asks of the program that embeds the service: the logs of what a step started.

use crate::model::ExecutionArn;

/// A step that has succeeded, as the history has it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RecordedStep<'a> {
    /// The execution.
    pub execution: &'a ExecutionArn,
    /// The step's name, if the handler gave it one.
    pub name: Option<&'a str>,
    /// What the step returned: JSON text, usually.
    pub result: &'a str,
}

impl<'a> RecordedStep<'a> {
    /// A step of `execution`.
    #[must_use]
    pub const fn new(execution: &'a ExecutionArn, name: Option<&'a str>, result: &'a str) -> Self {
        Self {
            execution,
            name,
            result,
        }
    }
}

/// The end of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogTail {
    /// What it is the log of, for a person.
    pub label: String,
    /// Its last lines.
    pub text: String,
    /// There is more before them.
    pub cut: bool,
}

impl LogTail {
    /// The last lines of a whole log.
    pub fn new(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            text: text.into(),
            cut: false,
        }
    }

    /// Says that there is more before them.
    #[must_use]
    pub const fn cut(mut self, cut: bool) -> Self {
        self.cut = cut;
        self
    }
}

/// Finds the logs of what steps have started, for the web page.
///
/// The service knows nothing of what its functions do. A function whose steps start things elsewhere, and record where, can be
/// shown with the output of those things by a source that understands the records.
pub trait LogSource: Send + Sync {
    /// The last `limit` bytes, or about as much, of each log of what `step` has started; none if it has started nothing that
    /// has logs. Called on a thread that may block, about once a second while somebody looks.
    fn tails(&self, step: &RecordedStep<'_>, limit: usize) -> Vec<LogTail>;
}
