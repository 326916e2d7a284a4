//! What ECS knows of a task, whether an API answer or an event says it.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::TaskOverrides;

/// What ECS knows of a task: the part of its `Task` that says what became of a job.
///
/// `DescribeTasks` gives it, and so does the `detail` of an EventBridge event
/// `ECS Task State Change`, which reads with serde:
///
/// ```
/// use longhaul_ecs::{StopCode, TaskFacts};
///
/// let detail = serde_json::json!({
///     "taskArn": "arn:aws:ecs:eu-west-1:123456789012:task/jobs/0123456789abcdef0123456789abcdef",
///     "lastStatus": "STOPPED",
///     "desiredStatus": "STOPPED",
///     "stopCode": "SpotInterruption",
///     "stoppedReason": "Your Spot Task was interrupted.",
///     "stoppedAt": "2026-11-02T10:15:30.5Z",
///     "containers": [{"name": "worker", "lastStatus": "STOPPED"}],
/// });
/// let facts: TaskFacts = serde_json::from_value(detail)?;
/// assert_eq!(facts.stop_code, Some(StopCode::SpotInterruption));
/// assert_eq!(facts.containers[0].exit_code, None);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskFacts {
    /// The task's ARN.
    pub task_arn: Option<String>,
    /// Where the task is in its life: `PROVISIONING` to `STOPPED`.
    pub last_status: Option<String>,
    /// Where ECS wants it to be: `RUNNING` or `STOPPED`.
    pub desired_status: Option<String>,
    /// Why the task stopped, as a code.
    pub stop_code: Option<StopCode>,
    /// Why the task stopped, in words.
    pub stopped_reason: Option<String>,
    /// Who started the task: for ours, the execution id.
    pub started_by: Option<String>,
    /// The task's containers. Often none when the task failed to start.
    pub containers: Vec<ContainerFacts>,
    /// What the task changes of its task definition. Holds the callback token.
    pub overrides: TaskOverrides,
    /// When the task began to run.
    #[serde(with = "rfc3339")]
    pub started_at: Option<SystemTime>,
    /// When the task had stopped.
    #[serde(with = "rfc3339")]
    pub stopped_at: Option<SystemTime>,
}

/// What ECS knows of one container of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerFacts {
    /// The container's name.
    pub name: Option<String>,
    /// Its exit code. Absent is not 0.
    pub exit_code: Option<i32>,
    /// What the platform says of its end, such as `OutOfMemoryError: …`.
    pub reason: Option<String>,
}

/// Why a task stopped (ECS API, `TaskStopCode`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum StopCode {
    /// The task never ran: image, network interface, secrets, capacity.
    TaskFailedToStart,
    /// A container that the task cannot be without ended.
    EssentialContainerExited,
    /// Somebody called `StopTask`.
    UserInitiated,
    /// A service scaled down or replaced it.
    ServiceSchedulerInitiated,
    /// Fargate Spot took the capacity back.
    SpotInterruption,
    /// The platform announced the end of the task's machine.
    TerminationNotice,
    /// The task's machine was not healthy.
    InfrastructureHealth,
    /// A code that this version does not know.
    Other(String),
}

impl StopCode {
    /// The code as ECS writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::TaskFailedToStart => "TaskFailedToStart",
            Self::EssentialContainerExited => "EssentialContainerExited",
            Self::UserInitiated => "UserInitiated",
            Self::ServiceSchedulerInitiated => "ServiceSchedulerInitiated",
            Self::SpotInterruption => "SpotInterruption",
            Self::TerminationNotice => "TerminationNotice",
            Self::InfrastructureHealth => "InfrastructureHealth",
            Self::Other(code) => code,
        }
    }
}

impl From<String> for StopCode {
    fn from(code: String) -> Self {
        match code.as_str() {
            "TaskFailedToStart" => Self::TaskFailedToStart,
            "EssentialContainerExited" => Self::EssentialContainerExited,
            "UserInitiated" => Self::UserInitiated,
            "ServiceSchedulerInitiated" => Self::ServiceSchedulerInitiated,
            "SpotInterruption" => Self::SpotInterruption,
            "TerminationNotice" => Self::TerminationNotice,
            "InfrastructureHealth" => Self::InfrastructureHealth,
            _ => Self::Other(code),
        }
    }
}

impl From<StopCode> for String {
    fn from(code: StopCode) -> Self {
        code.as_str().to_owned()
    }
}

/// Serde for the times of an event.
mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserializer, de};
    use time::OffsetDateTime;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        let time: Option<OffsetDateTime> = time::serde::rfc3339::option::deserialize(deserializer)
            .map_err(|error| de::Error::custom(format!("not a time of RFC 3339: {error}")))?;
        Ok(time.map(SystemTime::from))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_reads_as_facts() {
        let facts: TaskFacts = serde_json::from_value(json!({
            "taskArn": "arn:aws:ecs:eu-west-1:1:task/c/1",
            "lastStatus": "STOPPED", "desiredStatus": "STOPPED",
            "stopCode": "EssentialContainerExited", "stoppedReason": "Essential container in task exited",
            "startedBy": "0123456789abcdef0123", "version": 5,
            "startedAt": "1970-01-01T00:00:01Z", "stoppedAt": "1970-01-01T01:00:00.25+01:00",
            "containers": [{"name": "worker", "exitCode": 3}, {"name": "sidecar"}],
            "overrides": {"containerOverrides": [
                {"name": "worker", "environment": [{"name": "LONGHAUL_START_KEY", "value": "k"}]}
            ]},
        }))
        .unwrap();
        assert_eq!(facts.stop_code, Some(StopCode::EssentialContainerExited));
        assert_eq!(facts.started_at, Some(UNIX_EPOCH + Duration::from_secs(1)));
        assert_eq!(
            facts.stopped_at,
            Some(UNIX_EPOCH + Duration::from_millis(250))
        );
        assert_eq!(facts.containers[0].exit_code, Some(3));
        assert_eq!(facts.containers[1].exit_code, None);
        assert_eq!(facts.overrides.variable("LONGHAUL_START_KEY"), Some("k"));
    }

    #[test]
    fn an_empty_event_reads_as_no_facts() {
        let facts: TaskFacts = serde_json::from_value(json!({})).unwrap();
        assert_eq!(facts, TaskFacts::default());
        assert!(serde_json::from_value::<TaskFacts>(json!({"stoppedAt": "soon"})).is_err());
    }

    #[test]
    fn every_stop_code_reads_back_from_its_name() {
        for name in [
            "TaskFailedToStart",
            "EssentialContainerExited",
            "UserInitiated",
            "ServiceSchedulerInitiated",
            "SpotInterruption",
            "TerminationNotice",
            "InfrastructureHealth",
        ] {
            let code = StopCode::from(name.to_owned());
            assert!(!matches!(code, StopCode::Other(_)), "{name}");
            assert_eq!(code.as_str(), name);
        }
        assert_eq!(
            StopCode::from("New".to_owned()),
            StopCode::Other("New".to_owned())
        );
    }
}
