//! A backend in this process whose jobs do what their input says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::ErrorObject;
use longhaul_core::{
    BackendError, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId, FailureClass, Job,
    JobFailure, JobHandle,
};
use serde_json::Value;

/// Jobs whose input is `{"give": …}`, `{"grow": <bytes>}`, `{"fail": "<class>"}` or `{"hang": true}`. With `"once":
/// true` it is done in the first attempt only, and later attempts give what is in `then`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    client: OnceLock<Client>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// How often each job, by its handle's id, was started.
    pub(crate) starts: BTreeMap<String, u32>,
    /// Input and attempt of each start.
    pub(crate) started: Vec<(Value, u32)>,
    pub(crate) running: BTreeMap<String, Value>,
    pub(crate) most: usize,
    pub(crate) cancelled: Vec<String>,
    /// Which execution each job is of.
    executions: BTreeMap<String, ExecutionId>,
}

impl Script {
    pub(crate) fn client(&self, client: Client) {
        assert!(self.0.client.set(client).is_ok());
    }

    pub(crate) fn state<T>(&self, read: impl FnOnce(&mut State) -> T) -> T {
        read(&mut self.0.state.lock().unwrap())
    }
}

#[async_trait]
impl ComputeBackend for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
        let id = job.start_key().as_str().to_owned();
        let input = job.input().clone();
        self.state(|state| {
            *state.starts.entry(id.clone()).or_default() += 1;
            state.started.push((input.clone(), job.attempt()));
            state.running.insert(id.clone(), input.clone());
            let execution = job.execution().clone();
            state.executions.insert(id.clone(), execution);
            state.most = state.most.max(state.running.len());
        });
        let wish = if job.attempt() > 1 && input.get("then").is_some() {
            input["then"].clone()
        } else {
            input
        };
        let (this, token, handle) = (self.clone(), token.clone(), JobHandle::new("script", &id));
        tokio::spawn(async move {
            let client = this.0.client.get().unwrap();
            let token = token.expose().to_owned();
            let grown = wish.get("grow").and_then(Value::as_u64);
            let grown = grown.map(|size| Value::from("x".repeat(size as usize)));
            if let Some(result) = wish.get("give").cloned().or(grown) {
                this.state(|state| state.running.remove(&id));
                let send = client.send_durable_execution_callback_success();
                let result = Blob::new(result.to_string());
                let _ = send.callback_id(token).result(result).send().await;
            } else if let Some(class) = wish.get("fail").and_then(Value::as_str) {
                this.state(|state| state.running.remove(&id));
                let class: FailureClass = class.parse().unwrap();
                let failure = JobFailure::new(class).with_message("as it was told");
                let error = ErrorObject::builder()
                    .error_type(failure.error_type())
                    .error_message(failure.error_message())
                    .error_data(failure.error_data())
                    .build();
                let send = client.send_durable_execution_callback_failure();
                let _ = send.callback_id(token).error(error).send().await;
            }
        });
        Ok(handle)
    }

    async fn cancel(&self, job: &JobHandle, _: &str) -> Result<CancelOutcome, BackendError> {
        Ok(self.state(|state| {
            state.cancelled.push(job.id().to_owned());
            match state.running.remove(job.id()) {
                Some(_) => CancelOutcome::Cancelled,
                None => CancelOutcome::AlreadyEnded,
            }
        }))
    }

    async fn list(&self, of: &ExecutionId) -> Result<Vec<JobHandle>, BackendError> {
        let ids = self.state(|state| {
            let running = state.running.keys();
            let of = running.filter(|id| state.executions.get(*id) == Some(of));
            of.cloned().collect::<Vec<_>>()
        });
        Ok(ids
            .into_iter()
            .map(|id| JobHandle::new("script", id))
            .collect())
    }
}
