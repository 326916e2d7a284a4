//! Steps, waits and contexts: what each update does, and what a handler gets to see of it.

use serde_json::{Value, json};

use super::super::testing::update;
use super::super::*;
use super::running;

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
