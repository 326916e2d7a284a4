//! What the backend must know of the account it starts tasks in.

mod check;
mod env;
mod error;

use std::collections::BTreeMap;
use std::fmt;

pub use error::{ConfigError, ConfigErrors};

use crate::LogLocation;

/// The environment variables that [`EcsConfig::from_env`] reads.
pub mod variables {
    /// The cluster: its name or ARN. Required.
    pub const CLUSTER: &str = "ECS_CLUSTER";
    /// The task definition: family, `family:revision` or ARN. Required.
    pub const TASK_DEFINITION: &str = "ECS_TASK_DEFINITION";
    /// The container that runs the job. `worker` by default.
    pub const CONTAINER: &str = "ECS_CONTAINER";
    /// 1 to 16 subnets, separated by commas. Required.
    pub const SUBNETS: &str = "ECS_SUBNETS";
    /// One security group. This or [`SECURITY_GROUPS`] is required.
    pub const SECURITY_GROUP: &str = "ECS_SECURITY_GROUP";
    /// 1 to 5 security groups, separated by commas.
    pub const SECURITY_GROUPS: &str = "ECS_SECURITY_GROUPS";
    /// Whether tasks get a public address: `true` or `false`, or as ECS writes it, `ENABLED` or
    /// `DISABLED`. `false` by default.
    pub const ASSIGN_PUBLIC_IP: &str = "ECS_ASSIGN_PUBLIC_IP";
    /// The Fargate platform version: `LATEST` or such as `1.4.0`. ECS's own default by default.
    pub const PLATFORM_VERSION: &str = "ECS_PLATFORM_VERSION";
    /// The capacity to ask for, in order: `FARGATE`, `FARGATE_SPOT`, or both. `FARGATE` by default.
    pub const CAPACITY: &str = "ECS_CAPACITY";
    /// Tags for every task: `key=value`, separated by commas. At most 7.
    pub const TAGS: &str = "ECS_TAGS";
    /// Whether tasks also get the task definition's tags: `TASK_DEFINITION` or `NONE`.
    /// `NONE` by default.
    pub const PROPAGATE_TAGS: &str = "ECS_PROPAGATE_TAGS";
    /// Whether tasks also get ECS's own tags, such as the cluster's name: `true` or `false`.
    /// `false` by default.
    pub const MANAGED_TAGS: &str = "ECS_MANAGED_TAGS";
    /// The log group of the containers, for links to the logs. Needs [`LOG_STREAM_PREFIX`].
    pub const LOG_GROUP: &str = "ECS_LOG_GROUP";
    /// The containers' `awslogs-stream-prefix`.
    pub const LOG_STREAM_PREFIX: &str = "ECS_LOG_STREAM_PREFIX";
}

/// The name of the container that runs the job, unless the configuration says otherwise.
pub const DEFAULT_CONTAINER: &str = "worker";

/// A kind of capacity that a start may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CapacityOption {
    /// Fargate on demand.
    Fargate,
    /// Fargate Spot: cheaper, and may be taken back with two minutes' notice. The cluster must
    /// have the capacity provider `FARGATE_SPOT`.
    FargateSpot,
}

impl CapacityOption {
    /// The name as ECS and [`variables::CAPACITY`] write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fargate => "FARGATE",
            Self::FargateSpot => "FARGATE_SPOT",
        }
    }
}

impl fmt::Display for CapacityOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the backend must know of the account it starts tasks in. Checked when it is built.
///
/// ```
/// use longhaul_ecs::{CapacityOption, EcsConfig};
///
/// let config = EcsConfig::builder("jobs", "render:7")
///     .subnets(["subnet-0a1b2c3d"])
///     .security_groups(["sg-0a1b2c3d"])
///     .capacity([CapacityOption::FargateSpot, CapacityOption::Fargate])
///     .build()?;
/// assert_eq!(config.container(), "worker");
/// # Ok::<(), longhaul_ecs::ConfigErrors>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcsConfig {
    cluster: String,
    task_definition: String,
    container: String,
    subnets: Vec<String>,
    security_groups: Vec<String>,
    assign_public_ip: bool,
    platform_version: Option<String>,
    capacity: Vec<CapacityOption>,
    tags: BTreeMap<String, String>,
    propagate_tags: bool,
    managed_tags: bool,
    logs: Option<LogLocation>,
}

impl EcsConfig {
    /// A configuration for tasks of `task_definition` (family, `family:revision` or ARN) in
    /// `cluster` (name or ARN).
    pub fn builder(
        cluster: impl Into<String>,
        task_definition: impl Into<String>,
    ) -> EcsConfigBuilder {
        EcsConfigBuilder {
            config: Self {
                cluster: cluster.into(),
                task_definition: task_definition.into(),
                container: DEFAULT_CONTAINER.to_owned(),
                subnets: Vec::new(),
                security_groups: Vec::new(),
                assign_public_ip: false,
                platform_version: None,
                capacity: vec![CapacityOption::Fargate],
                tags: BTreeMap::new(),
                propagate_tags: false,
                managed_tags: false,
                logs: None,
            },
        }
    }

    /// The cluster's name or ARN.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The task definition's family, `family:revision` or ARN.
    #[must_use]
    pub fn task_definition(&self) -> &str {
        &self.task_definition
    }

    /// The container that runs the job.
    #[must_use]
    pub fn container(&self) -> &str {
        &self.container
    }

    /// The subnets that tasks run in.
    #[must_use]
    pub fn subnets(&self) -> &[String] {
        &self.subnets
    }

    /// The security groups of the tasks.
    #[must_use]
    pub fn security_groups(&self) -> &[String] {
        &self.security_groups
    }

    /// Whether tasks get a public address.
    #[must_use]
    pub fn assign_public_ip(&self) -> bool {
        self.assign_public_ip
    }

    /// The Fargate platform version, where it is not ECS's default.
    #[must_use]
    pub fn platform_version(&self) -> Option<&str> {
        self.platform_version.as_deref()
    }

    /// The capacity to ask for, in order. Never empty.
    #[must_use]
    pub fn capacity(&self) -> &[CapacityOption] {
        &self.capacity
    }

    /// Tags for every task.
    #[must_use]
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }

    /// Whether tasks also get the task definition's tags.
    #[must_use]
    pub fn propagate_tags(&self) -> bool {
        self.propagate_tags
    }

    /// Whether tasks also get ECS's own tags.
    #[must_use]
    pub fn managed_tags(&self) -> bool {
        self.managed_tags
    }

    /// Where the containers' logs are, if the configuration says.
    #[must_use]
    pub fn logs(&self) -> Option<&LogLocation> {
        self.logs.as_ref()
    }
}

/// Collects an [`EcsConfig`]; [`build`](Self::build) checks it.
#[derive(Debug, Clone)]
#[must_use = "call `build`"]
pub struct EcsConfigBuilder {
    config: EcsConfig,
}

impl EcsConfigBuilder {
    /// The container that runs the job; `worker` otherwise.
    pub fn container(mut self, name: impl Into<String>) -> Self {
        self.config.container = name.into();
        self
    }

    /// The subnets that tasks run in, 1 to 16.
    pub fn subnets<S: Into<String>>(mut self, ids: impl IntoIterator<Item = S>) -> Self {
        self.config.subnets = ids.into_iter().map(Into::into).collect();
        self
    }

    /// The security groups of the tasks, 1 to 5.
    pub fn security_groups<S: Into<String>>(mut self, ids: impl IntoIterator<Item = S>) -> Self {
        self.config.security_groups = ids.into_iter().map(Into::into).collect();
        self
    }

    /// Whether tasks get a public address; not otherwise.
    pub fn assign_public_ip(mut self, assign: bool) -> Self {
        self.config.assign_public_ip = assign;
        self
    }

    /// The Fargate platform version: `LATEST`, or such as `1.4.0`.
    pub fn platform_version(mut self, version: impl Into<String>) -> Self {
        self.config.platform_version = Some(version.into());
        self
    }

    /// The capacity to ask for, in order; Fargate on demand otherwise.
    pub fn capacity(mut self, options: impl IntoIterator<Item = CapacityOption>) -> Self {
        self.config.capacity = options.into_iter().collect();
        self
    }

    /// Tags for every task, at most 7: a job may bring 40 and longhaul adds 3.
    pub fn tags<K: Into<String>, V: Into<String>>(
        mut self,
        tags: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.config.tags = tags
            .into_iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        self
    }

    /// Whether tasks also get the task definition's tags; not otherwise.
    pub fn propagate_tags(mut self, propagate: bool) -> Self {
        self.config.propagate_tags = propagate;
        self
    }

    /// Whether tasks also get ECS's own tags; not otherwise.
    pub fn managed_tags(mut self, managed: bool) -> Self {
        self.config.managed_tags = managed;
        self
    }

    /// Where the containers' logs are; statuses carry no link otherwise.
    pub fn logs(mut self, group: impl Into<String>, stream_prefix: impl Into<String>) -> Self {
        self.config.logs = Some(LogLocation {
            group: group.into(),
            stream_prefix: stream_prefix.into(),
        });
        self
    }
}
