//! Why a job that started has no result.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::JobTimes;

mod wire;

/// The class of a [`JobFailure`]: what a retry policy and a person decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FailureClass {
    /// The job ran and said that it failed, or ended with an exit code other than 0.
    Failed,
    /// The platform accepted the job and could not get it to run: the image did not pull, the
    /// command was not found.
    FailedToStart,
    /// The job used more memory than it was given.
    OutOfMemory,
    /// The platform took the job's machine away, or the job was sent a signal to end and nobody
    /// knows by whom.
    Interrupted,
    /// An attempt did not complete its callback in time.
    TimedOut,
    /// The job is gone without a word: no heartbeat, killed, or exit code 0 without a result.
    Lost,
    /// The job was stopped because the platform was asked to stop it: by a cancel, or by a person or
    /// a program that used the platform's own API. Not to be started again by itself.
    Cancelled,
    /// The job as a whole, over all its attempts, did not end in time. Never tried again.
    DeadlineExceeded,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 8] = [
        Self::Failed,
        Self::FailedToStart,
        Self::OutOfMemory,
        Self::Interrupted,
        Self::TimedOut,
        Self::Lost,
        Self::Cancelled,
        Self::DeadlineExceeded,
    ];

    /// The name of the class.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "Failed",
            Self::FailedToStart => "FailedToStart",
            Self::OutOfMemory => "OutOfMemory",
            Self::Interrupted => "Interrupted",
            Self::TimedOut => "TimedOut",
            Self::Lost => "Lost",
            Self::Cancelled => "Cancelled",
            Self::DeadlineExceeded => "DeadlineExceeded",
        }
    }

    /// The class as it travels in a durable error's `ErrorType`: `Longhaul.Failed`.
    #[must_use]
    pub fn error_type(self) -> &'static str {
        match self {
            Self::Failed => "Longhaul.Failed",
            Self::FailedToStart => "Longhaul.FailedToStart",
            Self::OutOfMemory => "Longhaul.OutOfMemory",
            Self::Interrupted => "Longhaul.Interrupted",
            Self::TimedOut => "Longhaul.TimedOut",
            Self::Lost => "Longhaul.Lost",
            Self::Cancelled => "Longhaul.Cancelled",
            Self::DeadlineExceeded => "Longhaul.DeadlineExceeded",
        }
    }

    fn headline(self) -> &'static str {
        match self {
            Self::Failed => "the job failed",
            Self::FailedToStart => "the job failed to start",
            Self::OutOfMemory => "the job ran out of memory",
            Self::Interrupted => "the job was interrupted",
            Self::TimedOut => "the job timed out",
            Self::Lost => "the job was lost",
            Self::Cancelled => "the job was cancelled",
            Self::DeadlineExceeded => "the job's deadline passed",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no failure class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is not a failure class: use Failed, FailedToStart, OutOfMemory, Interrupted, TimedOut, Lost, Cancelled or DeadlineExceeded"
)]
pub struct UnknownFailureClass {
    name: String,
}

impl FromStr for FailureClass {
    type Err = UnknownFailureClass;

    /// Reads `Failed` or `Longhaul.Failed`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_prefix("Longhaul.").unwrap_or(text);
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == name)
            .ok_or_else(|| UnknownFailureClass {
                name: text.to_owned(),
            })
    }
}

/// Why a job that started did not succeed, with everything that is known about it.
///
/// It travels through the durable service as an error object: the class as `ErrorType`
/// (`Longhaul.OutOfMemory`), the message as `ErrorMessage`, everything else as JSON in
/// `ErrorData`. An `ErrorType` that is not ours is the job's own: the class is then
/// [`Failed`](FailureClass::Failed), and [`own_type`](Self::own_type) and
/// [`own_data`](Self::own_data) hold what the job said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobFailure {
    /// The class.
    pub class: FailureClass,
    /// What happened, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The exit code. Absent is not 0: nobody knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The number of the signal that ended the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The platform's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The end of what the job wrote to standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// Where the job's logs are: a URL or a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<String>,
    /// When the job ran, as its worker or its platform tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<JobTimes>,
    /// The job's own `ErrorType`, where it reported a failure in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_type: Option<String>,
    /// The job's own `ErrorData`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_data: Option<String>,
}

/// What platforms say when a job did not start and may start the next time, in lower case.
const PASSING: [&str; 12] = [
    "capacity is unavailable",
    "timeout waiting for network interface",
    "i/o timeout",
    "tls handshake timeout",
    "connection reset",
    "toomanyrequests",
    "too many requests",
    "rate exceeded",
    "throttl",
    "service unavailable",
    "internalerror",
    "dockertimeouterror",
];

impl JobFailure {
    /// Whether the job [failed to start](FailureClass::FailedToStart) for a reason that passes: no
    /// capacity, a network interface that did not come, a registry that was busy. A wrong image, a
    /// missing command or a missing permission does not pass. By what the platform says
    /// (Amazon ECS developer guide, “Stopped tasks error messages”); a reason that is not known is
    /// one that does not.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        if self.class != FailureClass::FailedToStart {
            return false;
        }
        let said = [&self.reason, &self.message];
        let mut said = said.into_iter().flatten().map(|text| text.to_lowercase());
        said.any(|text| PASSING.iter().any(|passing| text.contains(passing)))
    }

    /// A failure of `class` of which nothing else is known.
    #[must_use]
    pub fn new(class: FailureClass) -> Self {
        Self {
            class,
            message: None,
            exit_code: None,
            signal: None,
            reason: None,
            stderr: None,
            logs: None,
            times: None,
            own_type: None,
            own_data: None,
        }
    }

    /// The same failure with a message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// The same failure with an exit code.
    #[must_use]
    pub fn with_exit_code(mut self, exit_code: impl Into<Option<i32>>) -> Self {
        self.exit_code = exit_code.into();
        self
    }

    /// The same failure with the signal that ended the job.
    #[must_use]
    pub fn with_signal(mut self, signal: impl Into<Option<i32>>) -> Self {
        self.signal = signal.into();
        self
    }

    /// The same failure with the platform's words.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same failure with the end of the job's standard error.
    #[must_use]
    pub fn with_stderr(mut self, stderr: impl Into<String>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// The same failure with the place of the job's logs.
    #[must_use]
    pub fn with_logs(mut self, logs: impl Into<Option<String>>) -> Self {
        self.logs = logs.into();
        self
    }

    /// The same failure with when the job ran.
    #[must_use]
    pub fn with_times(mut self, times: impl Into<Option<JobTimes>>) -> Self {
        self.times = times.into();
        self
    }
}

impl fmt::Display for JobFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class.headline())?;
        if let Some(own) = &self.own_type {
            write!(f, " ({own})")?;
        }
        if let Some(code) = self.exit_code {
            write!(f, " with exit code {code}")?;
        }
        if let Some(signal) = self.signal {
            write!(f, " by signal {signal}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        if let Some(reason) = &self.reason
            && self.message.as_ref() != Some(reason)
        {
            write!(f, " ({reason})")?;
        }
        Ok(())
    }
}

impl std::error::Error for JobFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_start_that_failed_for_a_passing_reason_may_pass() {
        let passes = |class, reason: &str| JobFailure::new(class).with_reason(reason).may_pass();
        let start = FailureClass::FailedToStart;
        assert!(passes(
            start,
            "Capacity is unavailable at this time. Please try again later"
        ));
        assert!(passes(
            start,
            "Timeout waiting for network interface provisioning to complete."
        ));
        assert!(passes(
            start,
            "CannotPullContainerError: toomanyrequests: Rate exceeded"
        ));
        assert!(!passes(start, "CannotPullContainerError: manifest unknown"));
        assert!(!passes(start, "exec: \"rendr\": executable file not found"));
        assert!(!passes(FailureClass::Failed, "i/o timeout"));
    }

    #[test]
    fn every_class_reads_back_from_its_name_and_its_error_type() {
        for class in FailureClass::ALL {
            assert_eq!(class.as_str().parse(), Ok(class));
            assert_eq!(class.error_type().parse(), Ok(class));
            assert_eq!(class.error_type(), format!("Longhaul.{}", class.as_str()));
        }
        assert!("Sad".parse::<FailureClass>().is_err());
    }

    #[test]
    fn display_says_class_exit_code_signal_and_reason() {
        let failure = JobFailure::new(FailureClass::Lost)
            .with_signal(9)
            .with_reason("the worker was killed");
        assert_eq!(
            failure.to_string(),
            "the job was lost by signal 9 (the worker was killed)"
        );
        let failure = JobFailure::new(FailureClass::Failed).with_exit_code(3);
        assert_eq!(failure.to_string(), "the job failed with exit code 3");
    }
}
