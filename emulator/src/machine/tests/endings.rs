//! What ends from outside: callbacks, chained invocations, the execution itself.

use serde_json::{Value, json};

use super::super::testing::{Bench, update};
use super::super::*;
use super::running;
use crate::error::ApiErrorKind;
use crate::model::ErrorObject;
use crate::model::operation::{Seconds, Wire};

#[test]
fn callbacks_time_out_by_total_time_and_by_silence() {
    for (options, error, at) in [
        (json!({"TimeoutSeconds": 5}), "Callback.Timeout", 5_000),
        (
            json!({"HeartbeatTimeoutSeconds": 3}),
            "Callback.Heartbeat",
            3_000,
        ),
        (
            json!({"TimeoutSeconds": 5, "HeartbeatTimeoutSeconds": 3}),
            "Callback.Heartbeat",
            3_000,
        ),
        (
            json!({"TimeoutSeconds": 3, "HeartbeatTimeoutSeconds": 3}),
            "Callback.Timeout",
            3_000,
        ),
        (
            json!({"TimeoutSeconds": 4, "HeartbeatTimeoutSeconds": 0}),
            "Callback.Timeout",
            4_000,
        ),
    ] {
        let mut bench = running();
        bench.checkpoint(&[json!({"Id": "c", "Type": "CALLBACK", "Action": "START", "CallbackOptions": options})]).unwrap();
        bench.end_pending();
        bench.advance(at - 1);
        assert!(!bench.tick(), "{options}");
        bench.advance(1);
        assert!(bench.tick(), "{options}");
        let event = bench.last_event();
        assert_eq!(event["EventType"], "CallbackTimedOut");
        assert_eq!(
            event["CallbackTimedOutDetails"]["Error"]["Payload"]["ErrorType"],
            error
        );
        assert_eq!(bench.execution.progress.gate, Gate::Queued);
        let late = bench
            .callback("c", &CallbackAction::Succeed(None))
            .unwrap_err();
        assert_eq!(late.kind(), ApiErrorKind::CallbackTimeout);
    }
}

#[test]
fn a_heartbeat_restarts_the_silence_and_nothing_else() {
    let mut bench = running();
    let options = json!({"TimeoutSeconds": 10, "HeartbeatTimeoutSeconds": 4});
    bench
        .checkpoint(&[
            json!({"Id": "c", "Type": "CALLBACK", "Action": "START", "CallbackOptions": options}),
        ])
        .unwrap();
    bench.end_pending();
    let events = bench.event_types().len();
    for _ in 0..3 {
        bench.advance(3_000);
        bench.callback("c", &CallbackAction::Heartbeat).unwrap();
        assert!(!bench.tick());
    }
    assert_eq!(bench.event_types().len(), events, "no event");
    assert_eq!(bench.execution.progress.gate, Gate::Idle, "no invocation");
    bench.advance(1_000);
    assert!(
        bench.tick(),
        "the total time is up in spite of the heartbeats"
    );
    assert_eq!(
        bench.last_event()["CallbackTimedOutDetails"]["Error"]["Payload"]["ErrorType"],
        "Callback.Timeout"
    );
}

#[test]
fn a_stop_keeps_the_callers_error_and_leaves_operations_as_they_are() {
    let mut bench = running();
    bench
        .checkpoint(&[update("c", "CALLBACK", "START")])
        .unwrap();
    bench.end_pending();
    let at = bench.stop(Some(ErrorObject::new("Mine", "enough")));
    assert_eq!(
        bench.execution.outcome,
        Some(Outcome::Stopped(ErrorObject::new("Mine", "enough")))
    );
    assert_eq!(
        bench.last_event()["ExecutionStoppedDetails"]["Error"]["Payload"]["ErrorType"],
        "Mine"
    );
    assert_eq!(
        bench.execution.operations()[0].status,
        crate::model::OperationStatus::Started
    );
    bench.advance(1_000);
    assert_eq!(
        bench.stop(Some(ErrorObject::default())),
        at,
        "the first stop counts"
    );
    let late = bench
        .callback("c", &CallbackAction::Succeed(None))
        .unwrap_err();
    assert_eq!(late.kind(), ApiErrorKind::CallbackTimeout);
    assert_eq!(
        bench.last_type(),
        "ExecutionStopped",
        "the history is closed"
    );
    assert_eq!(bench.execution.next_due(), None);
}

#[test]
fn the_execution_timeout_ends_everything() {
    let mut bench = running();
    bench.checkpoint(&[json!({"Id": "w", "Type": "WAIT", "Action": "START", "WaitOptions": {"WaitSeconds": 100}})]).unwrap();
    bench.advance(100_000);
    assert!(bench.tick());
    assert_eq!(bench.execution.outcome, Some(Outcome::TimedOut));
    assert_eq!(bench.last_type(), "ExecutionTimedOut");
    let request = bench.request(&[], None);
    assert!(bench.send(&request).is_err());
    bench.end_output(json!({"Status": "SUCCEEDED", "Result": "1"}));
    assert_eq!(
        bench.execution.outcome,
        Some(Outcome::TimedOut),
        "what the invocation says later does not count"
    );
}

#[test]
fn a_chained_invocation_starts_a_child_and_ends_as_it_ends() {
    for (outcome, status, event) in [
        (
            Outcome::Succeeded(Some("1".into())),
            "SUCCEEDED",
            "ChainedInvokeSucceeded",
        ),
        (
            Outcome::Failed(ErrorObject::new("E", "no")),
            "FAILED",
            "ChainedInvokeFailed",
        ),
        (Outcome::TimedOut, "TIMED_OUT", "ChainedInvokeTimedOut"),
        (
            Outcome::Stopped(ErrorObject::new("S", "stop")),
            "STOPPED",
            "ChainedInvokeStopped",
        ),
    ] {
        let mut bench = running();
        let start = json!({"Id": "i", "Type": "CHAINED_INVOKE", "Action": "START", "Payload": "[1]", "ChainedInvokeOptions": {"FunctionName": "other", "TenantId": "t"}});
        bench.checkpoint(&[start]).unwrap();
        let [child] = bench.children.as_slice() else {
            panic!("one child")
        };
        assert_eq!(
            (child.arn.function(), child.input.as_ref()),
            ("other", "[1]")
        );
        assert_eq!(
            child.parent,
            Some((bench.execution.arn().clone(), "i".to_owned()))
        );
        let details = &bench.last_event()["ChainedInvokeStartedDetails"];
        assert_eq!(details["DurableExecutionArn"], child.arn.as_str());
        assert_eq!(
            (&details["ExecutedVersion"], &details["TenantId"]),
            (&json!("$LATEST"), &json!("t"))
        );
        bench.end_pending();
        bench.child_closed("i", &outcome);
        assert_eq!(bench.last_event()["EventType"], event);
        assert_eq!(bench.execution.progress.gate, Gate::Queued);
        let begun: Value = serde_json::from_slice(&bench.begin().event().unwrap()).unwrap();
        assert_eq!(
            begun["InitialExecutionState"]["Operations"][1]["Status"],
            status
        );
    }
}

#[test]
fn a_chained_invocation_of_nobody_fails_in_the_answer() {
    let mut bench = running();
    let start = json!({"Id": "i", "Type": "CHAINED_INVOKE", "Action": "START", "ChainedInvokeOptions": {"FunctionName": "nobody"}});
    let answer = bench.checkpoint(&[start]).unwrap();
    let operation = &answer["NewExecutionState"]["Operations"][0];
    assert_eq!(operation["Status"], "FAILED");
    assert_eq!(
        operation["ChainedInvokeDetails"]["Error"]["ErrorType"],
        "ResourceNotFoundException"
    );
    assert!(bench.children.is_empty());
    for elsewhere in [
        "arn:aws:lambda:eu-west-1:000000000000:function:other",
        "111111111111:function:other",
    ] {
        let start = json!({"Id": "j", "Type": "CHAINED_INVOKE", "Action": "START", "ChainedInvokeOptions": {"FunctionName": elsewhere}});
        assert_eq!(
            bench.checkpoint(&[start]).unwrap_err().kind(),
            ApiErrorKind::InvalidParameterValue
        );
    }
}

#[test]
fn a_chained_end_is_told_when_the_callers_invocation_ends_or_asks() {
    let start = json!({"Id": "i", "Type": "CHAINED_INVOKE", "Action": "START", "ChainedInvokeOptions": {"FunctionName": "other"}});
    let started = ["ExecutionStarted", "ChainedInvokeStarted"];
    type End = fn(&mut Bench);
    let asks: End = |bench| {
        let answer = bench.checkpoint(&[]).unwrap();
        let operation = &answer["NewExecutionState"]["Operations"][0];
        assert_eq!(operation["ChainedInvokeDetails"]["Result"], "1");
    };
    let ends: [(End, &[&str]); 5] = [
        (asks, &["ChainedInvokeSucceeded"]),
        (
            Bench::end_pending,
            &["InvocationCompleted", "ChainedInvokeSucceeded"],
        ),
        (
            |bench| bench.end_failed("E"),
            &["InvocationCompleted", "ChainedInvokeSucceeded"],
        ),
        (
            Bench::restart,
            &["InvocationCompleted", "ChainedInvokeSucceeded"],
        ),
        (
            // It never asked: the history of what it did stays whole.
            |bench| bench.end_output(json!({"Status": "SUCCEEDED"})),
            &["InvocationCompleted", "ExecutionSucceeded"],
        ),
    ];
    for (end, events) in ends {
        let mut bench = running();
        bench.checkpoint(std::slice::from_ref(&start)).unwrap();
        assert!(bench.child_closed("i", &Outcome::Succeeded(Some("1".into()))));
        assert_eq!(bench.event_types(), started, "kept while it runs");
        let shown = serde_json::to_string(&Wire::<Seconds>::operation(
            &bench.execution.operations()[0],
        ));
        assert!(!shown.unwrap().contains("Result"), "and not shown");
        assert!(!bench.tick(), "the service does not tell it by itself");
        end(&mut bench);
        assert_eq!(bench.event_types(), [&started, events].concat());
        assert!(
            !bench.child_closed("i", &Outcome::TimedOut),
            "an execution ends once"
        );
    }
}

#[test]
fn a_chained_end_that_was_kept_wakes_its_caller_at_once() {
    let mut bench = running();
    let start = json!({"Id": "i", "Type": "CHAINED_INVOKE", "Action": "START", "ChainedInvokeOptions": {"FunctionName": "other"}});
    bench.checkpoint(&[start]).unwrap();
    bench.child_closed("i", &Outcome::Succeeded(None));
    assert!(
        !bench.child_closed("i", &Outcome::TimedOut),
        "an execution ends once"
    );
    bench.end_pending();
    assert_eq!(bench.execution.progress.gate, Gate::Queued);
    let event: Value = serde_json::from_slice(&bench.begin().event().unwrap()).unwrap();
    assert_eq!(event["UpdatedOperationIds"], json!(["i"]));
}
