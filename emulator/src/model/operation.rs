//! One operation of an execution: what is stored, and how it looks in API answers and in invocation events.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize, Serializer};

use super::id::{CallbackId, ExecutionArn};
use super::time::Timestamp;
use super::update::{ErrorObject, OperationType};

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum OperationStatus {
    /// Under way.
    Started,
    /// A step that waits for its next attempt.
    Pending,
    /// A step whose next attempt is due.
    Ready,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// A wait that the handler gave up.
    Cancelled,
    /// Ended because its time was up.
    TimedOut,
    /// A chained invocation whose execution was stopped.
    Stopped,
}

impl OperationStatus {
    /// True when nothing can change it any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::TimedOut | Self::Stopped
        )
    }
}

/// One operation. The EXECUTION operation is not stored as one: it is a view of the execution itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sub_type: Option<String>,
    pub(crate) status: OperationStatus,
    pub(crate) started: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Timestamp>,
    /// The execution's change counter when this operation last changed in a way its handler must see.
    pub(crate) touched: u64,
    pub(crate) kind: Kind,
}

/// What is particular to a kind of operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Context(Context),
    Step(Step),
    Wait(Wait),
    Callback(Callback),
    ChainedInvoke(ChainedInvoke),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Context {
    pub(crate) replay_children: bool,
    pub(crate) result: Option<String>,
    pub(crate) error: Option<ErrorObject>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) attempt: u32,
    pub(crate) next_attempt: Option<Timestamp>,
    pub(crate) result: Option<String>,
    pub(crate) error: Option<ErrorObject>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wait {
    pub(crate) seconds: u64,
    pub(crate) until: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Callback {
    pub(crate) id: CallbackId,
    /// Seconds; zero is never stored: it means off.
    pub(crate) timeout: Option<u64>,
    pub(crate) heartbeat: Option<u64>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) silent_at: Option<Timestamp>,
    pub(crate) result: Option<String>,
    pub(crate) error: Option<ErrorObject>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChainedInvoke {
    pub(crate) execution: Option<ExecutionArn>,
    pub(crate) result: Option<String>,
    pub(crate) error: Option<ErrorObject>,
    /// How the execution ended, while its caller has not been told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<ChainedEnd>,
}

/// How a chained execution ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChainedEnd {
    pub(crate) status: OperationStatus,
    pub(crate) result: Option<String>,
    pub(crate) error: Option<ErrorObject>,
}

impl Operation {
    pub(crate) const fn operation_type(&self) -> OperationType {
        match self.kind {
            Kind::Context(_) => OperationType::Context,
            Kind::Step(_) => OperationType::Step,
            Kind::Wait(_) => OperationType::Wait,
            Kind::Callback(_) => OperationType::Callback,
            Kind::ChainedInvoke(_) => OperationType::ChainedInvoke,
        }
    }

    /// When the service itself must change this operation, if ever.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        match (&self.kind, self.status) {
            (Kind::Wait(wait), OperationStatus::Started) => Some(wait.until),
            (Kind::Step(step), OperationStatus::Pending) => step.next_attempt,
            (Kind::Callback(callback), OperationStatus::Started) => {
                match (callback.expires, callback.silent_at) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                }
            }
            _ => None,
        }
    }

    /// True when something other than the handler will wake the execution because of this operation.
    pub(crate) fn is_awaited(&self) -> bool {
        match self.kind {
            Kind::Step(_) => self.status == OperationStatus::Pending,
            Kind::Wait(_) | Kind::Callback(_) | Kind::ChainedInvoke(_) => {
                self.status == OperationStatus::Started
            }
            Kind::Context(_) => false,
        }
    }

    /// About how many bytes this operation adds to a page.
    pub(crate) fn weight(&self) -> usize {
        let size = |result: &Option<String>, error: &Option<ErrorObject>| {
            result.as_ref().map_or(0, String::len) + error.as_ref().map_or(0, ErrorObject::size)
        };
        256 + match &self.kind {
            Kind::Context(context) => size(&context.result, &context.error),
            Kind::Step(step) => size(&step.result, &step.error),
            Kind::Wait(_) => 0,
            Kind::Callback(callback) => size(&callback.result, &callback.error),
            Kind::ChainedInvoke(invoke) => size(&invoke.result, &invoke.error),
        }
    }
}

/// How instants are spelt: API answers and invocation events differ.
pub(crate) trait Spelling {
    fn spell<S: Serializer>(at: Timestamp, serializer: S) -> Result<S::Ok, S::Error>;
}

/// Epoch seconds with a fraction, as in API answers.
pub(crate) enum Seconds {}

/// Whole epoch milliseconds, as in the event an invocation receives.
pub(crate) enum Millis {}

impl Spelling for Seconds {
    fn spell<S: Serializer>(at: Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        at.serialize(serializer)
    }
}

impl Spelling for Millis {
    fn spell<S: Serializer>(at: Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.as_millis())
    }
}

pub(crate) struct At<T>(Timestamp, PhantomData<T>);

impl<T: Spelling> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::spell(self.0, serializer)
    }
}

/// The `Operation` shape of the API.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase", bound = "T: Spelling")]
pub(crate) struct Wire<'a, T: Spelling> {
    id: &'a str,
    #[serde(rename = "Type")]
    kind: OperationType,
    start_timestamp: At<T>,
    status: OperationStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_timestamp: Option<At<T>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_details: Option<ExecutionDetails<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_details: Option<ContextDetails<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_details: Option<StepDetails<'a, T>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_details: Option<WaitDetails<T>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_details: Option<CallbackDetails<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chained_invoke_details: Option<ChainedInvokeDetails<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ExecutionDetails<'a> {
    input_payload: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ContextDetails<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_children: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ErrorObject>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase", bound = "T: Spelling")]
struct StepDetails<'a, T: Spelling> {
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_timestamp: Option<At<T>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ErrorObject>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase", bound = "T: Spelling")]
struct WaitDetails<T: Spelling> {
    scheduled_end_timestamp: At<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CallbackDetails<'a> {
    callback_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ErrorObject>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChainedInvokeDetails<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ErrorObject>,
}

impl<'a, T: Spelling> Wire<'a, T> {
    /// The EXECUTION operation, which is always the first.
    pub(crate) fn execution(
        arn: &'a ExecutionArn,
        input: &'a str,
        started: Timestamp,
        status: OperationStatus,
        ended: Option<Timestamp>,
    ) -> Self {
        Self {
            id: arn.id(),
            kind: OperationType::Execution,
            start_timestamp: At(started, PhantomData),
            status,
            parent_id: None,
            name: Some(arn.name()),
            sub_type: None,
            end_timestamp: ended.map(|at| At(at, PhantomData)),
            execution_details: Some(ExecutionDetails {
                input_payload: input,
            }),
            context_details: None,
            step_details: None,
            wait_details: None,
            callback_details: None,
            chained_invoke_details: None,
        }
    }

    pub(crate) fn operation(operation: &'a Operation) -> Self {
        let mut wire = Self {
            id: &operation.id,
            kind: operation.operation_type(),
            start_timestamp: At(operation.started, PhantomData),
            status: operation.status,
            parent_id: operation.parent.as_deref(),
            name: operation.name.as_deref(),
            sub_type: operation.sub_type.as_deref(),
            end_timestamp: operation.ended.map(|at| At(at, PhantomData)),
            execution_details: None,
            context_details: None,
            step_details: None,
            wait_details: None,
            callback_details: None,
            chained_invoke_details: None,
        };
        match &operation.kind {
            Kind::Context(context) => {
                wire.context_details = Some(ContextDetails {
                    replay_children: context.replay_children.then_some(true),
                    result: context.result.as_deref(),
                    error: context.error.as_ref(),
                });
            }
            Kind::Step(step) => {
                wire.step_details = Some(StepDetails {
                    attempt: step.attempt,
                    next_attempt_timestamp: step.next_attempt.map(|at| At(at, PhantomData)),
                    result: step.result.as_deref(),
                    error: step.error.as_ref(),
                });
            }
            Kind::Wait(wait) => {
                wire.wait_details = Some(WaitDetails {
                    scheduled_end_timestamp: At(wait.until, PhantomData),
                });
            }
            Kind::Callback(callback) => {
                wire.callback_details = Some(CallbackDetails {
                    callback_id: callback.id.reveal(),
                    result: callback.result.as_deref(),
                    error: callback.error.as_ref(),
                });
            }
            Kind::ChainedInvoke(invoke) => {
                wire.chained_invoke_details = Some(ChainedInvokeDetails {
                    result: invoke.result.as_deref(),
                    error: invoke.error.as_ref(),
                });
            }
        }
        wire
    }
}
