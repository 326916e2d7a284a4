//! What reaches an execution from outside its handler: callbacks and a stop.

use crate::error::{ApiError, ApiErrorKind};
use crate::model::operation::{Kind, OperationStatus};
use crate::model::{ErrorObject, EventDetails, EventError, EventResult, Timestamp};

use super::{Draft, Execution, Outcome, Transition, World};

/// What the holder of a callback id may do.
#[derive(Debug, Clone)]
pub(crate) enum CallbackAction {
    Succeed(Option<String>),
    Fail(ErrorObject),
    Heartbeat,
}

fn closed() -> ApiError {
    ApiError::new(
        ApiErrorKind::CallbackTimeout,
        "The callback has expired, or is already closed",
    )
}

/// Completes the callback at `position`, or notes its heartbeat. Timers must have been looked at first.
pub(crate) fn callback(
    execution: &Execution,
    position: usize,
    action: &CallbackAction,
    world: &World<'_>,
) -> Result<Transition, ApiError> {
    if execution.is_closed() {
        return Err(closed());
    }
    let mut draft = Draft::new(execution, world.now);
    let mut operation = draft.get(position).cloned().ok_or_else(closed)?;
    let Kind::Callback(callback) = &mut operation.kind else {
        return Err(closed());
    };
    if operation.status != OperationStatus::Started {
        return Err(closed());
    }
    let details = match action {
        CallbackAction::Heartbeat => {
            if let Some(seconds) = callback.heartbeat {
                callback.silent_at = Some(world.now.after_seconds(seconds));
                draft.put_quietly(position, operation);
            }
            return Ok(draft.finish());
        }
        CallbackAction::Succeed(result) => {
            callback.result.clone_from(result);
            operation.status = OperationStatus::Succeeded;
            EventDetails::CallbackSucceeded {
                result: EventResult::new(result.clone()),
            }
        }
        CallbackAction::Fail(error) => {
            callback.error = Some(error.clone());
            operation.status = OperationStatus::Failed;
            EventDetails::CallbackFailed {
                error: EventError::new(error.clone()),
            }
        }
    };
    operation.ended = Some(world.now);
    draft.touch(position, operation);
    draft.event(position, details);
    draft.wake();
    Ok(draft.finish())
}

/// Stops the execution. A second stop, or one of an execution that ended, changes nothing and names the first end.
pub(crate) fn stop(
    execution: &Execution,
    error: Option<&ErrorObject>,
    world: &World<'_>,
) -> (Option<Transition>, Timestamp) {
    if let Some(ended) = execution.progress.ended {
        return (None, ended);
    }
    let mut draft = Draft::new(execution, world.now);
    let error = error
        .cloned()
        .unwrap_or_else(|| ErrorObject::message("Execution stopped by user request"));
    draft.close(Outcome::Stopped(error));
    let at = draft.progress.ended.unwrap_or(world.now);
    (Some(draft.finish()), at)
}
