//! Execution environments: how many, for how long, with what, and that none outlives its service.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use std::collections::BTreeSet;

use aws_sdk_lambda::types::ExecutionStatus;
use longhaul_emulator::{FunctionConfig, Lifetime, Service, ServiceEvent};
use serde_json::json;
use support::process::{is_gone, pids, process_state};
use support::{client, config, ended, function, history, invoke, start, suspended_callback, until};

#[tokio::test]
async fn an_environment_is_used_again_or_never_again_as_configured() {
    for (lifetime, processes) in [
        (Lifetime::Reuse, 1),
        (Lifetime::Freeze, 1),
        (Lifetime::Fresh, 2),
    ] {
        let state = tempfile::tempdir().unwrap();
        let service = Service::start(config(&state).function(function().lifetime(lifetime)))
            .await
            .unwrap();
        let client = client(&service.url());
        let mut news = service.subscribe();
        let arn = invoke(&client, json!({"do": "pid"})).await;
        let (_, last) = ended(&client, &arn).await;
        let pids = pids(&mut news);
        assert_eq!(pids.len(), 2, "{lifetime:?}");
        assert_eq!(
            pids.iter().collect::<BTreeSet<_>>().len(),
            processes,
            "{lifetime:?}"
        );
        assert_eq!(last, json!(pids[1]), "{lifetime:?}");
        service.shutdown().await;
    }
}

#[tokio::test]
async fn between_invocations_a_frozen_environment_is_stopped_and_a_fresh_one_is_gone() {
    for lifetime in [Lifetime::Freeze, Lifetime::Fresh] {
        let state = tempfile::tempdir().unwrap();
        let service = Service::start(config(&state).function(function().lifetime(lifetime)))
            .await
            .unwrap();
        let client = client(&service.url());
        let mut news = service.subscribe();
        let arn = invoke(&client, json!({"do": "callback"})).await;
        let id = suspended_callback(&client, &arn).await;
        let pid = pids(&mut news)[0];
        match lifetime {
            Lifetime::Freeze => {
                until("the freeze", || async {
                    (process_state(pid) == Some('T')).then_some(())
                })
                .await
            }
            _ => assert!(is_gone(pid), "gone before its end was noted"),
        }
        client
            .send_durable_execution_callback_success()
            .callback_id(&id)
            .send()
            .await
            .unwrap();
        assert_eq!(ended(&client, &arn).await.0, ExecutionStatus::Succeeded);
        service.shutdown().await;
        assert!(is_gone(pid));
    }
}

#[tokio::test]
async fn an_idle_environment_that_died_is_replaced_without_anyone_noticing() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let mut news = service.subscribe();
    let arn = invoke(&client, json!({"do": "callback"})).await;
    let id = suspended_callback(&client, &arn).await;
    let pid = pids(&mut news)[0];
    let raw = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
    until("the death", || async { is_gone(pid).then_some(()) }).await;
    client
        .send_durable_execution_callback_success()
        .callback_id(&id)
        .send()
        .await
        .unwrap();
    assert_eq!(ended(&client, &arn).await.0, ExecutionStatus::Succeeded);
    let events = history(&client, &arn).await;
    assert!(
        events
            .iter()
            .filter_map(|event| event.invocation_completed_details())
            .all(|details| details.error().is_none())
    );
    service.shutdown().await;
}

#[tokio::test]
async fn no_more_environments_run_than_allowed() {
    let state = tempfile::tempdir().unwrap();
    let service = Service::start(config(&state).function(function().max_environments(2)))
        .await
        .unwrap();
    let client = client(&service.url());
    let mut news = service.subscribe();
    let mut arns = Vec::new();
    for n in 0..8 {
        arns.push(invoke(&client, json!({"do": "greet", "name": n.to_string()})).await);
    }
    for arn in &arns {
        ended(&client, arn).await;
    }
    let mut running = BTreeSet::new();
    while let Ok(event) = news.try_recv() {
        match event {
            ServiceEvent::InvocationStarted { request_id, .. } => {
                running.insert(request_id);
                assert!(running.len() <= 2);
            }
            ServiceEvent::InvocationEnded { request_id, .. } => {
                running.remove(&request_id);
            }
            _ => {}
        }
    }
    service.shutdown().await;
}

#[tokio::test]
async fn what_a_function_prints_goes_to_its_private_log() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "greet", "name": "the log"})).await;
    ended(&client, &arn).await;
    service.shutdown().await;
    let path = state.path().join("service/logs/job.log");
    let log = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        log.lines()
            .filter(|line| *line == "greeting the log")
            .count(),
        2,
        "once an invocation: {log}"
    );
    let mode = |path: &std::path::Path| {
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions())
            & 0o777
    };
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
}

#[tokio::test]
async fn shutdown_and_drop_leave_no_process_behind() {
    for graceful in [true, false] {
        let state = tempfile::tempdir().unwrap();
        let (service, client) = start(&state).await;
        let mut news = service.subscribe();
        let idle = invoke(&client, json!({"do": "callback"})).await;
        suspended_callback(&client, &idle).await;
        invoke(&client, json!({"do": "sleep"})).await;
        invoke(&client, json!({"do": "sleep"})).await;
        let mut pids = BTreeSet::new();
        while pids.len() < 2 {
            if let ServiceEvent::InvocationStarted { pid: Some(pid), .. } =
                news.recv().await.unwrap()
            {
                pids.insert(pid);
            }
        }
        if graceful {
            service.shutdown().await;
        } else {
            drop(service);
        }
        for pid in pids {
            until("the end of the process", || async {
                is_gone(pid).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_function_gets_lambdas_environment_and_none_of_the_services_secrets() {
    let state = tempfile::tempdir().unwrap();
    let out = state.path().join("env");
    let dump = format!("env > {0}.part && mv {0}.part {0}; exit 1", out.display());
    let function = FunctionConfig::process("job", "/bin/sh", ["-c", &dump])
        .env("MINE", "yes")
        .memory_mb(512);
    let service = Service::start(config(&state).function(function).access_key_id("LHKEY"))
        .await
        .unwrap();
    let client = support::client_with_key(&service.url(), "LHKEY");
    let arn = invoke(&client, json!({})).await;
    ended(&client, &arn).await;
    let dumped = std::fs::read_to_string(&out).unwrap();
    let get = |name: &str| {
        dumped
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}=")))
    };
    assert_eq!(get("AWS_LAMBDA_FUNCTION_NAME"), Some("job"));
    assert_eq!(get("AWS_LAMBDA_FUNCTION_VERSION"), Some("$LATEST"));
    assert_eq!(get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), Some("512"));
    assert_eq!(get("AWS_REGION"), Some("us-east-1"));
    assert_eq!(get("AWS_ACCESS_KEY_ID"), Some("LHKEY"));
    assert_eq!(get("AWS_EC2_METADATA_DISABLED"), Some("true"));
    assert_eq!(get("AWS_ENDPOINT_URL_LAMBDA"), Some(service.url().as_str()));
    assert!(
        get("AWS_LAMBDA_RUNTIME_API")
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    assert_eq!(get("MINE"), Some("yes"));
    assert!(get("PATH").is_some());
    assert_eq!(
        get("CARGO_PKG_NAME"),
        None,
        "what this process was given stays here"
    );
    service.shutdown().await;
}
