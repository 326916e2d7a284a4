//! Execution environments: where functions run, one invocation at a time in each.

mod dispatch;
mod leftovers;
mod log;
mod peer;
mod process;
mod runtime_api;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::{ErrorObject, Timestamp};

pub(crate) use dispatch::{Dispatcher, DispatcherParts};
pub(crate) use peer::is_own_user;

/// One invocation of a function.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Invocation {
    /// The invocation's id, as in `InvocationCompleted` events.
    pub request_id: String,
    /// The ARN of the function, with the version that runs.
    pub function_arn: String,
    /// When the invocation is killed if it has not ended.
    pub deadline: Timestamp,
    /// The X-Ray trace header.
    pub trace_id: String,
    /// The tenant the function is invoked for, if the caller named one.
    pub tenant_id: Option<String>,
    /// The durable invocation event, as JSON. Holds a checkpoint token: keep it out of logs.
    pub event: Bytes,
}

/// Why an invocation failed, as the Runtime API reports it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct InvocationError {
    /// The error's class, such as `Runtime.ExitError`.
    pub error_type: String,
    /// What happened, for a person.
    pub message: String,
    /// Where it happened, innermost first.
    pub stack_trace: Vec<String>,
}

impl InvocationError {
    /// An error with a class and a message.
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            error_type: error_type.into(),
            message: message.into(),
            stack_trace: Vec::new(),
        }
    }
}

impl std::fmt::Display for InvocationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.error_type, self.message)
    }
}

impl std::error::Error for InvocationError {}

impl From<InvocationError> for ErrorObject {
    fn from(error: InvocationError) -> Self {
        Self {
            error_message: Some(error.message),
            error_type: Some(error.error_type),
            error_data: None,
            stack_trace: (!error.stack_trace.is_empty()).then_some(error.stack_trace),
        }
    }
}

/// A function that lives in this process, for tests and embedding.
///
/// It gets what a function binary gets from the Runtime API and answers what a binary would answer.
#[async_trait]
pub trait InvocationHandler: Send + Sync {
    /// Handles one invocation. A panic counts as a crash of the environment.
    ///
    /// # Errors
    ///
    /// An [`InvocationError`] fails the invocation, which is then repeated; it does not fail the execution.
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvocationError>;
}
