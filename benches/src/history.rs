//! Invocation events of executions whose jobs have all ended, as the durable service sends them.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The execution that is replayed.
pub const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:jobs:$LATEST/durable-execution/bench/1b671a64-40d5-491e-99b0-da01ff1f3341";

/// In which operations a job's history lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A callback and a step for each job, one job after the other.
    Flat,
    /// A context for each job, which holds a callback and a step: the SDK's `wait_for_callback`.
    Nested,
}

/// How large the execution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// How many jobs have ended.
    pub jobs: usize,
    /// How long each one's result is, in bytes of JSON, from 2.
    pub result: usize,
}

/// What job number `index` returned: a string as long as asked for, as JSON.
#[must_use]
pub fn result(index: usize, size: Size) -> String {
    let text = format!("{index}-");
    let long = size.result.saturating_sub(2);
    format!(
        "\"{}\"",
        text.chars().cycle().take(long).collect::<String>()
    )
}

/// The SDK's id of the operation at `position` (`3`, or `2-1` within a context): SHA-256 in hex
/// (`engine.rs` of `aws-durable-execution-sdk` 0.1.0).
fn id(position: &str) -> String {
    hex::encode(Sha256::digest(position))
}

/// The event with which an execution is woken whose jobs have all ended.
#[must_use]
pub fn event(shape: Shape, size: Size) -> Vec<u8> {
    let mut operations = vec![json!({
        "Id": "1b671a64-40d5-491e-99b0-da01ff1f3341",
        "Name": "bench",
        "Type": "EXECUTION",
        "Status": "STARTED",
        "StartTimestamp": 1_795_651_200.0,
        "ExecutionDetails": {"InputPayload": size.jobs.to_string()},
    })];
    for index in 0..size.jobs {
        job(&mut operations, shape, index, size);
    }
    json!({
        "DurableExecutionArn": ARN,
        "CheckpointToken": "Y2hlY2twb2ludC10b2tlbg==",
        "InitialExecutionState": {"Operations": operations, "NextMarker": ""},
    })
    .to_string()
    .into_bytes()
}

fn job(operations: &mut Vec<Value>, shape: Shape, index: usize, size: Size) {
    let result = result(index, size);
    let (callback, step, parent) = match shape {
        Shape::Flat => (
            format!("{}", 2 * index + 1),
            format!("{}", 2 * index + 2),
            None,
        ),
        Shape::Nested => {
            let context = format!("{}", index + 1);
            operations.push(operation(&context, None, "job", "CONTEXT", |operation| {
                operation["SubType"] = json!("WaitForCallback");
                operation["ContextDetails"] = json!({"Result": result});
            }));
            (
                format!("{context}-1"),
                format!("{context}-2"),
                Some(id(&context)),
            )
        }
    };
    let parent = parent.as_deref();
    operations.push(operation(
        &callback,
        parent,
        "callback job",
        "CALLBACK",
        |operation| {
            operation["SubType"] = json!("Callback");
            operation["CallbackDetails"] = json!({"CallbackId": token(index), "Result": result});
        },
    ));
    operations.push(operation(&step, parent, "start job", "STEP", |operation| {
        operation["SubType"] = json!("Step");
        operation["StepDetails"] = json!({"Attempt": 1, "Result": handle(index).to_string()});
    }));
}

fn operation(
    position: &str,
    parent: Option<&str>,
    name: &str,
    kind: &str,
    detail: impl FnOnce(&mut Value),
) -> Value {
    let mut operation = json!({
        "Id": id(position),
        "Name": name,
        "Type": kind,
        "Status": "SUCCEEDED",
        "StartTimestamp": 1_795_651_201.5,
        "EndTimestamp": 1_795_651_262.25,
    });
    if let Some(parent) = parent {
        operation["ParentId"] = json!(parent);
    }
    detail(&mut operation);
    operation
}

/// As long as those that the service mints.
fn token(index: usize) -> String {
    format!("{index:0>200}")
}

/// What the start step recorded.
fn handle(index: usize) -> Value {
    json!({"ok": {"backend": "none", "id": format!("arn:aws:ecs:us-east-1:123456789012:task/jobs/{index:0>32}")}})
}
