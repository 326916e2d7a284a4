//! What goes into the API's operations and what comes out of them.

use std::sync::Arc;

use crate::config::DurableConfig;
use crate::machine::{ExecutionStatus, Outcome};
use crate::model::{ExecutionArn, Timestamp};

/// A request to start an execution.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StartExecution {
    /// The function: a name, `name:qualifier`, or an ARN.
    pub function: String,
    /// A version, an alias or `$LATEST`, unless `function` has one.
    pub qualifier: Option<String>,
    /// The execution's name: 1 to 64 of `[a-zA-Z0-9-_]`; a fresh one when absent.
    pub name: Option<String>,
    /// The input: JSON text of at most 6 MiB, 1 MiB when the caller does not wait.
    pub input: String,
    /// The caller waits for the result: larger payloads are allowed.
    pub synchronous: bool,
    /// The X-Ray trace header; a fresh one when absent.
    pub trace: Option<String>,
    /// The tenant the function is invoked for.
    pub tenant: Option<String>,
}

impl StartExecution {
    /// `function` with `input`, under the qualifier `$LATEST`.
    pub fn new(function: impl Into<String>, input: impl Into<String>) -> Self {
        Self {
            function: function.into(),
            qualifier: Some("$LATEST".to_owned()),
            name: None,
            input: input.into(),
            synchronous: false,
            trace: None,
            tenant: None,
        }
    }

    /// The execution's name, which makes the start idempotent.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// An execution that was started.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StartedExecution {
    /// Its ARN.
    pub arn: ExecutionArn,
    /// The version of the function that runs.
    pub version: String,
    /// It had been started before under the same name with the same input.
    pub existing: bool,
}

/// Everything about one execution but its history.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExecutionDetails {
    /// Its ARN; the name and the function are parts of it.
    pub arn: ExecutionArn,
    /// The version of the function that runs.
    pub version: String,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// When its time is, or was, up.
    pub deadline: Timestamp,
    /// Its input, JSON text.
    pub input: Arc<str>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The X-Ray trace header.
    pub trace: String,
    /// The durable settings it was started with.
    pub durable: DurableConfig,
    /// Its pause, while it is paused or about to be.
    pub pause: Option<PauseDetails>,
}

/// A pause that was asked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PauseDetails {
    /// When it was asked for.
    pub requested: Timestamp,
    /// When it began; not yet, while an invocation runs to its next checkpoint.
    pub since: Option<Timestamp>,
    /// Why, if the caller said.
    pub reason: Option<String>,
    /// The execution timeout stands still too.
    pub stops_timeout: bool,
}

/// A request to pause or to resume an execution.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PauseExecution {
    /// Makes a repeated request harmless for 15 minutes: 1 to 64 visible ASCII characters.
    pub client_token: Option<String>,
    /// Why, for the history: at most 1,024 characters.
    pub reason: Option<String>,
    /// Pauses the execution timeout too. Of no meaning to a resume.
    pub stops_timeout: bool,
}

impl Default for PauseExecution {
    fn default() -> Self {
        Self {
            client_token: None,
            reason: None,
            stops_timeout: true,
        }
    }
}

/// One execution in a list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExecutionSummary {
    /// Its ARN; the name and the function are parts of it.
    pub arn: ExecutionArn,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// What a list shall contain.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListExecutions {
    /// The function: a name, `name:qualifier`, or an ARN.
    pub function: String,
    /// Only executions of what this version or alias means.
    pub qualifier: Option<String>,
    /// Only executions of this name.
    pub name: Option<String>,
    /// Only executions of these statuses; all when empty.
    pub statuses: Vec<ExecutionStatus>,
    /// Only executions started after this.
    pub started_after: Option<Timestamp>,
    /// Only executions started before this.
    pub started_before: Option<Timestamp>,
    /// Oldest first; newest first otherwise.
    pub oldest_first: bool,
    /// Where the last page ended.
    pub marker: Option<String>,
    /// At most this many, up to 1,000; 0 means the default.
    pub max_items: usize,
}

impl ListExecutions {
    /// All executions of `function`.
    pub fn new(function: impl Into<String>) -> Self {
        Self {
            function: function.into(),
            ..Self::default()
        }
    }
}

/// Which part of a history is wanted.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct HistoryRequest {
    /// Newest first; oldest first otherwise.
    pub newest_first: bool,
    /// Where the last page ended.
    pub marker: Option<String>,
    /// At most this many, up to 1,000; 0 means the default.
    pub max_items: usize,
}

/// One page of a listing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The marker of the next page, if there is one.
    pub next_marker: Option<String>,
}
