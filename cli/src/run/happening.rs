//! What happened to an execution, read from its history.

use std::time::Duration;

use aws_sdk_lambda::types::{ErrorObject, Event, EventType};
use longhaul_core::JobHandle;
use longhaul_lambda::started_handle;

/// One thing that a person following an execution wants to know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Happening {
    /// The callback that the job will complete is there.
    CallbackCreated {
        timeout: Option<Duration>,
        heartbeat: Option<Duration>,
    },
    /// The job was started.
    Started { handle: JobHandle },
    /// The job did not start; it is tried again after a while.
    StartRetried { message: String, after: Duration },
    /// The function returned: it waits for something outside, if anything is open.
    Returned,
    /// What the function waited for has come: it is invoked again.
    Resumed { because: &'static str },
    /// A failed attempt is followed by another one after a while.
    Backoff { after: Duration },
    /// The function itself failed, and is invoked again.
    InvocationFailed { message: String },
    /// The execution is over.
    Ended,
}

/// What `event` tells, if it tells something.
pub(crate) fn read(event: &Event) -> Option<Happening> {
    let name = event.name.as_deref().unwrap_or_default();
    match event.event_type.as_ref()? {
        EventType::CallbackStarted => {
            let details = event.callback_started_details.as_ref()?;
            Some(Happening::CallbackCreated {
                timeout: seconds(details.timeout),
                heartbeat: seconds(details.heartbeat_timeout),
            })
        }
        EventType::StepSucceeded => {
            let details = event.step_succeeded_details.as_ref()?;
            let payload = details.result.as_ref()?.payload.as_deref()?;
            let handle = started_handle(name, payload)?;
            Some(Happening::Started { handle })
        }
        EventType::StepFailed => {
            let details = event.step_failed_details.as_ref()?;
            let retry = details.retry_details.as_ref()?;
            let after = seconds(retry.next_attempt_delay_seconds)?;
            let error = details.error.as_ref().and_then(|e| e.payload.as_ref());
            Some(Happening::StartRetried {
                message: message(error),
                after,
            })
        }
        EventType::CallbackSucceeded => resumed("the job reported its result"),
        EventType::CallbackFailed => resumed("the job reported a failure"),
        EventType::CallbackTimedOut => resumed("the job did not report in time"),
        EventType::WaitSucceeded => resumed("the wait is over"),
        EventType::WaitStarted => {
            let details = event.wait_started_details.as_ref()?;
            Some(Happening::Backoff {
                after: seconds(Some(details.duration))?,
            })
        }
        EventType::InvocationCompleted => {
            let details = event.invocation_completed_details.as_ref()?;
            match &details.error {
                Some(error) => Some(Happening::InvocationFailed {
                    message: message(error.payload.as_ref()),
                }),
                None => Some(Happening::Returned),
            }
        }
        EventType::ExecutionSucceeded
        | EventType::ExecutionFailed
        | EventType::ExecutionStopped
        | EventType::ExecutionTimedOut => Some(Happening::Ended),
        _ => None,
    }
}

fn resumed(because: &'static str) -> Option<Happening> {
    Some(Happening::Resumed { because })
}

#[expect(clippy::cast_sign_loss, reason = "negative values are filtered out")]
fn seconds(value: Option<i32>) -> Option<Duration> {
    value
        .filter(|seconds| *seconds > 0)
        .map(|seconds| Duration::from_secs(seconds as u64))
}

fn message(error: Option<&ErrorObject>) -> String {
    error
        .and_then(|error| {
            error
                .error_message
                .clone()
                .or_else(|| error.error_type.clone())
        })
        .unwrap_or_else(|| "no reason was given".to_owned())
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::{CallbackStartedDetails, EventResult, StepSucceededDetails};

    use super::*;

    #[test]
    fn a_recorded_start_tells_the_handle() {
        let result = EventResult::builder()
            .payload(r#"{"ok":{"backend":"process","id":"k"}}"#)
            .build();
        let event = Event::builder()
            .event_type(EventType::StepSucceeded)
            .name("start hello")
            .step_succeeded_details(StepSucceededDetails::builder().result(result).build())
            .build();
        let handle = JobHandle::new("process", "k");
        assert_eq!(read(&event), Some(Happening::Started { handle }));
    }

    #[test]
    fn the_callbacks_id_is_not_passed_on() {
        let details = CallbackStartedDetails::builder()
            .callback_id("c2VjcmV0")
            .timeout(600)
            .heartbeat_timeout(15)
            .build()
            .unwrap();
        let event = Event::builder()
            .event_type(EventType::CallbackStarted)
            .callback_started_details(details)
            .build();
        let happening = read(&event).unwrap();
        assert!(!format!("{happening:?}").contains("c2VjcmV0"));
        assert_eq!(
            happening,
            Happening::CallbackCreated {
                timeout: Some(Duration::from_secs(600)),
                heartbeat: Some(Duration::from_secs(15)),
            }
        );
    }

    #[test]
    fn what_a_person_need_not_know_is_passed_over() {
        let event = Event::builder().event_type(EventType::StepStarted).build();
        assert_eq!(read(&event), None);
        assert_eq!(read(&Event::builder().build()), None);
    }
}
