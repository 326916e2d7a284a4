//! What Batch knows of a job, whether an API answer or an event says it.

use std::collections::BTreeMap;

use aws_sdk_batch::types;
use serde::{Deserialize, Deserializer};

/// What Batch knows of a job: the part of its `JobDetail` that says what became of it.
///
/// `DescribeJobs` gives it, and so does the `detail` of an EventBridge event
/// `Batch Job State Change`, which reads with serde. It holds nothing of the container's
/// environment, and so no token.
///
/// ```
/// use longhaul_batch::{JobFacts, job_status};
/// use longhaul_core::FailureClass;
///
/// let detail = serde_json::json!({
///     "jobArn": "arn:aws:batch:eu-west-1:123456789012:job/4c7599ae-0a82-49aa-ba5a-4727fcce14a8",
///     "jobName": "lh-0123456789abcdef0123-…",
///     "jobId": "4c7599ae-0a82-49aa-ba5a-4727fcce14a8",
///     "status": "FAILED",
///     "statusReason": "Host EC2 (instance i-0abc) terminated.",
///     "startedAt": 1641944200058_i64,
///     "attempts": [],
/// });
/// let facts: JobFacts = serde_json::from_value(detail)?;
/// let failure = job_status(&facts, "/aws/batch/job").failure.unwrap();
/// assert_eq!(failure.class, FailureClass::Interrupted);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobFacts {
    /// The job's id.
    pub job_id: Option<String>,
    /// The job's ARN.
    pub job_arn: Option<String>,
    /// The job's name: for ours, [`job_name`](crate::job_name).
    pub job_name: Option<String>,
    /// Where the job is in its life.
    #[serde(deserialize_with = "null_is_default")]
    pub status: BatchState,
    /// Why it is there, in words.
    pub status_reason: Option<String>,
    /// Whether somebody cancelled it.
    #[serde(deserialize_with = "null_is_default")]
    pub is_cancelled: bool,
    /// Whether somebody terminated it.
    #[serde(deserialize_with = "null_is_default")]
    pub is_terminated: bool,
    /// When it was submitted, in milliseconds since 1970.
    pub created_at: Option<i64>,
    /// When it began to run, in milliseconds since 1970.
    pub started_at: Option<i64>,
    /// When it ended, in milliseconds since 1970.
    pub stopped_at: Option<i64>,
    /// Its container.
    pub container: Option<ContainerFacts>,
    /// Its attempts, of which ours have at most one.
    #[serde(deserialize_with = "null_is_default")]
    pub attempts: Vec<AttemptFacts>,
}

/// What Batch knows of a job's container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerFacts {
    /// Its exit code. Absent is not 0.
    pub exit_code: Option<i32>,
    /// What the platform says of its end, such as `OutOfMemoryError: …`.
    pub reason: Option<String>,
    /// The log stream that it writes to.
    pub log_stream_name: Option<String>,
    /// How it logs.
    pub log_configuration: Option<LogConfiguration>,
}

/// How a container logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogConfiguration {
    /// The options of its log driver, such as `awslogs-group`.
    #[serde(deserialize_with = "null_is_default")]
    pub options: BTreeMap<String, String>,
}

/// What Batch knows of one attempt of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttemptFacts {
    /// Its container.
    pub container: Option<ContainerFacts>,
    /// When it began to run, in milliseconds since 1970.
    pub started_at: Option<i64>,
    /// Why it ended, in words.
    pub status_reason: Option<String>,
}

/// Where a job is in its life (Batch API, `JobStatus`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum BatchState {
    /// Accepted, not yet looked at by the scheduler.
    Submitted,
    /// Waiting for another job, which ours never do.
    Pending,
    /// Waiting for a machine: for minutes, hours, or for ever.
    Runnable,
    /// On a machine, its image being pulled.
    Starting,
    /// Running.
    Running,
    /// Ended with exit code 0.
    Succeeded,
    /// Ended otherwise.
    Failed,
    /// A state that this version does not know, or none.
    #[default]
    #[serde(other)]
    Unknown,
}

impl BatchState {
    /// Whether the job is over.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

impl From<Option<types::JobStatus>> for BatchState {
    fn from(status: Option<types::JobStatus>) -> Self {
        match status {
            Some(types::JobStatus::Submitted) => Self::Submitted,
            Some(types::JobStatus::Pending) => Self::Pending,
            Some(types::JobStatus::Runnable) => Self::Runnable,
            Some(types::JobStatus::Starting) => Self::Starting,
            Some(types::JobStatus::Running) => Self::Running,
            Some(types::JobStatus::Succeeded) => Self::Succeeded,
            Some(types::JobStatus::Failed) => Self::Failed,
            _ => Self::Unknown,
        }
    }
}

impl From<types::JobDetail> for JobFacts {
    fn from(job: types::JobDetail) -> Self {
        Self {
            job_id: job.job_id,
            job_arn: job.job_arn,
            job_name: job.job_name,
            status: job.status.into(),
            status_reason: job.status_reason,
            is_cancelled: job.is_cancelled.unwrap_or_default(),
            is_terminated: job.is_terminated.unwrap_or_default(),
            created_at: job.created_at,
            started_at: job.started_at,
            stopped_at: job.stopped_at,
            container: job.container.map(|container| ContainerFacts {
                exit_code: container.exit_code,
                reason: container.reason,
                log_stream_name: container.log_stream_name,
                log_configuration: container.log_configuration.map(|logs| LogConfiguration {
                    options: logs.options.unwrap_or_default().into_iter().collect(),
                }),
            }),
            attempts: job
                .attempts
                .unwrap_or_default()
                .into_iter()
                .map(AttemptFacts::from)
                .collect(),
        }
    }
}

impl From<types::AttemptDetail> for AttemptFacts {
    fn from(attempt: types::AttemptDetail) -> Self {
        Self {
            container: attempt.container.map(|container| ContainerFacts {
                exit_code: container.exit_code,
                reason: container.reason,
                log_stream_name: container.log_stream_name,
                log_configuration: None,
            }),
            started_at: attempt.started_at,
            status_reason: attempt.status_reason,
        }
    }
}

/// Reads an explicit null as the default.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_reads_as_facts_and_leaves_the_environment_behind() {
        let facts: JobFacts = serde_json::from_value(json!({
            "jobArn": "arn:aws:batch:eu-west-1:1:job/1", "jobName": "n", "jobId": "1",
            "jobQueue": "q", "status": "FAILED", "statusReason": "Essential container in task exited",
            "attempts": [{
                "container": {"exitCode": 3, "logStreamName": "s", "networkInterfaces": []},
                "startedAt": 2, "stoppedAt": 3, "statusReason": "Essential container in task exited",
            }],
            "createdAt": 1, "startedAt": 2, "stoppedAt": 3, "isCancelled": false, "isTerminated": true,
            "container": {
                "image": "i", "exitCode": 3, "reason": "r", "logStreamName": "s",
                "environment": [{"name": "CALLBACK_ID", "value": "c2VjcmV0"}],
                "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/g"}},
            },
        }))
        .unwrap();
        assert!(!format!("{facts:?}").contains("c2VjcmV0"));
        assert_eq!(facts.status, BatchState::Failed);
        assert!(facts.is_terminated && !facts.is_cancelled);
        assert_eq!(
            (facts.created_at, facts.started_at, facts.stopped_at),
            (Some(1), Some(2), Some(3))
        );
        let container = facts.container.unwrap();
        assert_eq!(container.exit_code, Some(3));
        assert_eq!(
            container.log_configuration.unwrap().options["awslogs-group"],
            "/g"
        );
        assert_eq!(facts.attempts[0].started_at, Some(2));
    }

    #[test]
    fn what_is_absent_null_or_new_is_read_too() {
        let empty: JobFacts = serde_json::from_value(json!({})).unwrap();
        assert_eq!(empty, JobFacts::default());
        let null: JobFacts = serde_json::from_value(json!({
            "status": null, "attempts": null, "isCancelled": null, "isTerminated": null,
            "container": {"logConfiguration": {"options": null}},
        }))
        .unwrap();
        assert_eq!(null.status, BatchState::Unknown);
        let new: JobFacts = serde_json::from_value(json!({"status": "PAUSED"})).unwrap();
        assert_eq!(new.status, BatchState::Unknown);
    }
}
