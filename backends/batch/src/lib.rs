//! The longhaul compute backend for AWS Batch.
mod api;
mod backend;
mod config;
mod error;
mod facts;
mod logs;
mod name;
mod request;
mod status;
mod tags;

use std::time::Duration;

pub use backend::BatchBackend;
pub use config::{BatchConfig, ConfigErrors, DEFAULT_LOG_GROUP};
pub use facts::{AttemptFacts, BatchState, ContainerFacts, JobFacts, LogConfiguration};
pub use name::{job_name, parse_job_name};
pub use request::{MAX_OVERRIDES, RESERVED_OVERRIDES};
pub use status::{CANCEL_REASON_PREFIX, job_status};
pub use tags::{ATTEMPT_TAG, EXECUTION_TAG, JOB_TAG};

/// The backend's name in handles and configuration.
pub const NAME: &str = "batch";

/// How long the worker of a job on this backend may be silent where its job does not say: for
/// ever. The timeout counts from before the start, and a job may wait in its queue for hours.
pub const DEFAULT_HEARTBEAT: Option<Duration> = None;
