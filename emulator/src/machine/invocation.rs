//! The life of an execution's invocations: wanted, begun, ended, and begun anew after a crash.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::id::{CheckpointToken, mint_uuid};
use crate::model::operation::{Millis, Operation, OperationStatus, Wire};
use crate::model::{ErrorObject, EventDetails, EventError, EventInput, EventOperation, Timestamp};

use super::chained::complete_kept;
use super::pause::begin_pause;
use super::{
    Draft, Effect, Execution, Gate, Origin, Outcome, Progress, Running, StatePage, Transition,
    World,
};

/// Suspensions with nothing to wait for after which the execution fails. One may be a race in the handler's SDK.
const IDLE_SUSPENSIONS: u32 = 3;

/// The largest result of an execution whose caller does not wait for it, in bytes.
pub(super) const ASYNC_PAYLOAD: usize = 1_048_576;

/// The largest payload of all, in bytes.
pub(super) const SYNC_PAYLOAD: usize = 6_291_456;

/// How an invocation ended, as its environment saw it.
#[derive(Debug, Clone)]
pub(crate) enum InvocationResult {
    /// The function answered; this is the body.
    Output(bytes::Bytes),
    /// The function reported an error, crashed, ran out of time, or could not be started.
    Failed(ErrorObject),
}

/// Everything an environment needs to run one invocation.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    pub(crate) request_id: String,
    pub(crate) trace: String,
    pub(crate) tenant: Option<String>,
    pub(crate) function_arn: String,
    origin: Arc<Origin>,
    token: CheckpointToken,
    page: StatePage,
    updated: Vec<String>,
}

/// A new execution: its first transition already contains the wish for an invocation.
pub(crate) fn start(key: i64, origin: Origin) -> (Execution, Transition) {
    let now = origin.started;
    let progress = Progress {
        gate: Gate::Idle,
        ended: None,
        events: 0,
        last_event: now,
        changes: 0,
        seen: 0,
        failures: 0,
        idle_suspensions: 0,
        retry_at: None,
        pause: None,
        deferred: false,
        paused_millis: 0,
        control: None,
        kept: Vec::new(),
    };
    let execution = Execution::restore(key, Arc::new(origin), progress, None, None, Vec::new());
    let mut draft = Draft::new(&execution, now);
    let origin = &execution.origin;
    draft.append(
        Some(EventOperation {
            id: origin.arn.id().to_owned(),
            parent_id: None,
            name: Some(origin.arn.name().to_owned()),
            sub_type: None,
        }),
        EventDetails::ExecutionStarted {
            input: EventInput::new(Some(origin.input.as_ref().to_owned())),
            execution_timeout: origin.execution_timeout,
        },
    );
    draft.wake();
    let transition = draft.finish();
    (execution, transition)
}

/// Begins the wanted invocation, now that an environment is free. `None` when none is wanted any more.
pub(crate) fn begin(
    execution: &Execution,
    max_state_bytes: usize,
    world: &mut World<'_>,
) -> Option<(Transition, Begun)> {
    if execution.progress.gate != Gate::Queued || execution.is_closed() {
        return None;
    }
    let request_id = mint_uuid(world.rng);
    let token = CheckpointToken::mint(world.rng);
    let mut draft = Draft::new(execution, world.now);
    let updated = draft
        .unseen()
        .into_iter()
        .map(|operation| operation.id.clone())
        .collect();
    draft.progress.seen = draft.progress.changes;
    draft.progress.deferred = false;
    draft.progress.gate = Gate::Running(Running {
        request_id: request_id.clone(),
        token: token.clone(),
        started: world.now,
    });
    let begun = Begun {
        request_id,
        trace: execution.origin.trace.clone(),
        tenant: execution.origin.tenant.clone(),
        function_arn: execution.origin.arn.function_arn().to_owned(),
        origin: Arc::clone(&execution.origin),
        token,
        page: super::page::page(execution, None, usize::MAX, max_state_bytes, world.now),
        updated,
    };
    Some((draft.finish(), begun))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InvocationEvent<'a> {
    durable_execution_arn: &'a str,
    checkpoint_token: &'a str,
    initial_execution_state: State<'a>,
    updated_operation_ids: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct State<'a> {
    operations: Vec<Wire<'a, Millis>>,
    next_marker: &'a str,
}

impl Begun {
    /// The event the function receives, as JSON.
    pub(crate) fn event(&self) -> Result<Vec<u8>, serde_json::Error> {
        let origin = &self.origin;
        let execution = Wire::execution(
            &origin.arn,
            &origin.input,
            origin.started,
            OperationStatus::Started,
            None,
        );
        let operations = self
            .page
            .operations
            .iter()
            .map(|operation| Wire::operation(operation));
        serde_json::to_vec(&InvocationEvent {
            durable_execution_arn: origin.arn.as_str(),
            checkpoint_token: self.token.as_str(),
            initial_execution_state: State {
                operations: std::iter::once(execution).chain(operations).collect(),
                next_marker: self.page.next.as_deref().unwrap_or_default(),
            },
            updated_operation_ids: &self.updated,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    status: Option<String>,
    #[serde(default)]
    result: Option<String>,
    #[serde(default)]
    error: Option<ErrorObject>,
}

/// What a function's answer means.
enum Verdict {
    Close(Outcome),
    Pending,
}

/// Reads a function's answer. An answer that makes no sense fails the execution: to ask again would give the same one.
fn verdict(body: &[u8], origin: &Origin) -> Verdict {
    let invalid = |message: String| {
        Verdict::Close(Outcome::Failed(ErrorObject::new(
            "InvalidParameterValueException",
            message,
        )))
    };
    let output: Output = match serde_json::from_slice(body) {
        Ok(output) => output,
        Err(error) => return invalid(format!("Invalid invocation output: {error}")),
    };
    match output.status.as_deref() {
        None => invalid("Response status is required".to_owned()),
        Some("SUCCEEDED") if output.error.is_some() => {
            invalid("Cannot provide an Error for SUCCEEDED status.".to_owned())
        }
        Some("FAILED") if output.result.is_some() => {
            invalid("Cannot provide a Result for FAILED status.".to_owned())
        }
        Some("SUCCEEDED") => match output.result {
            Some(result) if result.len() > largest_result(origin) => invalid(format!(
                "Execution output payload size must be less than or equal to {} bytes.",
                largest_result(origin)
            )),
            result => Verdict::Close(Outcome::Succeeded(result)),
        },
        Some("FAILED") => Verdict::Close(Outcome::Failed(output.error.unwrap_or_default())),
        Some("PENDING") => Verdict::Pending,
        Some(other) => invalid(format!(
            "Unexpected invocation status: {}",
            super::target::printable(other)
        )),
    }
}

pub(super) const fn largest_result(origin: &Origin) -> usize {
    if origin.synchronous {
        SYNC_PAYLOAD
    } else {
        ASYNC_PAYLOAD
    }
}

/// Ends the invocation `request_id`. `None` when it is not the one that runs: its end was noted before.
pub(crate) fn ended(
    execution: &Execution,
    request_id: &str,
    result: &InvocationResult,
    world: &World<'_>,
) -> Option<Transition> {
    let Gate::Running(running) = &execution.progress.gate else {
        return None;
    };
    if running.request_id != request_id {
        return None;
    }
    let mut draft = Draft::new(execution, world.now);
    let error = match result {
        InvocationResult::Output(_) => None,
        InvocationResult::Failed(error) => Some(error.clone()),
    };
    completed(&mut draft, running, error);
    if draft.is_closed() {
        return Some(draft.finish());
    }
    match result {
        InvocationResult::Failed(error) => {
            draft.progress.failures += 1;
            if draft.progress.failures >= world.retry.attempts {
                draft.close(Outcome::Failed(error.clone()));
            } else {
                complete_kept(&mut draft);
                let delay = world.retry.delay(draft.progress.failures);
                draft.wake_at(world.now.after(delay));
            }
        }
        InvocationResult::Output(body) => match verdict(body, &execution.origin) {
            Verdict::Close(outcome) => draft.close(outcome),
            Verdict::Pending => {
                complete_kept(&mut draft);
                suspend(&mut draft, world);
            }
        },
    }
    // A pause that waited for this invocation begins; one that ended the execution has nothing to pause.
    begin_pause(&mut draft);
    Some(draft.finish())
}

fn completed(draft: &mut Draft<'_>, running: &Running, error: Option<ErrorObject>) {
    let end_timestamp = draft.now.max(running.started);
    draft.append(
        None,
        EventDetails::InvocationCompleted {
            start_timestamp: running.started,
            end_timestamp,
            request_id: running.request_id.clone(),
            error: error.map(EventError::new),
        },
    );
    draft.progress.gate = Gate::Idle;
}

fn suspend(draft: &mut Draft<'_>, world: &World<'_>) {
    draft.progress.failures = 0;
    if draft.progress.deferred || draft.progress.pause.is_some() {
        // Cut off by a pause: it may well wait for nothing. Owed anew once nothing is paused any more.
        draft.progress.deferred = true;
        draft.wake();
    } else if draft.progress.changes > draft.progress.seen {
        draft.progress.idle_suspensions = 0;
        draft.wake();
    } else if draft
        .execution()
        .operations()
        .iter()
        .any(|operation: &Arc<Operation>| operation.is_awaited())
    {
        draft.progress.idle_suspensions = 0;
    } else {
        draft.progress.idle_suspensions += 1;
        if draft.progress.idle_suspensions >= IDLE_SUSPENSIONS {
            draft.close(Outcome::Failed(ErrorObject::new(
                "InvalidParameterValueException",
                "Cannot return PENDING status with no pending operations.",
            )));
        } else {
            let delay = world.retry.delay(draft.progress.idle_suspensions);
            draft.wake_at(world.now.after(delay));
        }
    }
}

/// Notes that the service was restarted: an invocation that ran is over, and is wanted anew with a new token.
pub(crate) fn recover(execution: &Execution, now: Timestamp) -> Option<Transition> {
    let Gate::Running(running) = &execution.progress.gate else {
        return None;
    };
    let mut draft = Draft::new(execution, now);
    let error = ErrorObject::new(
        "Sandbox.Interrupted",
        "The durable service ended while the invocation ran",
    );
    completed(&mut draft, running, Some(error));
    if !draft.is_closed() {
        complete_kept(&mut draft);
    }
    begin_pause(&mut draft);
    draft.wake();
    // The invocation is asked for by whoever restores the execution; the wish itself is in the gate.
    let mut transition = draft.finish();
    transition
        .effects
        .retain(|effect| !matches!(effect, Effect::Invoke));
    Some(transition)
}
