//! Reads the events of ECS: a task has stopped.

use longhaul_core::contract::{CALLBACK_ID, START_KEY};
use longhaul_core::{ExecutionId, FailureClass, JobFailure, JobHandle};
use longhaul_ecs::{EcsConfig, TaskFacts, job_status};
use serde::Deserialize;
use serde_json::Value;

use super::error::{Malformed, read};
use super::owner::{Owner, is_configured, owner, unrevised};
use super::told::{EndedJob, JobEvents, Told};

/// Reads `ECS Task State Change` (Amazon ECS Developer Guide, "Amazon ECS task state change
/// events").
///
/// A task is ours if it is in the configured cluster, of the configured task definition in any
/// revision, and carries a callback token together with that token's start key.
#[derive(Debug, Clone)]
pub struct EcsEvents {
    config: EcsConfig,
}

impl EcsEvents {
    /// Reads the events of the tasks that a backend with `config` starts.
    #[must_use]
    pub fn new(config: EcsConfig) -> Self {
        Self { config }
    }
}

/// What tells whether the event matters.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    task_arn: String,
    cluster_arn: String,
    task_definition_arn: String,
    last_status: String,
}

impl JobEvents for EcsEvents {
    fn source(&self) -> &'static str {
        "aws.ecs"
    }

    fn detail_type(&self) -> &'static str {
        "ECS Task State Change"
    }

    fn read(&self, detail: Value) -> Result<Told, Malformed> {
        let head: Head = read("detail", detail.clone())?;
        let job = JobHandle::new(longhaul_ecs::NAME, head.task_arn);
        if head.last_status != "STOPPED" {
            return Ok(Told::Nothing(format!("task {job} has not stopped yet")));
        }
        if !is_configured(self.config.cluster(), &head.cluster_arn) {
            return Ok(Told::Nothing(format!("task {job} is in another cluster")));
        }
        if unrevised(self.config.task_definition()) != unrevised(&head.task_definition_arn) {
            return Ok(Told::Nothing(format!(
                "task {job} is of another task definition"
            )));
        }
        let facts: TaskFacts = read("detail", detail)?;
        let variable = |name| facts.overrides.variable(name);
        let token = match owner(&job, variable(CALLBACK_ID), variable(START_KEY))? {
            Owner::Us(token) => token,
            Owner::SomebodyElse(why) => {
                return Ok(Told::Nothing(format!("task {job} is not ours: {why}")));
            }
        };
        let status = job_status(&facts, &self.config);
        let started_by = facts.started_by.map(ExecutionId::try_from);
        Ok(Told::Ended(Box::new(EndedJob {
            job,
            execution: started_by.and_then(Result::ok),
            token,
            failure: status
                .failure
                .unwrap_or_else(|| JobFailure::new(FailureClass::Lost)),
            ended_at: status.ended_at,
        })))
    }
}
