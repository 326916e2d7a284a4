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
use support::{LONGEST, client, ended, event, history, invoke, suspended_callback, types, until};

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

/// One execution with a wait, a retry, a callback with heartbeats and a chained invocation, through a service that kills
/// itself after its `last` durable write and is started again. Returns how many times it was started.
async fn through_crashes(state: &std::path::Path, every: u64) -> (u32, Vec<String>) {
    let began = Instant::now();
    let mut starts = 0;
    let mut service: Option<ServiceProcess> = None;
    let mut arn: Option<String> = None;
    let mut completed = false;
    loop {
        assert!(began.elapsed() < LONGEST, "no end after {starts} starts");
        if service.as_mut().is_none_or(ServiceProcess::is_dead) {
            starts += 1;
            // A service that dies at every second write or so makes no headway, so each start may write a little more.
            service = ServiceProcess::try_start(state, Some(every + u64::from(starts) / 2));
        }
        let Some(url) = service.as_ref().map(|service| service.url.clone()) else {
            continue;
        };
        let client = one_try(&url);
        if arn.is_none() {
            let call = client
                .invoke()
                .function_name("job")
                .qualifier("$LATEST")
                .invocation_type(InvocationType::Event);
            let event = json!({"do": "everything", "target": "other"}).to_string();
            let call = call
                .durable_execution_name("all")
                .payload(Blob::new(event))
                .send()
                .await;
            arn = call.ok().and_then(|output| output.durable_execution_arn);
            continue;
        }
        let known = arn.as_deref().unwrap_or_default();
        let Ok(execution) = client
            .get_durable_execution()
            .durable_execution_arn(known)
            .send()
            .await
        else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if *execution.status() != ExecutionStatus::Running {
            assert_eq!(
                execution.result(),
                Some("[3,\"yes\",\"hello, you\"]"),
                "{:?}",
                execution.error()
            );
            let events = history(&client, known).await;
            let ids: Vec<i32> = events
                .iter()
                .map(aws_sdk_lambda::types::Event::event_id)
                .collect();
            assert_eq!(
                ids,
                (1..=i32::try_from(events.len()).unwrap()).collect::<Vec<_>>()
            );
            return (
                starts,
                types(&events).into_iter().map(ToOwned::to_owned).collect(),
            );
        }
        if !completed
            && let Ok(page) = client
                .get_durable_execution_history()
                .durable_execution_arn(known)
                .send()
                .await
        {
            let id = page
                .events()
                .iter()
                .find_map(|event| event.callback_started_details())
                .map(|it| it.callback_id().to_owned());
            if let Some(id) = id {
                drop(
                    client
                        .send_durable_execution_callback_heartbeat()
                        .callback_id(&id)
                        .send()
                        .await,
                );
                let sent = client
                    .send_durable_execution_callback_success()
                    .callback_id(&id)
                    .result(Blob::new("\"yes\""))
                    .send()
                    .await;
                completed = match sent {
                    Ok(_) => true,
                    // Accepted by a service that died before it could say so.
                    Err(error) => error.into_service_error().is_callback_timeout_exception(),
                };
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A client that does not try again by itself: the test does.
fn one_try(url: &str) -> Client {
    let config = client(url)
        .config()
        .to_builder()
        .retry_config(aws_sdk_lambda::config::retry::RetryConfig::disabled());
    Client::from_conf(config.build())
}

#[tokio::test]
async fn an_execution_reaches_the_same_end_wherever_its_service_is_killed() {
    let mut clean = None;
    // `u64::MAX` is the run without a crash, which says what must have happened.
    for every in [u64::MAX / 2, 1, 2, 3, 5, 8] {
        let state = tempfile::tempdir().unwrap();
        let (starts, events) = through_crashes(state.path(), every).await;
        // Invocations may be cut off and repeated; everything else happens exactly once, in the same order.
        let lasting: Vec<String> = events
            .into_iter()
            .filter(|kind| kind != "InvocationCompleted")
            .collect();
        let expected = clean.get_or_insert_with(|| lasting.clone());
        assert_eq!(lasting, *expected, "killed after {every} writes");
        assert_eq!(starts > 1, every < 100, "{starts} starts");
    }
}
