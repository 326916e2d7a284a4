//! The trait that every compute backend implements, and the words around it.
//!
//! Longhaul runs long jobs from an AWS Lambda durable function that sleeps while they run.
//! The function starts a *job* on a *compute backend*, hands it a *callback token*, suspends,
//! and resumes with the job's result or with the exact reason why there is none.
//!
//! This crate is what a backend's author needs and nothing more: no AWS crate, no runtime.
//!
//! | type | what it is |
//! | --- | --- |
//! | [`JobSpec`] | one unit of work: name, command, environment, input, resources, timeouts, retry |
//! | [`Job`] | a spec together with its execution, attempt and start key: what [`ComputeBackend::start`] gets |
//! | [`CallbackToken`] | the secret with which the worker completes the attempt |
//! | [`StartKey`] | hash of the token: the idempotency key of a start |
//! | [`ExecutionId`] | short hash of the durable execution's ARN, carried by every job |
//! | [`JobHandle`] | what a start returns and the durable function records |
//! | [`JobTimes`] | when a job ran |
//! | [`JobStatus`], [`CancelOutcome`] | what a platform knows of a job, what a cancel did |
//! | [`BackendError`] | why a backend could not do what it was asked |
//! | [`JobFailure`] | why a job that started has no result |
//! | [`TraceContext`] | where the worker's own traces belong: W3C Trace Context |
//! | [`PayloadStore`], [`PayloadUri`] | where inputs and results go that are too large to travel inline |
//!
//! # A backend in a few lines
//!
//! ```
//! use async_trait::async_trait;
//! use longhaul_core::{
//!     BackendError, CallbackToken, CancelOutcome, ComputeBackend, Job, JobHandle,
//! };
//!
//! /// Prints the job instead of running it.
//! #[derive(Debug)]
//! struct Printer;
//!
//! #[async_trait]
//! impl ComputeBackend for Printer {
//!     fn name(&self) -> &str {
//!         "printer"
//!     }
//!
//!     async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
//!         for (name, _value) in job.environment(token).iter() {
//!             println!("would set {name}");
//!         }
//!         Ok(JobHandle::new("printer", job.start_key().as_str()))
//!     }
//!
//!     async fn cancel(&self, _job: &JobHandle, _reason: &str) -> Result<CancelOutcome, BackendError> {
//!         Ok(CancelOutcome::NotFound)
//!     }
//! }
//! ```
//!
//! `docs/own-backend.md` in the repository builds a real one from nothing, with a mock of its
//! platform's calls and the suite.
//!
//! # A job, from its description to its environment
//!
//! What a backend is given is a [`Job`]: a [`JobSpec`] in an execution, as one attempt. Everything that
//! its worker must know is in the environment that [`Job::environment`] makes, which is the
//! [worker contract](contract); the start key is made from the token and tells nothing of it.
//!
//! ```
//! use longhaul_core::{CallbackToken, ExecutionId, Job, JobName, JobSpec};
//!
//! let spec = JobSpec::new(JobName::new("render")?)
//!     .with_command(["render", "--fast"])
//!     .with_input(serde_json::json!({"frames": 24}));
//! spec.validate()?;
//! let token = CallbackToken::new("of-the-durable-service")?;
//! let job = Job::new(spec, ExecutionId::from_arn("arn:aws:lambda:…"), 1, &token);
//!
//! let environment = job.environment(&token);
//! assert_eq!(environment.get("LONGHAUL_INPUT"), Some(r#"{"frames":24}"#));
//! assert_eq!(environment.get("FRAMES"), Some("24"));
//! assert_eq!(environment.get("CALLBACK_ID"), Some("of-the-durable-service"));
//! assert!(!format!("{token:?} {job:?} {environment:?}").contains("of-the-durable-service"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Errors, and failures
//!
//! A [`BackendError`] is about a call: its [kind](BackendErrorKind) decides what is tried next. A
//! [`JobFailure`] is about a job that started: its [class](FailureClass) is what a caller looks at, and
//! what a [`RetryPolicy`] goes by.
//!
//! ```
//! use longhaul_core::{BackendError, BackendErrorKind, FailureClass, JobFailure, Retry, RetryPolicy};
//!
//! let error = BackendError::new(BackendErrorKind::Ambiguous, "queue job render: the connection was cut");
//! assert_eq!(error.retry(), Retry::SameToken);
//!
//! let failure = JobFailure::new(FailureClass::Interrupted).with_reason("Host EC2 terminated");
//! assert!(RetryPolicy::default().retries(&failure));
//! assert_eq!(failure.error_type(), "Longhaul.Interrupted");
//! ```
//!
//! # Features
//!
//! - `mock`: `MockComputeBackend`, made by [mockall](https://docs.rs/mockall), for unit tests of code
//!   that takes a backend.
//! - `wrappers`: backends around other backends: limits, fallback, tracing.
//! - `conformance`: the suite that every backend passes, for the tests of your own.

mod backend;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod contract;
mod duration;
mod error;
mod failure;
mod handle;
mod identity;
mod job;
mod locate;
mod name;
pub mod payload;
mod retry;
mod spec;
mod status;
mod times;
mod trace;
#[cfg(feature = "wrappers")]
pub mod wrap;

pub use backend::ComputeBackend;
#[cfg(feature = "mock")]
pub use backend::MockComputeBackend;
pub use contract::WorkerEnvironment;
pub use duration::format_duration;
pub use error::{BackendError, BackendErrorKind, Retry};
pub use failure::{FailureClass, JobFailure, UnknownFailureClass};
pub use handle::JobHandle;
pub use identity::{CallbackToken, ExecutionId, InvalidToken, StartKey};
pub use job::Job;
pub use locate::Locate;
pub use name::{InvalidName, JobName};
pub use payload::{
    CallbackResult, InvalidPayloadUri, InvalidReference, PayloadError, PayloadErrorKind,
    PayloadKey, PayloadKind, PayloadStore, PayloadUri,
};
pub use retry::{MoreMemory, RetryPolicy};
pub use spec::{InvalidSpec, JobSpec, Resources};
pub use status::{CancelOutcome, JobState, JobStatus};
pub use times::JobTimes;
pub use trace::TraceContext;
