//! Functions in this process, written as closures over the invocation event and a real SDK client.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::checkpoint_durable_execution::CheckpointDurableExecutionOutput;
use aws_sdk_lambda::types::{Operation, OperationUpdate};
use bytes::Bytes;
use longhaul_emulator::{FunctionConfig, Invocation, InvocationError, InvocationHandler, Service};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{client, config};

type Answer = Pin<Box<dyn Future<Output = Result<Value, InvocationError>> + Send>>;

/// One invocation as a handler sees it.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) event: Arc<Value>,
    pub(crate) client: Client,
    token: Arc<Mutex<String>>,
}

impl Call {
    pub(crate) fn arn(&self) -> &str {
        self.event["DurableExecutionArn"].as_str().unwrap()
    }

    /// The operations of the event, without the EXECUTION.
    pub(crate) fn operations(&self) -> &[Value] {
        &self.event["InitialExecutionState"]["Operations"]
            .as_array()
            .unwrap()[1..]
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Value> {
        self.operations()
            .iter()
            .find(|operation| operation["Id"] == id)
    }

    pub(crate) fn status(&self, id: &str) -> &str {
        self.find(id)
            .map_or("", |operation| operation["Status"].as_str().unwrap())
    }

    pub(crate) async fn token(&self) -> String {
        self.token.lock().await.clone()
    }

    /// Writes a checkpoint and keeps the next token.
    pub(crate) async fn checkpoint(
        &self,
        updates: Vec<OperationUpdate>,
    ) -> CheckpointDurableExecutionOutput {
        let mut token = self.token.lock().await;
        let output = self
            .client
            .checkpoint_durable_execution()
            .durable_execution_arn(self.arn())
            .checkpoint_token(token.as_str())
            .set_updates(Some(updates))
            .send()
            .await
            .unwrap();
        *token = output.checkpoint_token().unwrap_or_default().to_owned();
        output
    }
}

pub(crate) fn operations(output: &CheckpointDurableExecutionOutput) -> &[Operation] {
    output.new_execution_state().unwrap().operations()
}

/// A handler made of a closure.
pub(crate) struct Script {
    client: Arc<OnceLock<Client>>,
    run: Box<dyn Fn(Call) -> Answer + Send + Sync>,
}

/// Makes a handler, and the place its client goes to once the service has an address.
pub(crate) fn script<F, Fut>(run: F) -> (Arc<Script>, Arc<OnceLock<Client>>)
where
    F: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Value, InvocationError>> + Send + 'static,
{
    let client = Arc::new(OnceLock::new());
    let script = Script {
        client: Arc::clone(&client),
        run: Box::new(move |call| Box::pin(run(call))),
    };
    (Arc::new(script), client)
}

#[async_trait]
impl InvocationHandler for Script {
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvocationError> {
        let event: Value = serde_json::from_slice(&invocation.event).unwrap();
        let token = event["CheckpointToken"].as_str().unwrap().to_owned();
        let client = loop {
            match self.client.get() {
                Some(client) => break client.clone(),
                None => tokio::task::yield_now().await,
            }
        };
        let call = Call {
            event: Arc::new(event),
            client,
            token: Arc::new(Mutex::new(token)),
        };
        (self.run)(call)
            .await
            .map(|answer| answer.to_string().into())
    }
}

pub(crate) fn pending() -> Result<Value, InvocationError> {
    Ok(json!({"Status": "PENDING"}))
}

pub(crate) fn succeeded(result: &Value) -> Result<Value, InvocationError> {
    Ok(json!({"Status": "SUCCEEDED", "Result": result.to_string()}))
}

/// A service whose function waits for a callback, and hands each of its invocations to the test.
pub(crate) async fn observed(
    state: &tempfile::TempDir,
) -> (Service, Client, Arc<std::sync::Mutex<Vec<Call>>>) {
    let calls: Arc<std::sync::Mutex<Vec<Call>>> = Arc::default();
    let seen = Arc::clone(&calls);
    let (handler, late) = script(move |call| {
        let seen = Arc::clone(&seen);
        async move {
            seen.lock().unwrap().push(call.clone());
            if call.event["InitialExecutionState"]["Operations"][0]["ExecutionDetails"]["InputPayload"]
                == "\"quick\""
            {
                return succeeded(&json!(1));
            }
            // Runs until the test has stopped the execution.
            std::future::pending().await
        }
    });
    let service = Service::start(config(state).function(FunctionConfig::handler("job", handler)))
        .await
        .unwrap();
    let client = client(&service.url());
    late.set(client.clone()).ok().unwrap();
    (service, client, calls)
}
