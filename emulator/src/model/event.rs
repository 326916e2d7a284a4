//! The events of an execution's history.

use serde::de::Error as _;
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::id::{CallbackId, ExecutionArn};
use super::time::Timestamp;
use super::update::ErrorObject;

/// One entry of an execution's history. Serialises as the API's `Event`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Its number in the history: from 1, without gaps.
    pub id: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The operation it is about; the EXECUTION operation has one too, an invocation has none.
    pub operation: Option<EventOperation>,
    /// What happened.
    pub details: EventDetails,
}

/// The operation an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct EventOperation {
    /// The operation's id.
    pub id: String,
    /// The id of the context it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// Its name, if the handler gave it one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its subtype, if the handler gave it one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_type: Option<String>,
}

/// A payload that went in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct EventInput {
    /// The payload, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// Always false here: nothing is ever cut.
    pub truncated: bool,
}

/// A payload that came out.
pub type EventResult = EventInput;

/// An error that came out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct EventError {
    /// The error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<ErrorObject>,
    /// Always false here: nothing is ever cut.
    pub truncated: bool,
}

impl EventInput {
    pub(crate) const fn new(payload: Option<String>) -> Self {
        Self {
            payload,
            truncated: false,
        }
    }
}

impl EventError {
    pub(crate) const fn new(error: ErrorObject) -> Self {
        Self {
            payload: Some(error),
            truncated: false,
        }
    }
}

/// Where a step's attempts stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct RetryDetails {
    /// The attempt that just ended, from 1.
    pub current_attempt: u32,
    /// Seconds until the next one, if there is a next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_delay_seconds: Option<u64>,
}

impl RetryDetails {
    pub(crate) const fn new(current_attempt: u32, next_attempt_delay_seconds: Option<u64>) -> Self {
        Self {
            current_attempt,
            next_attempt_delay_seconds,
        }
    }
}

/// What an event says. The variants are the API's event types, their fields its details.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all_fields = "PascalCase")]
#[allow(
    missing_docs,
    reason = "the API model documents every member under these very names"
)]
#[non_exhaustive]
pub enum EventDetails {
    ExecutionStarted {
        input: EventInput,
        execution_timeout: u64,
    },
    ExecutionSucceeded {
        result: EventResult,
    },
    ExecutionFailed {
        error: EventError,
    },
    ExecutionTimedOut {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<EventError>,
    },
    ExecutionStopped {
        error: EventError,
    },
    ExecutionPaused {
        pause_request_timestamp: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<EventInput>,
        execution_timeout_paused: bool,
    },
    ExecutionResumed {
        resume_request_timestamp: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<EventInput>,
    },
    ContextStarted {},
    ContextSucceeded {
        result: EventResult,
    },
    ContextFailed {
        error: EventError,
    },
    WaitStarted {
        duration: u64,
        scheduled_end_timestamp: Timestamp,
    },
    WaitSucceeded {
        duration: u64,
    },
    WaitCancelled {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<EventError>,
    },
    StepStarted {},
    StepSucceeded {
        result: EventResult,
        retry_details: RetryDetails,
    },
    StepFailed {
        error: EventError,
        retry_details: RetryDetails,
    },
    ChainedInvokeStarted {
        function_name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<EventInput>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        executed_version: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        durable_execution_arn: Option<ExecutionArn>,
    },
    ChainedInvokeSucceeded {
        result: EventResult,
    },
    ChainedInvokeFailed {
        error: EventError,
    },
    ChainedInvokeTimedOut {
        error: EventError,
    },
    ChainedInvokeStopped {
        error: EventError,
    },
    CallbackStarted {
        callback_id: CallbackId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heartbeat_timeout: Option<u64>,
    },
    CallbackSucceeded {
        result: EventResult,
    },
    CallbackFailed {
        error: EventError,
    },
    CallbackTimedOut {
        error: EventError,
    },
    InvocationCompleted {
        start_timestamp: Timestamp,
        end_timestamp: Timestamp,
        request_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<EventError>,
    },
}

impl EventDetails {
    /// The API's name of this type of event, such as `StepStarted`.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::ExecutionStarted { .. } => "ExecutionStarted",
            Self::ExecutionSucceeded { .. } => "ExecutionSucceeded",
            Self::ExecutionFailed { .. } => "ExecutionFailed",
            Self::ExecutionTimedOut { .. } => "ExecutionTimedOut",
            Self::ExecutionStopped { .. } => "ExecutionStopped",
            Self::ExecutionPaused { .. } => "ExecutionPaused",
            Self::ExecutionResumed { .. } => "ExecutionResumed",
            Self::ContextStarted {} => "ContextStarted",
            Self::ContextSucceeded { .. } => "ContextSucceeded",
            Self::ContextFailed { .. } => "ContextFailed",
            Self::WaitStarted { .. } => "WaitStarted",
            Self::WaitSucceeded { .. } => "WaitSucceeded",
            Self::WaitCancelled { .. } => "WaitCancelled",
            Self::StepStarted {} => "StepStarted",
            Self::StepSucceeded { .. } => "StepSucceeded",
            Self::StepFailed { .. } => "StepFailed",
            Self::ChainedInvokeStarted { .. } => "ChainedInvokeStarted",
            Self::ChainedInvokeSucceeded { .. } => "ChainedInvokeSucceeded",
            Self::ChainedInvokeFailed { .. } => "ChainedInvokeFailed",
            Self::ChainedInvokeTimedOut { .. } => "ChainedInvokeTimedOut",
            Self::ChainedInvokeStopped { .. } => "ChainedInvokeStopped",
            Self::CallbackStarted { .. } => "CallbackStarted",
            Self::CallbackSucceeded { .. } => "CallbackSucceeded",
            Self::CallbackFailed { .. } => "CallbackFailed",
            Self::CallbackTimedOut { .. } => "CallbackTimedOut",
            Self::InvocationCompleted { .. } => "InvocationCompleted",
        }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event_type = self.details.event_type();
        let tagged = serde_json::to_value(&self.details).map_err(S::Error::custom)?;
        let details = match tagged {
            Value::Object(mut map) => map.remove(event_type).unwrap_or_default(),
            other => other,
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("EventType", event_type)?;
        map.serialize_entry("EventId", &self.id)?;
        map.serialize_entry("EventTimestamp", &self.at)?;
        if let Some(operation) = &self.operation {
            map.serialize_entry("Id", &operation.id)?;
            if let Some(parent) = &operation.parent_id {
                map.serialize_entry("ParentId", parent)?;
            }
            if let Some(name) = &operation.name {
                map.serialize_entry("Name", name)?;
            }
            if let Some(sub_type) = &operation.sub_type {
                map.serialize_entry("SubType", sub_type)?;
            }
        }
        map.serialize_entry(&format!("{event_type}Details"), &details)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut map = Map::deserialize(deserializer)?;
        let mut take = |key: &str| map.remove(key).unwrap_or(Value::Null);
        let event_type = String::deserialize(take("EventType")).map_err(D::Error::custom)?;
        let id = u64::deserialize(take("EventId")).map_err(D::Error::custom)?;
        let at = Timestamp::deserialize(take("EventTimestamp")).map_err(D::Error::custom)?;
        let mut tagged = Map::new();
        let details = take(&format!("{event_type}Details"));
        tagged.insert(event_type, details);
        let details = EventDetails::deserialize(Value::Object(tagged)).map_err(D::Error::custom)?;
        let operation = if map.contains_key("Id") {
            Some(EventOperation::deserialize(Value::Object(map)).map_err(D::Error::custom)?)
        } else {
            None
        };
        Ok(Self {
            id,
            at,
            operation,
            details,
        })
    }
}

/// Takes what callers must not see without `IncludeExecutionData` out of an event: payloads and errors' contents.
pub(crate) fn strip_data(event: &mut Value) {
    let Value::Object(event) = event else { return };
    for (key, details) in event.iter_mut().filter(|(key, _)| key.ends_with("Details")) {
        debug_assert!(key.len() > "Details".len());
        for part in ["Input", "Result", "Error", "Reason"] {
            if let Some(Value::Object(part)) = details.get_mut(part) {
                part.remove("Payload");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_spelt_as_the_api_spells_it_and_reads_back() {
        let event = Event {
            id: 7,
            at: Timestamp::from_millis(1_500),
            operation: Some(EventOperation {
                id: "a".into(),
                parent_id: Some("p".into()),
                name: None,
                sub_type: Some("Step".into()),
            }),
            details: EventDetails::StepFailed {
                error: EventError::new(ErrorObject::new("E", "no")),
                retry_details: RetryDetails::new(1, Some(5)),
            },
        };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "EventType": "StepFailed", "EventId": 7, "EventTimestamp": 1.5, "Id": "a", "ParentId": "p", "SubType": "Step",
                "StepFailedDetails": {
                    "Error": {"Payload": {"ErrorMessage": "no", "ErrorType": "E"}, "Truncated": false},
                    "RetryDetails": {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 5},
                },
            })
        );
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
    }

    #[test]
    fn an_empty_detail_is_an_empty_object() {
        let event = Event {
            id: 1,
            at: Timestamp::default(),
            operation: None,
            details: EventDetails::StepStarted {},
        };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["StepStartedDetails"], serde_json::json!({}));
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
    }
}
