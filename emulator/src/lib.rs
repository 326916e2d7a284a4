//! AWS Lambda durable functions on one machine: the Lambda API and the Runtime API on loopback, over SQLite.
//!
//! A [`Service`] starts function binaries itself, any that speak the Lambda Runtime API, in any language. It answers the
//! durable operations of the Lambda API to any AWS SDK that is given its address as the Lambda endpoint, keeps timers, and
//! writes everything it accepts to disk before it answers: killed at any moment, it goes on where it was.
//!
//! ```no_run
//! use longhaul_emulator::{FunctionConfig, Outcome, Service, ServiceConfig, StartExecution};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let function = FunctionConfig::process("job", "target/debug/bootstrap", std::iter::empty::<&str>());
//! let service = Service::start(ServiceConfig::new("state").function(function)).await?;
//! println!("AWS_ENDPOINT_URL_LAMBDA={}", service.url());
//!
//! let started = service.api().start_execution(StartExecution::new("job", r#"{"n":1}"#)).await?;
//! if let Outcome::Succeeded(Some(result)) = service.api().wait(&started.arn).await? {
//!     println!("{result}");
//! }
//! service.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # A function in this process
//!
//! For tests and for programs that embed the service, a function can be a value: it gets the event that a function binary
//! gets, and answers what one answers.
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use bytes::Bytes;
//! use longhaul_emulator::{
//!     FunctionConfig, Invocation, InvocationError, InvocationHandler, Outcome, Service, ServiceConfig, StartExecution,
//! };
//!
//! struct Doubles;
//!
//! #[async_trait]
//! impl InvocationHandler for Doubles {
//!     async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvocationError> {
//!         let bad = |error: serde_json::Error| InvocationError::new("BadEvent", error.to_string());
//!         let event: serde_json::Value = serde_json::from_slice(&invocation.event).map_err(bad)?;
//!         let execution = &event["InitialExecutionState"]["Operations"][0]["ExecutionDetails"];
//!         let input = execution["InputPayload"].as_str().unwrap_or_default();
//!         let number: i64 = serde_json::from_str(input).map_err(bad)?;
//!         Ok(format!(r#"{{"Status":"SUCCEEDED","Result":"{}"}}"#, number * 2).into())
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let state = tempfile::tempdir()?;
//! let function = FunctionConfig::handler("double", Arc::new(Doubles));
//! let service = Service::start(ServiceConfig::new(state.path()).function(function)).await?;
//! let started = service.api().start_execution(StartExecution::new("double", "21")).await?;
//! let outcome = service.api().wait(&started.arn).await?;
//! assert!(matches!(outcome, Outcome::Succeeded(Some(result)) if result == "42"));
//! service.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! With [`ServiceConfig::clock`] and a [`TestClock`] a wait of thirty days ends when the test says so. Tests of functions that
//! run jobs have all of this in `longhaul-testing`.
//!
//! # Who can reach it
//!
//! It listens on loopback only, refuses requests that name another host or come from a web page of another origin, and, with
//! [`ServiceConfig::access_key_id`], everything that is not signed with that key. With [`ServiceConfig::own_user_only`] it
//! serves, on Linux, no other user's programs. With neither, every user of the machine can start the configured functions, and
//! see what the [web page](ServiceConfig::web_page) shows. Each environment has a Runtime API of its own, which on Linux serves this user's programs
//! only.
//!
//! # What it decides where AWS does not say
//!
//! - A failed invocation is repeated after 1, 2, 4, … seconds; the fifth failure in a row fails the execution
//!   ([`InvocationRetry`]). An invocation that a crash of the service cut off is repeated at once, and is in the history with
//!   the error type `Sandbox.Interrupted`.
//! - Names are unique per function, for as long as the execution is kept. The same name with the same JSON gives the same
//!   execution, whether it runs or has ended.
//! - A stale checkpoint token is refused with the message that the calling SDK takes for one; they differ in its case.
//! - An invocation that still runs when its execution is stopped or times out is left to end; its `InvocationCompleted` is
//!   then the last event.
//! - Executions of a function that is not configured now keep their timers and wait for it.
//! - A paused execution's next checkpoint is answered without a token, as AWS does. The Rust SDK 0.1.0 fails on that.
//!
//! Not here: KMS, throttling, versions of one function side by side, functions that are not durable, log tails in Invoke's
//! answer.

mod api;
mod clock;
mod config;
mod engine;
mod environment;
mod error;
mod functions;
mod machine;
mod model;
mod pages;
mod server;
mod service;
mod store;
mod web;

pub use api::{
    Api, ExecutionDetails, ExecutionSummary, HistoryRequest, ListExecutions, Page, PauseDetails,
    PauseExecution, Settled, StartExecution, StartedExecution,
};
pub use clock::{Clock, SystemClock, TestClock};
pub use config::{
    CommitHook, DurableConfig, FunctionConfig, InvocationRetry, Lifetime, Limits, ServiceConfig,
    WriterPlace,
};
pub use environment::{Invocation, InvocationError, InvocationHandler};
pub use error::{ApiError, ApiErrorKind, ServiceError};
pub use machine::{ExecutionStatus, Outcome};
pub use model::{
    CallbackId, ErrorObject, Event, EventDetails, EventError, EventInput, EventOperation,
    EventResult, ExecutionArn, InvalidId, OperationStatus, OperationType, RetryDetails, Timestamp,
};
pub use service::{Service, ServiceEvent};
pub use web::{LogSource, LogTail, RecordedStep, WebPage};
