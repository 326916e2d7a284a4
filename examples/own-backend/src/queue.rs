//! What the backend needs of a queue, and no more.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

/// A queue of jobs. Each is known by its key, for ever: a key is never used for a second job.
#[cfg_attr(test, mockall::automock)]
pub trait Queue: fmt::Debug + Send + Sync {
    /// Puts the job into the queue, unless its key is or was in it.
    ///
    /// # Errors
    ///
    /// When it could not be written. It may be in the queue all the same.
    fn submit(&self, ticket: &Ticket) -> io::Result<()>;

    /// Tells the job to end, for this reason.
    ///
    /// # Errors
    ///
    /// When that could not be written.
    fn cancel(&self, key: &str, reason: &str) -> io::Result<()>;

    /// Where a job stands; `None` for a key that was never in the queue.
    ///
    /// # Errors
    ///
    /// When it could not be read.
    fn look(&self, key: &str) -> io::Result<Option<Seen>>;

    /// The keys of an execution's jobs that have not ended.
    ///
    /// # Errors
    ///
    /// When the queue could not be read.
    fn of_execution(&self, execution: &str) -> io::Result<Vec<String>>;
}

/// A job as it stands in the queue. Its environment holds the callback token.
#[derive(Clone, Serialize, Deserialize)]
pub struct Ticket {
    /// Tells it from every other: the start key.
    pub key: String,
    /// The execution that it belongs to.
    pub execution: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The directory to run in; absent, one of its own.
    pub directory: Option<String>,
    /// The environment, in addition to the daemon's `PATH`, `HOME` and `LANG`.
    pub environment: BTreeMap<String, String>,
}

impl fmt::Debug for Ticket {
    // Without the environment, which holds the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("key", &self.key)
            .field("execution", &self.execution)
            .finish_non_exhaustive()
    }
}

/// What the queue knows of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where it stands.
    pub stage: Stage,
    /// Whether it was told to end.
    pub told_to_end: bool,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has taken it yet.
    Waiting,
    /// It runs.
    Running,
    /// It is over.
    Ended(End),
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Why.
    pub why: Why,
    /// The exit code, where it exited. Absent is not 0.
    pub exit_code: Option<i32>,
    /// The signal, where one ended it.
    pub signal: Option<i32>,
}

/// Why a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// By itself.
    Itself,
    /// It was told to, for this reason.
    Cancelled(String),
    /// Its program could not be started.
    NotStarted(String),
    /// Nobody was there to see it end.
    Unseen,
}
