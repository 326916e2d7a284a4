//! Runs long jobs from an AWS Lambda durable function.
//!
//! [`JobRunner::run`] starts a job on a [`ComputeBackend`](longhaul_core::ComputeBackend), hands
//! it a callback token, suspends the function without compute charges, and returns the job's
//! result, or the precise reason why there is none, as a [`RunError`].
//!
//! # A durable function
//!
//! [`function::main`] is the whole of a `main`: backends and the log from the
//! [environment](config), the Lambda Runtime API, and your handler for every event, as often as it
//! is replayed. Event and result are your own types.
//!
//! ```no_run
//! use longhaul_core::{JobName, JobSpec};
//! use longhaul_lambda::{DurableContext, ExecutionError, JobRunner, function};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Scene {
//!     frames: u32,
//! }
//!
//! #[derive(Deserialize, Serialize)]
//! struct Film {
//!     uri: String,
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> std::process::ExitCode {
//!     function::main(film).await
//! }
//!
//! async fn film(scene: Scene, ctx: DurableContext, runner: JobRunner) -> Result<Film, ExecutionError> {
//!     let job = JobSpec::new(JobName::from_text("render"))
//!         .with_command(["render", "--quality", "high"])
//!         .with_json_input(&scene)
//!         .map_err(|error| ExecutionError::new("Film.Scene", error.to_string()))?;
//!     Ok(runner.run::<Film>(&ctx, job).await?.result)
//! }
//! ```
//!
//! `longhaul serve --function film=target/debug/film` runs it on this machine, with the same jobs as
//! processes. A function that only runs the job that is its event need not be written: it is the
//! binary `longhaul-handler`, [`handler::serve`]. One whose backend is not in this crate's features
//! has [`function::main_with`].
//!
//! # Deadlines and other attempts
//!
//! They are the job's own: [`timeout`](longhaul_core::JobSpec::timeout) of an attempt, 23 hours by
//! default; [`heartbeat`](longhaul_core::JobSpec::heartbeat), after so much silence a worker is taken
//! for lost; [`retry`](longhaul_core::JobSpec::retry), by the class of the failure. Another attempt
//! has another callback, and the wait before it is durable.
//!
//! ```
//! use std::time::Duration;
//! use longhaul_core::{FailureClass, JobName, JobSpec, RetryPolicy};
//!
//! let mut retry = RetryPolicy::default();
//! retry.attempts = 5;
//! retry.on.push(FailureClass::Lost);
//! let job = JobSpec::new(JobName::from_text("render"))
//!     .with_timeout(Duration::from_secs(3 * 3600))
//!     .with_heartbeat(Duration::from_secs(60))
//!     .with_retry(retry);
//! assert!(job.validate().is_ok());
//! ```
//!
//! # Why there is no result
//!
//! ```no_run
//! # use longhaul_core::{FailureClass, JobSpec};
//! # use longhaul_lambda::{DurableContext, JobRunner, RunError};
//! # async fn handler(ctx: DurableContext, runner: JobRunner, job: JobSpec) -> Result<Option<u32>, RunError> {
//! match runner.run::<u32>(&ctx, job).await {
//!     Ok(report) => Ok(Some(report.result)),
//!     // It started, and this is what became of it: class, exit code, signal, the platform's words.
//!     Err(error) if error.job_failure().is_some_and(|it| it.class == FailureClass::OutOfMemory) => Ok(None),
//!     // Any other: the execution fails with the type, message and data of the job's failure.
//!     Err(error) => Err(error),
//! }
//! # }
//! ```
//!
//! # Many jobs at once
//!
//! [`JobRunner::run_all`] runs up to [`MAX_JOBS`] in one execution, so many at once, until its
//! [`Completion`] rule is decided; then it stops what still runs. The report has the jobs in the order
//! in which they were given.
//!
//! ```no_run
//! # use longhaul_core::JobSpec;
//! # use longhaul_lambda::{Completion, DurableContext, ExecutionError, JobRunner, RunAllOptions};
//! # async fn handler(ctx: DurableContext, runner: JobRunner, jobs: Vec<JobSpec>) -> Result<Vec<u32>, ExecutionError> {
//! let options = RunAllOptions::new().at_once(50).completion(Completion::ToleratePercent { percent: 5 });
//! let report = runner.run_all::<u32>(&ctx, jobs, options).await?;
//! for (error_type, jobs) in report.failures() {
//!     println!("{error_type}: {jobs:?}");
//! }
//! Ok(report.into_results()?)
//! # }
//! ```
//!
//! More jobs than that run with [`JobRunner::run_all_chained`]: in parts, which are chained
//! executions of the same function, whose `main` says that it answers them:
//!
//! ```no_run
//! # use longhaul_core::JobSpec;
//! use longhaul_lambda::{ChainedOptions, DurableContext, ExecutionError, JobRunner, RunAllOptions, function};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> std::process::ExitCode {
//!     function::main(function::with_parts(films)).await
//! }
//!
//! async fn films(jobs: Vec<JobSpec>, ctx: DurableContext, runner: JobRunner) -> Result<Vec<u32>, ExecutionError> {
//!     let options = ChainedOptions::new(RunAllOptions::new().at_once(200));
//!     Ok(runner.run_all_chained::<u32>(&ctx, jobs, options).await?.into_results()?)
//! }
//! ```
//!
//! # What is durable
//!
//! A handler is run again from its beginning whenever it is woken, and what it has recorded is not
//! done again. So it must do the same things in the same order: no clock, no chance, no outside
//! world but in a step of the context. A job that succeeds costs two durable operations (a callback
//! and a step), three checkpoint calls and two invocations. The start runs at least once; the
//! backends make a repeated start harmless. See [`durable::wait_for_callback`], which does the same
//! for any callback, and not only for jobs.
//!
//! # Tests
//!
//! `longhaul-testing` runs a handler and its jobs to their end in a unit test, with virtual time and
//! injected failures. For code that only takes a backend, `MockComputeBackend` of `longhaul-core`.
//!
//! # Features
//!
//! `process` (default), `ecs`, `batch`: the backends that [`Config`] can build. `reconciler`: the
//! second function, which turns what AWS tells by events into callback failures and cancellations.
//! `payload` (default): inputs and results that are too large to travel inline go through the
//! store that [`Config`] names. `s3`: that store may be on S3. `metrics`: jobs are counted and
//! measured, as lines of CloudWatch's embedded metric format. `no-trace`: for a function that is
//! deployed, `TRACE` is not compiled into its release build; nothing of Longhaul's is at it.

mod attempt;
mod attempts;
mod aws;
mod clock;
pub mod config;
mod deadline;
pub mod durable;
mod error;
pub mod event;
mod explain;
mod fan_out;
pub mod function;
pub mod handler;
mod log;
#[cfg(feature = "metrics")]
pub mod metrics;
mod operations;
#[cfg(feature = "reconciler")]
pub mod reconciler;
mod runner;
mod stored;
#[cfg(test)]
mod testing;
mod told;

pub use config::{Config, ConfigError};
pub use durable::DurableContext;
pub use durable::serve::ExecutionError;
pub use error::RunError;
pub use fan_out::{
    ChainedOptions, Completion, FailedPart, FanOutReport, JobEnd, MAX_JOBS, MAX_PARTS, NotMet,
    PartEnd, PartsFailed, RunAllError, RunAllOptions,
};
pub use operations::started_handle;
pub use runner::{JobReport, JobRunner};
pub use stored::{MAX_EXECUTION_RESULT, StoredResult};
