//! Tests of the handler with a mocked backend, over the embedded durable service.

use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::ErrorObject;
use longhaul_core::{
    CallbackResult, CallbackToken, CancelOutcome, FailureClass, JobFailure, JobHandle, JobName,
    JobState, JobStatus, MockComputeBackend,
};
use longhaul_emulator::Outcome;
use serde_json::json;

use super::*;
use crate::fan_out::tests::script::Script;
use crate::testing::Setup;
use crate::{FanOutReport, RunAllOptions};

async fn set_up(handler: Handler) -> Setup {
    let handle = move |event, ctx| {
        let handler = handler.clone();
        async move { handler.handle(event, ctx).await }
    };
    Setup::new(handle, |config| config).await
}

fn mock() -> MockComputeBackend {
    let mut backend = MockComputeBackend::new();
    backend.expect_name().return_const("mock".to_owned());
    backend
}

/// A backend whose job is known by its token, for the test to complete.
fn starting(tokens: &Arc<Mutex<Vec<CallbackToken>>>) -> MockComputeBackend {
    let mut backend = mock();
    let tokens = Arc::clone(tokens);
    backend.expect_start().times(1).returning(move |_, token| {
        tokens.lock().unwrap().push(token.clone());
        Ok(JobHandle::new("mock", "job-1"))
    });
    backend
}

fn handler(backend: MockComputeBackend) -> Handler {
    let default = JobSpec::new(JobName::new("sample").unwrap()).with_command(["work"]);
    Handler::new(JobRunner::new(Arc::new(backend)), Some(default))
}

async fn token(tokens: &Mutex<Vec<CallbackToken>>) -> String {
    tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let Some(token) = tokens.lock().unwrap().first() {
                return token.expose().to_owned();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap()
}

#[track_caller]
fn failure(outcome: Outcome) -> (String, String, Option<String>, bool) {
    let Outcome::Failed(error) = outcome else {
        panic!("{outcome:?}");
    };
    (
        error.error_type.unwrap(),
        error.error_message.unwrap(),
        error.error_data,
        error.stack_trace.is_some(),
    )
}

#[tokio::test]
async fn a_result_is_passed_on_as_the_job_wrote_it() {
    let tokens = Arc::default();
    let setup = set_up(handler(starting(&tokens))).await;
    let complete = async {
        let send = setup.client.send_durable_execution_callback_success();
        let result = Blob::new(r#"{"z": 1.50, "a": [1e3]}"#);
        let send = send.callback_id(token(&tokens).await).result(result).send();
        send.await.unwrap();
    };
    let event = json!({"message": "Test ECS task", "processingTime": 8});
    let (outcome, ()) = tokio::join!(setup.run(event), complete);
    let Outcome::Succeeded(Some(result)) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(result, r#"{"z": 1.50, "a": [1e3]}"#);
    setup.service.shutdown().await;
}

#[tokio::test]
async fn a_failure_that_the_worker_reports_is_the_executions() {
    let tokens = Arc::default();
    let setup = set_up(handler(starting(&tokens))).await;
    let reported = JobFailure::new(FailureClass::Failed)
        .with_message("disk on fire")
        .with_exit_code(3)
        .with_stderr("disk on fire\n");
    let complete = async {
        let error = ErrorObject::builder()
            .error_type(reported.error_type())
            .error_message(reported.error_message())
            .error_data(reported.error_data())
            .build();
        let send = setup.client.send_durable_execution_callback_failure();
        let send = send.callback_id(token(&tokens).await).error(error).send();
        send.await.unwrap();
    };
    let (outcome, ()) = tokio::join!(setup.run(json!({})), complete);
    let (error_type, message, data, _) = failure(outcome);
    let read = JobFailure::from_wire(Some(&error_type), Some(&message), data.as_deref());
    assert_eq!(read, reported);
    setup.service.shutdown().await;
}

#[tokio::test]
async fn silence_is_explained_by_the_platform_and_the_job_cancelled_once() {
    let tokens = Arc::default();
    let mut backend = starting(&tokens);
    backend.expect_describe().times(1).returning(|job| {
        assert_eq!(*job, JobHandle::new("mock", "job-1"));
        let mut status = JobStatus::new(JobState::Ended);
        status.failure = Some(
            JobFailure::new(FailureClass::OutOfMemory)
                .with_exit_code(137)
                .with_logs("https://logs".to_owned()),
        );
        Ok(status)
    });
    backend.expect_cancel().times(1).returning(|job, _| {
        assert_eq!(*job, JobHandle::new("mock", "job-1"));
        Ok(CancelOutcome::AlreadyEnded)
    });
    let setup = set_up(handler(backend)).await;
    let job = json!({"name": "a", "command": ["x"], "timeout": "60s", "heartbeat": "1s"});
    let (error_type, message, data, stack) = failure(setup.run(job).await);
    assert_eq!(error_type, "Longhaul.OutOfMemory");
    assert!(message.contains("no heartbeat for 1s"), "{message}");
    let data: Value = serde_json::from_str(&data.unwrap()).unwrap();
    assert_eq!(data, json!({"exit_code": 137, "logs": "https://logs"}));
    assert!(!stack, "our own stack is nobody's business");
    setup.service.shutdown().await;
}

#[tokio::test]
async fn an_event_that_no_job_can_be_made_of_fails_the_execution_and_starts_nothing() {
    let mut backend = mock();
    backend.expect_start().never();
    let setup = set_up(handler(backend)).await;
    let (error_type, message, ..) = failure(setup.run(json!(["a list"])).await);
    assert_eq!(error_type, "Longhaul.InvalidEvent");
    assert!(message.contains("an array, not an object"), "{message}");
    let spec = json!({"name": "a", "command": ["x"], "timeuot": "1s"});
    let (error_type, message, ..) = failure(setup.run(spec).await);
    assert_eq!(error_type, "Longhaul.InvalidEvent");
    assert!(message.contains("timeuot"), "{message}");
    setup.service.shutdown().await;
}

#[tokio::test]
async fn a_start_that_is_refused_fails_the_execution_with_the_backends_words() {
    let mut backend = mock();
    backend.expect_start().times(1).returning(|_, _| {
        Err(longhaul_core::BackendError::new(
            longhaul_core::BackendErrorKind::Denied,
            "run a task: the role lacks ecs:RunTask",
        ))
    });
    backend.expect_cancel().never();
    let setup = set_up(handler(backend)).await;
    let (error_type, message, ..) = failure(setup.run(json!({})).await);
    assert_eq!(error_type, "Longhaul.Backend.Denied");
    assert!(message.contains("ecs:RunTask"), "{message}");
    setup.service.shutdown().await;
}

#[tokio::test]
async fn more_jobs_than_an_execution_holds_each_run_once_in_executions_of_the_handler_itself() {
    let jobs = Script::default();
    let runner = JobRunner::new(Arc::new(jobs.clone()));
    let setup = set_up(Handler::new(runner, None)).await;
    jobs.client(setup.client.clone());
    let all = MAX_JOBS + 10;
    let fan_out = FanOut {
        job: JobSpec::new(JobName::from_text("same")),
        inputs: (0..all).map(|n| json!({"give": n})).collect(),
        options: RunAllOptions::new().at_once(100),
    };
    let Outcome::Succeeded(Some(text)) = setup.run(fan_out.event().unwrap()).await else {
        panic!("it has no result");
    };
    let report: FanOutReport<CallbackResult> = serde_json::from_str(&text).unwrap();
    assert!(report.met && !report.ended_early);
    let results = report.results().map(|(index, result)| {
        let told: usize = result.encode().parse().unwrap();
        (index, told)
    });
    assert!(results.eq((0..all).map(|index| (index, index))));
    jobs.state(|state| {
        assert_eq!(state.starts.len(), all, "each has its own token");
        assert!(state.starts.values().all(|times| *times == 1));
    });
    setup.service.shutdown().await;
}
