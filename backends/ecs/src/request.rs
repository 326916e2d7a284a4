//! From a job to the `RunTask` request that starts it, checked before anything is sent.

use longhaul_core::{BackendError, BackendErrorKind, CallbackToken, Job};

use crate::api::RunTask;
use crate::overrides::{ContainerOverride, MAX_OVERRIDES, TaskEnvironment, TaskOverrides};
use crate::size::TaskSize;
use crate::{CapacityOption, EcsConfig, tags};

/// The request that starts `job`, but for capacity and client token, which differ by option.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    request: RunTask,
}

impl Start {
    /// Builds the request and checks what ECS would refuse.
    ///
    /// # Errors
    ///
    /// `InvalidSpec` for what Fargate cannot give, `TooLarge` for overrides beyond ECS's limit.
    pub(crate) fn new(
        config: &EcsConfig,
        job: &Job,
        token: &CallbackToken,
    ) -> Result<Self, BackendError> {
        let invalid = |message: String| BackendError::new(BackendErrorKind::InvalidSpec, message);
        let spec = job.spec();
        spec.validate()
            .map_err(|error| invalid(format!("job `{}`", job.name())).with_source(error))?;
        if token.start_key() != *job.start_key() {
            return Err(invalid(format!(
                "job `{}` was made for another callback token than the one it is started with",
                job.name()
            )));
        }
        if spec.working_directory.is_some() {
            return Err(invalid(format!(
                "job `{}`: working_directory is for local processes; in a container the image decides",
                job.name()
            )));
        }
        for (key, value) in &spec.tags {
            tags::check(key, value).map_err(|problem| {
                invalid(format!("job `{}`: tags: {key:?} {problem}", job.name()))
            })?;
        }
        let size = TaskSize::new(&spec.resources).map_err(|error| {
            invalid(format!("job `{}` cannot run on Fargate", job.name())).with_source(error)
        })?;
        let overrides = TaskOverrides {
            container_overrides: vec![ContainerOverride {
                name: config.container().to_owned(),
                command: spec.command.clone(),
                environment: TaskEnvironment::from(&job.environment(token)),
            }],
            cpu: size.cpu.map(|cpu| cpu.to_string()),
            memory: size.memory.map(|memory| memory.to_string()),
            ephemeral_storage: size.storage,
        };
        check_size(job, &overrides)?;
        Ok(Self {
            request: RunTask {
                client_token: String::new(),
                cluster: config.cluster().to_owned(),
                task_definition: config.task_definition().to_owned(),
                started_by: job.execution().to_string(),
                capacity: CapacityOption::Fargate,
                platform_version: config.platform_version().map(str::to_owned),
                subnets: config.subnets().to_vec(),
                security_groups: config.security_groups().to_vec(),
                assign_public_ip: config.assign_public_ip(),
                overrides,
                tags: tags::of_job(job, config.tags()),
                propagate_tags: config.propagate_tags(),
                managed_tags: config.managed_tags(),
            },
        })
    }

    /// The request for the `at`-th capacity option. The same each time it is asked for.
    pub(crate) fn on(&self, at: usize, option: CapacityOption, job: &Job) -> RunTask {
        RunTask {
            client_token: job.start_key().for_capacity_option(at).to_string(),
            capacity: option,
            ..self.request.clone()
        }
    }
}

fn check_size(job: &Job, overrides: &TaskOverrides) -> Result<(), BackendError> {
    let size = overrides.size();
    if size <= MAX_OVERRIDES {
        return Ok(());
    }
    let advice = if job.input_uri().is_none() {
        "give the input by reference"
    } else {
        "shorten the command or the environment"
    };
    Err(BackendError::new(
        BackendErrorKind::TooLarge,
        format!(
            "job `{}`: the task's overrides are {size} characters of JSON, {} more than the {MAX_OVERRIDES} that ECS takes; {advice}",
            job.name(),
            size - MAX_OVERRIDES
        ),
    ))
}
