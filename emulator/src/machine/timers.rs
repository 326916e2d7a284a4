//! What the service does by itself when a moment is reached.

use crate::model::operation::{Kind, OperationStatus};
use crate::model::{ErrorObject, EventDetails, EventError};

use super::{Draft, Execution, Gate, Outcome, Transition, World};

/// Everything that is due by now; `None` when nothing is.
pub(crate) fn due(execution: &Execution, world: &World<'_>) -> Option<Transition> {
    if execution.next_due().is_none_or(|at| at > world.now) {
        return None;
    }
    let mut draft = Draft::new(execution, world.now);
    if execution.deadline() <= world.now {
        // Whatever else is due at the same moment comes too late: the execution had no time left to act on it.
        draft.close(Outcome::TimedOut);
        return Some(draft.finish());
    }
    if draft.progress.gate == Gate::Idle
        && draft.progress.retry_at.is_some_and(|at| at <= world.now)
    {
        draft.progress.retry_at = None;
        draft.wake();
    }
    if complete_due(&mut draft) {
        draft.wake();
    }
    Some(draft.finish())
}

/// Completes waits, step retries and callbacks whose time has come. True when any was.
pub(super) fn complete_due(draft: &mut Draft<'_>) -> bool {
    let positions = draft.due_positions();
    let any = !positions.is_empty();
    for position in positions {
        complete(draft, position);
    }
    any
}

fn complete(draft: &mut Draft<'_>, position: usize) {
    let Some(mut operation) = draft.get(position).cloned() else {
        return;
    };
    let now = draft.now;
    let event = match &mut operation.kind {
        Kind::Wait(wait) => {
            let duration = wait.seconds;
            operation.status = OperationStatus::Succeeded;
            operation.ended = Some(now);
            Some(EventDetails::WaitSucceeded { duration })
        }
        Kind::Step(step) => {
            step.next_attempt = None;
            operation.status = OperationStatus::Ready;
            None
        }
        Kind::Callback(callback) => {
            let total = callback.expires.is_some_and(|at| at <= now);
            let error = if total {
                ErrorObject::new("Callback.Timeout", "Callback timed out")
            } else {
                ErrorObject::new("Callback.Heartbeat", "Callback heartbeat timed out")
            };
            callback.error = Some(error.clone());
            operation.status = OperationStatus::TimedOut;
            operation.ended = Some(now);
            Some(EventDetails::CallbackTimedOut {
                error: EventError::new(error),
            })
        }
        Kind::Context(_) | Kind::ChainedInvoke(_) => return,
    };
    draft.touch(position, operation);
    if let Some(details) = event {
        draft.event(position, details);
    }
}
