//! What is written down about a job, so that any process can tell how it stands.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use longhaul_core::{BackendErrorKind, ExecutionId};
use serde::{Deserialize, Serialize};

use crate::processes::Identity;

/// Text as the system has it: a string in JSON where it is UTF-8, else a list of bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub(crate) struct Text(pub(crate) OsString);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<Wire> for Text {
    fn from(wire: Wire) -> Self {
        Self(match wire {
            Wire::Text(text) => text.into(),
            Wire::Bytes(bytes) => OsString::from_vec(bytes),
        })
    }
}

impl From<Text> for Wire {
    fn from(text: Text) -> Self {
        match text.0.into_string() {
            Ok(text) => Self::Text(text),
            Err(other) => Self::Bytes(other.into_vec()),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Text {
    /// The length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.as_bytes().len()
    }
}

/// A point in time: milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Time(u64);

impl Time {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<Time> for SystemTime {
    fn from(time: Time) -> Self {
        Self::UNIX_EPOCH + Duration::from_millis(time.0)
    }
}

/// What is run. Holds neither the token nor any variable.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) execution: ExecutionId,
    pub(crate) attempt: u32,
    /// The program and its arguments: the worker's, then the job's.
    pub(crate) command: Vec<Text>,
    pub(crate) working_directory: Text,
    /// Milliseconds between SIGTERM and SIGKILL.
    grace: u64,
}

impl Spec {
    pub(crate) fn new(
        name: String,
        execution: ExecutionId,
        attempt: u32,
        command: Vec<Text>,
        working_directory: PathBuf,
        grace: Duration,
    ) -> Self {
        Self {
            name,
            execution,
            attempt,
            command,
            working_directory: Text(working_directory.into_os_string()),
            grace: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn grace(&self) -> Duration {
        Duration::from_millis(self.grace)
    }
}

/// What the starter tells the shim over its standard input. Holds the token, so it has no
/// `Debug` and is never written to a file.
#[derive(Serialize, Deserialize)]
pub(crate) struct Launch {
    pub(crate) spec: Spec,
    /// The whole environment of the worker.
    pub(crate) environment: Vec<(Text, Text)>,
}

/// What the shim tells the starter over its standard output: one line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The worker runs, by this shim.
    Started,
    /// Another shim has the job, or somebody cancelled it before.
    Taken,
    /// The worker cannot be started.
    Failed(StartFailure),
}

/// Why a worker could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StartFailure {
    pub(crate) kind: BackendErrorKind,
    pub(crate) message: String,
    pub(crate) cause: Option<String>,
}

/// The worker as it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Worker {
    #[serde(flatten)]
    pub(crate) identity: Identity,
    pub(crate) at: Time,
}

/// `cancel.json`: somebody wants the job to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cancel {
    pub(crate) reason: String,
    pub(crate) at: Time,
}

/// The last word about a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub(crate) end: End,
    /// Who stopped the job, if it did not end by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stop: Option<Stop>,
    /// The pids of processes that could not be killed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) survivors: Vec<u32>,
    pub(crate) at: Time,
}

impl Exit {
    pub(crate) fn new(end: End) -> Self {
        Self {
            end,
            stop: None,
            survivors: Vec::new(),
            at: Time::now(),
        }
    }

    pub(crate) fn with_stop(mut self, stop: Option<Stop>) -> Self {
        self.stop = stop;
        self
    }

    pub(crate) fn with_survivors(mut self, survivors: Vec<u32>) -> Self {
        self.survivors = survivors;
        self
    }
}

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// It could never be started.
    NotStarted(StartFailure),
    /// It was cancelled before it was started.
    Forestalled,
    /// Its shim was killed, so nobody saw it end.
    Unseen,
}

/// Why a shim stopped its worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stop {
    /// The backend was asked to cancel the job, for this reason.
    Cancelled(String),
    /// Somebody else sent the shim SIGTERM: a shutdown, an operator.
    Interrupted,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_of_the_system_survives_a_record(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = Text(OsString::from_vec(bytes));
            let json = serde_json::to_string(&text).unwrap();
            prop_assert!(serde_json::from_str::<Text>(&json).unwrap() == text);
        }
    }

    #[test]
    fn text_in_utf_8_stays_readable_in_a_record() {
        let json = serde_json::to_string(&Text::from("a \"b\"\n😀")).unwrap();
        assert_eq!(json, r#""a \"b\"\n😀""#);
    }
}
