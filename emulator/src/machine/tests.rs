//! What the state machine promises, case by case.

use serde_json::{Value, json};

use super::testing::{Bench, update};
use super::*;
use crate::error::ApiErrorKind;
use crate::model::ErrorObject;

/// A bench whose first invocation runs.
fn running() -> Bench {
    let mut bench = Bench::new();
    bench.begin();
    bench
}

#[test]
fn a_new_execution_asks_for_its_first_invocation() {
    let mut bench = Bench::new();
    assert_eq!(bench.execution.progress.gate, Gate::Queued);
    assert_eq!(bench.event_types(), ["ExecutionStarted"]);
    let event: Value = serde_json::from_slice(&bench.begin().event().unwrap()).unwrap();
    let state = &event["InitialExecutionState"];
    assert_eq!(event["DurableExecutionArn"], bench.execution.arn().as_str());
    assert_eq!(state["Operations"][0]["Id"], bench.execution.arn().id());
    assert_eq!(state["Operations"][0]["Type"], "EXECUTION");
    assert_eq!(
        state["Operations"][0]["ExecutionDetails"]["InputPayload"],
        "{\"n\":1}"
    );
    assert_eq!(
        state["Operations"][0]["StartTimestamp"], 1_000_000,
        "milliseconds, as an integer"
    );
    assert_eq!(state["NextMarker"], "");
    assert_eq!(event["UpdatedOperationIds"], json!([]));
}

#[test]
fn a_step_starts_at_attempt_zero_and_ends_at_attempt_one() {
    let mut bench = running();
    let answer = bench
        .checkpoint(&[
            json!({"Id": "s", "Type": "STEP", "Action": "START", "Name": "n", "SubType": "Step"}),
        ])
        .unwrap();
    let operation = &answer["NewExecutionState"]["Operations"][0];
    assert_eq!(
        (&operation["Status"], &operation["StepDetails"]["Attempt"]),
        (&json!("STARTED"), &json!(0))
    );
    assert_eq!(operation["StartTimestamp"], 1_000.0, "seconds");
    let answer = bench
        .checkpoint(&[json!({"Id": "s", "Type": "STEP", "Action": "SUCCEED", "Payload": "1"})])
        .unwrap();
    let operation = &answer["NewExecutionState"]["Operations"][0];
    assert_eq!(
        (&operation["Status"], &operation["StepDetails"]["Attempt"]),
        (&json!("SUCCEEDED"), &json!(1))
    );
    assert_eq!(
        bench.event_types(),
        ["ExecutionStarted", "StepStarted", "StepSucceeded"]
    );
    assert_eq!(
        bench.last_event()["StepSucceededDetails"]["RetryDetails"],
        json!({"CurrentAttempt": 1})
    );
}

#[test]
fn a_retry_waits_for_its_delay_then_is_ready_and_wakes_the_execution() {
    let mut bench = running();
    bench.checkpoint(&[update("s", "STEP", "START")]).unwrap();
    let retry = json!({"Id": "s", "Type": "STEP", "Action": "RETRY", "Error": {"ErrorType": "E"}, "StepOptions": {"NextAttemptDelaySeconds": 5}});
    let answer = bench.checkpoint(&[retry]).unwrap();
    let details = &answer["NewExecutionState"]["Operations"][0]["StepDetails"];
    assert_eq!(
        (&details["Attempt"], &details["NextAttemptTimestamp"]),
        (&json!(1), &json!(1_005.0))
    );
    assert_eq!(
        bench.last_event()["StepFailedDetails"]["RetryDetails"],
        json!({"CurrentAttempt": 1, "NextAttemptDelaySeconds": 5})
    );
    bench.end_pending();
    assert_eq!(bench.execution.progress.gate, Gate::Idle);
    bench.advance(4_999);
    assert!(!bench.tick(), "not due yet");
    bench.advance(1);
    assert!(bench.tick());
    assert_eq!(bench.execution.progress.gate, Gate::Queued);
    let begun: Value = serde_json::from_slice(&bench.begin().event().unwrap()).unwrap();
    let operation = &begun["InitialExecutionState"]["Operations"][1];
    assert_eq!(
        (&operation["Status"], &operation["StepDetails"]["Attempt"]),
        (&json!("READY"), &json!(1))
    );
    assert_eq!(operation["StepDetails"].get("NextAttemptTimestamp"), None);
    assert_eq!(begun["UpdatedOperationIds"], json!(["s"]));
    let answer = bench.checkpoint(&[update("s", "STEP", "START")]).unwrap();
    assert_eq!(
        answer["NewExecutionState"]["Operations"][0]["Status"],
        "STARTED"
    );
}

#[test]
fn a_retry_without_an_error_is_a_success_that_carries_its_payload() {
    let mut bench = running();
    bench.checkpoint(&[update("s", "STEP", "START")]).unwrap();
    bench
        .checkpoint(&[json!({"Id": "s", "Type": "STEP", "Action": "RETRY", "Payload": "7", "StepOptions": {"NextAttemptDelaySeconds": 1}})])
        .unwrap();
    let event = bench.last_event();
    assert_eq!(event["EventType"], "StepSucceeded");
    assert_eq!(
        event["StepSucceededDetails"]["Result"],
        json!({"Payload": "7", "Truncated": false})
    );
}

#[test]
fn what_is_due_goes_out_with_the_checkpoint_answer() {
    let mut bench = running();
    bench.checkpoint(&[json!({"Id": "w", "Type": "WAIT", "Action": "START", "WaitOptions": {"WaitSeconds": 2}})]).unwrap();
    bench.advance(2_000);
    let answer = bench.checkpoint(&[]).unwrap();
    assert_eq!(
        answer["NewExecutionState"]["Operations"][0]["Status"],
        "SUCCEEDED"
    );
    bench.end_output(json!({"Status": "SUCCEEDED", "Result": "1"}));
    assert_eq!(
        bench.event_types()[1..],
        [
            "WaitStarted",
            "WaitSucceeded",
            "InvocationCompleted",
            "ExecutionSucceeded"
        ]
    );
}

#[test]
fn a_change_the_handler_did_not_see_wakes_it_again_and_one_it_saw_does_not() {
    let mut bench = running();
    let answer = bench
        .checkpoint(&[
            update("a", "CALLBACK", "START"),
            update("b", "CALLBACK", "START"),
        ])
        .unwrap();
    let id = |at: usize| {
        answer["NewExecutionState"]["Operations"][at]["CallbackDetails"]["CallbackId"]
            .as_str()
            .unwrap()
    };
    assert_ne!(id(0), id(1));
    bench
        .callback("a", &CallbackAction::Succeed(Some("1".into())))
        .unwrap();
    assert!(
        matches!(bench.execution.progress.gate, Gate::Running(_)),
        "at most one invocation at a time"
    );
    let answer = bench.checkpoint(&[]).unwrap();
    assert_eq!(
        answer["NewExecutionState"]["Operations"][0]["CallbackDetails"]["Result"],
        "1"
    );
    bench.end_pending();
    assert_eq!(
        bench.execution.progress.gate,
        Gate::Idle,
        "seen through the checkpoint"
    );

    bench.callback("b", &CallbackAction::Succeed(None)).unwrap();
    assert_eq!(bench.execution.progress.gate, Gate::Queued);
    bench.begin();
    bench
        .checkpoint(&[update("c", "CALLBACK", "START")])
        .unwrap();
    bench
        .callback("c", &CallbackAction::Fail(ErrorObject::default()))
        .unwrap();
    bench.end_pending();
    assert_eq!(
        bench.execution.progress.gate,
        Gate::Queued,
        "not seen by the invocation that ended"
    );
}

#[test]
fn a_token_works_once_and_the_last_checkpoint_can_be_repeated() {
    let mut bench = running();
    let first = bench.token();
    let request = bench.request(&[update("s", "STEP", "START")], Some("client"));
    let (answer, _) = bench.send(&request).unwrap();
    assert_ne!(bench.token(), first);
    let (again, _) = bench.send(&request).unwrap();
    assert_eq!(answer, again, "the very same bytes");
    let other = CheckpointRequest {
        client_token: Some("other".into()),
        ..request.clone()
    };
    assert_eq!(
        bench.send(&other).unwrap_err().kind(),
        ApiErrorKind::InvalidCheckpointToken
    );

    let next = bench.request(&[update("s", "STEP", "SUCCEED")], Some("next"));
    bench.send(&next).unwrap();
    assert!(
        bench.send(&request).is_err(),
        "only the last checkpoint is remembered"
    );

    let request = bench.request(&[update("t", "STEP", "START")], Some("late"));
    let (answer, _) = bench.send(&request).unwrap();
    bench.end_pending();
    assert_eq!(
        bench.send(&request).unwrap().0,
        answer,
        "even after the execution moved on"
    );
    bench.advance(15 * 60 * 1_000 + 1);
    assert!(bench.send(&request).is_err(), "for fifteen minutes");
}

#[test]
fn tokens_of_earlier_invocations_and_closed_executions_are_stale() {
    let mut bench = running();
    let request = bench.request(&[], None);
    bench.end_failed("E");
    bench.advance(10_000);
    bench.tick();
    bench.begin();
    assert_eq!(
        bench.send(&request).unwrap_err().kind(),
        ApiErrorKind::InvalidCheckpointToken
    );
    let request = bench.request(&[], None);
    bench.stop(None);
    assert_eq!(
        bench.send(&request).unwrap_err().kind(),
        ApiErrorKind::InvalidCheckpointToken
    );
}

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
fn failed_invocations_are_in_the_history_and_repeated_with_growing_delays() {
    let mut bench = running();
    for delay in [1_000, 2_000, 4_000, 8_000] {
        bench.end_failed("Runtime.ExitError");
        let details = bench.last_event()["InvocationCompletedDetails"].clone();
        assert_eq!(
            details["Error"]["Payload"]["ErrorType"],
            "Runtime.ExitError"
        );
        assert_eq!(bench.execution.progress.gate, Gate::Idle);
        bench.advance(delay - 1);
        assert!(!bench.tick());
        bench.advance(1);
        assert!(bench.tick());
        bench.begin();
    }
    bench.end_failed("Runtime.ExitError");
    assert_eq!(bench.last_type(), "ExecutionFailed");
    assert!(
        matches!(&bench.execution.outcome, Some(Outcome::Failed(error)) if error.error_type.as_deref() == Some("Runtime.ExitError"))
    );
}

#[test]
fn a_clean_invocation_forgives_earlier_failures() {
    let mut bench = running();
    for _ in 0..4 {
        bench.end_failed("E");
        bench.advance(60_000 / 4);
        bench.tick();
        bench.begin();
    }
    bench
        .checkpoint(&[update("c", "CALLBACK", "START")])
        .unwrap();
    bench.end_pending();
    assert_eq!(bench.execution.progress.failures, 0);
    assert!(bench.execution.outcome.is_none());
}

#[test]
fn outputs_that_make_no_sense_fail_the_execution_at_once() {
    for (output, message) in [
        (json!("text"), "Invalid invocation output"),
        (json!({}), "Response status is required"),
        (
            json!({"Status": "DONE"}),
            "Unexpected invocation status: DONE",
        ),
        (
            json!({"Status": "SUCCEEDED", "Error": {}}),
            "Cannot provide an Error",
        ),
        (
            json!({"Status": "FAILED", "Result": "1"}),
            "Cannot provide a Result",
        ),
        (
            json!({"Status": "SUCCEEDED", "Result": "x".repeat(1_048_577)}),
            "size must be less",
        ),
    ] {
        let mut bench = running();
        bench.end_output(output);
        let Some(Outcome::Failed(error)) = &bench.execution.outcome else {
            panic!("{message}")
        };
        assert_eq!(
            error.error_type.as_deref(),
            Some("InvalidParameterValueException")
        );
        assert!(
            error.error_message.as_deref().unwrap().contains(message),
            "{error:?}"
        );
    }
}

#[test]
fn to_wait_for_nothing_is_forgiven_twice() {
    let mut bench = running();
    for _ in 0..2 {
        bench.end_pending();
        assert!(bench.execution.outcome.is_none());
        bench.advance(10_000);
        assert!(bench.tick());
        bench.begin();
    }
    bench.end_pending();
    assert_eq!(bench.last_type(), "ExecutionFailed");
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
fn children_of_a_completed_context_are_not_replayed_unless_asked_for() {
    for (replay, expected) in [
        (false, vec!["ctx", "after"]),
        (true, vec!["ctx", "in", "inner", "deep", "after"]),
    ] {
        let mut bench = running();
        bench
            .checkpoint(&[
                update("ctx", "CONTEXT", "START"),
                json!({"Id": "in", "Type": "STEP", "Action": "SUCCEED", "ParentId": "ctx"}),
                json!({"Id": "inner", "Type": "CONTEXT", "Action": "START", "ParentId": "ctx"}),
                json!({"Id": "deep", "Type": "STEP", "Action": "SUCCEED", "ParentId": "inner"}),
                update("after", "STEP", "SUCCEED"),
            ])
            .unwrap();
        bench
            .checkpoint(&[json!({"Id": "ctx", "Type": "CONTEXT", "Action": "SUCCEED", "ContextOptions": {"ReplayChildren": replay}})])
            .unwrap();
        let ids: Vec<String> = bench.page(None, 100).0;
        assert_eq!(ids, expected);
    }
}

#[test]
fn pages_walk_through_all_operations_once() {
    let mut bench = running();
    for n in 0..25 {
        bench
            .checkpoint(&[update(&format!("s{n}"), "STEP", "SUCCEED")])
            .unwrap();
    }
    let (mut seen, mut marker, mut pages) = (Vec::new(), None, 0);
    loop {
        let (ids, next) = bench.page(marker.as_deref(), 10);
        seen.extend(ids);
        pages += 1;
        marker = next;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..25).map(|n| format!("s{n}")).collect::<Vec<_>>());
    assert_eq!(
        pages, 3,
        "the EXECUTION operation takes a place on the first page"
    );
    let (_, next) = bench.page(None, 10);
    bench.advance(24 * 60 * 60 * 1_000 + 1);
    let world_now = bench.now;
    assert!(
        read_marker('s', &next.unwrap(), world_now).is_err(),
        "a marker lives for a day"
    );
}

#[test]
fn a_restart_repeats_the_invocation_that_ran_with_a_new_token() {
    let mut bench = running();
    bench.checkpoint(&[update("s", "STEP", "START")]).unwrap();
    let old = bench.request(&[], None);
    bench.restart();
    assert_eq!(bench.execution.progress.gate, Gate::Queued);
    assert_eq!(
        bench.last_event()["InvocationCompletedDetails"]["Error"]["Payload"]["ErrorType"],
        "Sandbox.Interrupted"
    );
    assert_eq!(
        bench.execution.progress.failures, 0,
        "not the function's fault"
    );
    bench.begin();
    assert_eq!(
        bench.send(&old).unwrap_err().kind(),
        ApiErrorKind::InvalidCheckpointToken
    );
    bench.checkpoint(&[update("s", "STEP", "SUCCEED")]).unwrap();
}
