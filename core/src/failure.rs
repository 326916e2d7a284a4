//! Why a job that started has no result.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
    /// The job did not complete its callback in time.
    TimedOut,
    /// The job is gone without a word: no heartbeat, killed, or exit code 0 without a result.
    Lost,
    /// The job was stopped because the platform was asked to stop it: by a cancel, or by a person or
    /// a program that used the platform's own API. Not to be started again by itself.
    Cancelled,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 7] = [
        Self::Failed,
        Self::FailedToStart,
        Self::OutOfMemory,
        Self::Interrupted,
        Self::TimedOut,
        Self::Lost,
        Self::Cancelled,
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
    "{name:?} is not a failure class: use Failed, FailedToStart, OutOfMemory, Interrupted, TimedOut, Lost or Cancelled"
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
    /// The job's own `ErrorType`, where it reported a failure in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_type: Option<String>,
    /// The job's own `ErrorData`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_data: Option<String>,
}

/// The shape of `ErrorData`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Data {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stderr: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logs: Option<String>,
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

    /// The `ErrorType` of the failure on the wire: the job's own, or the class's.
    #[must_use]
    pub fn error_type(&self) -> &str {
        self.own_type
            .as_deref()
            .unwrap_or_else(|| self.class.error_type())
    }

    /// The `ErrorMessage` of the failure on the wire: the message, or what `Display` says.
    #[must_use]
    pub fn error_message(&self) -> String {
        self.message.clone().unwrap_or_else(|| self.to_string())
    }

    /// The `ErrorData` of the failure on the wire: the job's own, or JSON with exit code,
    /// signal, reason, end of standard error and place of the logs, as far as they are known.
    #[must_use]
    pub fn error_data(&self) -> String {
        if let Some(own) = &self.own_data {
            return own.clone();
        }
        let data = Data {
            exit_code: self.exit_code,
            signal: self.signal,
            reason: self.reason.clone(),
            stderr: self.stderr.clone(),
            logs: self.logs.clone(),
        };
        serde_json::to_string(&data).unwrap_or_else(|_| "{}".to_owned())
    }

    /// The failure that an error object on the wire tells of. Never fails: what cannot be read
    /// is kept as the job's own.
    #[must_use]
    pub fn from_wire(error_type: Option<&str>, message: Option<&str>, data: Option<&str>) -> Self {
        let class = error_type
            .filter(|text| text.starts_with("Longhaul."))
            .and_then(|text| text.parse::<FailureClass>().ok());
        let mut failure = Self::new(class.unwrap_or(FailureClass::Failed));
        failure.message = message.filter(|m| !m.is_empty()).map(str::to_owned);
        let read = data.and_then(|text| serde_json::from_str::<Data>(text).ok());
        match (class, read) {
            (Some(_), Some(data)) => {
                failure.exit_code = data.exit_code;
                failure.signal = data.signal;
                failure.reason = data.reason;
                failure.stderr = data.stderr;
                failure.logs = data.logs;
            }
            (Some(_), None) => failure.own_data = data.map(str::to_owned),
            (None, _) => {
                failure.own_type = error_type.map(str::to_owned);
                failure.own_data = data.map(str::to_owned);
            }
        }
        failure
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
    use proptest::option::of;
    use proptest::prelude::*;

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
    fn a_failure_in_the_jobs_own_words_is_passed_through() {
        let failure = JobFailure::from_wire(Some("BadFrame"), Some("frame 7"), Some("{\"f\":7}"));
        assert_eq!(failure.class, FailureClass::Failed);
        assert_eq!(failure.error_type(), "BadFrame");
        assert_eq!(failure.error_message(), "frame 7");
        assert_eq!(failure.error_data(), "{\"f\":7}");
    }

    #[test]
    fn an_empty_error_is_a_plain_failure() {
        let failure = JobFailure::from_wire(None, None, None);
        assert_eq!(failure, JobFailure::new(FailureClass::Failed));
        assert_eq!(failure.error_message(), "the job failed");
    }

    #[test]
    fn a_missing_exit_code_stays_missing() {
        let failure = JobFailure::from_wire(Some("Longhaul.Lost"), None, Some("{}"));
        assert_eq!(failure.exit_code, None);
        assert!(!failure.error_data().contains("exit_code"));
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

    proptest! {
        #[test]
        fn a_failure_survives_the_wire(
            class in proptest::sample::select(FailureClass::ALL.to_vec()),
            message in of(".{1,40}"), exit_code in of(any::<i32>()), signal in of(1i32..65),
            reason in of(any::<String>()), stderr in of(any::<String>()), logs in of(any::<String>()),
        ) {
            let failure = JobFailure { message, exit_code, signal, reason, stderr, logs, ..JobFailure::new(class) };
            let read = JobFailure::from_wire(Some(failure.error_type()), failure.message.as_deref(), Some(&failure.error_data()));
            prop_assert_eq!(read, failure);
        }

        #[test]
        fn no_error_object_breaks_the_reader(error_type in of(any::<String>()), message in of(any::<String>()), data in of(any::<String>())) {
            let failure = JobFailure::from_wire(error_type.as_deref(), message.as_deref(), data.as_deref());
            prop_assert!(!failure.to_string().is_empty());
        }
    }
}
