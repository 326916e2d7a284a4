//! The reconciler over loopback: the binaries that are deployed, the embedded durable service, and
//! servers that play ECS and Batch.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

mod callbacks;
mod function;
mod stage;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use function::Function;
use longhaul_ecs::EcsBackend;
use longhaul_emulator::Outcome;
use longhaul_fake_aws::ecs::Misbehaviour;
use longhaul_lambda::JobRunner;
use longhaul_lambda::reconciler::{Clock, EcsEvents, LambdaCallbacks, Reconciled, Reconciler};
use serde_json::{Value, json};
use stage::{Stage, ecs_config};
use tokio::sync::Notify;

/// The type and the data of a failed execution's error.
#[track_caller]
fn failure(outcome: Outcome) -> (String, Value) {
    let Outcome::Failed(error) = outcome else {
        panic!("{outcome:?}");
    };
    let data = serde_json::from_str(&error.error_data.unwrap()).unwrap();
    (error.error_type.unwrap(), data)
}

#[tokio::test]
async fn a_job_that_dies_without_a_word_fails_its_execution_in_seconds_with_the_right_class() {
    let stage = Stage::set().await;
    let function = Function::start(&stage.variables("0s")).await;
    let exited = "Essential container in task exited";
    for (number, (worker, error_type, data)) in [
        (
            json!({"exitCode": 3}),
            "Longhaul.Failed",
            json!({"exit_code": 3, "reason": exited}),
        ),
        (json!({}), "Longhaul.Lost", json!({"reason": exited})),
        (
            json!({"exitCode": 0}),
            "Longhaul.Lost",
            json!({"exit_code": 0, "reason": exited}),
        ),
        (
            json!({"exitCode": 137, "reason": "OutOfMemoryError: killed"}),
            "Longhaul.OutOfMemory",
            json!({"exit_code": 137, "reason": format!("{exited}; OutOfMemoryError: killed")}),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let job = stage.job(number + 1).await;
        let event = stage.end(&job, &worker);
        let done = function.invoke(event.clone()).await.unwrap();
        assert_eq!(done["did"], "callback_failed");
        assert_eq!(done["error_type"], error_type);
        assert_eq!(
            failure(stage.outcome(&job.execution).await),
            (error_type.to_owned(), data)
        );

        let again = function.invoke(event).await.unwrap();
        assert_eq!(
            again["did"], "callback_closed",
            "an event that comes twice does nothing"
        );
        let log = function.log();
        assert!(!job.is_shown_in(&log), "{log}");
        assert!(log.contains("its callback is failed"), "{log}");
    }
    assert_eq!(
        stage.ecs.tasks().len(),
        4,
        "the handler started each job once"
    );
    stage.service.shutdown().await;
}

#[tokio::test]
async fn a_batch_job_that_dies_without_a_word_fails_its_execution_too() {
    let stage = Stage::set().await;
    let function = Function::start(&stage.variables("0s")).await;
    for (number, (status, exit_code, error_type)) in [
        ("FAILED", 1, "Longhaul.Failed"),
        ("SUCCEEDED", 0, "Longhaul.Lost"),
    ]
    .into_iter()
    .enumerate()
    {
        let (execution, job) = stage.batch_job(number + 1).await;
        let event = stage.end_batch(&job, status, exit_code);
        let done = function.invoke(event).await.unwrap();
        assert_eq!(done["error_type"], error_type, "{done}");
        let data = json!({"exit_code": exit_code, "reason": "Essential container in task exited"});
        assert_eq!(
            failure(stage.outcome(&execution).await),
            (error_type.to_owned(), data)
        );
    }
    stage.service.shutdown().await;
}

#[tokio::test]
async fn the_batch_jobs_of_a_stopped_execution_are_stopped() {
    let stage = Stage::set().await;
    let function = Function::start(&stage.variables("0s")).await;
    let (execution, job) = stage.batch_job(1).await;
    let event = stage.stop(&execution).await;
    let done = function.invoke(event).await.unwrap();
    assert_eq!(done["stopped"], 1, "{done}");
    let calls = stage.batch.calls("terminatejob");
    assert_eq!(
        calls,
        [json!({"jobId": job["jobId"], "reason": "longhaul: the durable execution was stopped"})]
    );
    stage.service.shutdown().await;
}

#[tokio::test]
async fn the_jobs_of_a_stopped_execution_are_stopped() {
    let stage = Stage::set().await;
    let function = Function::start(&stage.variables("0s")).await;
    let job = stage.job(1).await;
    let other = stage.job(2).await;
    let event = stage.stop(&job.execution).await;

    stage.ecs.plan(
        "StopTask",
        Misbehaviour::Refuse(400, "AccessDeniedException", "not authorized"),
    );
    let refused = function.invoke(event.clone()).await.unwrap_err();
    assert_eq!(refused["errorType"], "Longhaul.Reconciler.Jobs");
    let message = refused["errorMessage"].as_str().unwrap();
    assert!(message.contains("ecs:StopTask"), "{message}");

    let done = function.invoke(event.clone()).await.unwrap();
    assert_eq!(
        (&done["did"], &done["stopped"]),
        (&json!("jobs_stopped"), &json!(1))
    );
    let reason = stage.ecs.asked_to_stop(&job.task.arn).await;
    assert_eq!(reason, "longhaul: the durable execution was stopped");
    assert!(stage.ecs.wants_to_run(&other.task.arn));

    let again = function.invoke(event).await.unwrap();
    assert_eq!(again["stopped"], 0);
    // What the stop then brings about: the task's own event, for a callback that is closed.
    let stopped = stage.end(&job, &json!({"exitCode": 143}));
    let done = function.invoke(stopped).await.unwrap();
    assert_eq!(done["did"], "callback_closed");
    stage.service.shutdown().await;
}

#[tokio::test]
async fn a_malformed_event_fails_the_invocation_and_leaves_the_function_at_work() {
    let stage = Stage::set().await;
    let function = Function::start(&stage.variables("0s")).await;
    let job = stage.job(1).await;
    let event = stage.end(&job, &json!({"exitCode": 1}));
    let mut malformed = event.clone();
    malformed["detail"]["overrides"]["containerOverrides"][0]["environment"] = json!(job.token());

    let refused = function.invoke(malformed).await.unwrap_err();
    assert_eq!(
        refused,
        json!({
            "errorType": "Longhaul.Reconciler.Malformed",
            "errorMessage": "the event is malformed: `detail.overrides.containerOverrides[0].environment`: expected a sequence",
        })
    );
    let log = function.log();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("the event was not handled"))
        .collect();
    let [line] = lines.as_slice() else {
        panic!("{log}");
    };
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["fields"]["event"], event["id"]);
    assert_eq!(line["fields"]["detail_type"], event["detail-type"]);
    assert!(!job.is_shown_in(&log), "{log}");

    assert!(function.invoke(event).await.is_ok());
    stage.service.shutdown().await;
}

#[tokio::test]
async fn a_wrong_configuration_ends_the_function_with_2_and_says_all_that_is_wrong() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_longhaul-reconciler"))
        .env_clear()
        .env("LONGHAUL_BACKEND", "ecs,batch")
        .env("LONGHAUL_RECONCILER_GRACE", "soon")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    for variable in [
        "ECS_CLUSTER",
        "BATCH_JOB_QUEUE",
        "LONGHAUL_RECONCILER_GRACE",
    ] {
        assert!(text.contains(variable), "{text}");
    }
}

/// A clock whose time passes when the test says so.
#[derive(Debug, Default)]
struct HeldClock {
    asleep: Notify,
    awake: Notify,
}

#[async_trait]
impl Clock for HeldClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    async fn sleep(&self, _: Duration) {
        self.asleep.notify_one();
        self.awake.notified().await;
    }
}

/// A reconciler in this process, with the default grace.
fn reconciler(stage: &Stage, clock: &Arc<HeldClock>) -> Reconciler {
    let sdk = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .build();
    let backend = EcsBackend::from_sdk(ecs_config(), &sdk);
    let callbacks = LambdaCallbacks::new(stage.client());
    Reconciler::new(JobRunner::new(Arc::new(backend)), Arc::new(callbacks))
        .with_events(Arc::new(EcsEvents::new(ecs_config())))
        .with_clock(Arc::clone(clock) as Arc<dyn Clock>)
}

/// The result of a job that the event came before or after.
#[track_caller]
fn result(outcome: Outcome) -> Value {
    let Outcome::Succeeded(Some(result)) = outcome else {
        panic!("{outcome:?}");
    };
    serde_json::from_str(&result).unwrap()
}

#[tokio::test]
async fn an_event_that_overtakes_the_jobs_success_does_not_lose_it() {
    let stage = Stage::set().await;
    let clock = Arc::new(HeldClock::default());
    let reconciler = reconciler(&stage, &clock);
    let job = stage.job(1).await;
    let event = stage.end(&job, &json!({"exitCode": 0}));

    let handled = tokio::spawn(async move { reconciler.handle(event).await });
    clock.asleep.notified().await;
    stage.succeed(&job, &json!({"frames": 7})).await;
    clock.awake.notify_one();

    let done = handled.await.unwrap().unwrap();
    assert!(
        matches!(done, Reconciled::CallbackClosed { .. }),
        "{done:?}"
    );
    assert_eq!(
        result(stage.outcome(&job.execution).await),
        json!({"frames": 7})
    );
    stage.service.shutdown().await;
}

#[tokio::test]
async fn an_event_that_comes_after_the_jobs_success_changes_nothing_and_waits_for_nothing() {
    let stage = Stage::set().await;
    // It never wakes.
    let reconciler = reconciler(&stage, &Arc::default());
    let job = stage.job(1).await;
    stage.succeed(&job, &json!({"frames": 7})).await;
    let event = stage.end(&job, &json!({"exitCode": 0}));
    let handled = tokio::time::timeout(Duration::from_secs(60), reconciler.handle(event));
    let done = handled.await.unwrap().unwrap();
    assert!(
        matches!(done, Reconciled::CallbackClosed { .. }),
        "{done:?}"
    );
    assert_eq!(
        result(stage.outcome(&job.execution).await),
        json!({"frames": 7})
    );
    stage.service.shutdown().await;
}
