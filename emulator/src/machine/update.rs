//! The transition table: what each update does to its operation, and which event it leaves.

use crate::error::ApiError;
use crate::model::operation::{Context, Kind, Operation, OperationStatus, Step};
use crate::model::update::{OperationAction, OperationUpdate};
use crate::model::{EventDetails, EventError, EventResult, OperationType, RetryDetails};

use super::suspending::{callback, chained_invoke, wait};
use super::validate::{LONGEST_DELAY, seconds};
use super::{Draft, Outcome, World};

/// Applies one update of a checked batch.
pub(super) fn apply(
    draft: &mut Draft<'_>,
    update: &OperationUpdate,
    world: &mut World<'_>,
) -> Result<(), ApiError> {
    if update.kind == OperationType::Execution {
        draft.close(match update.action {
            OperationAction::Succeed => Outcome::Succeeded(update.payload.clone()),
            _ => Outcome::Failed(update.error.clone().unwrap_or_default()),
        });
        return Ok(());
    }
    let current = draft
        .find(&update.id)
        .map(|(position, operation)| (position, operation.clone()));
    match &current {
        Some((_, operation)) => consistent(operation, update)?,
        None if update.id == draft.execution().arn().id() => {
            return Err(ApiError::invalid("Inconsistent operation type."));
        }
        None => parent_exists(draft, update)?,
    }
    match update.kind {
        OperationType::Step => step(draft, update, current),
        OperationType::Context => context(draft, update, current),
        OperationType::Wait => wait(draft, update, current),
        OperationType::Callback => callback(draft, update, current.is_some(), world),
        OperationType::ChainedInvoke => chained_invoke(draft, update, current.is_some(), world),
        OperationType::Execution => Ok(()),
    }
}

fn consistent(operation: &Operation, update: &OperationUpdate) -> Result<(), ApiError> {
    if operation.operation_type() != update.kind {
        return Err(ApiError::invalid("Inconsistent operation type."));
    }
    let differs =
        |given: &Option<String>, known: &Option<String>| given.is_some() && given != known;
    if differs(&update.sub_type, &operation.sub_type) {
        return Err(ApiError::invalid("Inconsistent operation subtype."));
    }
    if differs(&update.name, &operation.name) {
        return Err(ApiError::invalid("Inconsistent operation name."));
    }
    if differs(&update.parent_id, &operation.parent) {
        return Err(ApiError::invalid("Inconsistent parent operation id."));
    }
    Ok(())
}

fn parent_exists(draft: &Draft<'_>, update: &OperationUpdate) -> Result<(), ApiError> {
    let Some(parent) = &update.parent_id else {
        return Ok(());
    };
    match draft.find(parent) {
        Some((_, operation)) if operation.operation_type() == OperationType::Context => Ok(()),
        _ => Err(ApiError::invalid("Invalid parent operation id.")),
    }
}

pub(super) fn new_operation(draft: &Draft<'_>, update: &OperationUpdate, kind: Kind) -> Operation {
    Operation {
        id: update.id.clone(),
        parent: update.parent_id.clone(),
        name: update.name.clone(),
        sub_type: update.sub_type.clone(),
        status: OperationStatus::Started,
        started: draft.now,
        ended: None,
        touched: 0,
        kind,
    }
}

pub(super) type Current = Option<(usize, Operation)>;

/// The position and operation to change: the current one, or a new one at the end.
fn or_new(
    draft: &Draft<'_>,
    update: &OperationUpdate,
    current: Current,
    kind: Kind,
) -> (usize, Operation) {
    current.unwrap_or_else(|| (draft.len(), new_operation(draft, update, kind)))
}

fn step(draft: &mut Draft<'_>, update: &OperationUpdate, current: Current) -> Result<(), ApiError> {
    use OperationStatus::{Failed, Pending, Ready, Started, Succeeded};
    let status = current.as_ref().map(|(_, operation)| operation.status);
    let (allowed, refusal) = match update.action {
        OperationAction::Start => (
            matches!(status, None | Some(Ready)),
            "Invalid current STEP state to start.",
        ),
        OperationAction::Retry => (
            matches!(status, Some(Started | Ready)),
            "Invalid current STEP state to re-attempt.",
        ),
        _ => (
            matches!(status, None | Some(Started | Ready)),
            "Invalid current STEP state to close.",
        ),
    };
    if !allowed {
        return Err(ApiError::invalid(refusal));
    }
    let (position, mut operation) = or_new(draft, update, current, Kind::Step(Step::default()));
    let Kind::Step(step) = &mut operation.kind else {
        return Err(ApiError::invalid("Inconsistent operation type."));
    };
    let details = match update.action {
        OperationAction::Start => {
            // The last attempt's result stays: a handler that polls a condition goes on from it.
            step.next_attempt = None;
            step.error = None;
            operation.status = Started;
            EventDetails::StepStarted {}
        }
        OperationAction::Retry => {
            let delay = update
                .step_options
                .as_ref()
                .and_then(|options| options.next_attempt_delay_seconds);
            if update.step_options.is_none() {
                return Err(ApiError::invalid(
                    "Invalid StepOptions for the given action.",
                ));
            }
            let delay = seconds(
                delay,
                1,
                LONGEST_DELAY,
                "StepOptions.NextAttemptDelaySeconds",
            )?;
            step.attempt += 1;
            step.next_attempt = Some(draft.now.after_seconds(delay));
            step.result.clone_from(&update.payload);
            step.error.clone_from(&update.error);
            operation.status = Pending;
            let retry_details = RetryDetails::new(step.attempt, Some(delay));
            match &update.error {
                Some(error) => EventDetails::StepFailed {
                    error: EventError::new(error.clone()),
                    retry_details,
                },
                None => EventDetails::StepSucceeded {
                    result: EventResult::new(update.payload.clone()),
                    retry_details,
                },
            }
        }
        OperationAction::Fail => {
            step.attempt += 1;
            step.next_attempt = None;
            step.result = None;
            let error = update.error.clone().unwrap_or_default();
            step.error = Some(error.clone());
            operation.status = Failed;
            operation.ended = Some(draft.now);
            EventDetails::StepFailed {
                error: EventError::new(error),
                retry_details: RetryDetails::new(step.attempt, None),
            }
        }
        _ => {
            step.attempt += 1;
            step.next_attempt = None;
            step.error = None;
            step.result.clone_from(&update.payload);
            operation.status = Succeeded;
            operation.ended = Some(draft.now);
            EventDetails::StepSucceeded {
                result: EventResult::new(update.payload.clone()),
                retry_details: RetryDetails::new(step.attempt, None),
            }
        }
    };
    draft.touch(position, operation);
    draft.event(position, details);
    Ok(())
}

fn context(
    draft: &mut Draft<'_>,
    update: &OperationUpdate,
    current: Current,
) -> Result<(), ApiError> {
    let status = current.as_ref().map(|(_, operation)| operation.status);
    match update.action {
        OperationAction::Start if status.is_some() => {
            return Err(ApiError::invalid(
                "Cannot start a CONTEXT that already exist.",
            ));
        }
        OperationAction::Succeed | OperationAction::Fail
            if !matches!(status, None | Some(OperationStatus::Started)) =>
        {
            return Err(ApiError::invalid("Invalid current CONTEXT state to close."));
        }
        _ => {}
    }
    let (position, mut operation) =
        or_new(draft, update, current, Kind::Context(Context::default()));
    let Kind::Context(context) = &mut operation.kind else {
        return Err(ApiError::invalid("Inconsistent operation type."));
    };
    if let Some(replay) = update
        .context_options
        .as_ref()
        .and_then(|options| options.replay_children)
    {
        context.replay_children = replay;
    }
    let details = match update.action {
        OperationAction::Start => EventDetails::ContextStarted {},
        OperationAction::Fail => {
            let error = update.error.clone().unwrap_or_default();
            context.error = Some(error.clone());
            operation.status = OperationStatus::Failed;
            operation.ended = Some(draft.now);
            EventDetails::ContextFailed {
                error: EventError::new(error),
            }
        }
        _ => {
            context.result.clone_from(&update.payload);
            operation.status = OperationStatus::Succeeded;
            operation.ended = Some(draft.now);
            EventDetails::ContextSucceeded {
                result: EventResult::new(update.payload.clone()),
            }
        }
    };
    draft.touch(position, operation);
    draft.event(position, details);
    Ok(())
}
