//! AWS Lambda durable functions on one machine: the Lambda API and the Runtime API on loopback, over SQLite.

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

pub use api::{
    Api, ExecutionDetails, ExecutionSummary, HistoryRequest, ListExecutions, Page, PauseDetails,
    PauseExecution, StartExecution, StartedExecution,
};
pub use clock::{Clock, SystemClock, TestClock};
pub use config::{
    CommitHook, DurableConfig, FunctionConfig, InvocationRetry, Lifetime, Limits, ServiceConfig,
};
pub use environment::{Invocation, InvocationError, InvocationHandler};
pub use error::{ApiError, ApiErrorKind, ServiceError};
pub use machine::{ExecutionStatus, Outcome};
pub use model::{
    CallbackId, ErrorObject, Event, EventDetails, EventError, EventInput, EventOperation,
    EventResult, ExecutionArn, InvalidId, OperationStatus, OperationType, RetryDetails, Timestamp,
};
pub use service::{Service, ServiceEvent};
