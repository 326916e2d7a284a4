//! Pausing, resuming and deleting, which no SDK here knows yet: over plain HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use aws_sdk_lambda::types::EventType;
use longhaul_emulator::{FunctionConfig, Service};
use serde_json::{Value, json};
use support::handler::{pending, script, succeeded};
use support::raw::{encode, request};
use support::{client, config, ended, event, invoke, start, suspended_callback, until};

#[tokio::test]
async fn an_execution_can_be_paused_resumed_and_when_it_has_ended_deleted() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "callback"})).await;
    let id = suspended_callback(&client, &arn).await;
    let path = |what: &str| format!("/2025-12-01/durable-executions/{}{what}", encode(&arn));
    let post = |what: &str, body: Value| {
        let (url, path) = (service.url(), path(what));
        async move { request(&url, "POST", &path, &[], body.to_string().as_bytes()).await }
    };
    assert_eq!(
        post("/resume", json!({})).await.status,
        409,
        "it is not paused"
    );
    let body = json!({"ClientToken": "t", "Reason": "lunch"});
    assert_eq!(post("/pause", body.clone()).await.status, 202);
    assert_eq!(
        post("/pause", body).await.status,
        202,
        "the same request again"
    );
    assert_eq!(
        post("/pause", json!({"ClientToken": "u"})).await.error(),
        "ResourceConflictException"
    );
    let details = request(&service.url(), "GET", &path(""), &[], b"")
        .await
        .json();
    assert_eq!(details["Status"], "PAUSED");
    assert_eq!(
        (
            &details["PauseDetails"]["Reason"],
            &details["PauseDetails"]["ExecutionTimeoutPaused"]
        ),
        (&json!("lunch"), &json!(true))
    );

    client
        .send_durable_execution_callback_success()
        .callback_id(&id)
        .result(aws_sdk_lambda::primitives::Blob::new("7"))
        .send()
        .await
        .unwrap();
    event(&client, &arn, EventType::CallbackSucceeded).await;
    let running = request(&service.url(), "DELETE", &path(""), &[], b"").await;
    assert_eq!(
        (running.status, running.error()),
        (409, "ResourceConflictException")
    );
    assert_eq!(post("/resume", json!({"Reason": "back"})).await.status, 202);
    assert_eq!(ended(&client, &arn).await.1, json!(7));
    let events = request(&service.url(), "GET", &path("/history"), &[], b"")
        .await
        .json();
    let kinds: Vec<&str> = events["Events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["EventType"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds[3..],
        [
            "ExecutionPaused",
            "CallbackSucceeded",
            "ExecutionResumed",
            "InvocationCompleted",
            "ExecutionSucceeded"
        ]
    );
    assert_eq!(
        events["Events"][3]["ExecutionPausedDetails"]["Reason"]["Payload"],
        "lunch"
    );
    assert_eq!(post("/pause", json!({})).await.status, 409, "it has ended");
    for bad in [
        json!({"ClientToken": "a".repeat(65)}),
        json!({"Reason": "a".repeat(1_025)}),
    ] {
        let refused = post("/resume", bad).await;
        assert_eq!(
            (refused.status, refused.error()),
            (400, "InvalidParameterValueException"),
            "what cannot be right is said first"
        );
    }

    assert_eq!(
        request(&service.url(), "DELETE", &path(""), &[], b"")
            .await
            .status,
        202
    );
    assert_eq!(
        request(&service.url(), "GET", &path(""), &[], b"")
            .await
            .status,
        404
    );
    assert_eq!(
        request(&service.url(), "GET", &path("/history"), &[], b"")
            .await
            .status,
        404
    );
    let late = client
        .send_durable_execution_callback_heartbeat()
        .callback_id(&id)
        .send()
        .await
        .unwrap_err();
    assert!(late.into_service_error().is_resource_not_found_exception());
    service.shutdown().await;
}

#[tokio::test]
async fn a_running_handler_is_paused_at_its_next_checkpoint() {
    let state = tempfile::tempdir().unwrap();
    let (handler, late) = script(|call| async move {
        let start = aws_sdk_lambda::types::OperationUpdate::builder()
            .id("s")
            .r#type(aws_sdk_lambda::types::OperationType::Step)
            .action(aws_sdk_lambda::types::OperationAction::Succeed)
            .build()
            .unwrap();
        if call.status("s") == "SUCCEEDED" {
            return succeeded(&json!("done"));
        }
        // Until the test has asked for the pause.
        until("the pause", || async {
            let output = call
                .client
                .get_durable_execution_history()
                .durable_execution_arn(call.arn())
                .send()
                .await
                .unwrap();
            let details = call
                .client
                .get_durable_execution()
                .durable_execution_arn(call.arn())
                .send()
                .await
                .unwrap();
            assert_eq!(output.events().len(), 1);
            (details.status().as_str() == "PAUSING").then_some(())
        })
        .await;
        let output = call.checkpoint(vec![start]).await;
        assert_eq!(
            output.checkpoint_token(),
            None,
            "no further checkpoint for this invocation"
        );
        assert!(support::handler::operations(&output).is_empty());
        pending()
    });
    let service = Service::start(config(&state).function(FunctionConfig::handler("job", handler)))
        .await
        .unwrap();
    let client = client(&service.url());
    late.set(client.clone()).ok().unwrap();
    let mut news = service.subscribe();
    let arn = invoke(&client, json!({})).await;
    while !matches!(
        news.recv().await.unwrap(),
        longhaul_emulator::ServiceEvent::InvocationStarted { .. }
    ) {}
    let path = |what: &str| format!("/2025-12-01/durable-executions/{}/{what}", encode(&arn));
    assert_eq!(
        request(&service.url(), "POST", &path("pause"), &[], b"")
            .await
            .status,
        202
    );
    event(&client, &arn, EventType::InvocationCompleted).await;
    assert_eq!(
        request(&service.url(), "POST", &path("resume"), &[], b"")
            .await
            .status,
        202
    );
    assert_eq!(ended(&client, &arn).await.1, json!("done"));
    service.shutdown().await;
}
