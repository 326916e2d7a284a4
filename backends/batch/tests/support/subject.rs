//! The backend as the conformance suite sees it, on any server that plays Batch.

use std::collections::BTreeMap;

use async_trait::async_trait;
use longhaul_batch::{MAX_OVERRIDES, RESERVED_OVERRIDES};
use longhaul_core::conformance::{Cannot, Census, Limit, Received, Subject};
use longhaul_core::{
    CallbackToken, ComputeBackend, ExecutionId, Job, JobHandle, JobName, JobSpec, Locate,
};
use serde_json::json;

/// A server that plays Batch, and what can be learned from it without the backend.
#[async_trait]
pub(crate) trait Platform: Send + Sync {
    /// The jobs of one start, but not those that were stopped as its second one.
    async fn jobs(&self, job: &Job) -> Vec<SeenJob>;

    /// Whether a job whose command is `exit CODE` ends with that code.
    fn lets_jobs_exit(&self) -> bool;

    /// What the server cannot show, and why.
    fn cannot(&self) -> Vec<Cannot>;
}

/// A job as its server has it.
#[derive(Debug, Clone)]
pub(crate) struct SeenJob {
    /// Whether it is not over.
    pub(crate) running: bool,
    pub(crate) command: Option<Vec<String>>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// A backend on a platform.
pub(crate) struct BatchSubject<B, P> {
    pub(crate) backend: B,
    pub(crate) platform: P,
}

fn named(name: &str, command: &[&str]) -> JobSpec {
    JobSpec::new(JobName::from_text(name)).with_command(command.iter().copied())
}

/// A long job that `change` has made as large as it may be, or more.
fn changed(change: impl FnOnce(&mut JobSpec)) -> JobSpec {
    let mut spec = named("large", &["sleep", "600"]);
    change(&mut spec);
    spec
}

/// A long job whose overrides are `size` characters of JSON in the task that Batch starts.
fn overrides_of(size: usize, execution: &ExecutionId, token: &CallbackToken) -> JobSpec {
    let padded = |pad: usize| {
        let pad = "x".repeat(pad);
        changed(|spec| drop(spec.environment.insert("PAD".to_owned(), pad)))
    };
    let job = Job::new(padded(0), execution.clone(), 1, token);
    let environment = job.environment(token);
    let pairs = environment
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}));
    let empty = json!({"containerOverrides": [{
        "name": "default",
        "command": job.spec().command,
        "environment": pairs.collect::<Vec<_>>(),
        "resourceRequirements": [],
    }]});
    padded(size - empty.to_string().len())
}

#[async_trait]
impl<B: Locate, P: Platform> Subject for BatchSubject<B, P> {
    fn backend(&self) -> &dyn ComputeBackend {
        &self.backend
    }

    fn long_job(&self) -> JobSpec {
        named("long", &["sh", "-c", "sleep 600", "sh"])
    }

    fn job_that_exits(&self, code: i32) -> Option<JobSpec> {
        let spec = named("short", &["exit", &code.to_string()]);
        self.platform.lets_jobs_exit().then_some(spec)
    }

    fn unknown_handle(&self) -> JobHandle {
        JobHandle::new("batch", "4c7599ae-0a82-49aa-ba5a-4727fcce14a8")
    }

    fn locate(&self) -> Option<&dyn Locate> {
        Some(&self.backend)
    }

    fn limits(&self, execution: &ExecutionId, token: &CallbackToken) -> Vec<Limit> {
        let limit = |name: &str, at, beyond| Limit {
            name: name.to_owned(),
            at,
            beyond,
        };
        let most = MAX_OVERRIDES - RESERVED_OVERRIDES;
        let tag =
            |length| changed(|spec| drop(spec.tags.insert("tag".to_owned(), "é".repeat(length))));
        vec![
            limit(
                "overrides",
                overrides_of(most, execution, token),
                overrides_of(most + 1, execution, token),
            ),
            limit("length of a tag's value", tag(256), tag(257)),
        ]
    }

    async fn census(&self, job: &Job) -> Option<Census> {
        let jobs = self.platform.jobs(job).await;
        Some(Census {
            started: jobs.len(),
            running: jobs.iter().filter(|job| job.running).count(),
        })
    }

    async fn received(&self, job: &Job) -> Option<Received> {
        let job = self.platform.jobs(job).await.into_iter().next()?;
        Some(Received {
            command: job.command,
            environment: Some(job.environment),
            tags: Some(job.tags),
        })
    }

    fn cannot(&self) -> Vec<Cannot> {
        self.platform.cannot()
    }
}
