//! From a job to the `SubmitJob` that starts it, and everything that Batch cannot do.

use aws_sdk_batch::operation::submit_job::SubmitJobInput;
use aws_sdk_batch::operation::submit_job::builders::SubmitJobInputBuilder;
use aws_sdk_batch::types::{
    ContainerOverrides, JobTimeout, KeyValuePair, ResourceRequirement, ResourceType, RetryStrategy,
};
use longhaul_core::{
    BackendError, BackendErrorKind, CallbackToken, Job, Resources, WorkerEnvironment,
};
use serde_json::json;

use crate::{BatchConfig, job_name, tags};

/// The most characters that the overrides of a container may have as JSON, because Batch runs
/// the job as an ECS task (ECS API, `RunTask`, `overrides`). Batch accepts a larger job and lets
/// it fail later: "Container Overrides length must be at most 8192".
pub const MAX_OVERRIDES: usize = 8192;

/// How many of [`MAX_OVERRIDES`] are kept free for the variables that Batch itself adds:
/// `AWS_BATCH_JOB_ID`, `AWS_BATCH_JOB_ATTEMPT`, `AWS_BATCH_JQ_NAME`, `AWS_BATCH_CE_NAME`, at
/// most 457 characters with names of 128.
pub const RESERVED_OVERRIDES: usize = 512;

/// The shortest timeout of an attempt, in seconds (Batch API, `JobTimeout`).
const MIN_TIMEOUT: u64 = 60;

/// The request that starts `job` and hands it `token`.
pub(crate) fn submit(
    config: &BatchConfig,
    job: &Job,
    token: &CallbackToken,
) -> Result<SubmitJobInputBuilder, BackendError> {
    let refuse = |problem: String| {
        let message = format!("start job `{}` on AWS Batch: {problem}", job.name());
        BackendError::new(BackendErrorKind::InvalidSpec, message)
    };
    check(job).map_err(refuse)?;
    let tags = tags::of(config, job);
    if tags.len() > tags::MAX_TAGS {
        return Err(refuse(format!(
            "tags: {} with those of the configuration and longhaul's own, more than the {} that Batch takes",
            tags.len(),
            tags::MAX_TAGS
        )));
    }
    let environment = job.environment(token);
    let overrides = ContainerOverrides::builder()
        .set_command(job.spec().command.clone())
        .set_environment(Some(variables(&environment)))
        .set_resource_requirements(requirements(&job.spec().resources))
        .build();
    let size = size(&overrides);
    let most = MAX_OVERRIDES - RESERVED_OVERRIDES;
    if size > most {
        return Err(BackendError::new(
            BackendErrorKind::TooLarge,
            format!(
                "start job `{}` on AWS Batch: command, environment and input are {size} characters of container overrides, {} more than the {most} that fit; give the input by reference",
                job.name(),
                size - most
            ),
        ));
    }
    Ok(SubmitJobInput::builder()
        .job_name(job_name(job.execution(), job.start_key()))
        .job_queue(&config.job_queue)
        .job_definition(&config.job_definition)
        .set_share_identifier(config.share_identifier.clone())
        .set_scheduling_priority_override(config.scheduling_priority)
        .container_overrides(overrides)
        // Retries are the runner's: each needs a token of its own.
        .retry_strategy(RetryStrategy::builder().attempts(1).build())
        .timeout(
            JobTimeout::builder()
                .attempt_duration_seconds(timeout(job))
                .build(),
        )
        .set_tags(Some(tags.into_iter().collect()))
        .set_propagate_tags(config.propagate_tags))
}

/// What Batch cannot do with `job`: the field, what is wrong with it and what to do.
fn check(job: &Job) -> Result<(), String> {
    let spec = job.spec();
    spec.validate().map_err(|invalid| invalid.to_string())?;
    if spec.working_directory.is_some() {
        return Err(
            "working_directory: a container runs where its image says; leave it out, or set WORKDIR in the image"
                .to_owned(),
        );
    }
    if spec.resources.ephemeral_storage_gib.is_some() {
        return Err(
            "resources.ephemeral_storage_gib: Batch cannot change it for one job; set ephemeralStorage in the job definition"
                .to_owned(),
        );
    }
    if let Some(name) = (spec.environment.keys()).find(|name| name.starts_with("AWS_BATCH")) {
        return Err(format!(
            "environment.{name}: Batch keeps names that start with AWS_BATCH for itself; choose another"
        ));
    }
    let command = spec.command.iter().flatten();
    if let Some(at) = command.clone().position(String::is_empty) {
        return Err(format!(
            "command[{at}]: is empty, which Batch refuses; leave the argument out or give it another form"
        ));
    }
    for (key, value) in &spec.tags {
        tags::check(key, value).map_err(|problem| format!("tags.{key}: {problem}"))?;
    }
    Ok(())
}

/// The timeout of the attempt in seconds. Batch counts it from the moment the container runs,
/// while the callback's timeout counts from before the start: this one only ends what the
/// cancel did not.
fn timeout(job: &Job) -> i32 {
    let seconds = job.spec().timeout.as_secs().max(MIN_TIMEOUT);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

fn variables(environment: &WorkerEnvironment) -> Vec<KeyValuePair> {
    environment
        .iter()
        .map(|(name, value)| KeyValuePair::builder().name(name).value(value).build())
        .collect()
}

/// The resources that the spec names, or nothing, which leaves the definition's.
fn requirements(resources: &Resources) -> Option<Vec<ResourceRequirement>> {
    let named = [
        (ResourceType::Vcpu, resources.vcpus.map(|v| v.to_string())),
        (
            ResourceType::Memory,
            resources.memory_mib.map(|m| m.to_string()),
        ),
        (
            ResourceType::Gpu,
            // Batch has no way to say "none".
            resources.gpus.filter(|g| *g > 0).map(|g| g.to_string()),
        ),
    ];
    let named: Vec<_> = named
        .into_iter()
        .filter_map(|(kind, value)| Some((kind, value?)))
        .map(|(kind, value)| {
            ResourceRequirement::builder()
                .r#type(kind)
                .value(value)
                .build()
        })
        .collect();
    (!named.is_empty()).then_some(named)
}

/// How large the overrides are in the task that Batch starts: the bytes of their JSON. ECS
/// speaks of characters and does not say whether it means bytes; bytes are never fewer.
fn size(overrides: &ContainerOverrides) -> usize {
    let environment: Vec<_> = overrides
        .environment()
        .iter()
        .map(|pair| json!({"name": pair.name(), "value": pair.value()}))
        .collect();
    let requirements: Vec<_> = overrides
        .resource_requirements()
        .iter()
        .map(|one| json!({"type": one.r#type().map(ResourceType::as_str), "value": one.value()}))
        .collect();
    let task = json!({"containerOverrides": [{
        "name": "default",
        "command": overrides.command(),
        "environment": environment,
        "resourceRequirements": requirements,
    }]});
    task.to_string().len()
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
