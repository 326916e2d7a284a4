//! What a platform tells by an event: that a job of ours has ended, or nothing that matters here.

use std::fmt::Debug;
use std::time::SystemTime;

use longhaul_core::{CallbackToken, ExecutionId, JobFailure, JobHandle};
use serde_json::Value;

use super::error::Malformed;

/// A platform that tells by events what becomes of its jobs.
pub trait JobEvents: Debug + Send + Sync {
    /// The `source` of its events, such as `aws.ecs`.
    fn source(&self) -> &'static str;

    /// Their `detail-type`, such as `ECS Task State Change`.
    fn detail_type(&self) -> &'static str;

    /// What the `detail` of one of them tells.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when it cannot be read, or is of a job of ours and lacks what makes it one.
    fn read(&self, detail: Value) -> Result<Told, Malformed>;
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A job of ours has ended.
    Ended(Box<EndedJob>),
    /// Nothing that matters here, and why not.
    Nothing(String),
}

/// A job of ours that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedJob {
    /// The job.
    pub job: JobHandle,
    /// Its execution, where the platform says.
    pub execution: Option<ExecutionId>,
    /// What its callback is failed with.
    pub token: CallbackToken,
    /// What became of it, if its worker never said a word.
    pub failure: JobFailure,
    /// When it had ended.
    pub ended_at: Option<SystemTime>,
}
