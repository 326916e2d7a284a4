//! A cluster, a task definition and a network on a peer.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{
    Compatibility, ContainerDefinition, DesiredStatus, NetworkMode, Task, TaskField,
};
use longhaul_core::{CallbackToken, ExecutionId, Job, JobHandle};
use longhaul_ecs::{EcsBackend, EcsConfig, EcsConfigBuilder};
use longhaul_fake_aws::peer::Peer;

use crate::common::{self, job, sdk};

/// A cluster, a task definition and a network on a peer, and an execution that nobody else has.
pub(crate) struct Stage {
    url: String,
    client: Client,
    pub(crate) cluster: String,
    pub(crate) family: String,
    subnets: Vec<String>,
    security_group: String,
    pub(crate) execution: ExecutionId,
}

impl Stage {
    pub(crate) async fn set(peer: &Peer) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let unique = format!("longhaul-{}-{}", std::process::id(), now.as_nanos());
        let client = Client::new(&sdk(peer.url()).build());
        let cluster = client.create_cluster().cluster_name(&unique);
        cluster
            .capacity_providers("FARGATE")
            .capacity_providers("FARGATE_SPOT")
            .send()
            .await
            .unwrap();
        let container = |name: &str| {
            ContainerDefinition::builder()
                .name(name)
                .image("public.ecr.aws/docker/library/busybox:stable")
                .memory(128)
                .build()
        };
        client
            .register_task_definition()
            .family(&unique)
            .network_mode(NetworkMode::Awsvpc)
            .requires_compatibilities(Compatibility::Fargate)
            .cpu("256")
            .memory("512")
            .container_definitions(container("worker"))
            .container_definitions(container("sidecar"))
            .send()
            .await
            .unwrap();
        let (subnets, security_group) = peer.network().await;
        Self {
            url: peer.url().to_owned(),
            client,
            subnets,
            security_group,
            execution: ExecutionId::from_arn(&unique),
            cluster: unique.clone(),
            family: unique,
        }
    }

    pub(crate) fn config(&self) -> EcsConfigBuilder {
        self.config_of(&self.cluster, &self.family)
    }

    pub(crate) fn config_of(&self, cluster: &str, definition: &str) -> EcsConfigBuilder {
        EcsConfig::builder(cluster, definition)
            .subnets(self.subnets.clone())
            .security_groups([self.security_group.clone()])
    }

    pub(crate) fn backend(&self, config: EcsConfigBuilder) -> EcsBackend {
        EcsBackend::from_sdk(config.build().unwrap(), &sdk(&self.url).build())
    }

    /// An attempt of this stage's execution, and its token.
    pub(crate) fn job(&self, json: &str, token: &str) -> (Job, CallbackToken) {
        let token = common::token(&format!("{}-{token}", self.family));
        let spec = job(json, &token).spec().clone();
        (Job::new(spec, self.execution.clone(), 1, &token), token)
    }

    /// The task as the peer knows it, asked for with the AWS SDK.
    pub(crate) async fn task(&self, handle: &JobHandle) -> Task {
        self.described(handle.id()).await.remove(0)
    }

    /// Every task of an execution, running or not, asked for with the AWS SDK.
    pub(crate) async fn tasks_of(&self, execution: &ExecutionId) -> Vec<Task> {
        let mut found = Vec::new();
        for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
            let list = self.client.list_tasks().cluster(&self.cluster);
            let list = list.started_by(execution.as_str()).desired_status(status);
            for arn in list.send().await.unwrap().task_arns() {
                found.extend(self.described(arn).await);
            }
        }
        found
    }

    async fn described(&self, arn: &str) -> Vec<Task> {
        let tasks = self.client.describe_tasks().cluster(&self.cluster);
        let answer = tasks.tasks(arn).include(TaskField::Tags).send().await;
        answer.unwrap().tasks.unwrap_or_default()
    }
}
