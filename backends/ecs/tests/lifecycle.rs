//! Describing, cancelling and listing over the wire.
#![allow(
    clippy::unwrap_used,
    reason = "tests panic where a promise is broken, also in their helpers"
)]

mod common;

use std::time::{Duration, UNIX_EPOCH};

use common::{backend, config, execution, hello, sdk, sdk_that_tries_once, token};
use longhaul_core::{
    BackendErrorKind, CancelOutcome, ComputeBackend, ExecutionId, FailureClass, Job, JobHandle,
    JobState, JobStatus,
};
use longhaul_ecs::EcsBackend;
use longhaul_fake_aws::ecs::{FakeEcs, Misbehaviour};

#[tokio::test]
async fn a_job_is_described_from_its_start_to_its_end() {
    let ecs = FakeEcs::start().await;
    let config = config().logs("/ecs/render", "jobs").build().unwrap();
    let backend = EcsBackend::from_sdk(config, &sdk(&ecs.url()).build());
    let token = token("life");
    let handle = backend.start(&hello(&token), &token).await.unwrap();
    let arn = handle.id();
    let describe = || async { backend.describe(&handle).await.unwrap() };
    let status = describe().await;
    assert_eq!(status.state, JobState::Pending);
    let logs = status.logs.unwrap();
    assert!(logs.contains("jobs$252Fworker$252F00000000"), "{logs}");

    ecs.run(arn);
    let status = describe().await;
    let at = |millis| Some(UNIX_EPOCH + Duration::from_millis(millis));
    assert_eq!(status.state, JobState::Running);
    assert_eq!(
        (status.started_at, status.ended_at),
        (at(1_793_000_000_500), None)
    );

    ecs.end(arn, "worker", Some(3));
    let status = describe().await;
    assert_eq!((status.state, status.exit_code), (JobState::Ended, Some(3)));
    assert_eq!(status.ended_at, at(1_793_000_060_500));
    let failure = status.failure.unwrap();
    assert_eq!(
        (failure.class, failure.exit_code),
        (FailureClass::Failed, Some(3))
    );
    assert_eq!(failure.logs.as_deref(), Some(logs.as_str()));

    ecs.forget(arn);
    let status = describe().await;
    assert_eq!((status.state, status.logs), (JobState::Unknown, Some(logs)));
}

#[tokio::test]
async fn a_missing_exit_code_stays_missing_over_the_wire() {
    let ecs = FakeEcs::start().await;
    let (backend, token) = (backend(sdk(&ecs.url())), token("gone"));
    let handle = backend.start(&hello(&token), &token).await.unwrap();
    ecs.end(handle.id(), "worker", None);
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.exit_code, None);
    assert_eq!(status.failure.unwrap().class, FailureClass::Lost);
}

#[tokio::test]
async fn a_cancel_is_idempotent_and_the_description_tells_of_it() {
    let ecs = FakeEcs::start().await;
    let (backend, token) = (backend(sdk(&ecs.url())), token("cancel"));
    let handle = backend.start(&hello(&token), &token).await.unwrap();
    ecs.run(handle.id());
    for _ in 0..2 {
        let outcome = backend.cancel(&handle, "the job timed out").await.unwrap();
        assert_eq!(outcome, CancelOutcome::Cancelled);
    }
    assert_eq!(
        ecs.asked_to_stop(handle.id()).await,
        "longhaul: the job timed out"
    );
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Stopping);
    assert_eq!(status.failure.unwrap().class, FailureClass::Cancelled);

    ecs.end(handle.id(), "worker", Some(143));
    let outcome = backend.cancel(&handle, "again").await.unwrap();
    assert_eq!(outcome, CancelOutcome::Cancelled);
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Ended);
    let failure = status.failure.unwrap();
    assert_eq!(
        (failure.class, failure.exit_code),
        (FailureClass::Cancelled, Some(143))
    );

    ecs.forget(handle.id());
    let outcome = backend.cancel(&handle, "again").await.unwrap();
    assert_eq!(outcome, CancelOutcome::NotFound);
}

#[tokio::test]
async fn a_cancel_of_a_job_that_ended_by_itself_changes_nothing() {
    let ecs = FakeEcs::start().await;
    let (backend, token) = (backend(sdk(&ecs.url())), token("ended"));
    let handle = backend.start(&hello(&token), &token).await.unwrap();
    ecs.end(handle.id(), "worker", Some(0));
    let outcome = backend.cancel(&handle, "too late").await.unwrap();
    assert_eq!(outcome, CancelOutcome::AlreadyEnded);
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.failure.unwrap().class, FailureClass::Lost);
}

#[tokio::test]
async fn a_job_that_never_was_is_neither_cancelled_nor_described_nor_an_error() {
    let ecs = FakeEcs::start().await;
    let backend = backend(sdk(&ecs.url()));
    for id in [
        "arn:aws:ecs:eu-west-1:123456789012:task/jobs/ffff",
        "unknown",
    ] {
        let handle = JobHandle::new("ecs", id);
        let outcome = backend.cancel(&handle, "clean up").await.unwrap();
        assert_eq!(outcome, CancelOutcome::NotFound);
        assert_eq!(
            backend.describe(&handle).await.unwrap(),
            JobStatus::unknown()
        );
    }
}

#[tokio::test]
async fn a_list_has_exactly_the_executions_tasks_that_may_still_run() {
    let ecs = FakeEcs::start().await;
    ecs.set_page_size(2);
    let backend = backend(sdk(&ecs.url()));
    let other = ExecutionId::from_arn("another");
    let mut handles = Vec::new();
    for number in 0..7 {
        let token = token(&format!("token-{number}"));
        handles.push(backend.start(&hello(&token), &token).await.unwrap());
    }
    let token = token("theirs");
    let spec = hello(&token).spec().clone();
    let theirs = Job::new(spec, other.clone(), 1, &token);
    let theirs = backend.start(&theirs, &token).await.unwrap();

    assert_eq!(backend.list(&execution()).await.unwrap(), handles);
    assert_eq!(ecs.requests("ListTasks").len(), 4);
    assert_eq!(backend.list(&other).await.unwrap(), [theirs]);

    backend.cancel(&handles[0], "enough").await.unwrap();
    ecs.end(handles[1].id(), "worker", Some(0));
    assert_eq!(backend.list(&execution()).await.unwrap(), handles[2..]);
    let nobody = ExecutionId::from_arn("nobody");
    assert_eq!(backend.list(&nobody).await.unwrap(), []);
}

#[tokio::test]
async fn looking_and_stopping_say_when_ecs_does_not_answer() {
    let ecs = FakeEcs::start().await;
    let backend = backend(sdk_that_tries_once(&ecs.url()));
    let handle = JobHandle::new("ecs", "arn:aws:ecs:eu-west-1:123456789012:task/jobs/ffff");
    for broken in [
        Misbehaviour::Cut,
        Misbehaviour::Garbage(200, "garbage"),
        Misbehaviour::Garbage(502, "<html>"),
        Misbehaviour::Refuse(500, "ServerException", "Service failure."),
    ] {
        for operation in ["DescribeTasks", "StopTask", "ListTasks"] {
            ecs.plan_always(operation, broken.clone());
        }
        let errors = [
            backend.describe(&handle).await.unwrap_err(),
            backend.cancel(&handle, "x").await.unwrap_err(),
            backend.list(&execution()).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(
                error.kind(),
                BackendErrorKind::Unavailable,
                "{broken:?}: {error:?}"
            );
        }
    }
}
