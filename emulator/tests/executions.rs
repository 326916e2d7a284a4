//! Executions from start to end, with a real function binary and the real SDK client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{EventType, ExecutionStatus};
use serde_json::{Value, json};
use support::{ended, event, history, invoke, start, suspended_callback, types};

#[tokio::test]
async fn a_function_with_steps_and_a_wait_runs_to_its_result() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "greet", "name": "you"})).await;
    assert_eq!(
        ended(&client, &arn).await,
        (ExecutionStatus::Succeeded, json!("hello, you"))
    );
    let events = history(&client, &arn).await;
    assert_eq!(
        types(&events),
        [
            "ExecutionStarted",
            "StepStarted",
            "StepSucceeded",
            "WaitStarted",
            "InvocationCompleted",
            "WaitSucceeded",
            "StepStarted",
            "StepSucceeded",
            "InvocationCompleted",
            "ExecutionSucceeded",
        ]
    );
    let ids: Vec<i32> = events.iter().map(|event| event.event_id()).collect();
    assert_eq!(ids, (1..=10).collect::<Vec<_>>());
    service.shutdown().await;
}

#[tokio::test]
async fn a_caller_that_waits_gets_the_result_and_the_arn() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let invoke = client.invoke().function_name("job").qualifier("$LATEST");
    let output = invoke
        .payload(Blob::new(r#"{"do":"echo"}"#))
        .send()
        .await
        .unwrap();
    assert_eq!(output.status_code(), 200);
    assert_eq!(output.function_error(), None);
    assert_eq!(output.executed_version(), Some("$LATEST"));
    assert!(
        output
            .durable_execution_arn()
            .unwrap()
            .contains(":function:job:$LATEST/durable-execution/")
    );
    let result: Value = serde_json::from_slice(output.payload().unwrap().as_ref()).unwrap();
    assert_eq!(result, json!({"do": "echo"}));

    let invoke = client.invoke().function_name("job").qualifier("$LATEST");
    let output = invoke
        .payload(Blob::new(r#"{"do":"fail"}"#))
        .send()
        .await
        .unwrap();
    assert_eq!(output.function_error(), Some("Unhandled"));
    let error: Value = serde_json::from_slice(output.payload().unwrap().as_ref()).unwrap();
    assert!(
        error["errorMessage"]
            .as_str()
            .unwrap()
            .contains("told to fail"),
        "{error}"
    );
    service.shutdown().await;
}

#[tokio::test]
async fn a_callback_wakes_the_execution_with_its_result() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(
        &client,
        json!({"do": "callback", "timeout": 600, "heartbeat": 60}),
    )
    .await;
    let id = suspended_callback(&client, &arn).await;
    client
        .send_durable_execution_callback_heartbeat()
        .callback_id(&id)
        .send()
        .await
        .unwrap();
    client
        .send_durable_execution_callback_success()
        .callback_id(&id)
        .result(Blob::new(r#"{"approved":true}"#))
        .send()
        .await
        .unwrap();
    assert_eq!(
        ended(&client, &arn).await,
        (ExecutionStatus::Succeeded, json!({"approved": true}))
    );
    let started = event(&client, &arn, EventType::CallbackStarted).await;
    let details = started.callback_started_details().unwrap();
    assert_eq!(
        (details.timeout(), details.heartbeat_timeout()),
        (Some(600), Some(60))
    );
    service.shutdown().await;
}
