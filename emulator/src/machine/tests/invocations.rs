//! Invocations: when one is wanted, what its token is good for, and how it may end.

use serde_json::{Value, json};

use super::super::testing::{Bench, update};
use super::super::*;
use super::running;
use crate::error::ApiErrorKind;
use crate::model::ErrorObject;

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
