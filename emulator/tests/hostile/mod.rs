//! What is sent to the service: requests and updates that are nearly right, and some that are not.

use proptest::prelude::*;
use serde_json::{Value, json};

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
pub(crate) fn call() -> impl Strategy<Value = (&'static str, String)> {
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
pub(crate) fn headers() -> impl Strategy<Value = Vec<(&'static str, String)>> {
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

pub(crate) fn query() -> impl Strategy<Value = String> {
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

pub(crate) fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => a_json().prop_map(|json| json.to_string().into_bytes()),
        2 => a_json().prop_map(|updates| json!({"CheckpointToken": "TOKEN", "Updates": [updates]}).to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => Just(Vec::new()),
    ]
}

/// An update that a handler might send: members of the right shape, which may contradict each other.
pub(crate) fn update() -> impl Strategy<Value = Value> {
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
