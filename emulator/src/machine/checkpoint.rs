//! One checkpoint: a batch of updates in, the changes the handler has not seen out, under a token that works once.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::error::ApiError;
use crate::model::Timestamp;
use crate::model::id::CheckpointToken;
use crate::model::operation::{Operation, Seconds, Wire};
use crate::model::update::OperationUpdate;

use super::pause::begin_pause;
use super::validate::is_client_token;
use super::{
    Draft, Execution, Gate, REPLAY_WINDOW, Replay, Running, Transition, World, chained, timers,
    update, validate,
};

/// A parsed CheckpointDurableExecution request.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointRequest {
    pub(crate) token: CheckpointToken,
    pub(crate) client_token: Option<String>,
    pub(crate) updates: Vec<OperationUpdate>,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Checkpointed {
    /// The client already did this and lost the answer: the same bytes again.
    Repeated(Bytes),
    Applied(Box<Transition>, Bytes),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint_token: Option<&'a str>,
    new_execution_state: NewState<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NewState<'a> {
    operations: Vec<Wire<'a, Seconds>>,
}

/// Checks and applies a checkpoint.
pub(crate) fn checkpoint(
    execution: &Execution,
    request: &CheckpointRequest,
    world: &mut World<'_>,
) -> Result<Checkpointed, ApiError> {
    if request
        .client_token
        .as_deref()
        .is_some_and(|token| !is_client_token(token))
    {
        return Err(ApiError::invalid(
            "Invalid client token: use 1 to 64 visible ASCII characters.",
        ));
    }
    // Before the token is looked at: the repeated request carries the token that its first try used up.
    if let Some(response) = repeated(execution.replay.as_deref(), request, world.now) {
        return Ok(Checkpointed::Repeated(response));
    }
    let Gate::Running(running) = &execution.progress.gate else {
        return Err(ApiError::stale_token());
    };
    if execution.is_closed() || running.token != request.token {
        return Err(ApiError::stale_token());
    }
    validate::batch(&request.updates, &execution.origin)?;
    let mut draft = Draft::new(execution, world.now);
    for update in &request.updates {
        update::apply(&mut draft, update, world)?;
    }
    if !draft.is_closed() {
        // What is due now goes out with this answer, so that a suspended branch goes on without another invocation.
        timers::complete_due(&mut draft);
        chained::complete_kept(&mut draft);
    }
    let token = CheckpointToken::mint(world.rng);
    // A handler whose execution is being paused gets no further token: it may not checkpoint again, and suspends.
    let pausing = draft.progress.pause.is_some();
    let response = if pausing {
        begin_pause(&mut draft);
        draft.progress.deferred = true;
        answer(None, Vec::new())?
    } else {
        let response = answer(Some(&token), draft.unseen())?;
        draft.progress.seen = draft.progress.changes;
        response
    };
    if let Gate::Running(running) = &draft.progress.gate {
        draft.progress.gate = Gate::Running(Running {
            token,
            ..running.clone()
        });
    }
    if let (Some(client_token), false) = (&request.client_token, pausing) {
        draft.replay = Some(Arc::new(Replay {
            client_token: client_token.clone(),
            token: request.token.clone(),
            at: world.now,
            response: response.clone(),
        }));
    }
    Ok(Checkpointed::Applied(Box::new(draft.finish()), response))
}

fn answer(token: Option<&CheckpointToken>, operations: Vec<&Operation>) -> Result<Bytes, ApiError> {
    let body = Response {
        checkpoint_token: token.map(CheckpointToken::as_str),
        new_execution_state: NewState {
            operations: operations.into_iter().map(Wire::operation).collect(),
        },
    };
    serde_json::to_vec(&body)
        .map(Bytes::from)
        .map_err(|error| ApiError::service("The answer could not be written as JSON", error))
}

/// The answer to the last checkpoint, if `request` is that checkpoint again.
pub(crate) fn repeated(
    replay: Option<&Replay>,
    request: &CheckpointRequest,
    now: Timestamp,
) -> Option<Bytes> {
    let replay = replay?;
    let same = request.client_token.as_ref() == Some(&replay.client_token)
        && request.token == replay.token;
    (same && now.since(replay.at) <= REPLAY_WINDOW).then(|| replay.response.clone())
}
