//! Runs a durable function and its jobs to their end in a unit test, with virtual time and injected failures.
//!
//! The handler that is tested is the one that is deployed: it is invoked, suspended and replayed by the embedded durable
//! service, with the AWS SDK's client over loopback. Only its jobs are closures, and nobody waits for them: a [`Harness`]
//! moves the time from one thing that happens to the next, so a job of ten hours takes no longer than one of a second.
//!
//! ```
//! use longhaul_core::{JobName, JobSpec};
//! use longhaul_lambda::{DurableContext, JobRunner, RunError};
//! use longhaul_testing::{Harness, InMemory};
//! # use std::sync::Arc;
//! # use serde_json::json;
//!
//! // The function under test.
//! async fn film(scene: String, ctx: DurableContext, runner: JobRunner) -> Result<u64, RunError> {
//!     let job = JobSpec::new(JobName::from_text("render")).with_input(scene);
//!     Ok(runner.run::<u64>(&ctx, job).await?.result)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let backend = InMemory::new().job("render", |job| Ok(json!(job.input.as_str().map_or(0, str::len))));
//! let runner = JobRunner::new(Arc::new(backend.clone()));
//! let film = move |scene, ctx| film(scene, ctx, runner.clone());
//!
//! let finished = Harness::new(&backend).run(film, "harbour").await.unwrap();
//! assert_eq!(finished.result(), 7);
//! # }
//! ```
//!
//! # Failures
//!
//! A [`Fault`] is injected by the job's name, for every attempt or for one:
//!
//! ```
//! # use std::sync::Arc;
//! # use longhaul_core::{FailureClass, JobName, JobSpec};
//! # use longhaul_lambda::{DurableContext, JobRunner};
//! # use longhaul_testing::{Fault, Harness, InMemory};
//! # use serde_json::json;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let backend = InMemory::new()
//!     .job("render", |_| Ok(json!(1)))
//!     .inject("render", Fault::HeartbeatStops);
//! let runner = JobRunner::new(Arc::new(backend.clone()));
//! let run = move |name: String, ctx: DurableContext| {
//!     let runner = runner.clone();
//!     async move {
//!         let report = runner.run::<u64>(&ctx, JobSpec::new(JobName::from_text(&name))).await;
//!         report.map(|report| report.result)
//!     }
//! };
//! let error = Harness::new(&backend).run(run, "render").await.unwrap().error();
//! assert_eq!(error.job_failure().unwrap().class, FailureClass::Lost);
//! assert!(backend.running().is_empty());
//! # }
//! ```
//!
//! A closure can also return any [`JobFailure`](longhaul_core::JobFailure): out of memory, interrupted, an exit code.
//!
//! # What it is not
//!
//! It does not test a worker or a backend: for those there are real processes, and
//! [`conformance`](https://docs.rs/longhaul-core/latest/longhaul_core/conformance/) of `longhaul-core`. A unit test of code that only takes a
//! backend is shorter with `MockComputeBackend` (feature `mock` of `longhaul-core`).

mod backend;
mod compute;
mod fault;
mod function;
mod harness;
mod job;
mod worker;

pub use backend::{Delivery, InMemory};
pub use fault::Fault;
pub use harness::{Finished, Harness, HarnessError};
pub use job::JobCall;
