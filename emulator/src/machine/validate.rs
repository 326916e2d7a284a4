//! What an update must look like, whatever the execution's state: sizes, alphabets, and the rules of a batch.

use std::collections::HashMap;

use crate::error::ApiError;
use crate::model::OperationType;
use crate::model::id::is_name;
use crate::model::update::{OperationAction, OperationUpdate};

use super::Origin;
use super::invocation::{ASYNC_PAYLOAD, largest_result};

/// The largest error object, all members together, in bytes.
const LARGEST_ERROR: usize = 1_048_576;

/// The longest wait or retry delay, in seconds: 366 days.
pub(super) const LONGEST_DELAY: i64 = 31_622_400;

/// The longest callback timeout, in seconds.
pub(super) const LONGEST_CALLBACK: i64 = 99_999_999;

/// Checks a whole batch before anything of it is applied.
pub(super) fn batch(updates: &[OperationUpdate], origin: &Origin) -> Result<(), ApiError> {
    let executions = updates
        .iter()
        .filter(|update| update.kind == OperationType::Execution)
        .count();
    if executions > 1 {
        return Err(ApiError::invalid(
            "Cannot checkpoint multiple EXECUTION updates.",
        ));
    }
    if executions == 1
        && updates
            .last()
            .is_some_and(|update| update.kind != OperationType::Execution)
    {
        return Err(ApiError::invalid(
            "EXECUTION checkpoint must be the last update.",
        ));
    }
    let mut last: HashMap<&str, &OperationUpdate> = HashMap::new();
    for update in updates {
        shape(update, origin)?;
        if let Some(before) = last.insert(&update.id, update) {
            let pair = matches!(before.kind, OperationType::Step | OperationType::Context)
                && before.action == OperationAction::Start
                && update.action != OperationAction::Start;
            if !pair {
                return Err(ApiError::invalid(
                    "Cannot checkpoint multiple operations with the same ID.",
                ));
            }
        }
    }
    Ok(())
}

fn shape(update: &OperationUpdate, origin: &Origin) -> Result<(), ApiError> {
    if !is_name(&update.id, 64) {
        return Err(ApiError::invalid(
            "Invalid operation id: use 1 to 64 of [a-zA-Z0-9-_].",
        ));
    }
    if update
        .parent_id
        .as_deref()
        .is_some_and(|parent| !is_name(parent, 64))
    {
        return Err(ApiError::invalid("Invalid parent operation id."));
    }
    if update
        .name
        .as_deref()
        .is_some_and(|name| !is_printable(name, 256))
    {
        return Err(ApiError::invalid(
            "Invalid operation name: use 1 to 256 printable ASCII characters.",
        ));
    }
    if update
        .sub_type
        .as_deref()
        .is_some_and(|sub_type| !is_name(sub_type, 32))
    {
        return Err(ApiError::invalid(
            "Invalid operation subtype: use 1 to 32 of [a-zA-Z0-9-_].",
        ));
    }
    if update
        .error
        .as_ref()
        .is_some_and(|error| error.size() > LARGEST_ERROR)
    {
        return Err(ApiError::invalid(format!(
            "Error object size must be less than or equal to {LARGEST_ERROR} bytes."
        )));
    }
    let limit = if update.kind == OperationType::Execution {
        largest_result(origin)
    } else {
        ASYNC_PAYLOAD
    };
    if update
        .payload
        .as_ref()
        .is_some_and(|payload| payload.len() > limit)
    {
        let kind = kind_name(update.kind);
        return Err(ApiError::invalid(format!(
            "{kind} payload size must be less than or equal to {limit} bytes."
        )));
    }
    let allowed = match update.kind {
        OperationType::Step => update.action != OperationAction::Cancel,
        OperationType::Context => {
            matches!(
                update.action,
                OperationAction::Start | OperationAction::Succeed | OperationAction::Fail
            )
        }
        OperationType::Wait => matches!(
            update.action,
            OperationAction::Start | OperationAction::Cancel
        ),
        OperationType::Callback | OperationType::ChainedInvoke => {
            update.action == OperationAction::Start
        }
        OperationType::Execution => matches!(
            update.action,
            OperationAction::Succeed | OperationAction::Fail
        ),
    };
    if !allowed {
        return Err(ApiError::invalid(
            "Invalid action for the given operation type.",
        ));
    }
    match update.action {
        OperationAction::Fail if update.payload.is_some() => Err(ApiError::invalid(
            "Cannot provide a Payload for FAIL action.",
        )),
        OperationAction::Succeed if update.error.is_some() => Err(ApiError::invalid(
            "Cannot provide an Error for SUCCEED action.",
        )),
        OperationAction::Retry if update.error.is_some() && update.payload.is_some() => Err(
            ApiError::invalid("Cannot provide both error and payload to RETRY a STEP."),
        ),
        _ => Ok(()),
    }
}

pub(super) const fn kind_name(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Execution => "EXECUTION",
        OperationType::Context => "CONTEXT",
        OperationType::Step => "STEP",
        OperationType::Wait => "WAIT",
        OperationType::Callback => "CALLBACK",
        OperationType::ChainedInvoke => "CHAINED_INVOKE",
    }
}

fn is_printable(text: &str, max: usize) -> bool {
    !text.is_empty() && text.len() <= max && text.bytes().all(|b| (0x20..=0x7e).contains(&b))
}

/// True for a `TenantId`: 1 to 256 characters of `[a-zA-Z0-9._:/=+-@ ]`.
pub(crate) fn is_tenant(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 256
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._:/=+-@ ".contains(&b))
}

/// True for a trace header: it travels in an HTTP header again.
pub(crate) fn is_trace(text: &str) -> bool {
    text.len() <= 8_192 && text.bytes().all(|b| (0x20..=0x7e).contains(&b))
}

/// True for a `ClientToken`: 1 to 64 visible ASCII characters.
pub(super) fn is_client_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| (0x21..=0x7e).contains(&b))
}

/// `value` as seconds within `min..=max`.
pub(super) fn seconds(
    value: Option<i64>,
    min: i64,
    max: i64,
    what: &'static str,
) -> Result<u64, ApiError> {
    let value = value.ok_or_else(|| ApiError::invalid(format!("{what} is required.")))?;
    if !(min..=max).contains(&value) {
        return Err(ApiError::invalid(format!("{what} must be {min} to {max}.")));
    }
    u64::try_from(value).map_err(|_| ApiError::invalid(format!("{what} must be {min} to {max}.")))
}
