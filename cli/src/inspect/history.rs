//! An execution's history, read whole, and what each event says.

use std::time::{Duration, SystemTime};

use aws_sdk_lambda::types::{ErrorObject, Event, EventType};
use longhaul_core::{JobHandle, format_duration};
use longhaul_lambda::started_handle;

use super::place::Found;
use super::text::{between, time};
use crate::error::CliError;

/// All events, oldest first.
pub(super) async fn read(found: &Found) -> Result<Vec<Event>, CliError> {
    let mut pages = found
        .place
        .client
        .get_durable_execution_history()
        .durable_execution_arn(found.arn.as_str())
        .include_execution_data(true)
        .into_paginator()
        .items()
        .send();
    let mut events = Vec::new();
    while let Some(event) = pages.next().await {
        events.push(event.map_err(|error| {
            found.place.error(
                &format!("reading the history of {}", found.arn.name()),
                error,
            )
        })?);
    }
    Ok(events)
}

/// What came in or went out, beside what the event's type says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Contents<'a> {
    /// A few words. Never the id of a callback.
    pub(super) note: String,
    pub(super) payload: Option<&'a str>,
    pub(super) error: Option<&'a ErrorObject>,
}

/// What an event says.
pub(super) fn contents(event: &Event) -> Contents<'_> {
    Contents {
        note: note(event).unwrap_or_default(),
        payload: payload(event),
        error: error(event),
    }
}

fn payload(event: &Event) -> Option<&str> {
    macro_rules! result {
        ($($details:ident),*) => {
            $(if let Some(details) = &event.$details {
                return details.result.as_ref()?.payload.as_deref();
            })*
        };
    }
    if let Some(details) = &event.execution_started_details {
        return details.input.as_ref()?.payload.as_deref();
    }
    if let Some(details) = &event.chained_invoke_started_details {
        return details.input.as_ref()?.payload.as_deref();
    }
    result!(
        execution_succeeded_details,
        context_succeeded_details,
        step_succeeded_details,
        chained_invoke_succeeded_details,
        callback_succeeded_details
    );
    None
}

fn error(event: &Event) -> Option<&ErrorObject> {
    macro_rules! error {
        ($($details:ident),*) => {
            $(if let Some(details) = &event.$details {
                return details.error.as_ref()?.payload.as_ref();
            })*
        };
    }
    error!(
        execution_failed_details,
        execution_timed_out_details,
        execution_stopped_details,
        context_failed_details,
        wait_cancelled_details,
        step_failed_details,
        chained_invoke_failed_details,
        chained_invoke_timed_out_details,
        chained_invoke_stopped_details,
        callback_failed_details,
        callback_timed_out_details,
        invocation_completed_details
    );
    None
}

fn note(event: &Event) -> Option<String> {
    if let Some(details) = &event.execution_started_details {
        return Some(format!("may take {}", seconds(details.execution_timeout)?));
    }
    if let Some(details) = &event.wait_started_details {
        return Some(format!("for {}", seconds(details.duration)?));
    }
    if let Some(details) = &event.callback_started_details {
        let part = |what: &str, limit| match seconds(limit) {
            Some(limit) => format!("{what} {limit}"),
            None => format!("no {what}"),
        };
        return Some(format!(
            "{}, {}",
            part("timeout", details.timeout),
            part("heartbeat", details.heartbeat_timeout)
        ));
    }
    if let Some(details) = &event.chained_invoke_started_details {
        return Some(format!("of {}", details.function_name));
    }
    if event.invocation_completed_details.is_some() {
        let (from, to) = invocation(event)?;
        return Some(format!("took {}", super::text::span(between(from, to))));
    }
    let succeeded = event.step_succeeded_details.as_ref();
    let failed = event.step_failed_details.as_ref();
    let retry = succeeded
        .and_then(|details| details.retry_details.as_ref())
        .or_else(|| failed.and_then(|details| details.retry_details.as_ref()))?;
    match seconds(retry.next_attempt_delay_seconds) {
        Some(delay) => Some(format!(
            "attempt {}, the next one in {delay}",
            retry.current_attempt
        )),
        None if retry.current_attempt > 1 => Some(format!("attempt {}", retry.current_attempt)),
        None => None,
    }
}

fn seconds(value: impl Into<Option<i32>>) -> Option<String> {
    let seconds = u64::try_from(value.into()?).ok().filter(|it| *it > 0)?;
    Some(format_duration(Duration::from_secs(seconds)))
}

/// When the invocation that an event completes began and ended.
fn invocation(event: &Event) -> Option<(SystemTime, SystemTime)> {
    let details = event.invocation_completed_details.as_ref()?;
    Some((time(&details.start_timestamp), time(&details.end_timestamp)))
}

/// How many invocations were completed, and how long they ran in all.
pub(super) fn compute(events: &[Event]) -> (usize, Duration) {
    let lengths: Vec<_> = events
        .iter()
        .filter_map(invocation)
        .map(|(from, to)| between(from, to))
        .collect();
    (lengths.len(), lengths.iter().sum())
}

/// A job that the execution has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Started {
    /// The job's name, with the number of the attempt from the second on.
    pub(super) job: String,
    pub(super) handle: JobHandle,
}

/// The job that an event says was started.
pub(super) fn started(event: &Event) -> Option<Started> {
    let name = event.name.as_deref()?;
    let result = event.step_succeeded_details.as_ref()?.result.as_ref()?;
    let handle = started_handle(name, result.payload.as_deref()?)?;
    Some(Started {
        job: name.strip_prefix("start ").unwrap_or(name).to_owned(),
        handle,
    })
}

/// Whether an event is an execution's last.
pub(super) fn is_end(event: &Event) -> bool {
    matches!(
        event.event_type,
        Some(
            EventType::ExecutionSucceeded
                | EventType::ExecutionFailed
                | EventType::ExecutionStopped
                | EventType::ExecutionTimedOut
        )
    )
}

/// A callback that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenCallback {
    pub(super) name: String,
    pub(super) id: super::callback::SecretId,
}

/// The callbacks that were created and have not ended.
pub(super) fn open_callbacks(events: &[Event]) -> Vec<OpenCallback> {
    let mut open: Vec<(&str, OpenCallback)> = Vec::new();
    for event in events {
        if is_end(event) {
            open.clear();
        }
        let operation = event.id.as_deref().unwrap_or_default();
        match event.event_type {
            Some(EventType::CallbackStarted) => {
                if let Some(details) = &event.callback_started_details {
                    let callback = OpenCallback {
                        name: event.name.clone().unwrap_or_default(),
                        id: super::callback::SecretId::new(details.callback_id()),
                    };
                    open.push((operation, callback));
                }
            }
            Some(
                EventType::CallbackSucceeded
                | EventType::CallbackFailed
                | EventType::CallbackTimedOut,
            ) => open.retain(|(started, _)| *started != operation),
            _ => {}
        }
    }
    open.into_iter().map(|(_, callback)| callback).collect()
}

/// The ids of all callbacks of an execution, to keep them out of what is printed.
pub(super) fn callback_ids(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| Some(event.callback_started_details.as_ref()?.callback_id()))
        .collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::{
        CallbackStartedDetails, EventError, RetryDetails, StepFailedDetails,
    };

    use super::*;

    fn callback(event_type: EventType, operation: &str, id: &str) -> Event {
        let mut event = Event::builder()
            .event_type(event_type)
            .id(operation)
            .name("approval");
        if !id.is_empty() {
            let details = CallbackStartedDetails::builder()
                .callback_id(id)
                .timeout(600);
            event = event.callback_started_details(details.build().unwrap());
        }
        event.build()
    }

    #[test]
    fn a_callback_is_open_until_it_or_the_execution_has_ended() {
        let mut events = vec![
            callback(EventType::CallbackStarted, "a", "QQ=="),
            callback(EventType::CallbackStarted, "b", "Qg=="),
            callback(EventType::CallbackFailed, "a", ""),
        ];
        let open = open_callbacks(&events);
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].id.reveal(), "Qg==");
        assert_eq!(callback_ids(&events), ["QQ==", "Qg=="]);
        assert!(!format!("{open:?}").contains("Qg=="));
        let end = Event::builder().event_type(EventType::ExecutionStopped);
        events.push(end.build());
        assert_eq!(open_callbacks(&events), []);
    }

    #[test]
    fn an_event_tells_its_limits_attempts_and_errors_and_no_id() {
        let created = callback(EventType::CallbackStarted, "a", "c2VjcmV0");
        assert_eq!(contents(&created).note, "timeout 10m, no heartbeat");
        assert!(!format!("{:?}", contents(&created)).contains("c2VjcmV0"));
        let retry = RetryDetails::builder()
            .current_attempt(2)
            .next_attempt_delay_seconds(90);
        let error = EventError::builder().payload(ErrorObject::builder().error_type("E").build());
        let failed = Event::builder()
            .event_type(EventType::StepFailed)
            .step_failed_details(
                StepFailedDetails::builder()
                    .error(error.build())
                    .retry_details(retry.build())
                    .build(),
            );
        let failed = failed.build();
        let contents = contents(&failed);
        assert_eq!(contents.note, "attempt 2, the next one in 1m 30s");
        assert_eq!(contents.error.unwrap().error_type(), Some("E"));
    }
}
