//! What holds whatever happens to an execution, in whatever order: checked over random lives.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::testing::Bench;
use super::*;
use crate::error::ApiErrorKind;
use crate::model::operation::Kind;
use crate::model::{ErrorObject, EventDetails, OperationStatus};

/// Something that can happen to an execution.
#[derive(Debug, Clone)]
enum Happening {
    Begin,
    Checkpoint {
        updates: Vec<Value>,
        stale: bool,
        client_token: Option<u8>,
    },
    Repeat,
    EndPending,
    EndFailed,
    EndSucceeded,
    EndNonsense,
    Advance(u64),
    ClockBack(u64),
    Tick,
    Callback {
        operation: u8,
        action: u8,
    },
    Child {
        operation: u8,
        outcome: u8,
    },
    Stop,
    Pause,
    Resume,
    Restart,
}

fn id(n: u8) -> String {
    format!("op{n}")
}

/// An id usually keeps its kind, so that most updates are about something that can be.
const KINDS: [&str; 12] = [
    "STEP",
    "STEP",
    "STEP",
    "CONTEXT",
    "CONTEXT",
    "WAIT",
    "WAIT",
    "CALLBACK",
    "CALLBACK",
    "CALLBACK",
    "CHAINED_INVOKE",
    "CHAINED_INVOKE",
];
const CALLBACKS: std::ops::Range<u8> = 7..10;
const CHILDREN: std::ops::Range<u8> = 10..12;

fn an_update() -> impl Strategy<Value = Value> {
    let actions = prop_oneof![
        6 => Just("START"),
        3 => Just("SUCCEED"),
        1 => Just("FAIL"),
        2 => Just("RETRY"),
        1 => Just("CANCEL"),
    ];
    let strange = prop::sample::select(vec![
        "STEP",
        "CONTEXT",
        "WAIT",
        "CALLBACK",
        "CHAINED_INVOKE",
        "EXECUTION",
    ]);
    let kinds = prop_oneof![12 => Just(None), 1 => strange.prop_map(Some)];
    let parents =
        prop_oneof![4 => Just(None), 1 => (3_u8..5).prop_map(Some), 1 => (0_u8..12).prop_map(Some)];
    (0_u8..12, kinds, actions, parents, any::<u8>()).prop_map(
        |(n, strange, action, parent, bits)| {
            let kind = strange.unwrap_or(KINDS[usize::from(n)]);
            let mut update = json!({"Id": id(n), "Type": kind, "Action": action});
            let mut set = |name: &str, value: Value| {
                update[name] = value;
            };
            if let Some(parent) = parent {
                set("ParentId", json!(id(parent)));
            }
            if bits & 1 == 1 || action == "RETRY" {
                set(
                    "StepOptions",
                    json!({"NextAttemptDelaySeconds": 1 + bits % 4}),
                );
            }
            if kind == "WAIT" {
                set("WaitOptions", json!({"WaitSeconds": 1 + bits % 5}));
            }
            if kind == "CALLBACK" && bits & 2 == 2 {
                set(
                    "CallbackOptions",
                    json!({"TimeoutSeconds": bits % 7, "HeartbeatTimeoutSeconds": bits % 3}),
                );
            }
            if kind == "CHAINED_INVOKE" {
                set(
                    "ChainedInvokeOptions",
                    json!({"FunctionName": if bits & 4 == 4 { "other" } else { "nobody" }}),
                );
            }
            if bits & 8 == 8 {
                set("Payload", json!("1"));
            }
            if bits & 16 == 16 {
                set("Error", json!({"ErrorType": "E"}));
            }
            if kind == "CONTEXT" && bits & 32 == 32 {
                set("ContextOptions", json!({"ReplayChildren": true}));
            }
            update
        },
    )
}

fn a_happening() -> impl Strategy<Value = Happening> {
    let updates = prop::collection::vec(an_update(), 0..3);
    prop_oneof![
        8 => Just(Happening::Begin),
        16 => (updates, prop::bool::weighted(0.1), prop::option::of(0_u8..3))
            .prop_map(|(updates, stale, client_token)| Happening::Checkpoint { updates, stale, client_token }),
        2 => Just(Happening::Repeat),
        3 => Just(Happening::EndPending),
        1 => Just(Happening::EndFailed),
        1 => prop::bool::weighted(0.2).prop_map(|yes| if yes { Happening::EndSucceeded } else { Happening::EndPending }),
        1 => prop::bool::weighted(0.1).prop_map(|yes| if yes { Happening::EndNonsense } else { Happening::Tick }),
        3 => (0_u64..5_000).prop_map(Happening::Advance),
        1 => (0_u64..2_000).prop_map(Happening::ClockBack),
        3 => Just(Happening::Tick),
        4 => (CALLBACKS, 0_u8..3).prop_map(|(operation, action)| Happening::Callback { operation, action }),
        2 => (CHILDREN, 0_u8..4).prop_map(|(operation, outcome)| Happening::Child { operation, outcome }),
        1 => prop::bool::weighted(0.4).prop_map(|yes| if yes { Happening::Stop } else { Happening::Begin }),
        1 => Just(Happening::Pause),
        1 => Just(Happening::Resume),
        1 => Just(Happening::Restart),
    ]
}

/// What is remembered from moment to moment, to see that nothing goes back.
#[derive(Default)]
struct Memory {
    ended: HashMap<String, (OperationStatus, Timestamp)>,
    closed: Option<Outcome>,
    last: Option<(CheckpointRequest, Bytes)>,
}

fn happen(bench: &mut Bench, memory: &mut Memory, happening: Happening) {
    match happening {
        Happening::Begin => {
            let wanted = bench.execution.progress.gate == Gate::Queued;
            assert_eq!(bench.try_begin().is_some(), wanted);
        }
        Happening::Checkpoint {
            updates,
            stale,
            client_token,
        } => {
            let client_token = client_token.map(|n| format!("token{n}"));
            let mut request = bench.request(&updates, client_token.as_deref());
            if stale {
                request.token = CheckpointToken::parse("c3RhbGU=").unwrap();
            }
            let before = bench.events.len();
            match bench.send(&request) {
                Ok((response, _)) => {
                    assert!(!stale);
                    if bench.execution.progress.pause.is_none() || bench.execution.is_closed() {
                        assert_eq!(
                            bench.execution.progress.seen, bench.execution.progress.changes,
                            "all changes are seen"
                        );
                        memory.last = request
                            .client_token
                            .is_some()
                            .then_some((request, response));
                    } else {
                        memory.last = None;
                    }
                }
                Err(error) => {
                    assert_ne!(error.kind(), ApiErrorKind::Service);
                    assert_eq!(
                        bench.events.len(),
                        before,
                        "a refused batch changes nothing"
                    );
                }
            }
        }
        Happening::Repeat => {
            if let Some((request, response)) = &memory.last {
                // Within the window, whatever happened since.
                if bench.now.since(bench.execution.replay.as_ref().unwrap().at) <= REPLAY_WINDOW {
                    assert_eq!(bench.send(request).unwrap(), (response.clone(), true));
                }
            }
        }
        Happening::EndPending => bench.end_pending(),
        Happening::EndFailed => bench.end_failed("E"),
        Happening::EndSucceeded => bench.end_output(json!({"Status": "SUCCEEDED", "Result": "1"})),
        Happening::EndNonsense => bench.end_output(json!(["nonsense"])),
        Happening::Advance(millis) => bench.advance(millis),
        Happening::ClockBack(millis) => {
            bench.now =
                Timestamp::from_millis(bench.now.as_millis() - i64::try_from(millis).unwrap());
        }
        Happening::Tick => {
            let due = bench.execution.next_due().is_some_and(|at| at <= bench.now);
            assert_eq!(bench.tick(), due);
            assert!(
                bench.execution.next_due().is_none_or(|at| at > bench.now),
                "what was due is done: a timer cannot spin"
            );
        }
        Happening::Callback { operation, action } => {
            let action = match action {
                0 => CallbackAction::Succeed(Some("1".into())),
                1 => CallbackAction::Fail(ErrorObject::default()),
                _ => CallbackAction::Heartbeat,
            };
            // Refused or not, `check` sees what became of it.
            drop(bench.callback(&id(operation), &action));
        }
        Happening::Child { operation, outcome } => {
            let outcome = match outcome {
                0 => Outcome::Succeeded(None),
                1 => Outcome::Failed(ErrorObject::default()),
                2 => Outcome::TimedOut,
                _ => Outcome::Stopped(ErrorObject::default()),
            };
            bench.child_closed(&id(operation), &outcome);
        }
        Happening::Stop => {
            bench.stop(None);
        }
        Happening::Pause | Happening::Resume => {
            let request = ControlRequest {
                client_token: None,
                reason: None,
                stops_timeout: true,
            };
            drop(bench.control(&request, matches!(happening, Happening::Resume)));
        }
        Happening::Restart => bench.restart(),
    }
}

fn check(bench: &Bench, memory: &mut Memory) {
    let execution = &bench.execution;
    let progress = &execution.progress;
    // The history: numbered without gaps, never back in time, closed once, and nothing but the last invocation's end after.
    let mut closing = 0;
    for (index, event) in bench.events.iter().enumerate() {
        assert_eq!(event.id, index as u64 + 1);
        assert!(index == 0 || bench.events[index - 1].at <= event.at);
        match event.details {
            EventDetails::ExecutionSucceeded { .. }
            | EventDetails::ExecutionFailed { .. }
            | EventDetails::ExecutionTimedOut { .. }
            | EventDetails::ExecutionStopped { .. } => closing += 1,
            EventDetails::InvocationCompleted { .. } => {}
            _ => assert_eq!(closing, 0, "an event after the end"),
        }
    }
    assert_eq!(progress.events, bench.events.len() as u64);
    assert_eq!(closing, usize::from(execution.is_closed()));
    assert_eq!(progress.ended.is_some(), execution.is_closed());
    if memory.closed.is_some() {
        assert_eq!(memory.closed, execution.outcome, "an execution ends once");
    }
    memory.closed.clone_from(&execution.outcome);

    // Invocations: asked for exactly as often as they are wanted.
    let completed = bench
        .events
        .iter()
        .filter(|event| matches!(event.details, EventDetails::InvocationCompleted { .. }))
        .count();
    let under_way = usize::from(progress.gate != Gate::Idle);
    assert!(
        bench.invokes >= completed + under_way,
        "an invocation nobody asked for"
    );
    assert!(progress.seen <= progress.changes);
    if execution.is_closed() {
        assert_ne!(progress.gate, Gate::Queued);
        assert_eq!(execution.next_due(), None);
    } else {
        assert!(
            execution
                .next_due()
                .is_some_and(|at| at <= execution.deadline())
        );
    }

    // Operations: unique, in known contexts, ended once.
    let (mut ids, mut contexts, mut callbacks) = (HashSet::new(), HashSet::new(), HashSet::new());
    for (position, operation) in execution.operations().iter().enumerate() {
        assert!(ids.insert(operation.id.as_str()));
        assert_eq!(execution.position(&operation.id), Some(position));
        assert!(
            operation
                .parent
                .as_deref()
                .is_none_or(|parent| contexts.contains(parent))
        );
        assert!(operation.touched <= progress.changes);
        assert_eq!(operation.ended.is_some(), operation.status.is_terminal());
        match &operation.kind {
            Kind::Context(_) => {
                contexts.insert(operation.id.as_str());
            }
            Kind::Callback(callback) => assert!(callbacks.insert(callback.id.clone())),
            Kind::Step(step) => assert_eq!(
                step.next_attempt.is_some(),
                operation.status == OperationStatus::Pending
            ),
            Kind::Wait(_) | Kind::ChainedInvoke(_) => {}
        }
        if let Some(ended) = operation.ended {
            let known = memory
                .ended
                .entry(operation.id.clone())
                .or_insert((operation.status, ended));
            assert_eq!(*known, (operation.status, ended), "an operation ends once");
        }
    }
    let expected: usize = execution
        .operations()
        .iter()
        .filter(|operation| operation.due().is_some())
        .count();
    assert_eq!(execution.timers.len(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_life_leaves_an_illegal_state(life in prop::collection::vec(a_happening(), 1..80)) {
        let mut bench = Bench::new();
        let mut memory = Memory::default();
        check(&bench, &mut memory);
        for happening in life {
            happen(&mut bench, &mut memory, happening);
            check(&bench, &mut memory);
        }
    }

    #[test]
    fn a_life_can_always_be_brought_to_its_end(life in prop::collection::vec(a_happening(), 1..40)) {
        let mut bench = Bench::new();
        let mut memory = Memory::default();
        for happening in life {
            happen(&mut bench, &mut memory, happening);
        }
        // Whatever happened, the execution timeout closes it, paused or not.
        bench.now = bench.execution.origin.started.after_seconds(crate::config::LONGEST_EXECUTION);
        bench.tick();
        bench.end_pending();
        check(&bench, &mut memory);
        prop_assert!(bench.execution.is_closed());
        prop_assert_eq!(&bench.execution.progress.gate, &Gate::Idle);
    }
}
