//! The updates that start something the service completes: waits, callbacks and chained invocations.

use crate::error::ApiError;
use crate::model::id::{CallbackId, ExecutionArn, mint_ordered_uuid};
use crate::model::operation::{Callback, ChainedInvoke, Kind, OperationStatus, Wait};
use crate::model::update::{CallbackOptions, OperationAction, OperationUpdate};
use crate::model::{ErrorObject, EventDetails, EventError, EventInput};

use super::target::printable;
use super::update::{Current, new_operation};
use super::validate::{LONGEST_CALLBACK, LONGEST_DELAY, is_tenant, is_trace, seconds};
use super::{Child, Draft, Effect, FunctionName, Origin, World};

pub(super) fn wait(
    draft: &mut Draft<'_>,
    update: &OperationUpdate,
    current: Current,
) -> Result<(), ApiError> {
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

pub(super) fn callback(
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

pub(super) fn chained_invoke(
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
    if options
        .x_amzn_trace_id
        .as_deref()
        .is_some_and(|trace| !is_trace(trace))
    {
        return Err(ApiError::invalid(
            "XAmznTraceId must be at most 8192 printable ASCII characters.",
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
            kept: None,
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
    let id = mint_ordered_uuid(world.now, world.rng);
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
        kept: None,
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
