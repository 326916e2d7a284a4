//! What a running invocation is told of completions that its handler had suspended for.
//!
//! SDK 0.1.0 takes a suspended context up again in the next invocation only, while the service
//! tells a completion once: in the answer to whichever checkpoint comes next, another job's as a
//! rule. To the service the handler has seen it then, and no invocation follows (AWS's own
//! emulator does the same), so an execution with other jobs under way would stand still. So the
//! answers are watched, and a handler that suspends with news unused is run again at once, with
//! the newest state, in the same invocation.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_sdk_lambda::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextRef,
};
use aws_sdk_lambda::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_lambda::operation::checkpoint_durable_execution::{
    CheckpointDurableExecutionInput, CheckpointDurableExecutionOutput,
};
use aws_sdk_lambda::types::{Operation, OperationStatus, OperationType};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use serde_json::{Value, json};

use super::BoxError;

/// The news of executions that are being handled, by ARN: most often of one. Watches the calls of the client that the
/// SDK is given.
#[derive(Debug, Default)]
pub(super) struct News(Mutex<BTreeMap<String, Latest>>);

/// What the last checkpoint of an execution was answered.
#[derive(Debug, Default)]
struct Latest {
    token: Option<String>,
    /// Whether something that a handler may have suspended for was told since it began to run.
    told: bool,
}

impl News {
    /// A handler begins to run.
    pub(super) fn begin(&self, arn: &str) {
        let mut executions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        executions.entry(arn.to_owned()).or_default().told = false;
    }

    /// The handler has suspended: the event to run it again with, where there are news. `input`
    /// is the execution's, as JSON.
    pub(super) fn again(&self, arn: &str, input: &str) -> Option<Value> {
        let executions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = executions.get(arn).filter(|latest| latest.told)?;
        let token = latest.token.as_deref()?;
        // Any marker makes the SDK fetch the whole state, and nothing but the input is read here.
        Some(json!({
            "DurableExecutionArn": arn,
            "CheckpointToken": token,
            "InitialExecutionState": {
                "Operations": [{"Type": "EXECUTION", "ExecutionDetails": {"InputPayload": input}}],
                "NextMarker": "all",
            },
        }))
    }

    /// The invocation has ended.
    pub(super) fn end(&self, arn: &str) {
        let mut executions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        executions.remove(arn);
    }

    fn hear(&self, arn: &str, answer: &CheckpointDurableExecutionOutput) {
        let mut executions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(latest) = executions.get_mut(arn) {
            if let Some(token) = answer.checkpoint_token() {
                latest.token = Some(token.to_owned());
            }
            let state = answer.new_execution_state();
            let operations = state.map(|state| state.operations()).unwrap_or_default();
            latest.told |= operations.iter().any(comes_from_outside);
        }
    }
}

/// Whether it is the completion of something that a handler suspends for. A step and a context are
/// completed by the handler itself.
fn comes_from_outside(operation: &Operation) -> bool {
    match operation.r#type() {
        OperationType::Callback | OperationType::Wait | OperationType::ChainedInvoke => !matches!(
            operation.status(),
            OperationStatus::Started | OperationStatus::Pending
        ),
        _ => *operation.status() == OperationStatus::Ready,
    }
}

/// Which execution a call is of. Its input is gone when it is answered.
#[derive(Debug)]
struct Of(String);

impl Storable for Of {
    type Storer = StoreReplace<Self>;
}

/// [`News`] as the client holds it.
#[derive(Debug, Clone)]
pub(super) struct Watch(pub(super) std::sync::Arc<News>);

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "longhaul news"
    }

    fn read_before_execution(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        call: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input();
        if let Some(input) = input.downcast_ref::<CheckpointDurableExecutionInput>() {
            let arn = input.durable_execution_arn().unwrap_or_default();
            call.interceptor_state().store_put(Of(arn.to_owned()));
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        call: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let output = context.output_or_error().ok();
        let output = output.and_then(|output| output.downcast_ref());
        if let (Some(Of(arn)), Some(output)) = (call.load::<Of>(), output) {
            self.0.hear(arn, output);
        }
        Ok(())
    }
}
