//! One event of a history, as the page tells it.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use serde_json::Value;

use crate::model::{ErrorObject, Event, EventDetails, EventError, EventInput, Timestamp};

use super::Web;
use super::chrome::{Instant, execution_path};
use super::error::PageError;
use super::format::{Text, duration};

/// How much of a payload stands in the list of events, in bytes.
const PREVIEW: usize = 2 * 1024;

/// An event in the list.
#[derive(Debug)]
pub(super) struct EventView {
    pub(super) id: u64,
    pub(super) at: Instant,
    /// How long after the execution's start.
    pub(super) after: String,
    pub(super) kind: &'static str,
    pub(super) class: &'static str,
    pub(super) operation: Option<String>,
    pub(super) note: String,
    pub(super) link: Option<Link>,
    pub(super) payload: Option<Text>,
    pub(super) error: Option<ErrorView>,
}

/// The page of another execution.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) href: String,
    pub(super) label: String,
}

impl Link {
    pub(super) fn to(arn: &crate::model::ExecutionArn) -> Self {
        Self {
            href: execution_path(arn.function(), arn.name()),
            label: arn.name().to_owned(),
        }
    }
}

/// An error with its parts.
#[derive(Debug, Default)]
pub(super) struct ErrorView {
    pub(super) kind: Option<String>,
    pub(super) message: Option<Text>,
    pub(super) data: Option<Text>,
    pub(super) stack: Option<Text>,
}

impl ErrorView {
    pub(super) fn new(error: &ErrorObject, limit: usize) -> Self {
        let text = |text: &Option<String>| text.as_deref().map(|text| Text::of(text, limit));
        Self {
            kind: error.error_type.clone(),
            message: text(&error.error_message),
            data: text(&error.error_data),
            stack: text(&error.stack_trace.as_ref().map(|lines| lines.join("\n"))),
        }
    }
}

impl EventView {
    pub(super) fn new(event: &Event, started: Timestamp) -> Self {
        let details = &event.details;
        let (payload, error) = contents(details);
        Self {
            id: event.id,
            at: event.at.into(),
            after: duration(event.at.since(started)),
            kind: details.event_type(),
            class: class(details),
            operation: event.operation.as_ref().and_then(|it| {
                it.name
                    .clone()
                    .or_else(|| it.sub_type.clone())
                    .filter(|_| !details.event_type().starts_with("Execution"))
            }),
            note: note(details),
            link: match details {
                EventDetails::ChainedInvokeStarted {
                    durable_execution_arn: Some(arn),
                    ..
                } => Some(Link::to(arn)),
                _ => None,
            },
            payload: payload
                .and_then(|it| it.payload.as_deref())
                .map(|text| Text::of(text, PREVIEW)),
            error: error
                .and_then(|it| it.payload.as_ref())
                .map(|error| ErrorView::new(error, PREVIEW)),
        }
    }
}

/// What went in or came out.
fn contents(details: &EventDetails) -> (Option<&EventInput>, Option<&EventError>) {
    match details {
        EventDetails::ExecutionStarted { input, .. } => (Some(input), None),
        EventDetails::ChainedInvokeStarted { input, .. } => (input.as_ref(), None),
        EventDetails::ExecutionPaused { reason, .. }
        | EventDetails::ExecutionResumed { reason, .. } => (reason.as_ref(), None),
        EventDetails::ExecutionSucceeded { result }
        | EventDetails::ContextSucceeded { result }
        | EventDetails::StepSucceeded { result, .. }
        | EventDetails::ChainedInvokeSucceeded { result }
        | EventDetails::CallbackSucceeded { result } => (Some(result), None),
        EventDetails::ExecutionFailed { error }
        | EventDetails::ExecutionStopped { error }
        | EventDetails::ContextFailed { error }
        | EventDetails::StepFailed { error, .. }
        | EventDetails::ChainedInvokeFailed { error }
        | EventDetails::ChainedInvokeTimedOut { error }
        | EventDetails::ChainedInvokeStopped { error }
        | EventDetails::CallbackFailed { error }
        | EventDetails::CallbackTimedOut { error } => (None, Some(error)),
        EventDetails::ExecutionTimedOut { error }
        | EventDetails::WaitCancelled { error }
        | EventDetails::InvocationCompleted { error, .. } => (None, error.as_ref()),
        _ => (None, None),
    }
}

/// What the event says beside its payload, in a few words. Never the id of a callback.
fn note(details: &EventDetails) -> String {
    let seconds = |seconds: u64| duration(std::time::Duration::from_secs(seconds));
    match details {
        EventDetails::ExecutionStarted {
            execution_timeout, ..
        } => format!("may take {}", seconds(*execution_timeout)),
        EventDetails::WaitStarted { duration, .. } => format!("for {}", seconds(*duration)),
        EventDetails::StepFailed { retry_details, .. }
        | EventDetails::StepSucceeded { retry_details, .. } => {
            let attempt = retry_details.current_attempt;
            match retry_details.next_attempt_delay_seconds {
                Some(delay) => format!("attempt {attempt}, the next one in {}", seconds(delay)),
                None if attempt > 1 => format!("attempt {attempt}"),
                None => String::new(),
            }
        }
        EventDetails::ChainedInvokeStarted { function_name, .. } => {
            format!("of {function_name}")
        }
        EventDetails::CallbackStarted {
            timeout,
            heartbeat_timeout,
            ..
        } => {
            let part = |what: &str, limit: &Option<u64>| match limit {
                Some(limit) => format!("{what} {}", seconds(*limit)),
                None => format!("no {what}"),
            };
            format!(
                "{}, {}",
                part("timeout", timeout),
                part("heartbeat timeout", heartbeat_timeout)
            )
        }
        EventDetails::InvocationCompleted {
            start_timestamp,
            end_timestamp,
            ..
        } => format!("took {}", duration(end_timestamp.since(*start_timestamp))),
        EventDetails::ExecutionPaused {
            execution_timeout_paused: true,
            ..
        } => "its timeout stands still".to_owned(),
        _ => String::new(),
    }
}

fn class(details: &EventDetails) -> &'static str {
    let kind = details.event_type();
    if contents(details).1.is_some() || kind.ends_with("Failed") || kind.ends_with("TimedOut") {
        "failed"
    } else if kind.ends_with("Succeeded") {
        "succeeded"
    } else {
        "plain"
    }
}

/// One event with all of its payload, as the JSON of the API, without the id of a callback.
pub(super) async fn one(
    State(web): State<Web>,
    Path((function, name, id)): Path<(String, String, u64)>,
) -> Result<Response, PageError> {
    let found = web
        .read(move |reader| {
            let Some(arn) = reader.named(&function, &name)? else {
                return Ok(None);
            };
            Ok(reader
                .events(&arn, Some(id), false, 1)?
                .and_then(|events| events.into_iter().find(|(found, _)| *found == id)))
        })
        .await?;
    let (_, body) = found.ok_or_else(|| PageError::not_found("There is no such event."))?;
    let mut event: Value = serde_json::from_str(&body)
        .map_err(|_| PageError::not_found("The event cannot be read."))?;
    if let Some(Value::Object(details)) = event.get_mut("CallbackStartedDetails") {
        details.remove("CallbackId");
    }
    let kind = [(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    )];
    Ok((kind, format!("{event:#}")).into_response())
}
