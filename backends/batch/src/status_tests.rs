//! Every answer of Batch about a job, and what longhaul makes of it.

use proptest::option::of;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ARN: &str = "arn:aws:batch:eu-west-1:123456789012:job/1";

fn facts(detail: Value) -> JobFacts {
    serde_json::from_value(detail).unwrap()
}

fn status(detail: Value) -> JobStatus {
    job_status(&facts(detail), "/aws/batch/job")
}

/// The class of the failure of a FAILED job that ran and of which Batch says this.
fn class(status_reason: &str, container: Value) -> FailureClass {
    let status = status(json!({
        "status": "FAILED", "statusReason": status_reason, "startedAt": 1, "stoppedAt": 2,
        "container": container,
    }));
    assert_eq!(status.state, JobState::Ended);
    status.failure.unwrap().class
}

#[test]
fn a_job_that_waits_is_pending_with_the_reason_of_batch() {
    for name in ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING"] {
        let reason = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested";
        let status = status(json!({"status": name, "statusReason": reason, "startedAt": 0}));
        assert_eq!(status.state, JobState::Pending, "{name}");
        assert_eq!(status.reason.as_deref(), Some(reason));
        assert_eq!(status.failure, None, "{name}");
        assert_eq!((status.exit_code, status.started_at), (None, None));
    }
}

#[test]
fn a_misconfiguration_is_reported_as_what_it_is_with_what_to_do() {
    for (reason, advice) in [
        (
            "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the CPU requirement of the job.",
            "maxvCpus",
        ),
        (
            "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that can be met by the CE(s) attached to the job queue.",
            "fewer vCPUs",
        ),
        (
            "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS - Batch service role has a permission issue.",
            "service role",
        ),
        (
            "MISCONFIGURATION:SOMETHING_NEW - words",
            "compute environments",
        ),
        (
            "ACTION_REQUIRED - CE(s) associated with the job queue are invalid.",
            "INVALID",
        ),
    ] {
        let status = status(json!({"status": "RUNNABLE", "statusReason": reason}));
        assert_eq!(status.state, JobState::Pending, "{reason}");
        let failure = status.failure.unwrap();
        assert_eq!(failure.class, FailureClass::FailedToStart, "{reason}");
        assert_eq!(failure.reason.as_deref(), Some(reason));
        assert!(failure.message.unwrap().contains(advice), "{reason}");
        assert_eq!(failure.exit_code, None);
    }
}

#[test]
fn a_running_job_is_running_with_its_start_and_its_logs() {
    let status = status(json!({
        "status": "RUNNING", "jobArn": ARN, "startedAt": 1_500, "stoppedAt": 0,
        "container": {"logStreamName": "worker/default/t", "exitCode": null},
    }));
    assert_eq!(status.state, JobState::Running);
    assert_eq!(status.failure, None);
    assert_eq!(
        status.started_at,
        Some(UNIX_EPOCH + Duration::from_millis(1_500))
    );
    assert_eq!(status.ended_at, None);
    let logs = status.logs.unwrap();
    assert!(
        logs.contains("$252Faws$252Fbatch$252Fjob/log-events/worker$252Fdefault$252Ft"),
        "{logs}"
    );
}

#[test]
fn the_log_group_of_the_job_wins_over_the_configured_one() {
    let status = status(json!({
        "status": "RUNNING", "jobArn": ARN,
        "container": {
            "logStreamName": "s",
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "own"}},
        },
    }));
    assert!(status.logs.unwrap().ends_with("log-group/own/log-events/s"));
}

#[test]
fn a_job_that_is_told_to_stop_and_still_there_is_stopping() {
    for name in ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"] {
        for flag in ["isCancelled", "isTerminated"] {
            let status = status(json!({"status": name, flag: true, "statusReason": "x"}));
            assert_eq!(status.state, JobState::Stopping, "{name}");
        }
    }
}

#[test]
fn a_job_that_ended_with_exit_code_0_and_no_callback_is_lost() {
    let status = status(json!({
        "status": "SUCCEEDED", "jobArn": ARN, "startedAt": 1, "stoppedAt": 2,
        "container": {"exitCode": 0, "logStreamName": "s"},
        "statusReason": "Essential container in task exited",
    }));
    assert_eq!(status.state, JobState::Ended);
    assert_eq!(status.exit_code, Some(0));
    assert_eq!(status.ended_at, Some(UNIX_EPOCH + Duration::from_millis(2)));
    let failure = status.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Lost);
    assert_eq!(failure.exit_code, Some(0));
    assert_eq!(failure.logs, status.logs);
    assert!(failure.logs.is_some());
}

#[test]
fn a_missing_exit_code_is_never_0() {
    let succeeded = status(json!({"status": "SUCCEEDED", "startedAt": 1, "container": {}}));
    assert_eq!(succeeded.exit_code, None);
    assert_eq!(succeeded.failure.unwrap().exit_code, None);
    assert_eq!(
        class("Essential container in task exited", json!({})),
        FailureClass::Lost
    );
}

#[test]
fn a_failed_job_is_classed_by_what_batch_and_ecs_say() {
    use FailureClass as C;
    let exited = "Essential container in task exited";
    for (reason, container, expected) in [
        (exited, json!({"exitCode": 3}), C::Failed),
        (exited, json!({"exitCode": 137}), C::Failed),
        (exited, json!({"exitCode": 0}), C::Lost),
        (
            exited,
            json!({"exitCode": 137, "reason": "OutOfMemoryError: Container killed due to memory usage"}),
            C::OutOfMemory,
        ),
        (
            exited,
            json!({"exitCode": 0, "reason": "OutOfMemoryError: Container killed due to memory usage"}),
            C::OutOfMemory,
        ),
        (
            "Host EC2 (instance i-0abc) terminated.",
            json!({}),
            C::Interrupted,
        ),
        (
            "Your Spot Task was interrupted.",
            json!({"exitCode": 143}),
            C::Interrupted,
        ),
        (
            "Job attempt duration exceeded timeout",
            json!({"exitCode": 137}),
            C::TimedOut,
        ),
        (
            "Task failed to start",
            json!({"reason": "CannotPullContainerError: pull image manifest has been retried 5 time(s)"}),
            C::FailedToStart,
        ),
        (
            "ResourceInitializationError: unable to pull secrets or registry auth",
            json!({}),
            C::FailedToStart,
        ),
        (
            "Task failed to start",
            json!({"reason": "DockerTimeoutError: Could not transition to created"}),
            C::FailedToStart,
        ),
        (
            "Container Overrides length must be at most 8192",
            json!({}),
            C::FailedToStart,
        ),
        (
            "Timeout waiting for network interface provisioning to complete.",
            json!({}),
            C::FailedToStart,
        ),
        (
            "Canceled by JobStateTimeLimit action due to reason: MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
            json!({}),
            C::FailedToStart,
        ),
        (
            "longhaul: the callback is closed",
            json!({"exitCode": 143}),
            C::Cancelled,
        ),
        (
            "longhaul: OutOfMemory is not why",
            json!({"exitCode": 143}),
            C::Cancelled,
        ),
    ] {
        assert_eq!(
            class(reason, container.clone()),
            expected,
            "{reason} {container}"
        );
    }
}

#[test]
fn a_job_that_somebody_else_terminated_is_cancelled() {
    let status = status(json!({
        "status": "FAILED", "statusReason": "not needed", "isTerminated": true, "startedAt": 1,
        "container": {"exitCode": 143},
    }));
    let failure = status.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Cancelled);
    assert_eq!(failure.exit_code, Some(143));
    assert!(failure.message.unwrap().contains("somebody else"));
}

#[test]
fn a_job_that_never_ran_failed_to_start() {
    let status = status(json!({"status": "FAILED", "startedAt": 0, "statusReason": "new words"}));
    let failure = status.failure.unwrap();
    assert_eq!(failure.class, FailureClass::FailedToStart);
    assert_eq!(failure.reason.as_deref(), Some("new words"));
    assert_eq!(status.started_at, None);
}

#[test]
fn what_only_the_attempt_knows_is_used_too_and_said_once() {
    let status = status(json!({
        "status": "FAILED", "jobArn": ARN, "statusReason": "Essential container in task exited",
        "attempts": [{
            "startedAt": 5, "statusReason": "Essential container in task exited",
            "container": {"exitCode": 4, "reason": "why", "logStreamName": "s"},
        }],
    }));
    assert_eq!(status.exit_code, Some(4));
    assert_eq!(
        status.reason.as_deref(),
        Some("Essential container in task exited; why")
    );
    assert_eq!(
        status.started_at,
        Some(UNIX_EPOCH + Duration::from_millis(5))
    );
    assert!(status.logs.is_some());
    assert_eq!(status.failure.unwrap().class, FailureClass::Failed);
}

#[test]
fn a_state_that_is_new_is_unknown() {
    let status = status(json!({"status": "PAUSED", "statusReason": "why"}));
    assert_eq!(status.state, JobState::Unknown);
    assert_eq!(status.reason.as_deref(), Some("why"));
    assert_eq!(status.failure, None);
}

proptest! {
    #[test]
    fn no_facts_break_the_mapping_or_invent_an_exit_code(
        state in proptest::sample::select(vec!["SUBMITTED", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED", "?"]),
        reason in of(any::<String>()), own in of(any::<i32>()), of_attempt in of(any::<i32>()),
        times in any::<(i64, i64)>(), flags in any::<(bool, bool)>(), text in of(any::<String>()),
    ) {
        let facts = facts(json!({
            "status": state, "statusReason": reason, "jobArn": text, "startedAt": times.0, "stoppedAt": times.1,
            "isCancelled": flags.0, "isTerminated": flags.1,
            "container": {"exitCode": own, "reason": text, "logStreamName": text},
            "attempts": [{"container": {"exitCode": of_attempt}}],
        }));
        let status = job_status(&facts, "g");
        prop_assert_eq!(status.exit_code, own.or(of_attempt));
        prop_assert_eq!(status.state == JobState::Ended, facts.status.is_over());
        if status.state == JobState::Ended {
            prop_assert_eq!(status.failure.unwrap().exit_code, status.exit_code);
        }
    }
}
