//! What the suite must know of the backend that it checks.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::Promise;
use crate::{CallbackToken, ComputeBackend, ExecutionId, Job, JobHandle, JobSpec, Locate};

/// A backend under test, and how to use it.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The backend.
    fn backend(&self) -> &dyn ComputeBackend;

    /// A job that runs until it is cancelled. Its command must bear further arguments at its end.
    fn long_job(&self) -> JobSpec;

    /// A job that ends by itself, at once, with this exit code; `None` where there can be none.
    fn job_that_exits(&self, code: i32) -> Option<JobSpec>;

    /// A handle of the backend's own form, of a job that never was.
    fn unknown_handle(&self) -> JobHandle;

    /// The backend as one that locates jobs, when it does.
    fn locate(&self) -> Option<&dyn Locate> {
        None
    }

    /// The names that may stand in handles: the backend's own, or those of the backends behind
    /// it.
    fn names(&self) -> Vec<String> {
        vec![self.backend().name().to_owned()]
    }

    /// The limits of the backend on what a job may be, for jobs that are started with `token` in
    /// `execution`: both count where the limit is on everything that the job carries.
    fn limits(&self, execution: &ExecutionId, token: &CallbackToken) -> Vec<Limit> {
        let _ = (execution, token);
        Vec::new()
    }

    /// What the platform itself knows of `job`, not asked through the backend. `None` where
    /// nobody can tell: then the suite believes the backend.
    async fn census(&self, job: &Job) -> Option<Census> {
        let _ = job;
        None
    }

    /// What reached the platform, or the job itself. `None` where nobody can tell.
    async fn received(&self, job: &Job) -> Option<Received> {
        let _ = job;
        None
    }

    /// How long to wait for what happens by itself.
    fn patience(&self) -> Patience {
        Patience::default()
    }

    /// The promises that this backend, or the platform behind it, cannot show, and why.
    fn cannot(&self) -> Vec<Cannot> {
        Vec::new()
    }
}

/// A promise that cannot be shown, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cannot {
    /// The promise.
    pub promise: Promise,
    /// Why, for the reader of the report.
    pub reason: String,
}

impl Cannot {
    /// `promise` cannot be shown, for `reason`.
    pub fn new(promise: Promise, reason: impl Into<String>) -> Self {
        Self {
            promise,
            reason: reason.into(),
        }
    }
}

/// How many jobs a platform has seen with one start key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Started, whatever became of them.
    pub started: usize,
    /// Still there.
    pub running: usize,
}

/// A limit on what a job may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// What is limited, for the report: `overrides`.
    pub name: String,
    /// A job that runs until it is cancelled and is as large as it may be.
    pub at: JobSpec,
    /// The same, the least bit larger.
    pub beyond: JobSpec,
}

/// What reached the platform, or the job itself. `None` for what nobody can tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// The command with its arguments.
    pub command: Option<Vec<String>>,
    /// The environment, as far as it came from the backend.
    pub environment: Option<BTreeMap<String, String>>,
    /// The tags.
    pub tags: Option<BTreeMap<String, String>>,
}

/// How long to wait for what happens by itself, such as the end of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long one thing may take to happen. 20 s by default.
    pub within: Duration,
    /// How long to wait before looking again. 20 ms by default.
    pub every: Duration,
    /// How long one check may take in all, so that a call that never returns is a broken
    /// promise too. 2 minutes by default.
    pub at_most: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(20),
            every: Duration::from_millis(20),
            at_most: Duration::from_secs(120),
        }
    }
}
