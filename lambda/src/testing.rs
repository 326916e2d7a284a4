//! What the tests of handlers share: a function in this process, over the embedded service, and a
//! payload store.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use bytes::Bytes;
use lambda_runtime::{Context, LambdaEvent};
use longhaul_core::{PayloadError, PayloadErrorKind, PayloadKey, PayloadStore, PayloadUri};
use longhaul_emulator::{
    FunctionConfig, Invocation, InvocationError, InvocationHandler, Outcome, Service,
    ServiceConfig, StartExecution,
};
use serde::Serialize;
use serde_json::Value;

use crate::durable::DurableContext;
use crate::durable::serve::{Answer, ExecutionError, InvocationPayload, service};

/// Nothing that is awaited takes longer on any machine.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// The trace header of invocation number `number`: each has another.
pub(crate) fn xray(number: u32) -> String {
    format!("Root=1-58406520-{number:024x};Parent={number:016x};Sampled=1")
}

type Serve = Arc<dyn Fn(InvocationPayload, Context) -> Answer + Send + Sync>;

/// The function: built once the service is there for its client to talk to.
#[derive(Clone, Default)]
struct Function(Arc<OnceLock<Serve>>, Arc<AtomicU32>);

#[async_trait]
impl InvocationHandler for Function {
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvocationError> {
        let mut context = Context::default();
        context.request_id = invocation.request_id.clone();
        context
            .invoked_function_arn
            .clone_from(&invocation.function_arn);
        context.xray_trace_id = Some(xray(self.1.fetch_add(1, Ordering::Relaxed) + 1));
        let event = serde_json::from_slice(&invocation.event).unwrap();
        let answer = self.0.get().unwrap()(event, context).await;
        answer
            .map(|answer| answer.to_string().into())
            .map_err(|error| InvocationError::new("Failed", error.to_string()))
    }
}

/// What the places of [`Store`] begin with.
pub(crate) const BASE: &str = "memory://test";

/// A payload store in memory.
#[derive(Debug, Default)]
pub(crate) struct Store(pub(crate) Mutex<BTreeMap<String, Vec<u8>>>);

#[async_trait]
impl PayloadStore for Store {
    fn base(&self) -> &str {
        BASE
    }

    async fn put(&self, key: &PayloadKey, content: Vec<u8>) -> Result<PayloadUri, PayloadError> {
        let uri = PayloadUri::of_content(BASE, key.clone(), &content).unwrap();
        self.0.lock().unwrap().insert(uri.location(), content);
        Ok(uri)
    }

    async fn get(&self, uri: &PayloadUri) -> Result<Vec<u8>, PayloadError> {
        self.0
            .lock()
            .unwrap()
            .get(&uri.location())
            .cloned()
            .ok_or_else(|| {
                PayloadError::new(
                    PayloadErrorKind::Missing,
                    format!("read {uri}: it is not there"),
                )
            })
    }
}

/// A service with one function, `jobs`.
pub(crate) struct Setup {
    pub(crate) service: Service,
    pub(crate) client: Client,
    _state: tempfile::TempDir,
}

impl Setup {
    pub(crate) async fn new<F, Fut, O>(
        handler: F,
        configure: impl FnOnce(ServiceConfig) -> ServiceConfig,
    ) -> Self
    where
        F: Fn(Value, DurableContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, ExecutionError>> + Send + 'static,
        O: Serialize + Send + 'static,
    {
        let state = tempfile::tempdir().unwrap();
        let function = Function::default();
        let config = ServiceConfig::new(state.path())
            .function(FunctionConfig::handler("jobs", Arc::new(function.clone())));
        let service = Service::start(configure(config)).await.unwrap();
        let client = Client::from_conf(
            aws_sdk_lambda::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("us-east-1"))
                .endpoint_url(service.url())
                .credentials_provider(Credentials::new("test", "test", None, None, "test"))
                .build(),
        );
        let serve = self::service(handler, client.clone()).unwrap();
        let serve: Serve = Arc::new(move |event, context| serve(LambdaEvent::new(event, context)));
        assert!(function.0.set(serve).is_ok());
        Self {
            service,
            client,
            _state: state,
        }
    }

    /// Runs the function to its end with `event`.
    pub(crate) async fn run(&self, event: Value) -> Outcome {
        let request = StartExecution::new("jobs:$LATEST", event.to_string());
        let api = self.service.api();
        let started = api.start_execution(request).await.unwrap();
        tokio::time::timeout(LONGEST, api.wait(&started.arn))
            .await
            .unwrap()
            .unwrap()
    }
}
