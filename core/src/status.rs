//! What a platform knows of a job, and what a cancel did.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::JobFailure;

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum JobState {
    /// The platform does not know the job, or does not say.
    Unknown,
    /// Accepted, not yet running: queued, pulling its image, waiting for a machine.
    Pending,
    /// Running.
    Running,
    /// Told to stop, still there.
    Stopping,
    /// Over, for whatever reason.
    Ended,
}

/// What a platform knows of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobStatus {
    /// Where the job is in its life.
    pub state: JobState,
    /// Why there will be no result, where the platform knows: for a job that ended, the class
    /// it would fail with if its callback never comes. For a pending or running job, what keeps
    /// it from going on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<JobFailure>,
    /// The exit code. Absent is not 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The number of the signal that ended the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The platform's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where the job's logs are: a URL or a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<String>,
    /// When the job began to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<SystemTime>,
    /// When the job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<SystemTime>,
}

impl JobStatus {
    /// A status in `state` of which nothing else is known.
    #[must_use]
    pub fn new(state: JobState) -> Self {
        Self {
            state,
            failure: None,
            exit_code: None,
            signal: None,
            reason: None,
            logs: None,
            started_at: None,
            ended_at: None,
        }
    }

    /// The status of a job that the platform does not know.
    #[must_use]
    pub fn unknown() -> Self {
        Self::new(JobState::Unknown)
    }
}

/// What a cancel did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CancelOutcome {
    /// The platform is stopping the job, or has stopped it.
    Cancelled,
    /// The job had ended before.
    AlreadyEnded,
    /// The platform does not know the job.
    NotFound,
}
