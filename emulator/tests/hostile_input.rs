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

/// A method and a path: mostly of an operation that there is, so that what follows the path is read too.
fn call() -> impl Strategy<Value = (&'static str, String)> {
    // An execution that is stopped or paused would take no checkpoints: those go to one that has ended.
    let operations = vec![
        ("POST", "/2015-03-31/functions/job/invocations"),
        ("POST", "/2015-03-31/functions/job:$LATEST/invocations"),
        ("GET", "/2025-12-01/functions/job/durable-executions"),
        ("GET", "/2025-12-01/durable-executions/ARN"),
        ("GET", "/2025-12-01/durable-executions/ARN/history"),
        ("GET", "/2025-12-01/durable-executions/ARN/state"),
        ("POST", "/2025-12-01/durable-executions/ARN/checkpoint"),
        ("POST", "/2025-12-01/durable-executions/ENDED/stop"),
        ("POST", "/2025-12-01/durable-executions/ENDED/pause"),
        ("POST", "/2025-12-01/durable-executions/ENDED/resume"),
        (
            "POST",
            "/2025-12-01/durable-execution-callbacks/YQ%3D%3D/succeed",
        ),
        (
            "POST",
            "/2025-12-01/durable-execution-callbacks/YQ%3D%3D/fail",
        ),
        (
            "POST",
            "/2025-12-01/durable-execution-callbacks/YQ%3D%3D/heartbeat",
        ),
    ];
    let known =
        prop::sample::select(operations).prop_map(|(method, path)| (method, path.to_owned()));
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]);
    let any = (method, prop::collection::vec(fragment(), 0..6))
        .prop_map(|(method, fragments)| (method, format!("/{}", fragments.join("/"))));
    prop_oneof![3 => known, 1 => any]
}

/// Headers that some operation reads, with what may be right and what is not.
fn headers() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let name = prop::sample::select(vec![
        "x-amz-invocation-type",
        "x-amz-durable-execution-name",
        "x-amz-tenant-id",
        "x-amzn-trace-id",
        "x-amz-log-type",
        "x-amz-client-context",
        "authorization",
    ]);
    let value = prop_oneof![
        Just("Event".to_owned()),
        Just("DryRun".to_owned()),
        "[!-~]{1,80}"
    ];
    prop::collection::vec((name, value), 0..3)
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

/// An update that a handler might send: members of the right shape, which may contradict each other.
fn update() -> impl Strategy<Value = Value> {
    let kinds = vec![
        "STEP",
        "WAIT",
        "CALLBACK",
        "CONTEXT",
        "CHAINED_INVOKE",
        "STEP",
        "STEP",
        "EXECUTION",
    ];
    let kind = prop::sample::select(kinds);
    let action = prop::sample::select(vec!["START", "START", "SUCCEED", "FAIL", "RETRY", "CANCEL"]);
    let seconds = prop_oneof![
        Just(0_i64),
        1..5_i64,
        Just(99_999_999),
        Just(31_622_401),
        any::<i64>()
    ];
    let id = prop::sample::select(vec!["a", "b", "c", "d", "not an id", ""]);
    let parent = prop::option::of(prop::sample::select(vec!["a", "b", "z"]));
    let payload = prop::option::of("\\PC{0,8}");
    (
        kind,
        action,
        seconds,
        id,
        parent,
        payload,
        any::<[bool; 6]>(),
    )
        .prop_map(|(kind, action, seconds, id, parent, payload, with)| {
            let mut update = json!({"Id": id, "Type": kind, "Action": action});
            let mut put = |wanted: bool, name: &str, value: Value| {
                if wanted {
                    update[name] = value;
                }
            };
            put(parent.is_some(), "ParentId", json!(parent));
            put(payload.is_some(), "Payload", json!(payload));
            put(
                with[0],
                "Error",
                json!({"ErrorType": "E", "ErrorMessage": payload}),
            );
            put(
                with[1],
                "StepOptions",
                json!({"NextAttemptDelaySeconds": seconds}),
            );
            put(with[2], "WaitOptions", json!({"WaitSeconds": seconds}));
            put(
                with[3],
                "CallbackOptions",
                json!({"TimeoutSeconds": seconds, "HeartbeatTimeoutSeconds": seconds}),
            );
            put(
                with[4],
                "ChainedInvokeOptions",
                json!({"FunctionName": payload.as_deref().unwrap_or("job")}),
            );
            put(with[5], "Name", json!("n"));
            update
        })
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
