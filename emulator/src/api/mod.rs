//! The operations of the durable API as plain methods: what the HTTP surface calls, and what an embedding program can call.

mod reads;
mod settle;
mod types;

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Clock;
use crate::config::Limits;
use crate::engine::{EngineHandle, StartRequest, Waiting};
use crate::error::{ApiError, ApiErrorKind};
use crate::functions::Functions;
use crate::machine::{
    CallbackAction, CheckpointRequest, ControlRequest, FunctionName, Origin, Outcome, StatePage,
    Target, is_tenant, is_trace,
};
use crate::model::{CallbackId, ErrorObject, ExecutionArn, Timestamp};
use crate::pages;
use crate::store::{Reader, StoreError};

pub use settle::Settled;
pub use types::{
    ExecutionDetails, ExecutionSummary, HistoryRequest, ListExecutions, Page, PauseDetails,
    PauseExecution, StartExecution, StartedExecution,
};

/// The durable API of one service. Clones are the same service.
#[derive(Clone)]
pub struct Api {
    engine: EngineHandle,
    reader: Arc<Reader>,
    functions: Arc<Functions>,
    limits: Limits,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Api {
    pub(crate) fn new(
        engine: EngineHandle,
        reader: Arc<Reader>,
        functions: Arc<Functions>,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            engine,
            reader,
            functions,
            limits,
            clock,
        }
    }

    /// Starts an execution, or finds the one that has its name and input.
    ///
    /// # Errors
    ///
    /// `ResourceNotFound` for an unknown function, `DurableExecutionAlreadyStarted` for a name that another input has,
    /// `InvalidParameterValue`, `InvalidRequestContent` and `RequestTooLarge` for a request that cannot be right.
    pub async fn start_execution(
        &self,
        request: StartExecution,
    ) -> Result<StartedExecution, ApiError> {
        let (start, version) = self.checked(request)?;
        let started = self.engine.call(move |engine| engine.start(&start)).await?;
        Ok(StartedExecution {
            arn: started.arn,
            version,
            existing: started.existing,
        })
    }

    /// Starts an execution as [`Api::start_execution`] does, and gives its end, which is yet to be awaited.
    ///
    /// # Errors
    ///
    /// Those of [`Api::start_execution`]; of the end, `Service` when the service stops first.
    pub(crate) async fn run_execution(
        &self,
        request: StartExecution,
    ) -> Result<
        (
            StartedExecution,
            impl Future<Output = Result<Outcome, ApiError>> + use<>,
        ),
        ApiError,
    > {
        let (start, version) = self.checked(request)?;
        let (started, waiting) = self.engine.call(move |engine| engine.run(&start)).await?;
        let started = StartedExecution {
            arn: started.arn,
            version,
            existing: started.existing,
        };
        Ok((started, end(waiting)))
    }

    /// What is asked of the writer, and the version that will run.
    fn checked(&self, request: StartExecution) -> Result<(StartRequest, String), ApiError> {
        let target = self.target(&request.function, request.qualifier.as_deref())?;
        let limit = if request.synchronous {
            pages::SYNC_PAYLOAD
        } else {
            pages::ASYNC_PAYLOAD
        };
        if request.input.len() > limit {
            return Err(ApiError::new(
                ApiErrorKind::RequestTooLarge,
                format!(
                    "{} byte payload is too large for the Invoke operation (limit {limit} bytes)",
                    request.input.len()
                ),
            ));
        }
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&request.input) {
            return Err(ApiError::new(
                ApiErrorKind::InvalidRequestContent,
                format!("Could not parse request body into json: {error}"),
            ));
        }
        if request
            .tenant
            .as_deref()
            .is_some_and(|tenant| !is_tenant(tenant))
        {
            return Err(ApiError::invalid(
                "TenantId must be 1 to 256 characters matching [a-zA-Z0-9._:/=+-@ ].",
            ));
        }
        if request
            .trace
            .as_deref()
            .is_some_and(|trace| !is_trace(trace))
        {
            return Err(ApiError::invalid(
                "The trace header must be at most 8192 printable ASCII characters.",
            ));
        }
        let version = target.version.clone();
        let start = StartRequest {
            target,
            name: request.name,
            input: request.input.into(),
            synchronous: request.synchronous,
            trace: request.trace,
            tenant: request.tenant,
        };
        Ok((start, version))
    }

    /// Finds the function an invocation means.
    pub(crate) fn target(
        &self,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<Target, ApiError> {
        self.functions
            .invocable(&FunctionName::qualified(function, qualifier)?)
    }

    /// Waits until an execution has ended.
    ///
    /// # Errors
    ///
    /// `ResourceNotFound` for an unknown execution; `Service` when the service stops first.
    pub async fn wait(&self, arn: &ExecutionArn) -> Result<Outcome, ApiError> {
        let arn = arn.clone();
        end(self.engine.call(move |engine| engine.wait(&arn)).await?).await
    }

    /// Stops an execution and returns when it ended. An execution that has ended stays as it is.
    ///
    /// # Errors
    ///
    /// `ResourceNotFound` for an unknown execution, `InvalidParameterValue` for an error object over 1 MB.
    pub async fn stop_execution(
        &self,
        arn: &ExecutionArn,
        error: Option<ErrorObject>,
    ) -> Result<Timestamp, ApiError> {
        if let Some(error) = &error {
            pages::check_error(error)?;
        }
        let arn = arn.clone();
        self.engine
            .call(move |engine| engine.stop(&arn, error.as_ref()))
            .await
    }

    /// Pauses an execution: no invocations until it is resumed, while waits and callbacks go on completing.
    ///
    /// # Errors
    ///
    /// `ResourceNotFound` for an unknown execution, `ResourceConflict` for one that has ended or is paused already,
    /// `InvalidParameterValue` for a reason over 1,024 characters.
    pub async fn pause_execution(
        &self,
        arn: &ExecutionArn,
        request: PauseExecution,
    ) -> Result<(), ApiError> {
        self.control(arn, request, false).await
    }

    /// Resumes a paused execution.
    ///
    /// # Errors
    ///
    /// `ResourceNotFound` for an unknown execution, `ResourceConflict` for one that has ended or is not paused,
    /// `InvalidParameterValue` for a reason over 1,024 characters.
    pub async fn resume_execution(
        &self,
        arn: &ExecutionArn,
        request: PauseExecution,
    ) -> Result<(), ApiError> {
        self.control(arn, request, true).await
    }

    async fn control(
        &self,
        arn: &ExecutionArn,
        request: PauseExecution,
        resume: bool,
    ) -> Result<(), ApiError> {
        let arn = arn.clone();
        let request = ControlRequest {
            client_token: request.client_token,
            reason: request.reason,
            stops_timeout: request.stops_timeout,
        };
        request.check()?;
        self.engine
            .call(move |engine| engine.control(&arn, &request, resume))
            .await
    }

    /// Deletes an execution that has ended, and returns when it was asked to.
    ///
    /// # Errors
    ///
    /// `ResourceNotFound` for an unknown execution, `ResourceConflict` for one that has not ended.
    pub async fn delete_execution(&self, arn: &ExecutionArn) -> Result<Timestamp, ApiError> {
        let arn = arn.clone();
        self.engine.call(move |engine| engine.delete(&arn)).await
    }

    /// Completes a callback. `result` is at most 1 MiB of UTF-8, usually JSON; `None` is a success without a result.
    ///
    /// # Errors
    ///
    /// `ResourceNotFound` for an unknown id, `CallbackTimeout` for a callback that expired or is closed,
    /// `InvalidParameterValue` for a result that is too large.
    pub async fn succeed_callback(
        &self,
        id: &CallbackId,
        result: Option<String>,
    ) -> Result<(), ApiError> {
        if result
            .as_ref()
            .is_some_and(|result| result.len() > pages::ASYNC_PAYLOAD)
        {
            return Err(ApiError::invalid(format!(
                "Callback result size must be less than or equal to {} bytes.",
                pages::ASYNC_PAYLOAD
            )));
        }
        self.complete(id, CallbackAction::Succeed(result)).await
    }

    /// Fails a callback.
    ///
    /// # Errors
    ///
    /// As [`succeed_callback`](Self::succeed_callback).
    pub async fn fail_callback(&self, id: &CallbackId, error: ErrorObject) -> Result<(), ApiError> {
        pages::check_error(&error)?;
        self.complete(id, CallbackAction::Fail(error)).await
    }

    /// Tells that whoever holds the callback is alive, and restarts its heartbeat timeout.
    ///
    /// # Errors
    ///
    /// `ResourceNotFound` for an unknown id, `CallbackTimeout` for a callback that expired or is closed.
    pub async fn heartbeat_callback(&self, id: &CallbackId) -> Result<(), ApiError> {
        self.complete(id, CallbackAction::Heartbeat).await
    }

    async fn complete(&self, id: &CallbackId, action: CallbackAction) -> Result<(), ApiError> {
        let id = id.clone();
        self.engine
            .call(move |engine| engine.callback(&id, &action))
            .await
    }

    pub(crate) async fn checkpoint(
        &self,
        arn: ExecutionArn,
        request: CheckpointRequest,
    ) -> Result<Bytes, ApiError> {
        self.engine
            .call(move |engine| engine.checkpoint(&arn, &request))
            .await
    }

    pub(crate) async fn state(
        &self,
        arn: ExecutionArn,
        token: String,
        marker: Option<String>,
        max_items: usize,
    ) -> Result<(StatePage, Arc<Origin>), ApiError> {
        let limit = self.limits.items(max_items)?;
        self.engine
            .call(move |engine| engine.state(&arn, &token, marker.as_deref(), limit))
            .await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let reader = Arc::clone(&self.reader);
        match tokio::task::spawn_blocking(move || read(&reader)).await {
            Ok(result) => result.map_err(unreadable),
            Err(_) => Err(ApiError::stopping()),
        }
    }
}

async fn end(waiting: Waiting) -> Result<Outcome, ApiError> {
    match waiting {
        Waiting::Over(outcome) => Ok(outcome),
        Waiting::Open(receiver) => receiver.await.map_err(|_| ApiError::stopping()),
    }
}

fn unreadable(error: StoreError) -> ApiError {
    tracing::error!(
        error = &error as &dyn std::error::Error,
        "a read of the durable state failed"
    );
    ApiError::service("The durable state could not be read", error)
}
