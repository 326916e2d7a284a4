//! The transition table: what each update does to its operation, and which event it leaves.

use crate::error::ApiError;
use crate::model::id::{CallbackId, ExecutionArn, mint_uuid};
use crate::model::operation::{
    Callback, ChainedInvoke, Context, Kind, Operation, OperationStatus, Step, Wait,
};
use crate::model::update::{CallbackOptions, OperationAction, OperationUpdate};
use crate::model::{
    ErrorObject, EventDetails, EventError, EventInput, EventResult, OperationType, RetryDetails,
};

use super::target::printable;
use super::validate::{LONGEST_CALLBACK, LONGEST_DELAY, is_tenant, seconds};
use super::{Child, Draft, Effect, FunctionName, Origin, Outcome, World};

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

fn new_operation(draft: &Draft<'_>, update: &OperationUpdate, kind: Kind) -> Operation {
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

type Current = Option<(usize, Operation)>;

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

fn wait(draft: &mut Draft<'_>, update: &OperationUpdate, current: Current) -> Result<(), ApiError> {
    if update.action == OperationAction::Cancel {
        let Some((position, mut operation)) =
            current.filter(|(_, it)| it.status == OperationStatus::Started)
        else {
            return Err(ApiError::invalid(
                "Cannot cancel a WAIT that does not exist or has already completed.",
            ));
        };
        operation.status = OperationStatus::Cancelled;
        operation.ended = Some(draft.now);
        draft.touch(position, operation);
        draft.event(
            position,
            EventDetails::WaitCancelled {
                error: update.error.clone().map(EventError::new),
            },
        );
        return Ok(());
    }
    if current.is_some() {
        return Err(ApiError::invalid("Cannot start a WAIT that already exist."));
    }
    let duration = update
        .wait_options
        .as_ref()
        .and_then(|options| options.wait_seconds);
    let duration = seconds(duration, 1, LONGEST_DELAY, "WaitOptions.WaitSeconds")?;
    let until = draft.now.after_seconds(duration);
    let position = draft.len();
    draft.touch(
        position,
        new_operation(
            draft,
            update,
            Kind::Wait(Wait {
                seconds: duration,
                until,
            }),
        ),
    );
    draft.event(
        position,
        EventDetails::WaitStarted {
            duration,
            scheduled_end_timestamp: until,
        },
    );
    Ok(())
}

fn callback(
    draft: &mut Draft<'_>,
    update: &OperationUpdate,
    exists: bool,
    world: &mut World<'_>,
) -> Result<(), ApiError> {
    if exists {
        return Err(ApiError::invalid(
            "Cannot start a CALLBACK that already exist.",
        ));
    }
    let none = CallbackOptions::default();
    let options = update.callback_options.as_ref().unwrap_or(&none);
    let bounded = |value: Option<i64>, what: &'static str| -> Result<Option<u64>, ApiError> {
        let seconds = seconds(Some(value.unwrap_or(0)), 0, LONGEST_CALLBACK, what)?;
        Ok((seconds > 0).then_some(seconds))
    };
    let timeout = bounded(options.timeout_seconds, "CallbackOptions.TimeoutSeconds")?;
    let heartbeat = bounded(
        options.heartbeat_timeout_seconds,
        "CallbackOptions.HeartbeatTimeoutSeconds",
    )?;
    let id = CallbackId::mint(world.rng);
    let kind = Kind::Callback(Callback {
        id: id.clone(),
        timeout,
        heartbeat,
        expires: timeout.map(|seconds| draft.now.after_seconds(seconds)),
        silent_at: heartbeat.map(|seconds| draft.now.after_seconds(seconds)),
        result: None,
        error: None,
    });
    let position = draft.len();
    draft.touch(position, new_operation(draft, update, kind));
    draft.event(
        position,
        EventDetails::CallbackStarted {
            callback_id: id,
            timeout,
            heartbeat_timeout: heartbeat,
        },
    );
    Ok(())
}

fn chained_invoke(
    draft: &mut Draft<'_>,
    update: &OperationUpdate,
    exists: bool,
    world: &mut World<'_>,
) -> Result<(), ApiError> {
    if exists {
        return Err(ApiError::invalid(
            "Cannot start a CHAINED_INVOKE operation that already exists.",
        ));
    }
    let Some(options) = &update.chained_invoke_options else {
        return Err(ApiError::invalid(
            "Update for CHAINED_INVOKE operation requires ChainedInvokeOptions.",
        ));
    };
    let function = FunctionName::parse(&options.function_name)?;
    if function
        .account
        .as_deref()
        .is_some_and(|account| account != world.account)
    {
        return Err(ApiError::invalid(
            "Cannot start a CHAINED_INVOKE on a function in another account.",
        ));
    }
    if function
        .region
        .as_deref()
        .is_some_and(|region| region != world.region)
    {
        return Err(ApiError::invalid(
            "Cannot start a CHAINED_INVOKE on a function in another region.",
        ));
    }
    if options
        .tenant_id
        .as_deref()
        .is_some_and(|tenant| !is_tenant(tenant))
    {
        return Err(ApiError::invalid(
            "TenantId must be 1 to 256 characters matching [a-zA-Z0-9._:/=+-@ ].",
        ));
    }
    let position = draft.len();
    let started =
        |input, executed_version, durable_execution_arn| EventDetails::ChainedInvokeStarted {
            function_name: options.function_name.clone(),
            tenant_id: options.tenant_id.clone(),
            input,
            executed_version,
            durable_execution_arn,
        };
    let Some(target) = world.functions.resolve(&function) else {
        let message = format!("Function not found: {}", printable(&options.function_name));
        let error = ErrorObject::new("ResourceNotFoundException", message);
        let kind = ChainedInvoke {
            execution: None,
            result: None,
            error: Some(error.clone()),
        };
        let mut operation = new_operation(draft, update, Kind::ChainedInvoke(kind));
        operation.status = OperationStatus::Failed;
        operation.ended = Some(draft.now);
        draft.touch(position, operation);
        draft.event(position, started(None, None, None));
        draft.event(
            position,
            EventDetails::ChainedInvokeFailed {
                error: EventError::new(error),
            },
        );
        return Ok(());
    };
    let id = mint_uuid(world.rng);
    let arn = ExecutionArn::from_parts(
        world.region,
        world.account,
        &target.name,
        &target.version,
        &id,
        &id,
    );
    let input = update.payload.clone().unwrap_or_else(|| "{}".to_owned());
    let kind = ChainedInvoke {
        execution: Some(arn.clone()),
        result: None,
        error: None,
    };
    draft.touch(
        position,
        new_operation(draft, update, Kind::ChainedInvoke(kind)),
    );
    let version = Some(target.version.clone());
    draft.event(
        position,
        started(
            Some(EventInput::new(update.payload.clone())),
            version,
            Some(arn.clone()),
        ),
    );
    let parent = draft.execution();
    draft.effect(Effect::StartChild(Box::new(Child {
        origin: Origin {
            arn,
            version: target.version,
            started: draft.now,
            deadline: draft.now.after_seconds(target.durable.execution_timeout),
            execution_timeout: target.durable.execution_timeout,
            retention_days: target.durable.retention_days,
            trace: options
                .x_amzn_trace_id
                .clone()
                .unwrap_or_else(|| parent.origin.trace.clone()),
            tenant: options.tenant_id.clone(),
            synchronous: false,
            parent: Some((parent.arn().clone(), update.id.clone())),
            input: input.into(),
        },
    })));
    Ok(())
}
