//! The event that wakes an execution whose fan-out has ended, as the embedded service sent it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use aws_durable_execution_sdk::BoxError;
use bytes::Bytes;
use lambda_runtime::LambdaEvent;
use longhaul_core::{BackendError, CallbackToken, CancelOutcome, ComputeBackend, Job, JobHandle};
use longhaul_emulator::{
    Api, CallbackId, FunctionConfig, Invocation, InvocationError, InvocationHandler, Limits,
    Service, ServiceConfig, StartExecution,
};
use longhaul_lambda::{JobRunner, function};

use crate::history::{self, Size};
use crate::replay::{Answered, Serve, client_of, context, run_all};

/// Runs `size.jobs` jobs with `run_all`, and one more after them, and returns the last event: everything has ended in it.
///
/// # Errors
///
/// When the service or the function cannot be set up, or the execution does not end well.
pub async fn event(size: Size) -> Result<Vec<u8>, BoxError> {
    let state = tempfile::tempdir()?;
    let backend = Arc::new(Kept::default());
    let recorder = Arc::new(Recorder {
        serve: OnceLock::new(),
        api: OnceLock::new(),
        backend: Arc::clone(&backend),
        size,
        last: Mutex::default(),
    });
    let mut limits = Limits::default();
    // All of it in the event, so that a replay calls nobody.
    limits.event_state = usize::MAX;
    let config = ServiceConfig::new(state.path())
        .limits(limits)
        .function(FunctionConfig::handler("bench", recorder.clone() as Arc<_>));
    let service = Service::start(config).await?;
    let url = service.url().to_string();
    let serve = function::service(
        JobRunner::new(backend),
        client_of(|config| config.endpoint_url(url)),
        run_all,
    )?;
    let serve: Serve = Box::new(move |bytes| {
        let event = serde_json::from_slice(bytes);
        let serve = serve.clone();
        Box::pin(async move {
            let answer = serve(LambdaEvent::new(event?, context())).await?;
            Ok(serde_json::to_vec(&answer)?)
        })
    });
    let api = service.api().clone();
    drop((recorder.serve.set(serve), recorder.api.set(api.clone())));
    let start = StartExecution::new("bench", size.jobs.to_string());
    let started = api.start_execution(start).await?;
    let outcome = api.wait(&started.arn).await?;
    service.shutdown().await;
    match outcome {
        longhaul_emulator::Outcome::Succeeded(_) => Ok(std::mem::take(&mut *lock(&recorder.last))),
        other => Err(format!("the jobs to record ended with {other:?}").into()),
    }
}

/// The function: lets its jobs end when it goes to sleep, and keeps the events that it gets.
struct Recorder {
    serve: OnceLock<Serve>,
    api: OnceLock<Api>,
    backend: Arc<Kept>,
    size: Size,
    last: Mutex<Vec<u8>>,
}

#[async_trait]
impl InvocationHandler for Recorder {
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvocationError> {
        self.answer(&invocation.event)
            .await
            .map_err(|error| InvocationError::new("Bench", error.to_string()))
    }
}

impl Recorder {
    async fn answer(&self, event: &[u8]) -> Result<Bytes, BoxError> {
        *lock(&self.last) = event.to_vec();
        let (Some(serve), Some(api)) = (self.serve.get(), self.api.get()) else {
            return Err("the function was called before it was ready".into());
        };
        let answer: Answered = serve(event);
        let answer = answer.await?;
        // Before the service hears that the function sleeps: one invocation follows for all of them.
        let waiting = std::mem::take(&mut *lock(&self.backend.waiting));
        for token in waiting {
            let id = CallbackId::parse(token.expose())?;
            api.succeed_callback(&id, Some(history::result(0, self.size)))
                .await?;
        }
        Ok(answer.into())
    }
}

/// Starts nothing: keeps the tokens.
#[derive(Debug, Default)]
struct Kept {
    waiting: Mutex<Vec<CallbackToken>>,
}

#[async_trait]
impl ComputeBackend for Kept {
    fn name(&self) -> &str {
        "none"
    }

    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
        lock(&self.waiting).push(token.clone());
        Ok(JobHandle::new("none", job.start_key().as_str()))
    }

    async fn cancel(&self, _: &JobHandle, _: &str) -> Result<CancelOutcome, BackendError> {
        Ok(CancelOutcome::Cancelled)
    }
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
