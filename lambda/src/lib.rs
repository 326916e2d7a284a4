//! Runs long jobs from an AWS Lambda durable function.
//!
//! [`JobRunner::run`] starts a job on a [`ComputeBackend`](longhaul_core::ComputeBackend), hands
//! it a callback token, suspends the function without compute charges, and returns the job's
//! result, or the precise reason why there is none, as a [`RunError`].
//!
//! The crate also holds a complete handler, the binary `longhaul-handler`: [`handler::serve`]
//! with its [`Config`] from the environment.
//!
//! # What is durable
//!
//! A job that succeeds costs two durable operations (a callback and a step), three checkpoint
//! calls and two invocations. The start runs at least once; the backends make a repeated start
//! harmless. See [`durable::wait_for_callback`].
//!
//! # Features
//!
//! `process` (default), `ecs`, `batch`: the backends that [`Config`] can build. `reconciler`: the
//! second function, which turns what AWS tells by events into callback failures and cancellations.
//! `payload` (default): inputs and results that are too large to travel inline go through the
//! store that [`Config`] names. `s3`: that store may be on S3.

mod attempt;
mod attempts;
pub mod config;
pub mod durable;
mod error;
pub mod event;
mod explain;
mod fan_out;
pub mod function;
pub mod handler;
mod log;
mod operations;
#[cfg(feature = "reconciler")]
pub mod reconciler;
mod runner;
mod stored;
#[cfg(test)]
mod testing;

pub use config::{Config, ConfigError};
pub use durable::DurableContext;
pub use durable::serve::ExecutionError;
pub use error::RunError;
pub use fan_out::{Completion, FanOutReport, JobEnd, MAX_JOBS, NotMet, RunAllError, RunAllOptions};
pub use operations::started_handle;
pub use runner::{JobReport, JobRunner};
pub use stored::{MAX_EXECUTION_RESULT, StoredResult};
