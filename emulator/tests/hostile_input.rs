//! Whatever is sent, the service answers with a refusal, never with a failure of its own, and goes on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use std::sync::Mutex;

use aws_sdk_lambda::Client;
use longhaul_emulator::{FunctionConfig, Service};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::handler::script;
use support::raw::request;
use support::{client, config, invoke, until};

/// Bits that mean something somewhere, and bits that do not.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("2025-12-01".to_owned()),
        Just("2015-03-31".to_owned()),
        Just("durable-executions".to_owned()),
        Just("durable-execution-callbacks".to_owned()),
        Just("functions".to_owned()),
        Just("job".to_owned()),
        Just("invocations".to_owned()),
        Just("ARN".to_owned()),
        prop::sample::select(vec![
            "checkpoint",
            "state",
            "history",
            "stop",
            "pause",
            "resume",
            "succeed",
            "fail",
            "heartbeat"
        ])
        .prop_map(ToOwned::to_owned),
        "[ -~]{0,12}".prop_map(|text| text.replace([' ', '#'], "")),
        "(%[0-9a-fA-F]{2}){0,6}",
        Just(String::new()),
    ]
}

fn query() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "Marker",
        "MaxItems",
        "ReverseOrder",
        "IncludeExecutionData",
        "Statuses",
        "StartedAfter",
        "Qualifier",
        "CheckpointToken",
        "DurableExecutionName",
        "x",
    ]);
    let value = prop_oneof![
        "[0-9]{0,20}",
        "[A-Za-z0-9%$.:+/=-]{0,30}",
        Just("true".to_owned()),
        Just("RUNNING".to_owned())
    ];
    prop::collection::vec((name, value), 0..4).prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("&")
    })
}

/// JSON that is about the right shape, with wrong things in it.
fn a_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "STEP",
            "WAIT",
            "START",
            "RETRY",
            "EXECUTION",
            "TOKEN",
            "a"
        ])
        .prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "CheckpointToken",
        "ClientToken",
        "Updates",
        "Id",
        "Type",
        "Action",
        "ParentId",
        "Name",
        "SubType",
        "Payload",
        "Error",
        "ErrorType",
        "StackTrace",
        "StepOptions",
        "NextAttemptDelaySeconds",
        "WaitOptions",
        "WaitSeconds",
        "CallbackOptions",
        "TimeoutSeconds",
        "ChainedInvokeOptions",
        "FunctionName",
        "Reason",
    ]);
    leaf.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|pairs| Value::Object(
                pairs
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            )),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => a_json().prop_map(|json| json.to_string().into_bytes()),
        2 => a_json().prop_map(|updates| json!({"CheckpointToken": "TOKEN", "Updates": [updates]}).to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => Just(Vec::new()),
    ]
}

/// One service for all cases, with one execution whose invocation runs and whose token the cases may use.
struct Target {
    runtime: tokio::runtime::Runtime,
    service: Service,
    client: Client,
    arn: String,
    token: String,
    _state: tempfile::TempDir,
}

fn target() -> Target {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let state = tempfile::tempdir().unwrap();
    let (service, client, arn, token) = runtime.block_on(async {
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
        let service = Service::start(config(&state).function(FunctionConfig::handler("job", handler))).await.unwrap();
        let client = client(&service.url());
        late.set(client.clone()).ok().unwrap();
        let arn = invoke(&client, json!("hold")).await;
        let token = until("the invocation", || async { receiver.try_recv().ok() }).await;
        (service, client, arn, token)
    });
    Target {
        runtime,
        service,
        client,
        arn,
        token,
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
        cases: 600,
        ..ProptestConfig::default()
    });
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]);
    let input = (
        method,
        prop::collection::vec(fragment(), 0..6),
        query(),
        body(),
    );
    runner
        .run(&input, |(method, fragments, query, body)| {
            let path = format!("/{}", fragments.join("/"))
                .replace("ARN", &encode(&target.arn))
                .replace('?', "");
            let path = if query.is_empty() {
                path
            } else {
                format!("{path}?{query}")
            };
            let body = String::from_utf8(body.clone()).map_or(body, |text| {
                text.replace("TOKEN", &target.token).into_bytes()
            });
            let answer =
                target
                    .runtime
                    .block_on(request(&target.service.url(), method, &path, &[], &body));
            prop_assert!(
                answer.status < 500,
                "{method} {path} {}: {}",
                String::from_utf8_lossy(&body),
                answer.status
            );
            Ok(())
        })
        .unwrap();
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
