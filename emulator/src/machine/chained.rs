//! The ends of chained executions: kept from an invocation that does not ask for them, told to one that does.
//!
//! A caller that started a chained execution is about to suspend. A fast one could end before that, and the history would
//! then depend on which is faster. So the end is kept while the caller's invocation runs, until its next checkpoint or its
//! end: AWS's conformance suite asks for this order.

use crate::model::operation::{ChainedEnd, Kind, Operation, OperationStatus};
use crate::model::{ErrorObject, EventDetails, EventError, EventResult};

use super::{Draft, Execution, Gate, Outcome, Transition, World};

/// Completes the chained invocation `operation` with the outcome of the execution it started, or keeps the outcome while
/// an invocation runs.
///
/// `None` when the execution no longer waits for it.
pub(crate) fn child_closed(
    execution: &Execution,
    operation: &str,
    outcome: &Outcome,
    execution_timeout: u64,
    world: &World<'_>,
) -> Option<Transition> {
    if execution.is_closed() {
        return None;
    }
    let mut draft = Draft::new(execution, world.now);
    let position = draft.position(operation)?;
    let mut operation = draft.get(position).cloned()?;
    let Kind::ChainedInvoke(invoke) = &mut operation.kind else {
        return None;
    };
    if operation.status != OperationStatus::Started || invoke.kept.is_some() {
        return None;
    }
    let end = end(outcome, execution_timeout);
    if matches!(draft.progress.gate, Gate::Running(_)) {
        invoke.kept = Some(end);
        draft.put_quietly(position, operation);
        draft.progress.kept.push(position);
    } else {
        complete(&mut draft, position, operation, end);
        draft.wake();
    }
    Some(draft.finish())
}

/// Completes the chained invocations whose ends were kept.
pub(super) fn complete_kept(draft: &mut Draft<'_>) {
    for position in std::mem::take(&mut draft.progress.kept) {
        let Some(mut operation) = draft.get(position).cloned() else {
            continue;
        };
        if let Kind::ChainedInvoke(invoke) = &mut operation.kind
            && let Some(end) = invoke.kept.take()
        {
            complete(draft, position, operation, end);
        }
    }
}

fn end(outcome: &Outcome, execution_timeout: u64) -> ChainedEnd {
    let (status, result, error) = match outcome {
        Outcome::Succeeded(result) => (OperationStatus::Succeeded, result.clone(), None),
        Outcome::Failed(error) => (OperationStatus::Failed, None, Some(error.clone())),
        Outcome::TimedOut => {
            let message = format!("CHAINED_INVOKE timed out after {execution_timeout} seconds.");
            let error = ErrorObject::new("ChainedInvoke.Timeout", message);
            (OperationStatus::TimedOut, None, Some(error))
        }
        Outcome::Stopped(error) => (OperationStatus::Stopped, None, Some(error.clone())),
    };
    ChainedEnd {
        status,
        result,
        error,
    }
}

fn complete(draft: &mut Draft<'_>, position: usize, mut operation: Operation, end: ChainedEnd) {
    let Kind::ChainedInvoke(invoke) = &mut operation.kind else {
        return;
    };
    invoke.result.clone_from(&end.result);
    invoke.error.clone_from(&end.error);
    let error = EventError::new(end.error.unwrap_or_default());
    let details = match end.status {
        OperationStatus::Failed => EventDetails::ChainedInvokeFailed { error },
        OperationStatus::TimedOut => EventDetails::ChainedInvokeTimedOut { error },
        OperationStatus::Stopped => EventDetails::ChainedInvokeStopped { error },
        _ => EventDetails::ChainedInvokeSucceeded {
            result: EventResult::new(end.result),
        },
    };
    operation.status = end.status;
    operation.ended = Some(draft.now);
    draft.touch(position, operation);
    draft.event(position, details);
}
