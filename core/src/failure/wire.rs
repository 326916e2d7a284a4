//! A failure as an error object of the durable service: type, message and data.

use serde::{Deserialize, Serialize};

use super::{FailureClass, JobFailure};
use crate::JobTimes;

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<JobTimes>,
}

impl JobFailure {
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
    /// signal, reason, end of standard error, place of the logs and when it ran, as far as they are
    /// known.
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
            times: self.times,
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
                failure.times = data.times;
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

#[cfg(test)]
mod tests {
    use proptest::option::of;
    use proptest::prelude::*;

    use super::*;
    use crate::times::time;

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

    proptest! {
        #[test]
        fn a_failure_survives_the_wire(
            class in proptest::sample::select(FailureClass::ALL.to_vec()),
            message in of(".{1,40}"), exit_code in of(any::<i32>()), signal in of(1i32..65),
            reason in of(any::<String>()), stderr in of(any::<String>()), logs in of(any::<String>()),
            times in of((0..u64::MAX / 2, 0..1_000_000_u64)),
        ) {
            let times = times.map(|(begun, ms)| JobTimes::new(time(begun), time(begun + ms)));
            let failure = JobFailure { message, exit_code, signal, reason, stderr, logs, times, ..JobFailure::new(class) };
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
