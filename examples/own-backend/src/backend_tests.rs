//! The backend over a queue that is a mock: what it asks, and what it makes of the answers.
#![allow(clippy::unwrap_used, reason = "tests")]

use longhaul_core::{JobName, JobSpec, Retry};
use mockall::predicate::eq;

use super::*;
use crate::queue::MockQueue;

fn attempt(spec: JobSpec) -> (Job, CallbackToken) {
    let token = CallbackToken::new("a-token").unwrap();
    let job = Job::new(spec, ExecutionId::from_arn("arn"), 1, &token);
    (job, token)
}

fn job() -> JobSpec {
    JobSpec::new(JobName::from_text("render")).with_command(["render", "7"])
}

fn over(queue: MockQueue) -> SpoolBackend {
    SpoolBackend::new(Arc::new(queue))
}

#[tokio::test]
async fn a_start_queues_command_and_environment_under_the_start_key() {
    let (job, token) = attempt(job());
    let key = job.start_key().to_string();
    let mut queue = MockQueue::new();
    let wanted = key.clone();
    queue
        .expect_submit()
        .once()
        .withf(move |ticket| {
            ticket.key == wanted
                && ticket.command == ["render", "7"]
                && ticket.environment["CALLBACK_ID"] == "a-token"
                && ticket.environment["AWS_REGION"] == "eu-west-1"
        })
        .returning(|_| Ok(()));
    let backend = over(queue).with_variable("AWS_REGION", "eu-west-1");
    let handle = backend.start(&job, &token).await.unwrap();
    assert_eq!(handle, JobHandle::new("spool", key));
}

#[tokio::test]
async fn what_can_never_run_is_refused_and_the_queue_not_asked() {
    let (without, token) = attempt(JobSpec::new(JobName::from_text("render")));
    let error = over(MockQueue::new()).start(&without, &token).await;
    assert_eq!(error.unwrap_err().kind(), BackendErrorKind::InvalidSpec);
    let (large, token) = attempt(job().with_input("x".repeat(MAX_STRING)));
    let error = over(MockQueue::new()).start(&large, &token).await;
    assert_eq!(error.unwrap_err().kind(), BackendErrorKind::TooLarge);
}

#[tokio::test]
async fn an_error_of_the_queue_says_what_may_be_tried_next_and_never_the_token() {
    for (came, kind, retry) in [
        (
            io::ErrorKind::PermissionDenied,
            BackendErrorKind::Denied,
            Retry::Never,
        ),
        (
            io::ErrorKind::StorageFull,
            BackendErrorKind::Capacity,
            Retry::OtherCapacity,
        ),
        (
            io::ErrorKind::Interrupted,
            BackendErrorKind::Ambiguous,
            Retry::SameToken,
        ),
    ] {
        let mut queue = MockQueue::new();
        queue.expect_submit().returning(move |_| Err(came.into()));
        let (job, token) = attempt(job());
        let error = over(queue).start(&job, &token).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{came:?}");
        assert!(error.to_string().contains("render"), "{error}");
        assert!(!format!("{error:?}").contains("a-token"), "{error:?}");
    }
}

#[tokio::test]
async fn a_cancel_tells_a_job_that_has_not_ended_and_no_other() {
    let ended = Stage::Ended(End {
        why: Why::Itself,
        exit_code: Some(0),
        signal: None,
    });
    for (stage, told, outcome) in [
        (None, 0, CancelOutcome::NotFound),
        (Some(ended), 0, CancelOutcome::AlreadyEnded),
        (Some(Stage::Waiting), 1, CancelOutcome::Cancelled),
        (Some(Stage::Running), 1, CancelOutcome::Cancelled),
    ] {
        let seen = stage.map(|stage| Seen {
            stage,
            told_to_end: false,
        });
        let mut queue = MockQueue::new();
        queue.expect_look().returning(move |_| Ok(seen.clone()));
        queue
            .expect_cancel()
            .times(told)
            .with(eq("ab"), eq("enough"))
            .returning(|_, _| Ok(()));
        let handle = JobHandle::new(NAME, "ab");
        assert_eq!(
            over(queue).cancel(&handle, "enough").await.unwrap(),
            outcome
        );
    }
}

#[tokio::test]
async fn an_end_that_nobody_reported_has_a_class_and_an_exit_code_only_where_there_was_one() {
    for (why, exit_code, signal, class) in [
        (Why::Itself, Some(3), None, Some(FailureClass::Failed)),
        (Why::Itself, Some(0), None, Some(FailureClass::Lost)),
        (Why::Itself, None, Some(9), Some(FailureClass::Lost)),
        (Why::Unseen, None, None, None),
        (
            Why::NotStarted("no such file".to_owned()),
            None,
            None,
            Some(FailureClass::FailedToStart),
        ),
        (
            Why::Cancelled("enough".to_owned()),
            None,
            Some(15),
            Some(FailureClass::Cancelled),
        ),
    ] {
        let end = End {
            why,
            exit_code,
            signal,
        };
        let seen = Seen {
            stage: Stage::Ended(end.clone()),
            told_to_end: false,
        };
        let mut queue = MockQueue::new();
        queue
            .expect_look()
            .returning(move |_| Ok(Some(seen.clone())));
        let handle = JobHandle::new(NAME, "ab");
        let status = over(queue).describe(&handle).await.unwrap();
        assert_eq!(status.state, JobState::Ended);
        assert_eq!((status.exit_code, status.signal), (exit_code, signal));
        let found = status.failure.map(|failure| failure.class);
        assert_eq!(found, class, "{end:?}");
    }
}

#[tokio::test]
async fn a_job_of_another_backend_is_not_ours() {
    let handle = JobHandle::new("process", "ab");
    let status = over(MockQueue::new()).describe(&handle).await.unwrap();
    assert_eq!(status, JobStatus::unknown());
}
