//! Where an execution stands, and how it ended.

use serde::{Deserialize, Serialize};

use crate::model::ErrorObject;

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler returned; the result is JSON text.
    Succeeded(Option<String>),
    /// The handler, or the service on its behalf, gave up.
    Failed(ErrorObject),
    /// The execution timeout passed.
    TimedOut,
    /// Somebody stopped it.
    Stopped(ErrorObject),
}

/// Where an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum ExecutionStatus {
    /// Running, or waiting for something.
    Running,
    /// An invocation runs to its next checkpoint; then the execution is paused.
    Pausing,
    /// Not invoked until it is resumed.
    Paused,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Ended by its timeout.
    TimedOut,
    /// Ended by a stop request.
    Stopped,
    /// Being deleted. Lists can be asked for it; nothing here ever is: a deletion is done when it is answered.
    Deleting,
}

impl ExecutionStatus {
    /// The status as the API spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Pausing => "PAUSING",
            Self::Paused => "PAUSED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Stopped => "STOPPED",
            Self::Deleting => "DELETING",
        }
    }
}

impl Outcome {
    /// The status of an execution that ended this way.
    #[must_use]
    pub const fn status(&self) -> ExecutionStatus {
        match self {
            Self::Succeeded(_) => ExecutionStatus::Succeeded,
            Self::Failed(_) => ExecutionStatus::Failed,
            Self::TimedOut => ExecutionStatus::TimedOut,
            Self::Stopped(_) => ExecutionStatus::Stopped,
        }
    }
}
