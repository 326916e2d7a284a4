//! Tests of the runner with a mocked backend, driven by the SDK's own local runner.

use std::sync::Mutex;

use aws_durable_execution_sdk::test_util::{LocalRunner, TestResult};
use longhaul_core::{
    FailureClass, JobFailure, JobName, JobState, JobStatus, MockComputeBackend, RetryPolicy,
};
use mockall::predicate::eq;
use serde_json::{Value, json};

use super::*;
use crate::durable::BoxError;

#[path = "runner_start_tests.rs"]
mod starts;

fn mock(name: &'static str) -> MockComputeBackend {
    let mut backend = MockComputeBackend::new();
    backend.expect_name().return_const(name.to_owned());
    backend
}

fn handle() -> JobHandle {
    JobHandle::new("mock", "job-1")
}

fn spec() -> JobSpec {
    JobSpec::new(JobName::new("hello").unwrap()).with_command(["hello"])
}

fn starts(backend: &mut MockComputeBackend, times: usize) {
    backend
        .expect_start()
        .times(times)
        .returning(|_, _| Ok(handle()));
}

async fn run(runner: JobRunner, local: LocalRunner, spec: JobSpec) -> TestResult<Value> {
    local
        .run(
            move |_: Value, ctx: DurableContext| {
                let (runner, spec) = (runner.clone(), spec.clone());
                async move {
                    let report = runner
                        .run::<Value>(&ctx, spec)
                        .await
                        .map_err(|error| typed(&error))?;
                    Ok(json!({"result": report.result, "attempts": report.attempts, "handle": report.handle.to_string()}))
                }
            },
            Value::Null,
        )
        .await
}

/// Type, message and data, which the SDK's test runner shows only as one message.
fn typed(error: &RunError) -> BoxError {
    format!(
        "{} | {} | {}",
        error.error_type(),
        error.error_message(),
        error.error_data().unwrap_or_default()
    )
    .into()
}

fn message(result: &TestResult<Value>) -> &str {
    result.error_message().expect("the execution failed")
}

#[tokio::test]
async fn a_job_that_succeeds_gives_its_result_and_the_recorded_handle() {
    let mut backend = mock("mock");
    starts(&mut backend, 1);
    let local = LocalRunner::new().callback_success(&json!({"frames": 7}));
    let result = run(JobRunner::new(Arc::new(backend)), local, spec()).await;
    assert_eq!(
        result.output(),
        Some(&json!({"result": {"frames": 7}, "attempts": 1, "handle": "mock:job-1"}))
    );
    assert_eq!(result.invocation_count(), 2);
    assert_eq!(result.operations().len(), 2, "{:?}", result.operations());
}

#[tokio::test]
async fn the_backend_that_the_job_names_is_the_one_called() {
    let mut chosen = mock("chosen");
    starts(&mut chosen, 1);
    let mut other = mock("other");
    other.expect_start().never();
    let runner = JobRunner::new(Arc::new(other)).with_backend(Arc::new(chosen), None);
    let mut spec = spec();
    spec.backend = Some("chosen".to_owned());
    let result = run(runner, LocalRunner::new().callback_success(&1), spec).await;
    assert!(result.is_success(), "{:?}", result.error_message());
}

#[tokio::test]
async fn the_first_backend_is_the_default() {
    let mut first = mock("first");
    starts(&mut first, 1);
    let mut second = mock("second");
    second.expect_start().never();
    let runner = JobRunner::new(Arc::new(first)).with_backend(Arc::new(second), None);
    let result = run(runner, LocalRunner::new().callback_success(&1), spec()).await;
    assert!(result.is_success(), "{:?}", result.error_message());
}

#[tokio::test]
async fn a_backend_that_is_not_enabled_is_refused_with_those_that_are() {
    let mut backend = mock("mock");
    backend.expect_start().never();
    let mut spec = spec();
    spec.backend = Some("batch".to_owned());
    let result = run(JobRunner::new(Arc::new(backend)), LocalRunner::new(), spec).await;
    assert!(
        message(&result).contains("Longhaul.UnknownBackend")
            && message(&result).contains("enabled: mock"),
        "{}",
        message(&result)
    );
}

#[tokio::test]
async fn a_job_that_can_never_run_is_not_started() {
    let mut backend = mock("mock");
    backend.expect_start().never();
    let runner = JobRunner::new(Arc::new(backend));
    let result = run(runner, LocalRunner::new(), spec().with_command([""])).await;
    assert!(
        message(&result).contains("Longhaul.InvalidJob"),
        "{}",
        message(&result)
    );
    assert!(result.operations().is_empty());
}

#[tokio::test]
async fn a_timeout_is_explained_and_the_recorded_handle_cancelled_once() {
    let mut backend = mock("mock");
    starts(&mut backend, 1);
    backend
        .expect_describe()
        .times(1)
        .with(eq(handle()))
        .returning(|_| Ok(JobStatus::new(JobState::Running)));
    backend
        .expect_cancel()
        .times(1)
        .withf(|job, reason| *job == handle() && reason.contains("callback is closed"))
        .returning(|_, _| Ok(CancelOutcome::Cancelled));
    let local = LocalRunner::new().callback_timeout();
    let runner = JobRunner::new(Arc::new(backend));
    let result = run(runner, local, spec().with_timeout(Duration::from_secs(60))).await;
    assert!(
        message(&result).contains("Longhaul.TimedOut | no result within 1m")
            && message(&result).contains("still running"),
        "{}",
        message(&result)
    );
}

#[tokio::test]
async fn the_reason_that_the_platform_knows_is_the_one_that_is_reported() {
    let mut backend = mock("mock");
    starts(&mut backend, 1);
    backend.expect_describe().times(1).returning(|_| {
        let mut status = JobStatus::new(JobState::Ended);
        status.logs = Some("https://logs/1".to_owned());
        status.failure = Some(
            JobFailure::new(FailureClass::OutOfMemory)
                .with_exit_code(137)
                .with_reason("OutOfMemoryError: container killed"),
        );
        Ok(status)
    });
    backend
        .expect_cancel()
        .times(1)
        .returning(|_, _| Ok(CancelOutcome::AlreadyEnded));
    let local = LocalRunner::new().callback_timeout();
    let result = run(JobRunner::new(Arc::new(backend)), local, spec()).await;
    let text = message(&result);
    for part in [
        "Longhaul.OutOfMemory",
        "137",
        "container killed",
        "https://logs/1",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn a_platform_that_cannot_be_asked_or_told_is_part_of_the_reason() {
    let mut backend = mock("mock");
    starts(&mut backend, 1);
    backend.expect_describe().times(1).returning(|_| {
        Err(BackendError::new(
            BackendErrorKind::Denied,
            "may not describe",
        ))
    });
    backend
        .expect_cancel()
        .times(1)
        .returning(|_, _| Err(BackendError::new(BackendErrorKind::Denied, "may not stop")));
    let local = LocalRunner::new().callback_timeout();
    let result = run(JobRunner::new(Arc::new(backend)), local, spec()).await;
    let text = message(&result);
    for part in ["Longhaul.TimedOut", "may not describe", "may not stop"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn an_attempt_that_failed_with_a_class_of_the_policy_is_followed_by_another() {
    let mut backend = mock("mock");
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&attempts);
    backend
        .expect_start()
        .times(2)
        .returning(move |job, token| {
            seen.lock().unwrap().push((job.attempt(), token.clone()));
            Ok(JobHandle::new("mock", format!("job-{}", job.attempt())))
        });
    backend.expect_describe().times(1).returning(|_| {
        let mut status = JobStatus::new(JobState::Ended);
        status.failure = Some(JobFailure::new(FailureClass::Interrupted));
        Ok(status)
    });
    backend
        .expect_cancel()
        .times(1)
        .returning(|_, _| Ok(CancelOutcome::AlreadyEnded));
    let local = LocalRunner::new()
        .callback_timeout()
        .callback_success(&"second");
    let result = run(JobRunner::new(Arc::new(backend)), local, spec()).await;
    assert_eq!(
        result.output(),
        Some(&json!({"result": "second", "attempts": 2, "handle": "mock:job-2"})),
        "{:?}",
        result.error_message()
    );
    let attempts = attempts.lock().unwrap();
    assert_eq!((attempts[0].0, attempts[1].0), (1, 2));
    assert_ne!(
        attempts[0].1, attempts[1].1,
        "each attempt has its own token"
    );
}

#[tokio::test]
async fn the_last_attempt_of_the_policy_is_the_last() {
    let mut backend = mock("mock");
    starts(&mut backend, 1);
    backend.expect_describe().returning(|_| {
        let mut status = JobStatus::new(JobState::Ended);
        status.failure = Some(JobFailure::new(FailureClass::Interrupted));
        Ok(status)
    });
    backend
        .expect_cancel()
        .times(1)
        .returning(|_, _| Ok(CancelOutcome::AlreadyEnded));
    let local = LocalRunner::new().callback_timeout();
    let runner = JobRunner::new(Arc::new(backend));
    let result = run(runner, local, spec().with_retry(RetryPolicy::never())).await;
    assert!(
        message(&result).contains("Longhaul.Interrupted"),
        "{}",
        message(&result)
    );
}

#[tokio::test]
async fn a_result_of_another_shape_says_where() {
    #[derive(Debug, serde::Deserialize)]
    struct Wanted {
        #[expect(dead_code, reason = "only its type matters")]
        frames: Vec<u32>,
    }
    let mut backend = mock("mock");
    starts(&mut backend, 1);
    let runner = JobRunner::new(Arc::new(backend));
    let result: TestResult<Value> = LocalRunner::new()
        .callback_success(&json!({"frames": [1, "two"]}))
        .run(
            move |_: Value, ctx: DurableContext| {
                let runner = runner.clone();
                async move {
                    let report = runner.run::<Wanted>(&ctx, spec()).await;
                    report.map(|_| Value::Null).map_err(|e| typed(&e))
                }
            },
            Value::Null,
        )
        .await;
    let text = message(&result);
    assert!(
        text.contains("Longhaul.InvalidResult") && text.contains("`frames[1]`"),
        "{text}"
    );
}

#[tokio::test]
async fn a_heartbeat_timeout_that_is_not_shorter_than_the_timeout_is_left_out() {
    let mut backend = mock("mock");
    backend.expect_start().times(1).returning(|job, _| {
        assert_eq!(job.heartbeat(), None);
        Ok(handle())
    });
    let runner = JobRunner::new(Arc::new(backend));
    let spec = spec().with_timeout(Duration::from_secs(10));
    let result = run(runner, LocalRunner::new().callback_success(&1), spec).await;
    assert!(result.is_success(), "{:?}", result.error_message());
}

#[tokio::test]
async fn every_job_of_an_execution_is_cancelled_on_every_backend_that_can_list() {
    let execution = ExecutionId::from_arn("arn");
    let mut first = mock("first");
    let wanted = execution.clone();
    first
        .expect_list()
        .times(1)
        .withf(move |e| *e == wanted)
        .returning(|_| {
            Ok(vec![
                JobHandle::new("first", "1"),
                JobHandle::new("first", "2"),
            ])
        });
    first.expect_cancel().times(2).returning(|_, reason| {
        assert_eq!(reason, "stopped");
        Ok(CancelOutcome::Cancelled)
    });
    let mut second = mock("second");
    second.expect_list().returning(|_| {
        Err(BackendError::new(
            BackendErrorKind::Unsupported,
            "cannot list",
        ))
    });
    let runner = JobRunner::new(Arc::new(first)).with_backend(Arc::new(second), None);
    let outcomes = runner.cancel_all(&execution, "stopped").await.unwrap();
    assert_eq!(outcomes.len(), 2);
}

#[tokio::test]
async fn a_backend_that_cannot_be_asked_does_not_keep_the_others_from_cancelling() {
    let mut broken = mock("broken");
    broken
        .expect_list()
        .returning(|_| Err(BackendError::new(BackendErrorKind::Unavailable, "down")));
    let mut works = mock("works");
    works.expect_list().returning(|_| Ok(vec![handle()]));
    works
        .expect_cancel()
        .times(1)
        .returning(|_, _| Ok(CancelOutcome::Cancelled));
    let runner = JobRunner::new(Arc::new(broken)).with_backend(Arc::new(works), None);
    let error = runner
        .cancel_all(&ExecutionId::from_arn("arn"), "x")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unavailable);
}

#[tokio::test]
async fn an_attempt_that_ran_out_of_memory_is_followed_by_one_with_more_up_to_the_ceiling() {
    let mut backend = mock("mock");
    let memory = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&memory);
    backend.expect_start().times(3).returning(move |job, _| {
        seen.lock().unwrap().push(job.spec().resources.memory_mib);
        Ok(handle())
    });
    backend.expect_describe().times(3).returning(|_| {
        let mut status = JobStatus::new(JobState::Ended);
        status.failure = Some(JobFailure::new(FailureClass::OutOfMemory));
        Ok(status)
    });
    backend
        .expect_cancel()
        .returning(|_, _| Ok(CancelOutcome::AlreadyEnded));
    let spec: JobSpec = serde_json::from_value(json!({
        "name": "hungry", "command": ["x"], "resources": {"memory_mib": 1000},
        "retry": {"attempts": 5, "more_memory": {"factor": 2, "max_mib": 3000}},
    }))
    .unwrap();
    let local = LocalRunner::new()
        .callback_timeout()
        .callback_timeout()
        .callback_timeout();
    let result = run(JobRunner::new(Arc::new(backend)), local, spec).await;
    assert!(message(&result).contains("Longhaul.OutOfMemory"));
    let memory = memory.lock().unwrap().clone();
    assert_eq!(memory, [Some(1000), Some(2000), Some(3000)]);
}

#[tokio::test]
async fn a_start_that_failed_for_a_passing_reason_is_tried_again_and_another_is_not() {
    for (reason, starts) in [("Rate exceeded", 2), ("manifest unknown", 1)] {
        let mut backend = mock("mock");
        self::starts(&mut backend, starts);
        backend.expect_describe().returning(move |_| {
            let failure = JobFailure::new(FailureClass::FailedToStart).with_reason(reason);
            let mut status = JobStatus::new(JobState::Ended);
            status.failure = Some(failure);
            Ok(status)
        });
        backend
            .expect_cancel()
            .returning(|_, _| Ok(CancelOutcome::AlreadyEnded));
        let local = LocalRunner::new().callback_timeout().callback_timeout();
        let retry: RetryPolicy = serde_json::from_value(json!({"attempts": 2})).unwrap();
        let spec = spec().with_retry(retry);
        let result = run(JobRunner::new(Arc::new(backend)), local, spec).await;
        assert!(message(&result).contains("Longhaul.FailedToStart"));
    }
}
