//! Executions from start to end, with a real function binary and the real SDK client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{ErrorObject, EventType, ExecutionStatus};
use longhaul_emulator::{
    DurableConfig, HistoryRequest, Limits, ListExecutions, Outcome, Service, ServiceEvent,
    StartExecution,
};
use serde_json::{Value, json};
use support::{
    config, ended, event, function, history, invoke, named, start, suspended_callback, types,
};

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
async fn a_failing_step_is_retried_after_its_delay() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "retry"})).await;
    assert_eq!(
        ended(&client, &arn).await,
        (ExecutionStatus::Succeeded, json!(3))
    );
    let events = history(&client, &arn).await;
    let steps: Vec<&str> = types(&events)
        .into_iter()
        .filter(|kind| kind.starts_with("Step"))
        .collect();
    assert_eq!(
        steps,
        [
            "StepStarted",
            "StepFailed",
            "StepStarted",
            "StepFailed",
            "StepStarted",
            "StepSucceeded"
        ]
    );
    let last = event(&client, &arn, EventType::StepSucceeded).await;
    assert_eq!(
        last.step_succeeded_details()
            .unwrap()
            .retry_details()
            .unwrap()
            .current_attempt(),
        3
    );
    service.shutdown().await;
}

#[tokio::test]
async fn a_child_context_survives_a_suspension() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "context"})).await;
    assert_eq!(
        ended(&client, &arn).await,
        (ExecutionStatus::Succeeded, json!(3))
    );
    let events = history(&client, &arn).await;
    let context = events
        .iter()
        .find(|event| event.name() == Some("sum"))
        .unwrap()
        .id()
        .unwrap();
    let inside = events
        .iter()
        .filter(|event| event.parent_id() == Some(context))
        .count();
    assert_eq!(inside, 6, "two steps and a wait, each started and ended");
    service.shutdown().await;
}

#[tokio::test]
async fn one_function_invokes_another_and_gets_its_result_or_its_error() {
    let state = tempfile::tempdir().unwrap();
    let service = Service::start(config(&state).function(function()).function(named("other")))
        .await
        .unwrap();
    let client = support::client(&service.url());
    let call =
        |target: &str, input: Value| json!({"do": "invoke", "target": target, "input": input});
    let arn = invoke(
        &client,
        call("other:$LATEST", json!({"do": "greet", "name": "me"})),
    )
    .await;
    assert_eq!(
        ended(&client, &arn).await,
        (ExecutionStatus::Succeeded, json!("hello, me"))
    );
    let started = event(&client, &arn, EventType::ChainedInvokeStarted).await;
    let details = started.chained_invoke_started_details().unwrap();
    assert_eq!(
        (details.function_name(), details.executed_version()),
        ("other:$LATEST", Some("$LATEST"))
    );
    let child = details.durable_execution_arn().unwrap();
    assert_eq!(
        ended(&client, child).await,
        (ExecutionStatus::Succeeded, json!("hello, me"))
    );

    let arn = invoke(&client, call("other", json!({"do": "fail"}))).await;
    assert_eq!(ended(&client, &arn).await.0, ExecutionStatus::Failed);
    event(&client, &arn, EventType::ChainedInvokeFailed).await;

    let arn = invoke(&client, call("nobody", json!({}))).await;
    assert_eq!(ended(&client, &arn).await.0, ExecutionStatus::Failed);
    let failed = event(&client, &arn, EventType::ChainedInvokeFailed).await;
    let payload = failed
        .chained_invoke_failed_details()
        .unwrap()
        .error()
        .unwrap()
        .payload()
        .unwrap();
    assert_eq!(payload.error_type(), Some("ResourceNotFoundException"));

    let arn = invoke(&client, call("other", json!({"do": "callback"}))).await;
    let started = event(&client, &arn, EventType::ChainedInvokeStarted).await;
    let child = started
        .chained_invoke_started_details()
        .unwrap()
        .durable_execution_arn()
        .unwrap()
        .to_owned();
    suspended_callback(&client, &child).await;
    let error = ErrorObject::builder().error_type("Mine").build();
    client
        .stop_durable_execution()
        .durable_execution_arn(&child)
        .error(error)
        .send()
        .await
        .unwrap();
    assert_eq!(ended(&client, &arn).await.0, ExecutionStatus::Failed);
    event(&client, &arn, EventType::ChainedInvokeStopped).await;
    service.shutdown().await;
}

#[tokio::test]
async fn a_stop_ends_the_execution_with_the_callers_error() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "callback"})).await;
    suspended_callback(&client, &arn).await;
    let error = ErrorObject::builder()
        .error_type("Mine")
        .error_message("enough")
        .build();
    let first = client
        .stop_durable_execution()
        .durable_execution_arn(&arn)
        .error(error)
        .send()
        .await
        .unwrap();
    let again = client
        .stop_durable_execution()
        .durable_execution_arn(&arn)
        .send()
        .await
        .unwrap();
    assert_eq!(first.stop_timestamp(), again.stop_timestamp());
    assert_eq!(
        ended(&client, &arn).await,
        (
            ExecutionStatus::Stopped,
            json!({"type": "Mine", "message": "enough"})
        )
    );
    assert_eq!(
        types(&history(&client, &arn).await).last(),
        Some(&"ExecutionStopped")
    );
    service.shutdown().await;
}

#[tokio::test]
async fn an_execution_that_takes_too_long_times_out() {
    let state = tempfile::tempdir().unwrap();
    let function = function().durable(DurableConfig::new(1, 1));
    let service = Service::start(config(&state).function(function))
        .await
        .unwrap();
    let client = support::client(&service.url());
    let arn = invoke(&client, json!({"do": "callback"})).await;
    assert_eq!(
        ended(&client, &arn).await,
        (ExecutionStatus::TimedOut, Value::Null)
    );
    event(&client, &arn, EventType::ExecutionTimedOut).await;
    let call = client
        .invoke()
        .function_name("job")
        .qualifier("$LATEST")
        .payload(Blob::new(r#"{"do":"callback"}"#));
    let output = call.send().await.unwrap();
    assert_eq!(output.function_error(), Some("Unhandled"));
    service.shutdown().await;
}

#[tokio::test]
async fn a_state_too_large_for_the_event_is_fetched_page_by_page() {
    let state = tempfile::tempdir().unwrap();
    let mut limits = Limits::default();
    limits.event_state = 10_000;
    limits.page_items = 7;
    let service = Service::start(config(&state).limits(limits).function(function()))
        .await
        .unwrap();
    let client = support::client(&service.url());
    let arn = invoke(&client, json!({"do": "big", "count": 30, "size": 1_000})).await;
    // 10 one-digit and 20 two-digit numbers, each a thousand times.
    assert_eq!(
        ended(&client, &arn).await,
        (ExecutionStatus::Succeeded, json!(10 * 1_000 + 20 * 2_000))
    );
    let arn = invoke(&client, json!({"do": "many", "count": 60})).await;
    assert_eq!(
        ended(&client, &arn).await,
        (ExecutionStatus::Succeeded, json!((0..60).sum::<i32>()))
    );
    let replayed = types(&history(&client, &arn).await)
        .into_iter()
        .filter(|kind| *kind == "StepStarted")
        .count();
    assert_eq!(replayed, 60, "no step ran again");
    service.shutdown().await;
}

#[tokio::test]
async fn many_executions_at_once_all_end() {
    let state = tempfile::tempdir().unwrap();
    let service = Service::start(config(&state).function(function().max_environments(4)))
        .await
        .unwrap();
    let client = support::client(&service.url());
    let mut arns = Vec::new();
    for n in 0..30 {
        arns.push(invoke(&client, json!({"do": "greet", "name": n.to_string()})).await);
    }
    for (n, arn) in arns.iter().enumerate() {
        assert_eq!(
            ended(&client, arn).await,
            (ExecutionStatus::Succeeded, json!(format!("hello, {n}")))
        );
    }
    service.shutdown().await;
}

#[tokio::test]
async fn an_embedding_program_can_do_without_http() {
    let state = tempfile::tempdir().unwrap();
    let (service, _client) = start(&state).await;
    let api = service.api();
    let mut news = service.subscribe();
    let started = api
        .start_execution(StartExecution::new("job", r#"{"do":"greet"}"#).name("mine"))
        .await
        .unwrap();
    assert!(!started.existing);
    let again = api
        .start_execution(StartExecution::new("job", r#"{"do":"greet"}"#).name("mine"))
        .await
        .unwrap();
    assert_eq!((&again.arn, again.existing), (&started.arn, true));
    let outcome = api.wait(&started.arn).await.unwrap();
    assert_eq!(
        outcome,
        Outcome::Succeeded(Some("\"hello, world\"".to_owned()))
    );
    let details = api.execution(&started.arn).await.unwrap();
    assert_eq!(
        (details.arn.name(), details.outcome),
        ("mine", Some(outcome))
    );
    let page = api
        .history(&started.arn, HistoryRequest::default())
        .await
        .unwrap();
    assert_eq!((page.items.len(), page.next_marker), (10, None));
    let list = api.list(ListExecutions::new("job")).await.unwrap();
    assert_eq!(list.items.len(), 1);

    let (mut told, mut pids) = (Vec::new(), Vec::new());
    while let Ok(event) = news.try_recv() {
        match event {
            ServiceEvent::History { event, .. } => told.push((*event).clone()),
            ServiceEvent::InvocationStarted { pid, .. } => pids.push(pid),
            _ => {}
        }
    }
    assert_eq!(
        told, page.items,
        "subscribers hear of every event, in order"
    );
    assert!(pids.len() == 2 && pids.iter().all(Option::is_some));
    service.shutdown().await;
}
