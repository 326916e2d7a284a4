//! What the unit tests share: a configuration, a job, a task.

use std::sync::Arc;

use longhaul_core::{CallbackToken, ExecutionId, Job, JobSpec};

use crate::api::{MockEcsApi, RunTaskAnswer};
use crate::overrides::{ContainerOverride, TaskOverrides};
use crate::{CapacityOption, EcsBackend, EcsConfig, EcsConfigBuilder, Failure, TaskFacts};

pub(crate) const TASK: &str =
    "arn:aws:ecs:eu-west-1:123456789012:task/jobs/0123456789abcdef0123456789abcdef";

pub(crate) fn builder() -> EcsConfigBuilder {
    EcsConfig::builder("jobs", "render:7")
        .subnets(["subnet-1", "subnet-2"])
        .security_groups(["sg-1"])
        .logs("/ecs/render", "jobs")
}

pub(crate) fn config() -> EcsConfig {
    builder().build().unwrap()
}

pub(crate) fn spot_first() -> EcsConfig {
    let options = [CapacityOption::FargateSpot, CapacityOption::Fargate];
    builder().capacity(options).build().unwrap()
}

pub(crate) fn backend(config: EcsConfig, api: MockEcsApi) -> EcsBackend {
    EcsBackend::new(config, Arc::new(api))
}

pub(crate) fn token() -> CallbackToken {
    CallbackToken::new("c2VjcmV0LXRva2Vu").unwrap()
}

pub(crate) fn execution() -> ExecutionId {
    ExecutionId::from_arn("arn:aws:lambda:eu-west-1:123456789012:function:f:1/durable/e")
}

/// The first attempt of the job that `json` describes.
pub(crate) fn job(json: &str) -> Job {
    let spec: JobSpec = serde_json::from_str(json).unwrap();
    Job::new(spec, execution(), 1, &token())
}

pub(crate) fn hello() -> Job {
    job(r#"{"name":"hello"}"#)
}

/// The answer that `task` was started.
pub(crate) fn started(task: &str) -> RunTaskAnswer {
    RunTaskAnswer {
        tasks: vec![TaskFacts {
            task_arn: Some(task.to_owned()),
            ..TaskFacts::default()
        }],
        failures: Vec::new(),
    }
}

/// The answer that nothing was started, for `reason`.
pub(crate) fn failed(reason: &str, detail: Option<&str>) -> RunTaskAnswer {
    RunTaskAnswer {
        tasks: Vec::new(),
        failures: vec![Failure {
            arn: None,
            reason: Some(reason.to_owned()),
            detail: detail.map(str::to_owned),
        }],
    }
}

/// A task whose worker carries `start_key`.
pub(crate) fn task_with_key(start_key: &str) -> TaskFacts {
    TaskFacts {
        task_arn: Some(TASK.to_owned()),
        overrides: TaskOverrides {
            container_overrides: vec![ContainerOverride {
                name: "worker".to_owned(),
                command: None,
                environment: [("LONGHAUL_START_KEY", start_key)].into_iter().collect(),
            }],
            ..TaskOverrides::default()
        },
        ..TaskFacts::default()
    }
}
