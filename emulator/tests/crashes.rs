//! The service killed with SIGKILL, and started again on the same state: nothing accepted is lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use std::time::{Duration, Instant};

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{EventType, ExecutionStatus, InvocationType};
use serde_json::{Value, json};
use support::service::ServiceProcess;
use support::{client, ended, event, history, invoke, suspended_callback, types, until};

#[tokio::test]
async fn a_callback_completed_after_the_crash_still_wakes_the_execution_on_the_same_port() {
    let state = tempfile::tempdir().unwrap();
    let service = ServiceProcess::start(state.path());
    let url = service.url.clone();
    let client = client(&url);
    let arn = invoke(&client, json!({"do": "callback"})).await;
    let id = suspended_callback(&client, &arn).await;
    service.kill();
    // A worker that keeps trying while the service is away.
    let worker = tokio::spawn({
        let client = client.clone();
        async move {
            until("the delivery", || async {
                client
                    .send_durable_execution_callback_success()
                    .callback_id(&id)
                    .result(Blob::new("9"))
                    .send()
                    .await
                    .ok()
            })
            .await;
        }
    });
    let service = ServiceProcess::start(state.path());
    assert_eq!(
        service.url, url,
        "workers that were started before know the old address"
    );
    worker.await.unwrap();
    assert_eq!(
        ended(&client, &arn).await,
        (ExecutionStatus::Succeeded, json!(9))
    );
}

#[tokio::test]
async fn waits_and_timeouts_are_kept_across_a_crash() {
    let state = tempfile::tempdir().unwrap();
    let service = ServiceProcess::start(state.path());
    let began = Instant::now();
    let client = client(&service.url);
    let wait = invoke(&client, json!({"do": "greet"})).await;
    let callback = invoke(&client, json!({"do": "callback", "timeout": 2})).await;
    event(&client, &wait, EventType::InvocationCompleted).await;
    event(&client, &callback, EventType::InvocationCompleted).await;
    service.kill();
    let _service = ServiceProcess::start(state.path());
    assert_eq!(
        ended(&client, &wait).await,
        (ExecutionStatus::Succeeded, json!("hello, world"))
    );
    assert_eq!(ended(&client, &callback).await.0, ExecutionStatus::Failed);
    assert!(began.elapsed() >= Duration::from_secs(2), "not early");
    event(&client, &callback, EventType::CallbackTimedOut).await;
}

#[tokio::test]
async fn an_invocation_in_flight_is_done_again_with_a_new_token_and_recorded_steps_are_not() {
    let state = tempfile::tempdir().unwrap();
    let service = ServiceProcess::start(state.path());
    let client = client(&service.url);
    // Writes one step, then waits in the middle of its invocation until the test lets it go on.
    let marker = state.path().join("go");
    let arn = invoke(&client, json!({"do": "hold", "marker": marker})).await;
    event(&client, &arn, EventType::StepSucceeded).await;
    service.kill();
    let _service = ServiceProcess::start(state.path());
    std::fs::write(&marker, "").unwrap();
    assert_eq!(
        ended(&client, &arn).await,
        (ExecutionStatus::Succeeded, json!("held"))
    );
    let events = history(&client, &arn).await;
    assert_eq!(
        types(&events),
        [
            "ExecutionStarted",
            "StepStarted",
            "StepSucceeded",
            "InvocationCompleted",
            "InvocationCompleted",
            "ExecutionSucceeded"
        ]
    );
    let error = events[3]
        .invocation_completed_details()
        .unwrap()
        .error()
        .unwrap()
        .payload()
        .unwrap();
    assert_eq!(error.error_type(), Some("Sandbox.Interrupted"));
}

#[tokio::test]
async fn a_name_stays_taken_across_a_crash() {
    let state = tempfile::tempdir().unwrap();
    let service = ServiceProcess::start(state.path());
    let client = client(&service.url);
    let first = named(&client, json!({"do": "echo"})).await;
    ended(&client, &first).await;
    service.kill();
    let _service = ServiceProcess::start(state.path());
    assert_eq!(named(&client, json!({"do": "echo"})).await, first);
}

async fn named(client: &Client, event: Value) -> String {
    let call = client
        .invoke()
        .function_name("job")
        .qualifier("$LATEST")
        .invocation_type(InvocationType::Event);
    let call = call
        .durable_execution_name("mine")
        .payload(Blob::new(event.to_string()));
    call.send().await.unwrap().durable_execution_arn.unwrap()
}
