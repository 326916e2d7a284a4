//! Functions that crash, hang or cannot start: what becomes of their invocations and processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use std::time::Duration;

use aws_sdk_lambda::types::{EventType, ExecutionStatus};
use longhaul_emulator::{FunctionConfig, InvocationError, Service};
use serde_json::{Value, json};
use support::handler::script;
use support::process::{is_gone, pids};
use support::{client, config, ended, event, function, history, invoke, start, types, until};

#[tokio::test]
async fn a_crash_is_in_the_history_and_the_invocation_is_repeated_in_a_new_process() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let mut news = service.subscribe();
    let marker = state.path().join("crashed");
    let arn = invoke(&client, json!({"do": "crash", "marker": marker})).await;
    assert_eq!(
        ended(&client, &arn).await,
        (ExecutionStatus::Succeeded, json!("survived"))
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
        ],
        "the step was not run again"
    );
    let error = events[3]
        .invocation_completed_details()
        .unwrap()
        .error()
        .unwrap()
        .payload()
        .unwrap();
    assert_eq!(error.error_type(), Some("Runtime.ExitError"));
    assert!(error.error_message().unwrap().contains("exit status: 3"));
    let pids = pids(&mut news);
    assert_ne!(pids[0], pids[1]);
    service.shutdown().await;
}

#[tokio::test]
async fn a_function_that_always_crashes_fails_the_execution_after_five_times() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "exit"})).await;
    let (status, error) = ended(&client, &arn).await;
    assert_eq!(
        (status, &error["type"]),
        (ExecutionStatus::Failed, &json!("Runtime.ExitError"))
    );
    let failures = types(&history(&client, &arn).await)
        .into_iter()
        .filter(|kind| *kind == "InvocationCompleted")
        .count();
    assert_eq!(failures, 5);
    service.shutdown().await;
}

#[tokio::test]
async fn an_invocation_that_takes_too_long_is_killed() {
    let state = tempfile::tempdir().unwrap();
    let function = function().timeout(Duration::from_millis(700));
    let service = Service::start(config(&state).function(function))
        .await
        .unwrap();
    let client = client(&service.url());
    let mut news = service.subscribe();
    let arn = invoke(&client, json!({"do": "sleep"})).await;
    let completed = event(&client, &arn, EventType::InvocationCompleted).await;
    let error = completed
        .invocation_completed_details()
        .unwrap()
        .error()
        .unwrap()
        .payload()
        .unwrap();
    assert_eq!(error.error_type(), Some("Sandbox.Timedout"));
    assert!(
        error
            .error_message()
            .unwrap()
            .contains("Task timed out after 0.70 seconds")
    );
    let pid = pids(&mut news)[0];
    until("the end of the process", || async {
        is_gone(pid).then_some(())
    })
    .await;
    service.shutdown().await;
}

#[tokio::test]
async fn a_program_that_cannot_start_or_is_no_function_fails_the_execution_with_the_reason() {
    let state = tempfile::tempdir().unwrap();
    for (program, arguments, error_type, message) in [
        (
            "/nowhere/at/all",
            vec![],
            "Runtime.InvalidEntrypoint",
            "/nowhere/at/all",
        ),
        (
            "/bin/sh",
            vec!["-c", "exit 4"],
            "Runtime.ExitError",
            "exit status: 4",
        ),
        (
            "/bin/sh",
            vec!["-c", "kill -9 $$"],
            "Runtime.ExitError",
            "signal: 9",
        ),
    ] {
        let function = FunctionConfig::process("job", program, arguments);
        let service = Service::start(config(&state).function(function))
            .await
            .unwrap();
        let client = client(&service.url());
        let arn = invoke(&client, json!({})).await;
        let (status, error) = ended(&client, &arn).await;
        assert_eq!(
            (status, &error["type"]),
            (ExecutionStatus::Failed, &json!(error_type))
        );
        assert!(
            error["message"].as_str().unwrap().contains(message),
            "{error}"
        );
        service.shutdown().await;
    }
}

#[tokio::test]
async fn what_a_crashed_function_started_goes_with_it() {
    let state = tempfile::tempdir().unwrap();
    let child = state.path().join("child");
    let script = format!(
        "sleep 600 & echo $! > {0}.part && mv {0}.part {0}; exit 1",
        child.display()
    );
    let function = FunctionConfig::process("job", "/bin/sh", ["-c", &script]);
    let service = Service::start(config(&state).function(function))
        .await
        .unwrap();
    let client = client(&service.url());
    let arn = invoke(&client, json!({})).await;
    ended(&client, &arn).await;
    let pid: u32 = std::fs::read_to_string(&child)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    until("the end of the grandchild", || async {
        is_gone(pid).then_some(())
    })
    .await;
    service.shutdown().await;
}
#[tokio::test]
async fn a_handler_in_this_process_may_fail_panic_and_hang_like_a_binary() {
    for (wish, error_type) in [
        ("fail", "Custom"),
        ("panic", "Runtime.ExitError"),
        ("hang", "Sandbox.Timedout"),
    ] {
        let state = tempfile::tempdir().unwrap();
        let (handler, late) = script(move |_call| async move {
            match wish {
                "fail" => Err(InvocationError::new("Custom", "no")),
                "panic" => panic!("on purpose"),
                _ => std::future::pending::<Result<Value, InvocationError>>().await,
            }
        });
        let function = FunctionConfig::handler("job", handler).timeout(Duration::from_millis(100));
        let service = Service::start(config(&state).function(function))
            .await
            .unwrap();
        let client = client(&service.url());
        late.set(client.clone()).ok().unwrap();
        let arn = invoke(&client, json!({})).await;
        let (status, error) = ended(&client, &arn).await;
        assert_eq!(
            (status, &error["type"]),
            (ExecutionStatus::Failed, &json!(error_type))
        );
        service.shutdown().await;
    }
}
