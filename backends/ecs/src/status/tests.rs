//! The table of what ECS says and what that makes of the job.

use std::time::{Duration, UNIX_EPOCH};

use FailureClass::{Cancelled, Failed, FailedToStart, Interrupted, Lost, OutOfMemory};

use super::*;
use crate::facts::StopCode;
use crate::testing::{TASK, builder, config};

fn container(name: &str, exit_code: Option<i32>, reason: Option<&str>) -> ContainerFacts {
    ContainerFacts {
        name: Some(name.to_owned()),
        exit_code,
        reason: reason.map(str::to_owned),
    }
}

fn stopped(code: Option<&str>, reason: &str, containers: Vec<ContainerFacts>) -> TaskFacts {
    TaskFacts {
        task_arn: Some(TASK.to_owned()),
        last_status: Some("STOPPED".to_owned()),
        desired_status: Some("STOPPED".to_owned()),
        stop_code: code.map(|code| StopCode::from(code.to_owned())),
        stopped_reason: Some(reason.to_owned()),
        containers,
        ..TaskFacts::default()
    }
}

const EXITED: Option<&str> = Some("EssentialContainerExited");
const ESSENTIAL: &str = "Essential container in task exited";
const NOT_STARTED: Option<&str> = Some("TaskFailedToStart");
const OOM: Option<&str> = Some("OutOfMemoryError: Container killed due to memory usage");

/// Task facts with the class, the exit code, and a part of the message, empty where there is none.
fn check(facts: &TaskFacts, class: FailureClass, exit_code: Option<i32>, part: &str) {
    let status = job_status(facts, &config());
    assert_eq!(status.state, JobState::Ended);
    let failure = status.failure.unwrap();
    let message = failure.message.clone().unwrap_or_default();
    assert_eq!(failure.class, class, "{facts:?}");
    assert_eq!(failure.exit_code, exit_code, "{facts:?}");
    assert_eq!(status.exit_code, exit_code);
    assert_eq!(part.is_empty(), message.is_empty(), "{message}");
    assert!(message.contains(part), "{message}");
    assert_eq!(failure.reason, status.reason);
    assert_eq!(failure.logs, status.logs);
}

#[test]
fn a_task_that_failed_to_start_says_what_to_check() {
    for (reason, part) in [
        (
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref: not found",
            "image",
        ),
        (
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed",
            "secrets",
        ),
        (
            "ResourceInitializationError: failed to fetch secret x from secrets manager: AccessDeniedException",
            "secrets",
        ),
        (
            "Timeout waiting for network interface provisioning to complete.",
            "network interface",
        ),
        (
            "ResourceInitializationError: failed to initialize logging driver: no such log group",
            "logs",
        ),
        (
            "Capacity is unavailable at this time. Please try again later or in a different availability zone",
            "no capacity",
        ),
        (
            "CannotStartContainerError: exec: \"render\": executable file not found in $PATH",
            "command",
        ),
        (
            "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes",
            "volume",
        ),
        ("Task failed to start", ""),
    ] {
        check(
            &stopped(NOT_STARTED, reason, vec![]),
            FailedToStart,
            None,
            part,
        );
    }
}

#[test]
fn a_container_that_never_ran_failed_to_start_whatever_the_code() {
    let pulled = container("worker", None, Some("CannotPullContainerError: not found"));
    check(
        &stopped(EXITED, ESSENTIAL, vec![pulled]),
        FailedToStart,
        None,
        "image",
    );
    let reason = "ResourceInitializationError: unable to pull secrets";
    check(
        &stopped(None, reason, vec![]),
        FailedToStart,
        None,
        "secrets",
    );
}

#[test]
fn out_of_memory_is_told_by_the_reason_with_any_exit_code_or_none() {
    for exit_code in [Some(137), Some(0), Some(1), None] {
        let worker = container("worker", exit_code, OOM);
        let facts = stopped(EXITED, ESSENTIAL, vec![worker]);
        check(&facts, OutOfMemory, exit_code, "resources.memory_mib");
    }
    let reason = "OutOfMemoryError: Container killed due to memory usage";
    check(&stopped(None, reason, vec![]), OutOfMemory, None, "memory");
}

#[test]
fn a_neighbour_that_ran_out_of_memory_took_the_worker_with_it() {
    let facts = |exit_code| {
        let containers = vec![
            container("worker", exit_code, None),
            container("proxy", Some(137), OOM),
        ];
        stopped(EXITED, ESSENTIAL, containers)
    };
    check(&facts(Some(143)), OutOfMemory, Some(143), "`proxy`");
    check(&facts(None), OutOfMemory, None, "`proxy`");
    check(
        &facts(Some(3)),
        Failed,
        Some(3),
        "`proxy` ended with exit code 137",
    );
}

#[test]
fn an_interruption_is_the_platforms_doing() {
    for (code, reason, part) in [
        (
            "SpotInterruption",
            "Your Spot Task was interrupted.",
            "Spot",
        ),
        (
            "TerminationNotice",
            "ECS is performing maintenance on the underlying infrastructure hosting the task.",
            "retired",
        ),
        (
            "InfrastructureHealth",
            "The host is impaired.",
            "not healthy",
        ),
        (
            "ServiceSchedulerInitiated",
            "Scaling activity initiated by deployment ecs-svc/1",
            "service",
        ),
    ] {
        for exit_code in [Some(143), Some(137), Some(0), None] {
            let worker = container("worker", exit_code, None);
            check(
                &stopped(Some(code), reason, vec![worker]),
                Interrupted,
                exit_code,
                part,
            );
        }
    }
    let spot = stopped(None, "Your Spot Task was interrupted.", vec![]);
    check(&spot, Interrupted, None, "Spot");
}

#[test]
fn a_task_that_was_stopped_on_purpose_is_cancelled_and_a_stranger_is_named_as_such() {
    let worker = || vec![container("worker", Some(143), None)];
    let ours = stopped(
        Some("UserInitiated"),
        "longhaul: the job timed out",
        worker(),
    );
    check(&ours, Cancelled, Some(143), "");
    check(
        &stopped(None, "longhaul: clean up", vec![]),
        Cancelled,
        None,
        "",
    );
    let theirs = stopped(Some("UserInitiated"), "Task stopped by user", worker());
    check(
        &theirs,
        Cancelled,
        Some(143),
        "somebody other than longhaul",
    );
}

#[test]
fn a_worker_that_ended_by_itself_failed_with_its_code_or_is_lost() {
    let ended = |exit_code| {
        stopped(
            EXITED,
            ESSENTIAL,
            vec![container("worker", exit_code, None)],
        )
    };
    check(&ended(Some(3)), Failed, Some(3), "");
    check(&ended(Some(137)), Failed, Some(137), "does not say by whom");
    check(
        &ended(Some(0)),
        Lost,
        Some(0),
        "did not complete its callback",
    );
    check(&ended(None), Lost, None, "left no exit code");
}

#[test]
fn a_missing_exit_code_is_never_0() {
    for containers in [
        vec![],
        vec![container("worker", None, None)],
        vec![container("a", Some(0), None), container("b", Some(0), None)],
    ] {
        for code in [
            EXITED,
            NOT_STARTED,
            Some("UserInitiated"),
            Some("NewCode"),
            None,
        ] {
            let status = job_status(&stopped(code, "x", containers.clone()), &config());
            assert_eq!(status.exit_code, None);
            assert_eq!(status.failure.unwrap().exit_code, None);
        }
    }
}

#[test]
fn the_exit_code_is_the_workers_and_a_neighbours_is_told() {
    let containers = vec![
        container("proxy", Some(1), None),
        container("worker", None, None),
    ];
    check(
        &stopped(EXITED, ESSENTIAL, containers),
        Lost,
        None,
        "`proxy` ended with exit code 1",
    );
}

#[test]
fn a_task_with_one_container_has_no_doubt_which_it_is() {
    let renamed = vec![container("app", Some(3), None)];
    check(&stopped(EXITED, ESSENTIAL, renamed), Failed, Some(3), "");
}

#[test]
fn a_code_that_is_new_is_judged_by_the_exit_code() {
    let facts = |exit_code| {
        stopped(
            Some("NewCode"),
            "",
            vec![container("worker", exit_code, None)],
        )
    };
    check(&facts(Some(3)), Failed, Some(3), "");
    check(&facts(None), Lost, None, "no exit code");
    assert_eq!(
        job_status(&facts(None), &config()).reason.as_deref(),
        Some("NewCode")
    );
}

#[test]
fn every_status_of_a_task_is_a_state() {
    for (last, desired, state) in [
        ("PROVISIONING", "RUNNING", JobState::Pending),
        ("PENDING", "RUNNING", JobState::Pending),
        ("ACTIVATING", "RUNNING", JobState::Pending),
        ("RUNNING", "RUNNING", JobState::Running),
        ("PENDING", "STOPPED", JobState::Stopping),
        ("RUNNING", "STOPPED", JobState::Stopping),
        ("DEACTIVATING", "STOPPED", JobState::Stopping),
        ("STOPPING", "STOPPED", JobState::Stopping),
        ("DEPROVISIONING", "STOPPED", JobState::Stopping),
        ("STOPPED", "STOPPED", JobState::Ended),
        ("DELETED", "STOPPED", JobState::Ended),
        ("NEW", "RUNNING", JobState::Unknown),
    ] {
        let facts = TaskFacts {
            last_status: Some(last.to_owned()),
            desired_status: Some(desired.to_owned()),
            ..TaskFacts::default()
        };
        let status = job_status(&facts, &config());
        assert_eq!(status.state, state, "{last} {desired}");
        assert_eq!(
            status.failure.is_some(),
            state == JobState::Ended,
            "{last} {desired}"
        );
    }
    assert_eq!(
        job_status(&TaskFacts::default(), &config()).state,
        JobState::Unknown
    );
}

#[test]
fn a_task_that_waits_says_for_what() {
    let facts = TaskFacts {
        last_status: Some("PROVISIONING".to_owned()),
        ..TaskFacts::default()
    };
    assert_eq!(
        job_status(&facts, &config()).reason.as_deref(),
        Some("PROVISIONING")
    );
}

#[test]
fn a_task_that_is_stopping_says_why_where_that_is_settled() {
    let stopping = |code: Option<&str>, reason: &str, exit_code| TaskFacts {
        last_status: Some("DEPROVISIONING".to_owned()),
        ..stopped(code, reason, vec![container("worker", exit_code, None)])
    };
    let class = |facts: &TaskFacts| job_status(facts, &config()).failure.map(|f| f.class);
    let spot = stopping(
        Some("SpotInterruption"),
        "Your Spot Task was interrupted.",
        None,
    );
    assert_eq!(class(&spot), Some(Interrupted));
    let ours = stopping(Some("UserInitiated"), "longhaul: timeout", None);
    assert_eq!(class(&ours), Some(Cancelled));
    assert_eq!(class(&stopping(EXITED, ESSENTIAL, Some(3))), Some(Failed));
    // The exit code may still come.
    assert_eq!(class(&stopping(EXITED, ESSENTIAL, None)), None);
}

#[test]
fn the_reason_holds_the_words_of_the_task_and_of_the_worker() {
    let words = |task: &str, worker: Option<&str>| {
        let facts = stopped(EXITED, task, vec![container("worker", Some(1), worker)]);
        job_status(&facts, &config()).reason
    };
    assert_eq!(words("a", Some("b")).as_deref(), Some("a; b"));
    assert_eq!(words("a", Some("a")).as_deref(), Some("a"));
    assert_eq!(words("", Some("b")).as_deref(), Some("b"));
    assert_eq!(words("a", None).as_deref(), Some("a"));
}

#[test]
fn a_status_carries_times_and_the_link_to_the_logs() {
    let facts = TaskFacts {
        started_at: Some(UNIX_EPOCH + Duration::from_secs(1)),
        stopped_at: Some(UNIX_EPOCH + Duration::from_secs(2)),
        ..stopped(EXITED, ESSENTIAL, vec![])
    };
    let status = job_status(&facts, &config());
    assert_eq!(status.started_at, facts.started_at);
    assert_eq!(status.ended_at, facts.stopped_at);
    assert_eq!(
        status.logs.as_deref(),
        Some(
            "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Fecs$252Frender/log-events/jobs$252Fworker$252F0123456789abcdef0123456789abcdef"
        )
    );
    let silent = crate::EcsConfig::builder("jobs", "render")
        .subnets(["subnet-1"])
        .security_groups(["sg-1"])
        .build()
        .unwrap();
    assert_eq!(job_status(&facts, &silent).logs, None);
    let renamed = builder().container("app").build().unwrap();
    let logs = job_status(&facts, &renamed).logs.unwrap();
    assert!(logs.contains("$252Fapp$252F"), "{logs}");
}
