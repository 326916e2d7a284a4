//! How one of many jobs ended, as it is recorded and as it is told.

use longhaul_core::{
    CallbackResult, JobFailure, JobHandle, JobName, JobTimes, PayloadError, PayloadErrorKind,
};
use serde::{Deserialize, Serialize};

use crate::error::{RunError, full_message};
use crate::runner::JobReport;

/// How one of many jobs ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobEnd<T> {
    /// It has a result.
    Succeeded(JobReport<T>),
    /// It has none.
    Failed(RunError),
    /// It was over before this job had ended: the job was stopped, or never started.
    Unfinished {
        /// The job that was stopped. `None`: it was not started; or the function was interrupted
        /// in that very moment, and then the job was stopped all the same.
        handle: Option<JobHandle>,
    },
}

impl<T> JobEnd<T> {
    /// The report of a job that succeeded.
    #[must_use]
    pub fn report(&self) -> Option<&JobReport<T>> {
        match self {
            Self::Succeeded(report) => Some(report),
            _ => None,
        }
    }

    /// Why a job failed.
    #[must_use]
    pub fn error(&self) -> Option<&RunError> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }
}

/// What is recorded of some jobs that share a context, and of what is not in this process's memory
/// after a replay nothing else is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupOutcome {
    pub(crate) group: usize,
    /// Those that ended. The others never started.
    pub(crate) jobs: Vec<Ended>,
}

/// What is recorded of a job that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) index: usize,
    pub(crate) job: JobName,
    #[serde(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    Succeeded {
        handle: JobHandle,
        attempts: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        times: Option<JobTimes>,
        /// As a callback carries it: the result's JSON, or a reference to it.
        result: String,
    },
    Failed {
        handle: JobHandle,
        attempts: u32,
        failure: Box<JobFailure>,
    },
    NotStarted {
        error_type: String,
        message: String,
    },
    NoResult {
        handle: JobHandle,
        kind: PayloadErrorKind,
        message: String,
    },
}

impl How {
    pub(crate) fn succeeded(report: &JobReport<CallbackResult>) -> Self {
        Self::Succeeded {
            handle: report.handle.clone(),
            attempts: report.attempts,
            times: report.times,
            result: report.result.encode(),
        }
    }
}

impl Ended {
    pub(crate) fn succeeded(&self) -> bool {
        matches!(self.how, How::Succeeded { .. })
    }

    /// What is recorded of a job that failed with `error`; `None` where it is not the job that
    /// failed but the execution.
    pub(crate) fn failed(index: usize, error: &RunError) -> Option<Self> {
        let (job, how) = match error {
            RunError::Failed {
                job,
                handle,
                attempts,
                source,
            } => (
                job,
                How::Failed {
                    handle: handle.clone(),
                    attempts: *attempts,
                    failure: source.clone(),
                },
            ),
            RunError::Payload {
                job,
                handle,
                source,
            } => (
                job,
                How::NoResult {
                    handle: handle.clone(),
                    kind: source.kind(),
                    message: source.full_message(),
                },
            ),
            RunError::Durable { .. } => return None,
            RunError::NotStarted { job, .. }
            | RunError::InvalidJob { job, .. }
            | RunError::UnknownBackend { job, .. }
            | RunError::Decode { job, .. } => (
                job,
                How::NotStarted {
                    error_type: error.error_type().to_owned(),
                    message: match error {
                        RunError::NotStarted { message, .. } => message.clone(),
                        other => full_message(other),
                    },
                },
            ),
        };
        Some(Self {
            index,
            job: job.clone(),
            how,
        })
    }

    /// How the job ended, its result unread.
    pub(crate) fn end(self) -> JobEnd<CallbackResult> {
        let job = self.job;
        match self.how {
            How::Succeeded {
                handle,
                attempts,
                times,
                result,
            } => match CallbackResult::decode(&result) {
                Ok(result) => JobEnd::Succeeded(JobReport {
                    result,
                    job,
                    handle,
                    attempts,
                    times,
                }),
                // We wrote it ourselves: only a later version of ours writes what we cannot read.
                Err(error) => JobEnd::Failed(RunError::Payload {
                    job,
                    handle,
                    source: Box::new(
                        PayloadError::new(
                            PayloadErrorKind::InvalidUri,
                            "read the recorded result: its reference is not one",
                        )
                        .with_source(error),
                    ),
                }),
            },
            How::Failed {
                handle,
                attempts,
                failure,
            } => JobEnd::Failed(RunError::Failed {
                job,
                handle,
                attempts,
                source: failure,
            }),
            How::NotStarted {
                error_type,
                message,
            } => JobEnd::Failed(RunError::NotStarted {
                job,
                error_type,
                message,
            }),
            How::NoResult {
                handle,
                kind,
                message,
            } => JobEnd::Failed(RunError::Payload {
                job,
                handle,
                source: Box::new(PayloadError::new(kind, message)),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use longhaul_core::FailureClass;

    use super::*;

    fn read_back(ended: &Ended) -> Ended {
        serde_json::from_str(&serde_json::to_string(ended).unwrap()).unwrap()
    }

    #[test]
    fn a_failure_is_the_same_error_after_it_was_recorded() {
        let job = JobName::new("render").unwrap();
        let handle = JobHandle::new("ecs", "arn");
        let errors = [
            RunError::Failed {
                job: job.clone(),
                handle: handle.clone(),
                attempts: 3,
                source: Box::new(
                    JobFailure::new(FailureClass::OutOfMemory)
                        .with_exit_code(137)
                        .with_reason("OutOfMemoryError"),
                ),
            },
            RunError::NotStarted {
                job: job.clone(),
                error_type: "Longhaul.Backend.Denied".to_owned(),
                message: "no".to_owned(),
            },
            RunError::Payload {
                job,
                handle,
                source: Box::new(PayloadError::new(PayloadErrorKind::TooLarge, "too large")),
            },
        ];
        for error in errors {
            let recorded = read_back(&Ended::failed(4, &error).unwrap());
            assert_eq!(recorded.index, 4);
            let JobEnd::Failed(read) = recorded.end() else {
                panic!("{error:?}");
            };
            assert_eq!(read.error_type(), error.error_type());
            assert_eq!(read.error_message(), error.error_message());
            assert_eq!(read.error_data(), error.error_data());
        }
    }

    #[test]
    fn a_result_is_the_same_text_after_it_was_recorded() {
        let recorded = Ended {
            index: 0,
            job: JobName::new("a").unwrap(),
            how: How::Succeeded {
                handle: JobHandle::new("process", "1"),
                attempts: 2,
                times: Some(JobTimes::new(
                    std::time::UNIX_EPOCH,
                    std::time::SystemTime::now(),
                )),
                result: "{\"b\": 1.0, \"a\":\"\\u0000\"}".to_owned(),
            },
        };
        let JobEnd::Succeeded(report) = read_back(&recorded).end() else {
            panic!("it succeeded");
        };
        let text = "{\"b\": 1.0, \"a\":\"\\u0000\"}".to_owned();
        assert_eq!(report.result, CallbackResult::Inline(text));
        assert_eq!(report.attempts, 2);
        assert!(report.run_time().is_some());
    }
}
