//! From what Batch knows of a job to what longhaul calls it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longhaul_core::{FailureClass, JobFailure, JobState, JobStatus};

use crate::facts::{BatchState, JobFacts};
use crate::logs::console_link;

/// With what every reason begins that this backend gives for stopping a job.
pub const CANCEL_REASON_PREFIX: &str = "longhaul: ";

/// Text in Batch's or ECS's words by which a cause is known.
const OUT_OF_MEMORY: [&str; 1] = ["OutOfMemory"];
const INTERRUPTED: [&str; 4] = [
    "Host EC2",
    "Spot Task was interrupted",
    "SpotInterruption",
    "Spot interruption",
];
const TIMED_OUT: [&str; 1] = ["Job attempt duration exceeded timeout"];
const FAILED_TO_START: [&str; 12] = [
    "CannotPull",
    "CannotStartContainer",
    "CannotCreateContainer",
    "CannotCreateVolume",
    "ResourceInitializationError",
    "DockerTimeoutError",
    "Task failed to start",
    "network interface provisioning",
    "unable to assume",
    "length must be at most",
    "JobStateTimeLimit action",
    "MISCONFIGURATION:",
];

/// The status of the job of which Batch knows `facts`. `log_group` is used for the link to its
/// logs where the facts name no group.
///
/// | Batch says | longhaul says |
/// | --- | --- |
/// | SUBMITTED, PENDING, RUNNABLE, STARTING | `Pending`, with Batch's reason. A RUNNABLE job whose reason begins with `MISCONFIGURATION:` or `ACTION_REQUIRED` also has the failure `FailedToStart` with what to do: it waits until somebody does it |
/// | RUNNING | `Running` |
/// | one of these, cancelled or terminated | `Stopping` |
/// | SUCCEEDED | `Ended`, `Lost`: the container ended with exit code 0; had its callback been completed, nobody would ask |
/// | FAILED, ended by longhaul's own cancel | `Ended`, `Cancelled` |
/// | FAILED, out of memory | `Ended`, `OutOfMemory` |
/// | FAILED, its host or Spot capacity went away | `Ended`, `Interrupted` |
/// | FAILED, by the timeout of the attempt | `Ended`, `TimedOut` |
/// | FAILED before it ran: image, secrets, network, overrides too large, or cancelled by the queue's time limit | `Ended`, `FailedToStart` |
/// | FAILED, terminated by somebody else | `Ended`, `Cancelled` |
/// | FAILED with an exit code other than 0 | `Ended`, `Failed` |
/// | FAILED with exit code 0, or none though it ran | `Ended`, `Lost` |
/// | anything else | `Unknown` |
///
/// An exit code of 137 alone is a failure with that exit code and nothing more: it does not
/// prove that memory ran out.
#[must_use]
pub fn job_status(facts: &JobFacts, log_group: &str) -> JobStatus {
    let mut status = JobStatus::new(state(facts));
    status.exit_code = exit_code(facts);
    status.reason = reason(facts);
    status.logs = logs(facts, log_group);
    status.started_at = started_at(facts).and_then(time);
    status.ended_at = match status.state {
        JobState::Ended => facts.stopped_at.and_then(time),
        _ => None,
    };
    status.failure = failure(facts).map(|mut failure| {
        if status.state == JobState::Ended {
            failure.exit_code = status.exit_code;
        }
        failure.reason.clone_from(&status.reason);
        failure.logs.clone_from(&status.logs);
        failure
    });
    status
}

fn state(facts: &JobFacts) -> JobState {
    match facts.status {
        BatchState::Succeeded | BatchState::Failed => JobState::Ended,
        BatchState::Unknown => JobState::Unknown,
        _ if facts.is_terminated || facts.is_cancelled => JobState::Stopping,
        BatchState::Running => JobState::Running,
        BatchState::Submitted
        | BatchState::Pending
        | BatchState::Runnable
        | BatchState::Starting => JobState::Pending,
    }
}

fn failure(facts: &JobFacts) -> Option<JobFailure> {
    match facts.status {
        BatchState::Succeeded => {
            Some(JobFailure::new(FailureClass::Lost).with_message(
                "the container ended with exit code 0 and never completed its callback",
            ))
        }
        BatchState::Failed => Some(why_failed(facts)),
        BatchState::Runnable => stuck(facts.status_reason.as_deref()?),
        _ => None,
    }
}

fn why_failed(facts: &JobFacts) -> JobFailure {
    let texts = texts(facts);
    let says = |parts: &[&str]| {
        texts
            .iter()
            .any(|text| parts.iter().any(|part| text.contains(part)))
    };
    let ours = facts
        .status_reason
        .as_deref()
        .is_some_and(|reason| reason.starts_with(CANCEL_REASON_PREFIX));
    let ran = started_at(facts).is_some();
    let (class, message) = if ours {
        (FailureClass::Cancelled, "the job was stopped by longhaul")
    } else if says(&OUT_OF_MEMORY) {
        (
            FailureClass::OutOfMemory,
            "the container used more memory than it was given: ask for more in resources.memory_mib",
        )
    } else if says(&INTERRUPTED) {
        (
            FailureClass::Interrupted,
            "the machine that the container ran on was taken away",
        )
    } else if says(&TIMED_OUT) {
        (
            FailureClass::TimedOut,
            "Batch ended the container after the job's timeout",
        )
    } else if says(&FAILED_TO_START) {
        (
            FailureClass::FailedToStart,
            "the container never ran: see the reason",
        )
    } else if facts.is_terminated || facts.is_cancelled {
        (
            FailureClass::Cancelled,
            "the job was terminated by somebody else than longhaul",
        )
    } else {
        match exit_code(facts) {
            Some(0) => (
                FailureClass::Lost,
                "the container ended with exit code 0 and never completed its callback",
            ),
            Some(_) => (
                FailureClass::Failed,
                "the container ended with an exit code other than 0",
            ),
            None if ran => (
                FailureClass::Lost,
                "the container is gone, and nobody knows its exit code",
            ),
            None => (FailureClass::FailedToStart, "the container never ran"),
        }
    };
    JobFailure::new(class).with_message(message)
}

/// Why a RUNNABLE job will wait until somebody helps, if so (AWS Batch User Guide, "Jobs stuck
/// in a RUNNABLE status").
fn stuck(reason: &str) -> Option<JobFailure> {
    let advice = if let Some(code) = reason.strip_prefix("MISCONFIGURATION:") {
        if code.starts_with("COMPUTE_ENVIRONMENT_MAX_RESOURCE") {
            "raise maxvCpus of the queue's compute environments, or ask for fewer resources.vcpus"
        } else if code.starts_with("JOB_RESOURCE_REQUIREMENT") {
            "ask for fewer vCPUs, GPUs or less memory, or allow larger instances in the queue's compute environments; while they scale up from nothing it may pass by itself"
        } else if code.starts_with("SERVICE_ROLE_PERMISSIONS") {
            "give the Batch service role the permissions that it lacks"
        } else {
            "correct the queue's compute environments or the job's resources"
        }
    } else if reason.starts_with("ACTION_REQUIRED") {
        "repair the queue's compute environments, which are INVALID"
    } else {
        return None;
    };
    Some(
        JobFailure::new(FailureClass::FailedToStart)
            .with_message(format!("the job is stuck in the queue: {advice}")),
    )
}

/// Everything that Batch and ECS say of the job's end.
fn texts(facts: &JobFacts) -> Vec<&str> {
    let container = facts.container.as_ref();
    let attempt = facts.attempts.last();
    [
        facts.status_reason.as_deref(),
        container.and_then(|c| c.reason.as_deref()),
        attempt.and_then(|a| a.status_reason.as_deref()),
        attempt.and_then(|a| a.container.as_ref()?.reason.as_deref()),
    ]
    .into_iter()
    .flatten()
    .filter(|text| !text.is_empty())
    .collect()
}

/// The texts once each, the job's own reason first.
fn reason(facts: &JobFacts) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for text in texts(facts) {
        if !parts.contains(&text) {
            parts.push(text);
        }
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn exit_code(facts: &JobFacts) -> Option<i32> {
    let own = facts.container.as_ref().and_then(|c| c.exit_code);
    own.or_else(|| facts.attempts.last()?.container.as_ref()?.exit_code)
}

fn started_at(facts: &JobFacts) -> Option<i64> {
    let of_attempt = || facts.attempts.last()?.started_at;
    // Batch writes 0 for a job that never ran.
    facts.started_at.or_else(of_attempt).filter(|ms| *ms > 0)
}

fn logs(facts: &JobFacts, log_group: &str) -> Option<String> {
    let container = facts.container.as_ref();
    let stream = container
        .and_then(|c| c.log_stream_name.as_deref())
        .or_else(|| {
            facts
                .attempts
                .last()?
                .container
                .as_ref()?
                .log_stream_name
                .as_deref()
        })?;
    let group = container
        .and_then(|c| {
            c.log_configuration
                .as_ref()?
                .options
                .get("awslogs-group")
                .map(String::as_str)
        })
        .unwrap_or(log_group);
    console_link(facts.job_arn.as_deref()?, group, stream)
}

fn time(milliseconds: i64) -> Option<SystemTime> {
    let milliseconds = u64::try_from(milliseconds).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
