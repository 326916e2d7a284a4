//! A durable handler as a function of the embedded service: the SDK's own way, with its own client.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use aws_durable_execution_sdk::{self as sdk, BoxError, DurableContext, InvocationPayload};
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use bytes::Bytes;
use lambda_runtime::{Context, LambdaEvent};
use longhaul_emulator::{Invocation, InvocationError, InvocationHandler};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

type Answer = Pin<Box<dyn Future<Output = Result<Bytes, BoxError>> + Send>>;
type Serve = Box<dyn Fn(LambdaEvent<InvocationPayload>) -> Answer + Send + Sync>;

/// What the handler returned when it last came to its end.
pub(crate) struct Returned<T, E>(Arc<Mutex<Option<Result<T, E>>>>);

impl<T, E> Returned<T, E> {
    fn put(&self, outcome: Result<T, E>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    pub(crate) fn take(&self) -> Option<Result<T, E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T, E> Clone for Returned<T, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The function: there before its service is, ready once it knows where that listens.
#[derive(Default)]
pub(crate) struct Function {
    serve: OnceLock<Serve>,
    invocations: AtomicU32,
}

impl Function {
    pub(crate) fn invocations(&self) -> u32 {
        self.invocations.load(Ordering::Relaxed)
    }

    /// Puts `handler` in, for the service at `url`.
    pub(crate) fn set<I, T, E, F, Fut>(
        &self,
        url: &str,
        handler: F,
    ) -> Result<Returned<T, E>, BoxError>
    where
        I: DeserializeOwned + Send + 'static,
        T: Serialize + Send + 'static,
        E: Display + Send + 'static,
        F: Fn(I, DurableContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let returned = Returned(Arc::default());
        let slot = returned.clone();
        let options = sdk::Options::builder().lambda_client(client(url)).build()?;
        let wrapped = Arc::new(sdk::wrap(
            move |event: I, ctx: DurableContext| {
                let outcome = handler(event, ctx);
                let slot = slot.clone();
                async move {
                    let outcome = outcome.await;
                    let wire: Result<Value, BoxError> = match &outcome {
                        Ok(value) => serde_json::to_value(value).map_err(BoxError::from),
                        Err(error) => Err(error.to_string().into()),
                    };
                    slot.put(outcome);
                    wire
                }
            },
            options,
        ));
        let serve: Serve = Box::new(move |event| {
            let wrapped = Arc::clone(&wrapped);
            Box::pin(async move {
                let answer = wrapped(event).await?;
                Ok(serde_json::to_vec(&answer)?.into())
            })
        });
        // A second handler cannot come: the function is made for one run.
        drop(self.serve.set(serve));
        Ok(returned)
    }
}

#[async_trait]
impl InvocationHandler for Function {
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvocationError> {
        self.invocations.fetch_add(1, Ordering::Relaxed);
        let failed = |error: BoxError| InvocationError::new("Runtime.Failed", error.to_string());
        let serve = self
            .serve
            .get()
            .ok_or_else(|| failed("the function is not ready".into()))?;
        let payload = serde_json::from_slice(&invocation.event).map_err(|e| failed(e.into()))?;
        let mut context = Context::default();
        context.request_id = invocation.request_id;
        context.invoked_function_arn = invocation.function_arn;
        serve(LambdaEvent::new(payload, context))
            .await
            .map_err(failed)
    }
}

fn client(url: &str) -> Client {
    Client::from_conf(
        aws_sdk_lambda::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(url)
            .credentials_provider(Credentials::new(
                "test",
                "test",
                None,
                None,
                "longhaul-testing",
            ))
            .build(),
    )
}
