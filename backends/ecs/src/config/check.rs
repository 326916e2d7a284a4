//! The rules that a configuration must keep, each told by the variable that breaks it.

use std::collections::BTreeSet;

use super::error::Problems;
use super::{ConfigErrors, EcsConfig, EcsConfigBuilder, variables};
use crate::tags::{self, MAX_CONFIGURED_TAGS};

/// The most subnets of a task (ECS API, `AwsVpcConfiguration`).
const MAX_SUBNETS: usize = 16;
/// The most security groups of a task (ECS API, `AwsVpcConfiguration`).
const MAX_SECURITY_GROUPS: usize = 5;
/// The longest name of a cluster, family or container (ECS API).
const MAX_NAME: usize = 255;

impl EcsConfigBuilder {
    /// Checks everything and takes it.
    ///
    /// # Errors
    ///
    /// All values that are missing, wrong or contradict each other, told by the environment
    /// variables that [`EcsConfig::from_env`] would read them from.
    pub fn build(self) -> Result<EcsConfig, ConfigErrors> {
        self.finish(Problems::default())
    }

    /// Adds what is wrong with the values to what was wrong with reading them.
    pub(super) fn finish(self, mut problems: Problems) -> Result<EcsConfig, ConfigErrors> {
        let config = self.config;
        check_cluster(&config.cluster, &mut problems);
        check_task_definition(&config.task_definition, &mut problems);
        check_one_place(&config, &mut problems);
        if !is_name(&config.container) {
            problems.add(
                variables::CONTAINER,
                format!("is not a container's name: {:?}", config.container),
            );
        }
        check_ids(
            variables::SUBNETS,
            "subnet-",
            &config.subnets,
            MAX_SUBNETS,
            &mut problems,
        );
        check_ids(
            variables::SECURITY_GROUPS,
            "sg-",
            &config.security_groups,
            MAX_SECURITY_GROUPS,
            &mut problems,
        );
        if let Some(version) = &config.platform_version
            && !is_platform_version(version)
        {
            problems.add(
                variables::PLATFORM_VERSION,
                format!(
                    "is not a Fargate platform version: {version:?}; use LATEST or such as 1.4.0"
                ),
            );
        }
        let distinct: BTreeSet<_> = config.capacity.iter().map(|o| o.as_str()).collect();
        if config.capacity.is_empty() || distinct.len() < config.capacity.len() {
            problems.add(
                variables::CAPACITY,
                "must name FARGATE, FARGATE_SPOT or both in order, each once",
            );
        }
        check_tags(&config, &mut problems);
        check_logs(&config, &mut problems);
        problems.finish().map(|()| config)
    }
}

fn check_cluster(cluster: &str, problems: &mut Problems) {
    if cluster.is_empty() {
        problems.add(
            variables::CLUSTER,
            "is missing: name the cluster to start tasks in",
        );
    } else if !is_name(arn_resource(cluster, "cluster").unwrap_or(cluster)) {
        problems.add(
            variables::CLUSTER,
            format!("is neither a cluster's name nor its ARN: {cluster:?}"),
        );
    }
}

fn check_task_definition(definition: &str, problems: &mut Problems) {
    let resource = arn_resource(definition, "task-definition").unwrap_or(definition);
    let (family, revision) = match resource.split_once(':') {
        Some((family, revision)) => (family, Some(revision)),
        None => (resource, None),
    };
    if definition.is_empty() {
        problems.add(
            variables::TASK_DEFINITION,
            "is missing: name the task definition of the worker, as family or family:revision",
        );
    } else if !is_name(family) || revision.is_some_and(|r| r.parse::<u32>().is_err()) {
        problems.add(
            variables::TASK_DEFINITION,
            format!("is neither family, family:revision nor an ARN: {definition:?}"),
        );
    }
}

/// A cluster and a task definition that both say where they are must be in one place.
fn check_one_place(config: &EcsConfig, problems: &mut Problems) {
    let place = |arn: &str| -> Option<String> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        (parts.len() == 6 && parts[0] == "arn").then(|| parts[1..5].join(":"))
    };
    if let (Some(cluster), Some(definition)) =
        (place(&config.cluster), place(&config.task_definition))
        && cluster != definition
    {
        problems.add(
            variables::TASK_DEFINITION,
            format!(
                "is in another region or account ({definition}) than {} ({cluster})",
                variables::CLUSTER
            ),
        );
    }
}

fn check_ids(
    variable: &'static str,
    prefix: &str,
    ids: &[String],
    most: usize,
    problems: &mut Problems,
) {
    if ids.is_empty() {
        problems.add(
            variable,
            format!("is missing: name 1 to {most} of them, separated by commas"),
        );
    }
    if ids.len() > most {
        problems.add(
            variable,
            format!("names {}, and ECS takes at most {most}", ids.len()),
        );
    }
    let mut seen = BTreeSet::new();
    for id in ids {
        let rest = id.strip_prefix(prefix).unwrap_or_default();
        if rest.is_empty() || !rest.bytes().all(|b| b.is_ascii_alphanumeric()) {
            problems.add(variable, format!("holds {id:?}: ids begin with `{prefix}`"));
        } else if !seen.insert(id) {
            problems.add(variable, format!("names {id} twice"));
        }
    }
}

fn check_tags(config: &EcsConfig, problems: &mut Problems) {
    if config.tags.len() > MAX_CONFIGURED_TAGS {
        problems.add(
            variables::TAGS,
            format!(
                "has {} tags, at most {MAX_CONFIGURED_TAGS} are left beside those of jobs and longhaul's own",
                config.tags.len()
            ),
        );
    }
    for (key, value) in &config.tags {
        if let Err(problem) = tags::check(key, value) {
            problems.add(variables::TAGS, format!("has a tag {key:?} that {problem}"));
        }
    }
}

fn check_logs(config: &EcsConfig, problems: &mut Problems) {
    let Some(logs) = &config.logs else { return };
    let pairs = [
        (
            variables::LOG_GROUP,
            &logs.group,
            variables::LOG_STREAM_PREFIX,
        ),
        (
            variables::LOG_STREAM_PREFIX,
            &logs.stream_prefix,
            variables::LOG_GROUP,
        ),
    ];
    for (variable, value, other) in pairs {
        if value.is_empty() {
            problems.add(
                variable,
                format!("is missing, and {other} is set: the link to the logs needs both"),
            );
        } else if value.chars().any(char::is_control) {
            problems.add(variable, "holds a control character");
        }
    }
}

/// What stands behind `kind/` in an ARN of ECS.
fn arn_resource<'a>(text: &'a str, kind: &str) -> Option<&'a str> {
    let mut parts = text.splitn(6, ':');
    let is_arn = parts.next() == Some("arn") && parts.nth(1) == Some("ecs");
    let resource = parts.nth(2)?;
    is_arn
        .then(|| resource.strip_prefix(kind)?.strip_prefix('/'))
        .flatten()
}

/// Letters, digits, `-` and `_`, 1 to 255 of them: the name of a cluster, family or container.
fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn is_platform_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    text == "LATEST" || (parts.len() == 3 && parts.iter().all(|part| part.parse::<u16>().is_ok()))
}
