//! The backend as the conformance suite sees it, on any server that plays ECS.

use std::collections::BTreeMap;

use async_trait::async_trait;
use longhaul_core::conformance::{Cannot, Census, Limit, Received, Subject};
use longhaul_core::{
    CallbackToken, ComputeBackend, ExecutionId, Job, JobHandle, JobName, JobSpec, Locate,
};
use longhaul_ecs::{ContainerOverride, EcsBackend, MAX_OVERRIDES, TaskOverrides};

/// A server that plays ECS, and what can be learned from it without the backend.
#[async_trait]
pub(crate) trait Platform: Send + Sync {
    /// The tasks that carry the start key of `job`, running or not.
    async fn tasks(&self, job: &Job) -> Vec<SeenTask>;

    /// Whether a task whose command is `exit CODE` ends with that code.
    fn lets_tasks_exit(&self) -> bool;

    /// What the server cannot show, and why.
    fn cannot(&self) -> Vec<Cannot>;
}

/// A task as its server has it.
#[derive(Debug, Clone)]
pub(crate) struct SeenTask {
    /// Whether ECS wants it to run.
    pub(crate) wanted: bool,
    /// The command of the worker's container.
    pub(crate) command: Option<Vec<String>>,
    /// The variables of the worker's container.
    pub(crate) environment: BTreeMap<String, String>,
    /// The task's tags.
    pub(crate) tags: BTreeMap<String, String>,
}

/// The backend on a platform.
pub(crate) struct EcsSubject<P> {
    pub(crate) backend: EcsBackend,
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

/// A long job whose overrides are `size` characters of JSON.
fn overrides_of(size: usize, execution: &ExecutionId, token: &CallbackToken) -> JobSpec {
    let padded = |pad: usize| {
        changed(|spec| drop(spec.environment.insert("PAD".to_owned(), "x".repeat(pad))))
    };
    let job = Job::new(padded(0), execution.clone(), 1, token);
    let environment = job.environment(token);
    let empty = TaskOverrides {
        container_overrides: vec![ContainerOverride {
            name: "worker".to_owned(),
            command: job.spec().command.clone(),
            environment: environment
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }],
        ..TaskOverrides::default()
    };
    padded(size - empty.size())
}

#[async_trait]
impl<P: Platform> Subject for EcsSubject<P> {
    fn backend(&self) -> &dyn ComputeBackend {
        &self.backend
    }

    fn long_job(&self) -> JobSpec {
        named("long", &["sh", "-c", "sleep 600", "sh"])
    }

    fn job_that_exits(&self, code: i32) -> Option<JobSpec> {
        let spec = named("short", &["exit", &code.to_string()]);
        self.platform.lets_tasks_exit().then_some(spec)
    }

    fn unknown_handle(&self) -> JobHandle {
        let cluster = self.backend.config().cluster();
        let id = "ffffffffffffffffffffffffffffffff";
        let arn = format!("arn:aws:ecs:eu-west-1:123456789012:task/{cluster}/{id}");
        JobHandle::new("ecs", arn)
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
        let storage = |gib| changed(|spec| spec.resources.ephemeral_storage_gib = Some(gib));
        let tag =
            |length| changed(|spec| drop(spec.tags.insert("tag".to_owned(), "é".repeat(length))));
        vec![
            limit(
                "overrides",
                overrides_of(MAX_OVERRIDES, execution, token),
                overrides_of(MAX_OVERRIDES + 1, execution, token),
            ),
            limit("ephemeral storage", storage(200), storage(201)),
            limit("length of a tag's value", tag(256), tag(257)),
        ]
    }

    async fn census(&self, job: &Job) -> Option<Census> {
        let tasks = self.platform.tasks(job).await;
        Some(Census {
            started: tasks.len(),
            running: tasks.iter().filter(|task| task.wanted).count(),
        })
    }

    async fn received(&self, job: &Job) -> Option<Received> {
        let task = self.platform.tasks(job).await.into_iter().next()?;
        Some(Received {
            command: task.command,
            environment: Some(task.environment),
            tags: Some(task.tags),
        })
    }

    fn cannot(&self) -> Vec<Cannot> {
        self.platform.cannot()
    }
}
