//! Callbacks between a real function binary and whoever completes them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{ErrorObject, EventType, ExecutionStatus};
use longhaul_emulator::{EventDetails, ServiceEvent};
use serde_json::json;
use support::{ended, event, invoke, start, suspended_callback};

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

#[tokio::test]
async fn a_callback_that_fails_reaches_the_function_with_its_error() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "callback"})).await;
    let id = suspended_callback(&client, &arn).await;
    let error = ErrorObject::builder()
        .error_type("Longhaul.Failed")
        .error_message("exit code 3")
        .error_data("{}")
        .build();
    client
        .send_durable_execution_callback_failure()
        .callback_id(&id)
        .error(error)
        .send()
        .await
        .unwrap();
    let (status, _) = ended(&client, &arn).await;
    assert_eq!(status, ExecutionStatus::Failed);
    let failed = event(&client, &arn, EventType::CallbackFailed).await;
    let payload = failed
        .callback_failed_details()
        .unwrap()
        .error()
        .unwrap()
        .payload()
        .unwrap();
    assert_eq!(
        (payload.error_type(), payload.error_message()),
        (Some("Longhaul.Failed"), Some("exit code 3"))
    );
    service.shutdown().await;
}

#[tokio::test]
async fn a_callback_may_be_completed_before_the_function_suspends() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let mut news = service.subscribe();
    let arn = invoke(&client, json!({"do": "callback"})).await;
    // The very moment the callback exists, which is while the invocation that made it runs.
    let id = loop {
        if let ServiceEvent::History { event, .. } = news.recv().await.unwrap()
            && let EventDetails::CallbackStarted { callback_id, .. } = &event.details
        {
            break callback_id.clone();
        }
    };
    service
        .api()
        .succeed_callback(&id, Some("5".to_owned()))
        .await
        .unwrap();
    assert_eq!(
        ended(&client, &arn).await,
        (ExecutionStatus::Succeeded, json!(5))
    );
    service.shutdown().await;
}

#[tokio::test]
async fn silence_and_lateness_fail_the_function_with_their_own_error_types() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    for (event, error_type) in [
        (json!({"do": "callback", "timeout": 1}), "Callback.Timeout"),
        (
            json!({"do": "callback", "heartbeat": 1}),
            "Callback.Heartbeat",
        ),
    ] {
        let arn = invoke(&client, event).await;
        assert_eq!(ended(&client, &arn).await.0, ExecutionStatus::Failed);
        let timed_out = support::event(&client, &arn, EventType::CallbackTimedOut).await;
        let payload = timed_out
            .callback_timed_out_details()
            .unwrap()
            .error()
            .unwrap()
            .payload()
            .unwrap();
        assert_eq!(payload.error_type(), Some(error_type));
    }
    service.shutdown().await;
}
