//! The ECS API over the AWS SDK.

use std::error::Error;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::timeout::TimeoutConfig;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::operation::RequestId;
use aws_sdk_ecs::operation::run_task::RunTaskError;
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types;
use aws_types::SdkConfig;

use crate::CapacityOption;
use crate::api::{
    ApiError, ApiErrorKind, DescribedTask, DesiredStatus, EcsApi, Failure, ListTasks, RunTask,
    RunTaskAnswer, TaskPage,
};
use crate::facts::{ContainerFacts, StopCode, TaskFacts};
use crate::overrides::{ContainerOverride, EphemeralStorage, TaskEnvironment, TaskOverrides};

/// How long one try of a call may take, unless the `SdkConfig` says otherwise. A `RunTask` that
/// ECS is still working on is found again by its client token.
const TRY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a call may take with all its tries, unless the `SdkConfig` says otherwise.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The most tasks on a page, and in one look (ECS API, `ListTasks` and `DescribeTasks`).
const PAGE: i32 = 100;

/// The ECS API over the AWS SDK, which repeats throttled and unanswered calls by itself, three
/// tries in all unless told otherwise.
#[derive(Debug, Clone)]
pub struct SdkEcs {
    client: Client,
}

impl SdkEcs {
    /// The API as `client` reaches it.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The API with the region, credentials and endpoint of `config`, and with bounds on how
    /// long a call may take where `config` has none.
    #[must_use]
    pub fn from_sdk(config: &SdkConfig) -> Self {
        let mut builder = aws_sdk_ecs::config::Builder::from(config);
        let given = config.timeout_config();
        if given.is_none_or(|timeouts| {
            timeouts.operation_timeout().is_none() && timeouts.operation_attempt_timeout().is_none()
        }) {
            let mut timeouts = given.map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
            timeouts
                .set_operation_attempt_timeout(Some(TRY_TIMEOUT))
                .set_operation_timeout(Some(CALL_TIMEOUT));
            builder = builder.timeout_config(timeouts.build());
        }
        Self::new(Client::from_conf(builder.build()))
    }
}

#[async_trait]
impl EcsApi for SdkEcs {
    async fn run_task(&self, request: &RunTask) -> Result<RunTaskAnswer, ApiError> {
        let call = self
            .client
            .run_task()
            .client_token(&request.client_token)
            .cluster(&request.cluster)
            .task_definition(&request.task_definition)
            .count(1)
            .started_by(&request.started_by)
            .set_platform_version(request.platform_version.clone())
            .network_configuration(network(request)?)
            .overrides(task_override(&request.overrides))
            .set_tags(Some(tags(request)))
            .enable_ecs_managed_tags(request.managed_tags)
            .set_propagate_tags(
                request
                    .propagate_tags
                    .then_some(types::PropagateTags::TaskDefinition),
            );
        let call = match request.capacity {
            CapacityOption::Fargate => call.launch_type(types::LaunchType::Fargate),
            // The launch type has no Spot: that needs the capacity provider.
            CapacityOption::FargateSpot => call.capacity_provider_strategy(
                types::CapacityProviderStrategyItem::builder()
                    .capacity_provider(request.capacity.as_str())
                    .weight(1)
                    .build()
                    .map_err(not_written)?,
            ),
        };
        let answer = call.send().await.map_err(|error| {
            let resource_ids = match error.as_service_error() {
                Some(RunTaskError::ConflictException(conflict)) => conflict.resource_ids().to_vec(),
                _ => Vec::new(),
            };
            ApiError {
                resource_ids,
                ..api_error(&error)
            }
        })?;
        Ok(RunTaskAnswer {
            tasks: answer
                .tasks
                .unwrap_or_default()
                .into_iter()
                .map(facts)
                .collect(),
            failures: answer
                .failures
                .unwrap_or_default()
                .into_iter()
                .map(failure)
                .collect(),
        })
    }

    async fn stop_task(
        &self,
        cluster: &str,
        task: &str,
        reason: &str,
    ) -> Result<TaskFacts, ApiError> {
        let call = self.client.stop_task().cluster(cluster).task(task);
        let answer = call.reason(reason).send().await;
        let answer = answer.map_err(|error| api_error(&error))?;
        Ok(answer.task.map(facts).unwrap_or_default())
    }

    async fn describe_task(&self, cluster: &str, task: &str) -> Result<DescribedTask, ApiError> {
        let call = self.client.describe_tasks().cluster(cluster).tasks(task);
        let answer = call.send().await.map_err(|error| api_error(&error))?;
        if let Some(found) = answer.tasks.unwrap_or_default().into_iter().next() {
            return Ok(DescribedTask::Known(Box::new(facts(found))));
        }
        match answer.failures.unwrap_or_default().into_iter().next() {
            Some(other) if other.reason.as_deref() != Some("MISSING") => Err(ApiError::new(
                ApiErrorKind::Refused,
                failure(other).to_string(),
            )),
            _ => Ok(DescribedTask::Missing),
        }
    }

    async fn describe_tasks(
        &self,
        cluster: &str,
        tasks: &[String],
    ) -> Result<Vec<TaskFacts>, ApiError> {
        let call = self.client.describe_tasks().cluster(cluster);
        let answer = call.set_tasks(Some(tasks.to_vec())).send().await;
        let found = answer.map_err(|error| api_error(&error))?.tasks;
        Ok(found.unwrap_or_default().into_iter().map(facts).collect())
    }

    async fn list_tasks(&self, request: &ListTasks) -> Result<TaskPage, ApiError> {
        let call = self
            .client
            .list_tasks()
            .cluster(&request.cluster)
            .started_by(&request.started_by)
            .desired_status(match request.desired_status {
                DesiredStatus::Running => types::DesiredStatus::Running,
                DesiredStatus::Stopped => types::DesiredStatus::Stopped,
            })
            .max_results(PAGE)
            .set_next_token(request.next_token.clone());
        let answer = call.send().await.map_err(|error| api_error(&error))?;
        Ok(TaskPage {
            tasks: answer.task_arns.unwrap_or_default(),
            next_token: answer.next_token,
        })
    }

    async fn container_names(&self, task_definition: &str) -> Result<Vec<String>, ApiError> {
        let call = self.client.describe_task_definition();
        let answer = call.task_definition(task_definition).send().await;
        let answer = answer.map_err(|error| api_error(&error))?;
        let definition = answer
            .task_definition
            .unwrap_or_else(|| aws_sdk_ecs::types::TaskDefinition::builder().build());
        let containers = definition.container_definitions.unwrap_or_default();
        Ok(containers.into_iter().filter_map(|c| c.name).collect())
    }
}

fn network(request: &RunTask) -> Result<types::NetworkConfiguration, ApiError> {
    let assign = if request.assign_public_ip {
        types::AssignPublicIp::Enabled
    } else {
        types::AssignPublicIp::Disabled
    };
    let vpc = types::AwsVpcConfiguration::builder()
        .set_subnets(Some(request.subnets.clone()))
        .set_security_groups(Some(request.security_groups.clone()))
        .assign_public_ip(assign)
        .build()
        .map_err(not_written)?;
    Ok(types::NetworkConfiguration::builder()
        .awsvpc_configuration(vpc)
        .build())
}

fn task_override(overrides: &TaskOverrides) -> types::TaskOverride {
    let containers = overrides.container_overrides.iter().map(|container| {
        let environment = container.environment.iter().map(|(name, value)| {
            types::KeyValuePair::builder()
                .name(name)
                .value(value)
                .build()
        });
        types::ContainerOverride::builder()
            .name(&container.name)
            .set_command(container.command.clone())
            .set_environment(Some(environment.collect()))
            .build()
    });
    types::TaskOverride::builder()
        .set_container_overrides(Some(containers.collect()))
        .set_cpu(overrides.cpu.clone())
        .set_memory(overrides.memory.clone())
        .set_ephemeral_storage(overrides.ephemeral_storage.map(|storage| {
            types::EphemeralStorage::builder()
                .size_in_gib(storage.size_in_gib)
                .build()
        }))
        .build()
}

fn tags(request: &RunTask) -> Vec<types::Tag> {
    let tags = request.tags.iter();
    tags.map(|(key, value)| types::Tag::builder().key(key).value(value).build())
        .collect()
}

/// What the SDK knows of a task.
fn facts(task: types::Task) -> TaskFacts {
    let containers = task.containers.unwrap_or_default();
    TaskFacts {
        task_arn: task.task_arn,
        last_status: task.last_status,
        desired_status: task.desired_status,
        stop_code: task
            .stop_code
            .map(|code| StopCode::from(code.as_str().to_owned())),
        stopped_reason: task.stopped_reason,
        started_by: task.started_by,
        containers: containers
            .into_iter()
            .map(|container| ContainerFacts {
                name: container.name,
                exit_code: container.exit_code,
                reason: container.reason,
            })
            .collect(),
        overrides: task.overrides.map(overrides).unwrap_or_default(),
        started_at: task.started_at.and_then(time),
        stopped_at: task.stopped_at.and_then(time),
    }
}

fn overrides(overrides: types::TaskOverride) -> TaskOverrides {
    let containers = overrides.container_overrides.unwrap_or_default();
    TaskOverrides {
        container_overrides: containers
            .into_iter()
            .map(|container| ContainerOverride {
                name: container.name.unwrap_or_default(),
                command: container.command,
                environment: container
                    .environment
                    .unwrap_or_default()
                    .into_iter()
                    .map(|pair| {
                        (
                            pair.name.unwrap_or_default(),
                            pair.value.unwrap_or_default(),
                        )
                    })
                    .collect::<TaskEnvironment>(),
            })
            .collect(),
        cpu: overrides.cpu,
        memory: overrides.memory,
        ephemeral_storage: overrides.ephemeral_storage.map(|storage| EphemeralStorage {
            size_in_gib: storage.size_in_gib,
        }),
    }
}

fn failure(failure: types::Failure) -> Failure {
    Failure {
        arn: failure.arn,
        reason: failure.reason,
        detail: failure.detail,
    }
}

fn time(time: DateTime) -> Option<SystemTime> {
    SystemTime::try_from(time).ok()
}

fn not_written(error: impl Error) -> ApiError {
    ApiError::new(ApiErrorKind::NotSent, words(&error))
}

/// What came back instead of an answer. Takes the words and leaves the bodies, which may hold
/// the callback token.
fn api_error<E>(error: &SdkError<E>) -> ApiError
where
    E: ProvideErrorMetadata + RequestId + Error + 'static,
{
    let service = error.as_service_error();
    let code = service.and_then(|e| e.code()).map(str::to_owned);
    let status = error.raw_response().map(|raw| raw.status());
    let kind = match error {
        SdkError::ConstructionFailure(_) => ApiErrorKind::NotSent,
        SdkError::DispatchFailure(failure) if failure.is_user() || was_not_signed(error) => {
            ApiErrorKind::NotSent
        }
        SdkError::ServiceError(_) => ApiErrorKind::Refused,
        _ => ApiErrorKind::NoAnswer,
    };
    ApiError {
        kind,
        message: match service {
            Some(service) if code.is_some() => service.message().unwrap_or_default().to_owned(),
            Some(service) => words(service),
            None => words(error),
        },
        code,
        status: status.map(|status| status.as_u16()),
        request_id: error.request_id().map(str::to_owned),
        resource_ids: Vec::new(),
    }
}

/// Whether there were no credentials to sign the request with, so that it was not sent.
fn was_not_signed(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // The SDK's own type for having no credentials provider at all is private.
        if error.is::<CredentialsError>() || error.to_string().contains("select an auth scheme") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The words of an error and its causes, each once.
fn words(error: &dyn Error) -> String {
    let mut all = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if all.last() != Some(&text) {
            all.push(text);
        }
        cause = error.source();
    }
    all.join(": ")
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::config::{BehaviorVersion, Region};

    use super::*;

    /// The bounds on one try and on the whole call, where the configuration has `given`.
    fn bounds(given: Option<TimeoutConfig>) -> (Option<Duration>, Option<Duration>) {
        let mut sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"));
        sdk.set_timeout_config(given);
        let ecs = SdkEcs::from_sdk(&sdk.build());
        let timeouts = ecs.client.config().timeout_config().unwrap();
        (
            timeouts.operation_attempt_timeout(),
            timeouts.operation_timeout(),
        )
    }

    #[test]
    fn a_call_is_bounded_unless_the_configuration_says_otherwise() {
        let ours = (Some(TRY_TIMEOUT), Some(CALL_TIMEOUT));
        assert_eq!(bounds(None), ours);
        let second = Duration::from_secs(1);
        let connect = TimeoutConfig::builder().connect_timeout(second);
        assert_eq!(bounds(Some(connect.build())), ours);
        let own = TimeoutConfig::builder().operation_attempt_timeout(second);
        assert_eq!(bounds(Some(own.build())), (Some(second), None));
    }
}
