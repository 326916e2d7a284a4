//! A month in a moment: timers follow the clock they are given.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_lambda::types::{
    CallbackOptions, EventType, ExecutionStatus, OperationAction, OperationType, OperationUpdate,
    WaitOptions,
};
use longhaul_emulator::{DurableConfig, FunctionConfig, Service, TestClock, Timestamp};
use serde_json::json;
use support::handler::{pending, script, succeeded};
use support::{client, config, ended, event, invoke, suspended_callback, until};

const DAY: Duration = Duration::from_secs(86_400);

fn clock() -> TestClock {
    TestClock::new(Timestamp::from_millis(1_800_000_000_000))
}

#[tokio::test]
async fn a_wait_of_thirty_days_ends_when_the_clock_says_so() {
    let state = tempfile::tempdir().unwrap();
    let (handler, late) = script(|call| async move {
        match call.status("w") {
            "" => {
                let options = WaitOptions::builder().wait_seconds(30 * 86_400).build();
                let wait = OperationUpdate::builder()
                    .id("w")
                    .r#type(OperationType::Wait)
                    .action(OperationAction::Start);
                call.checkpoint(vec![wait.wait_options(options).build().unwrap()])
                    .await;
                pending()
            }
            "SUCCEEDED" => succeeded(&json!("a month later")),
            _ => pending(),
        }
    });
    let clock = clock();
    let durable = DurableConfig::new(40 * 86_400, 7);
    let service = Service::start(
        config(&state)
            .clock(Arc::new(clock.clone()))
            .function(FunctionConfig::handler("job", handler).durable(durable)),
    )
    .await
    .unwrap();
    let client = client(&service.url());
    late.set(client.clone()).ok().unwrap();
    let arn = invoke(&client, json!({})).await;
    event(&client, &arn, EventType::InvocationCompleted).await;
    clock.advance(DAY * 30 - Duration::from_millis(1));
    // An answered request shows that the timer, had it fired, would have been seen.
    let status = client
        .get_durable_execution()
        .durable_execution_arn(&arn)
        .send()
        .await
        .unwrap();
    assert_eq!(*status.status(), ExecutionStatus::Running);
    clock.advance(Duration::from_millis(1));
    assert_eq!(
        ended(&client, &arn).await,
        (ExecutionStatus::Succeeded, json!("a month later"))
    );
    let details = client
        .get_durable_execution()
        .durable_execution_arn(&arn)
        .send()
        .await
        .unwrap();
    let (start, end) = (details.start_timestamp(), details.end_timestamp().unwrap());
    assert_eq!(end.secs() - start.secs(), 30 * 86_400);
    service.shutdown().await;
}

#[tokio::test]
async fn heartbeats_keep_a_callback_open_for_days_and_their_absence_closes_it() {
    let state = tempfile::tempdir().unwrap();
    let (handler, late) = script(|call| async move {
        match call.status("c") {
            "" => {
                let options = CallbackOptions::builder()
                    .heartbeat_timeout_seconds(3_600)
                    .build();
                let start = OperationUpdate::builder()
                    .id("c")
                    .r#type(OperationType::Callback)
                    .action(OperationAction::Start);
                call.checkpoint(vec![start.callback_options(options).build().unwrap()])
                    .await;
                pending()
            }
            "STARTED" => pending(),
            _ => succeeded(&call.find("c").unwrap()["CallbackDetails"]["Error"]["ErrorType"]),
        }
    });
    let clock = clock();
    let durable = DurableConfig::new(40 * 86_400, 7);
    let service = Service::start(
        config(&state)
            .clock(Arc::new(clock.clone()))
            .function(FunctionConfig::handler("job", handler).durable(durable)),
    )
    .await
    .unwrap();
    let client = client(&service.url());
    late.set(client.clone()).ok().unwrap();
    let arn = invoke(&client, json!({})).await;
    let id = suspended_callback(&client, &arn).await;
    for _ in 0..72 {
        clock.advance(Duration::from_secs(3_599));
        client
            .send_durable_execution_callback_heartbeat()
            .callback_id(&id)
            .send()
            .await
            .unwrap();
    }
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(
        ended(&client, &arn).await,
        (ExecutionStatus::Succeeded, json!("Callback.Heartbeat"))
    );
    service.shutdown().await;
}

#[tokio::test]
async fn a_closed_execution_goes_when_its_retention_is_over_and_its_name_is_free_again() {
    let state = tempfile::tempdir().unwrap();
    let (handler, late) = script(|call| async move {
        succeeded(&call.event["InitialExecutionState"]["Operations"][0]["StartTimestamp"])
    });
    let clock = clock();
    let function = FunctionConfig::handler("job", handler).durable(DurableConfig::new(60, 2));
    let service = Service::start(
        config(&state)
            .clock(Arc::new(clock.clone()))
            .function(function),
    )
    .await
    .unwrap();
    let client = client(&service.url());
    late.set(client.clone()).ok().unwrap();
    let named = || {
        let call = client
            .invoke()
            .function_name("job")
            .qualifier("$LATEST")
            .durable_execution_name("mine");
        async { call.send().await.unwrap().durable_execution_arn.unwrap() }
    };
    let first = named().await;
    clock.advance(DAY * 2 - Duration::from_millis(1));
    assert_eq!(named().await, first);
    clock.advance(Duration::from_millis(1));
    until("the end of the retention", || async {
        let gone = client
            .get_durable_execution()
            .durable_execution_arn(&first)
            .send()
            .await;
        gone.is_err_and(|error| error.into_service_error().is_resource_not_found_exception())
            .then_some(())
    })
    .await;
    assert_ne!(named().await, first);
    service.shutdown().await;
}
