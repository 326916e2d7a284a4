//! Pausing and resuming: no invocations while paused, but waits and callbacks go on completing.

use serde::{Deserialize, Serialize};

use crate::error::{ApiError, ApiErrorKind};
use crate::model::{EventDetails, EventInput, Timestamp};

use super::validate::is_client_token;
use super::{Draft, Effect, Execution, Gate, REPLAY_WINDOW, Transition, World};

/// The longest reason of a pause or a resume, in characters.
const LONGEST_REASON: usize = 1_024;

/// A pause that was asked for, and perhaps has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pause {
    pub(crate) requested: Timestamp,
    pub(crate) reason: Option<String>,
    /// The execution timeout stands still too.
    pub(crate) stops_timeout: bool,
    /// When it began; not yet, while an invocation runs to its next checkpoint.
    pub(crate) since: Option<Timestamp>,
}

/// The last pause or resume, for a client that asks again because it did not get the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Control {
    pub(super) client_token: String,
    pub(super) at: Timestamp,
    pub(super) resume: bool,
}

/// A request to pause or to resume.
#[derive(Debug, Clone)]
pub(crate) struct ControlRequest {
    pub(crate) client_token: Option<String>,
    pub(crate) reason: Option<String>,
    /// Pauses the execution timeout too. Of no meaning to a resume.
    pub(crate) stops_timeout: bool,
}

fn conflict(message: &'static str) -> ApiError {
    ApiError::new(ApiErrorKind::ResourceConflict, message)
}

impl ControlRequest {
    /// Checks what can be checked without the execution.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if self
            .client_token
            .as_deref()
            .is_some_and(|token| !is_client_token(token))
        {
            return Err(ApiError::invalid(
                "Invalid client token: use 1 to 64 visible ASCII characters.",
            ));
        }
        if self
            .reason
            .as_ref()
            .is_some_and(|reason| reason.chars().count() > LONGEST_REASON)
        {
            return Err(ApiError::invalid(format!(
                "Reason must have at most {LONGEST_REASON} characters."
            )));
        }
        Ok(())
    }
}

/// True when a request repeats one that was carried out.
fn is_repeated(
    execution: &Execution,
    request: &ControlRequest,
    resume: bool,
    now: Timestamp,
) -> bool {
    let last = execution.progress.control.as_ref();
    last.is_some_and(|last| {
        request.client_token.as_ref() == Some(&last.client_token)
            && last.resume == resume
            && now.since(last.at) <= REPLAY_WINDOW
    })
}

fn remember(draft: &mut Draft<'_>, request: &ControlRequest, resume: bool) {
    let at = draft.now;
    draft.progress.control = request.client_token.clone().map(|client_token| Control {
        client_token,
        at,
        resume,
    });
}

/// Pauses an execution, at once or when its invocation reaches the next checkpoint. `None`: it was done before.
pub(crate) fn pause(
    execution: &Execution,
    request: &ControlRequest,
    world: &World<'_>,
) -> Result<Option<Transition>, ApiError> {
    if is_repeated(execution, request, false, world.now) {
        return Ok(None);
    }
    if execution.is_closed() {
        return Err(conflict("The durable execution has ended"));
    }
    if execution.progress.pause.is_some() {
        return Err(conflict("The durable execution is already paused"));
    }
    let mut draft = Draft::new(execution, world.now);
    remember(&mut draft, request, false);
    draft.progress.pause = Some(Pause {
        requested: world.now,
        reason: request.reason.clone(),
        stops_timeout: request.stops_timeout,
        since: None,
    });
    match draft.progress.gate {
        Gate::Running(_) => {}
        Gate::Queued => {
            draft.progress.gate = Gate::Idle;
            draft.progress.deferred = true;
            begin_pause(&mut draft);
        }
        Gate::Idle => begin_pause(&mut draft),
    }
    Ok(Some(draft.finish()))
}

/// The pause that was asked for begins now.
pub(super) fn begin_pause(draft: &mut Draft<'_>) {
    let now = draft.now;
    let Some(pause) = draft
        .progress
        .pause
        .as_mut()
        .filter(|pause| pause.since.is_none())
    else {
        return;
    };
    pause.since = Some(now);
    let details = EventDetails::ExecutionPaused {
        pause_request_timestamp: pause.requested,
        reason: pause
            .reason
            .clone()
            .map(|reason| EventInput::new(Some(reason))),
        execution_timeout_paused: pause.stops_timeout,
    };
    draft.execution_event(details);
}

/// Resumes a paused execution, or cancels a pause that has not begun. `None`: it was done before.
pub(crate) fn resume(
    execution: &Execution,
    request: &ControlRequest,
    world: &World<'_>,
) -> Result<Option<Transition>, ApiError> {
    if is_repeated(execution, request, true, world.now) {
        return Ok(None);
    }
    if execution.is_closed() {
        return Err(conflict("The durable execution has ended"));
    }
    let Some(pause) = &execution.progress.pause else {
        return Err(conflict("The durable execution is not paused"));
    };
    let mut draft = Draft::new(execution, world.now);
    remember(&mut draft, request, true);
    draft.progress.pause = None;
    if let Some(since) = pause.since {
        if pause.stops_timeout {
            let paused = u64::try_from(world.now.since(since).as_millis()).unwrap_or(u64::MAX);
            draft.progress.paused_millis = draft.progress.paused_millis.saturating_add(paused);
        }
        draft.execution_event(EventDetails::ExecutionResumed {
            resume_request_timestamp: world.now,
            reason: request
                .reason
                .clone()
                .map(|reason| EventInput::new(Some(reason))),
        });
        if draft.progress.gate == Gate::Idle
            && (draft.progress.deferred || draft.progress.changes > draft.progress.seen)
        {
            draft.progress.deferred = false;
            draft.wake();
        }
    }
    Ok(Some(draft.finish()))
}

impl Draft<'_> {
    /// Something happened that the handler must hear of: asks for an invocation, unless one runs or waits already.
    ///
    /// While paused, the wish is kept for the resume.
    pub(super) fn wake(&mut self) {
        if self.is_closed() || self.progress.gate != Gate::Idle {
            return;
        }
        if self.progress.pause.is_some() {
            self.progress.deferred = true;
        } else if self.progress.retry_at.is_none() {
            self.progress.gate = Gate::Queued;
            self.effect(Effect::Invoke);
        }
    }
}
