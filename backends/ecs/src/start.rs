//! Starts a task: one option of capacity after the other, never two tasks for one token.

use longhaul_core::{BackendError, BackendErrorKind, CallbackToken, Job, JobHandle, contract};

use crate::NAME;
use crate::api::{ApiError, DescribedTask, Failure, RunTask, RunTaskAnswer};
use crate::arn::TaskArn;
use crate::backend::EcsBackend;
use crate::refusal::{self, Refusal};
use crate::request::Start;
use crate::status::log_link;

/// What asking for one option of capacity came to.
enum Asked {
    /// The task that runs the job.
    Started(String),
    /// There is none of this kind of capacity, in ECS's words.
    NoCapacity(String),
}

impl EcsBackend {
    /// Asks for the options of capacity in their order, each with its own client token derived
    /// from the start key. ECS answers a repeated token with its first answer, failures included,
    /// so a repeated start walks the same way and ends at the same task.
    pub(crate) async fn run(
        &self,
        job: &Job,
        token: &CallbackToken,
    ) -> Result<JobHandle, BackendError> {
        let start = Start::new(self.config(), job, token)?;
        let mut lacking = Vec::new();
        for (at, &option) in self.config().capacity().iter().enumerate() {
            let request = start.on(at, option, job);
            match self.ask(&request, job, token).await? {
                Asked::Started(task) => {
                    tracing::info!(job = %job.name(), attempt = job.attempt(), %task, capacity = %option, "started a task");
                    let logs = log_link(&task, self.config());
                    return Ok(JobHandle::new(NAME, task).with_logs(logs));
                }
                Asked::NoCapacity(reason) => {
                    tracing::info!(job = %job.name(), attempt = job.attempt(), capacity = %option, %reason, "no capacity");
                    lacking.push(format!("{option}: {reason}"));
                }
            }
        }
        Err(BackendError::new(
            BackendErrorKind::Capacity,
            format!(
                "{}: no capacity ({}); ECS will repeat this answer for the same token, so try a new attempt later, more subnets, or another size",
                self.tried(job),
                lacking.join("; ")
            ),
        ))
    }

    fn tried(&self, job: &Job) -> String {
        format!(
            "start job `{}` in cluster {:?}",
            job.name(),
            self.config().cluster()
        )
    }

    async fn ask(
        &self,
        request: &RunTask,
        job: &Job,
        token: &CallbackToken,
    ) -> Result<Asked, BackendError> {
        let error = match self.api().run_task(request).await {
            Ok(answer) => return self.read(answer, job),
            // ECS may quote what it was sent.
            Err(error) => error.without(token.expose()),
        };
        match refusal::read(&error) {
            Refusal::NoCapacity => Ok(Asked::NoCapacity(error.message)),
            Refusal::Conflict(tasks) => self.adopt(&tasks, job, error).await.map(Asked::Started),
            Refusal::UnknownContainer => Err(self.no_container(job, error).await),
            meaning => Err(self.refused(
                &self.tried(job),
                "ecs:RunTask",
                meaning,
                error,
                BackendErrorKind::Ambiguous,
            )),
        }
    }

    fn read(&self, answer: RunTaskAnswer, job: &Job) -> Result<Asked, BackendError> {
        let task = answer.tasks.into_iter().find_map(|task| task.task_arn);
        if let Some(task) = task {
            return Ok(Asked::Started(task));
        }
        let words = answer.failures.iter().map(ToString::to_string);
        let words = words.collect::<Vec<_>>().join(", ");
        let kinds: Vec<_> = answer.failures.iter().map(kind_of_failure).collect();
        let tried = self.tried(job);
        match kinds
            .iter()
            .find(|&&kind| kind != BackendErrorKind::Capacity)
        {
            None if !kinds.is_empty() => Ok(Asked::NoCapacity(words)),
            None => Err(BackendError::new(
                BackendErrorKind::Ambiguous,
                format!(
                    "{tried}: ECS answered with neither a task nor a failure; repeat it with the same token"
                ),
            )),
            Some(&kind) => Err(BackendError::new(
                kind,
                format!("{tried}: ECS did not place the task: {words}"),
            )),
        }
    }

    /// The task that a first start with this token left behind, when its parameters have changed
    /// since: another task definition was deployed, say.
    async fn adopt(
        &self,
        tasks: &[String],
        job: &Job,
        conflict: ApiError,
    ) -> Result<String, BackendError> {
        let tried = self.tried(job);
        for task in tasks {
            let arn = TaskArn::parse(task);
            let cluster = arn.and_then(|arn| arn.cluster);
            let cluster = cluster.unwrap_or(self.config().cluster());
            match self.api().describe_task(cluster, task).await {
                Ok(DescribedTask::Known(facts)) => {
                    let key = facts.overrides.variable(contract::START_KEY);
                    if key == Some(job.start_key().as_str()) {
                        tracing::info!(job = %job.name(), attempt = job.attempt(), %task, "adopted the task of an earlier start");
                        return Ok(task.clone());
                    }
                }
                // Just started or long ended: ECS says that the key is this task's, and a second
                // task is the worse mistake.
                Ok(DescribedTask::Missing) => return Ok(task.clone()),
                Err(error) => {
                    let meaning = refusal::read(&error);
                    return Err(self.refused(
                        &format!("{tried}: look at task {task}, which an earlier start left"),
                        "ecs:DescribeTasks",
                        meaning,
                        error,
                        BackendErrorKind::Ambiguous,
                    ));
                }
            }
        }
        let theirs = match tasks {
            [] => "names no task for it".to_owned(),
            tasks => format!("its tasks do not carry it ({})", tasks.join(", ")),
        };
        let message =
            format!("{tried}: ECS knows the start key from another request, and {theirs}");
        Err(BackendError::new(BackendErrorKind::InvalidSpec, message).with_source(conflict))
    }

    /// The error for a task definition without the container, with the containers that it has.
    async fn no_container(&self, job: &Job, error: ApiError) -> BackendError {
        let definition = self.config().task_definition();
        let has = match self.api().container_names(definition).await {
            Ok(names) if !names.is_empty() => format!(" (it has: {})", names.join(", ")),
            _ => String::new(),
        };
        BackendError::new(
            BackendErrorKind::NotFound,
            format!(
                "{}: task definition {definition:?} has no container {:?}{has}; set ECS_CONTAINER",
                self.tried(job),
                self.config().container()
            ),
        )
        .with_source(error)
    }
}

/// What a failure in an answer of 200 means
/// (Amazon ECS Developer Guide, "Amazon ECS API failure reasons").
fn kind_of_failure(failure: &Failure) -> BackendErrorKind {
    let reason = failure.reason.as_deref().unwrap_or_default().to_lowercase();
    let detail = failure.detail.as_deref().unwrap_or_default().to_lowercase();
    if reason.starts_with("resource:")
        || reason == "agent"
        || refusal::speaks_of_capacity(&reason)
        || refusal::speaks_of_capacity(&detail)
    {
        BackendErrorKind::Capacity
    } else if refusal::speaks_of_throttling(&reason) || refusal::speaks_of_throttling(&detail) {
        BackendErrorKind::Throttled
    } else if matches!(reason.as_str(), "missing" | "inactive") {
        BackendErrorKind::NotFound
    } else if matches!(reason.as_str(), "attribute" | "location") || reason.starts_with("member") {
        BackendErrorKind::InvalidSpec
    } else {
        BackendErrorKind::Unavailable
    }
}

#[cfg(test)]
mod tests;
