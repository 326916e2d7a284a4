//! Whatever is sent, the service answers with a refusal, never with a failure of its own, and goes on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod hostile;
mod support;

use std::sync::Mutex;

use aws_sdk_lambda::Client;
use hostile::{body, call, headers, query, update};
use longhaul_emulator::{FunctionConfig, Service};
use proptest::prelude::*;
use serde_json::json;
use support::handler::script;
use support::raw::request;
use support::{client, config, invoke, until};

/// One service for all cases, with one execution whose invocation runs and whose token the cases may use.
struct Target {
    runtime: tokio::runtime::Runtime,
    service: Service,
    client: Client,
    arn: String,
    /// An execution that has ended.
    ended: String,
    token: String,
    tokens: std::sync::mpsc::Receiver<String>,
    _state: tempfile::TempDir,
}

impl Target {
    /// Another execution whose invocation runs, with its token.
    async fn hold(&self) -> (String, String) {
        let arn = invoke(&self.client, json!("hold")).await;
        let token = until("the invocation", || async { self.tokens.try_recv().ok() }).await;
        (arn, token)
    }
}

fn target() -> Target {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let state = tempfile::tempdir().unwrap();
    let (service, client, arn, ended, token, tokens) = runtime.block_on(async {
        let (sender, receiver) = std::sync::mpsc::channel();
        let sender = Mutex::new(sender);
        let (handler, late) = script(move |call| {
            let sender = sender.lock().unwrap().clone();
            async move {
                if call.event["InitialExecutionState"]["Operations"][0]["ExecutionDetails"]["InputPayload"] == "\"hold\"" {
                    drop(sender.send(call.token().await));
                    return std::future::pending().await;
                }
                support::handler::succeeded(&json!(1))
            }
        });
        let service = Service::start(config(&state).function(FunctionConfig::handler("job", handler).max_environments(1_000))).await.unwrap();
        let client = client(&service.url());
        late.set(client.clone()).ok().unwrap();
        let arn = invoke(&client, json!("hold")).await;
        let token = until("the invocation", || async { receiver.try_recv().ok() }).await;
        let ended = invoke(&client, json!("quick")).await;
        support::ended(&client, &ended).await;
        (service, client, arn, ended, token, receiver)
    });
    Target {
        runtime,
        service,
        client,
        arn,
        ended,
        token,
        tokens,
        _state: state,
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

#[test]
fn no_input_is_answered_with_a_failure() {
    let target = target();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 1_000,
        ..ProptestConfig::default()
    });
    let (taken, refused) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    runner
        .run(
            &(call(), headers(), query(), body()),
            |((method, path), headers, query, body)| {
                let path = path
                    .replace("ARN", &encode(&target.arn))
                    .replace("ENDED", &encode(&target.ended))
                    .replace('?', "");
                let path = if query.is_empty() {
                    path
                } else {
                    format!("{path}?{query}")
                };
                let body = String::from_utf8(body.clone()).map_or(body, |text| {
                    text.replace("TOKEN", &target.token).into_bytes()
                });
                let headers: Vec<(&str, &str)> = headers
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                let url = target.service.url();
                let answer = request(&url, method, &path, &headers, &body);
                let answer = target.runtime.block_on(answer);
                prop_assert!(
                    answer.status < 500,
                    "{method} {path} {}: {}",
                    String::from_utf8_lossy(&body),
                    answer.status
                );
                let count = if answer.status < 300 {
                    &taken
                } else {
                    &refused
                };
                count.set(count.get() + 1);
                Ok(())
            },
        )
        .unwrap();
    assert!(taken.get() > 20, "{} taken", taken.get());
    assert!(refused.get() > 20, "{} refused", refused.get());
    target.runtime.block_on(async {
        let history = target
            .client
            .get_durable_execution_history()
            .durable_execution_arn(&target.arn)
            .send()
            .await;
        assert!(history.is_ok(), "it still answers");
        target.service.shutdown().await;
    });
}

#[test]
fn no_batch_of_updates_is_answered_with_a_failure_and_some_are_taken() {
    let target = target();
    let taken = std::cell::Cell::new(0);
    let refused = std::cell::Cell::new(0);
    // The execution that is written to now, and its next token: a token that was used would only be refused as stale.
    let now = std::cell::RefCell::new((target.arn.clone(), target.token.clone()));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 800,
        ..ProptestConfig::default()
    });
    runner
        .run(&prop::collection::vec(update(), 0..4), |updates| {
            let (arn, token) = now.borrow().clone();
            let path = format!("/2025-12-01/durable-executions/{}/checkpoint", encode(&arn));
            let closes = updates.iter().any(|update| update["Type"] == "EXECUTION");
            let body = json!({"CheckpointToken": token, "Updates": updates}).to_string();
            let url = target.service.url();
            let answer = request(&url, "POST", &path, &[], body.as_bytes());
            let answer = target.runtime.block_on(answer);
            prop_assert!(
                answer.status == 200 || answer.status == 400,
                "{body}: {}",
                answer.status
            );
            if answer.status == 400 {
                prop_assert_eq!(answer.error(), "InvalidParameterValueException");
                refused.set(refused.get() + 1);
                return Ok(());
            }
            taken.set(taken.get() + 1);
            *now.borrow_mut() = if closes {
                target.runtime.block_on(target.hold())
            } else {
                let token = answer.json()["CheckpointToken"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                (arn, token)
            };
            Ok(())
        })
        .unwrap();
    assert!(taken.get() > 20, "{} taken", taken.get());
    assert!(refused.get() > 20, "{} refused", refused.get());
    target.runtime.block_on(target.service.shutdown());
}
