//! Reads the configuration from environment variables.

use super::error::Problems;
use super::{CapacityOption, ConfigErrors, EcsConfig, variables};

impl EcsConfig {
    /// Reads the configuration from the [`variables`], which `lookup` knows by name.
    ///
    /// An empty value is a missing value. `std::env::var(name).ok()` looks in the process's own
    /// environment.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use longhaul_ecs::EcsConfig;
    ///
    /// let environment = HashMap::from([
    ///     ("ECS_CLUSTER", "jobs"),
    ///     ("ECS_TASK_DEFINITION", "render:7"),
    ///     ("ECS_SUBNETS", "subnet-0a1b2c3d,subnet-4e5f6a7b"),
    /// ]);
    /// let error = EcsConfig::from_env(|name| environment.get(name).map(|v| (*v).to_owned()))
    ///     .expect_err("no security group");
    /// assert!(error.to_string().contains("ECS_SECURITY_GROUP"));
    /// ```
    ///
    /// # Errors
    ///
    /// All variables that are missing, wrong or contradict each other.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let environment = Environment { lookup };
        let mut problems = Problems::default();
        let text = |name| environment.text(name);
        let mut builder = Self::builder(
            text(variables::CLUSTER).unwrap_or_default(),
            text(variables::TASK_DEFINITION).unwrap_or_default(),
        )
        .subnets(environment.list(variables::SUBNETS))
        .security_groups(environment.security_groups(&mut problems))
        .assign_public_ip(environment.switch(variables::ASSIGN_PUBLIC_IP, &mut problems))
        .tags(environment.tags(&mut problems))
        .propagate_tags(environment.propagation(&mut problems))
        .managed_tags(environment.switch(variables::MANAGED_TAGS, &mut problems));
        if let Some(container) = text(variables::CONTAINER) {
            builder = builder.container(container);
        }
        if let Some(version) = text(variables::PLATFORM_VERSION) {
            builder = builder.platform_version(version);
        }
        if let Some(options) = environment.capacity(&mut problems) {
            builder = builder.capacity(options);
        }
        let (group, prefix) = (
            text(variables::LOG_GROUP),
            text(variables::LOG_STREAM_PREFIX),
        );
        if group.is_some() || prefix.is_some() {
            builder = builder.logs(group.unwrap_or_default(), prefix.unwrap_or_default());
        }
        builder.finish(problems)
    }
}

/// Environment variables, by name.
struct Environment<F> {
    lookup: F,
}

impl<F: Fn(&str) -> Option<String>> Environment<F> {
    /// The value without the space around it, unless nothing is left.
    fn text(&self, name: &str) -> Option<String> {
        let value = (self.lookup)(name)?.trim().to_owned();
        (!value.is_empty()).then_some(value)
    }

    /// The parts between commas, without the space around them and without empty ones.
    fn list(&self, name: &str) -> Vec<String> {
        let value = self.text(name).unwrap_or_default();
        let parts = value.split(',').map(str::trim);
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The groups of either variable; both may stand there if they say the same.
    fn security_groups(&self, problems: &mut Problems) -> Vec<String> {
        let (one, many) = (
            self.list(variables::SECURITY_GROUP),
            self.list(variables::SECURITY_GROUPS),
        );
        if !one.is_empty() && !many.is_empty() && one != many {
            problems.add(
                variables::SECURITY_GROUP,
                format!(
                    "contradicts {}: set one of them only",
                    variables::SECURITY_GROUPS
                ),
            );
        }
        if many.is_empty() { one } else { many }
    }

    fn switch(&self, name: &'static str, problems: &mut Problems) -> bool {
        let Some(value) = self.text(name) else {
            return false;
        };
        match value.to_ascii_lowercase().as_str() {
            "true" | "enabled" => true,
            "false" | "disabled" => false,
            _ => {
                problems.add(name, format!("is {value:?}: use true or false"));
                false
            }
        }
    }

    fn propagation(&self, problems: &mut Problems) -> bool {
        match self.text(variables::PROPAGATE_TAGS).as_deref() {
            None | Some("NONE") => false,
            Some("TASK_DEFINITION") => true,
            Some(other) => {
                problems.add(
                    variables::PROPAGATE_TAGS,
                    format!("is {other:?}: use TASK_DEFINITION or NONE"),
                );
                false
            }
        }
    }

    fn capacity(&self, problems: &mut Problems) -> Option<Vec<CapacityOption>> {
        self.text(variables::CAPACITY)?;
        let mut options = Vec::new();
        for name in self.list(variables::CAPACITY) {
            match name.as_str() {
                "FARGATE" => options.push(CapacityOption::Fargate),
                "FARGATE_SPOT" => options.push(CapacityOption::FargateSpot),
                _ => {
                    problems.add(
                        variables::CAPACITY,
                        format!("holds {name:?}: use FARGATE and FARGATE_SPOT"),
                    );
                    return None;
                }
            }
        }
        Some(options)
    }

    fn tags(&self, problems: &mut Problems) -> Vec<(String, String)> {
        let mut tags: Vec<(String, String)> = Vec::new();
        for part in self.list(variables::TAGS) {
            match part.split_once('=') {
                Some((key, _)) if tags.iter().any(|(own, _)| own == key.trim()) => {
                    problems.add(variables::TAGS, format!("has the tag {key:?} twice"));
                }
                Some((key, value)) => tags.push((key.trim().to_owned(), value.trim().to_owned())),
                None => problems.add(
                    variables::TAGS,
                    format!("holds {part:?}: write tags as key=value,key=value"),
                ),
            }
        }
        tags
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::LogLocation;

    const LEAST: [(&str, &str); 4] = [
        ("ECS_CLUSTER", "jobs"),
        ("ECS_TASK_DEFINITION", "render"),
        ("ECS_SUBNETS", "subnet-1, subnet-2,"),
        ("ECS_SECURITY_GROUP", "sg-1"),
    ];

    fn read(more: &[(&str, &str)]) -> Result<EcsConfig, ConfigErrors> {
        let mut environment = BTreeMap::from(LEAST);
        environment.extend(more.iter().copied());
        EcsConfig::from_env(|name| environment.get(name).map(|v| (*v).to_owned()))
    }

    /// The variables of the errors, with the whole message.
    fn errors(more: &[(&str, &str)]) -> (Vec<&'static str>, String) {
        let errors = read(more).unwrap_err();
        (
            errors.iter().map(|e| e.variable).collect(),
            errors.to_string(),
        )
    }

    #[test]
    fn the_variables_of_the_original_sample_are_enough() {
        let config = read(&[]).unwrap();
        let expected = EcsConfig::builder("jobs", "render")
            .subnets(["subnet-1", "subnet-2"])
            .security_groups(["sg-1"])
            .build()
            .unwrap();
        assert_eq!(config, expected);
        assert_eq!(config.container(), "worker");
        assert_eq!(config.capacity(), [CapacityOption::Fargate]);
        assert!(!config.assign_public_ip());
    }

    #[test]
    fn every_variable_is_read() {
        let config = read(&[
            (
                "ECS_CLUSTER",
                "arn:aws:ecs:eu-west-1:123456789012:cluster/jobs",
            ),
            (
                "ECS_TASK_DEFINITION",
                "arn:aws:ecs:eu-west-1:123456789012:task-definition/render:7",
            ),
            ("ECS_CONTAINER", "app"),
            ("ECS_SECURITY_GROUP", ""),
            ("ECS_SECURITY_GROUPS", "sg-1,sg-2"),
            ("ECS_ASSIGN_PUBLIC_IP", "ENABLED"),
            ("ECS_PLATFORM_VERSION", "1.4.0"),
            ("ECS_CAPACITY", "FARGATE_SPOT, FARGATE"),
            ("ECS_TAGS", "team=render, cost-centre=a=b"),
            ("ECS_PROPAGATE_TAGS", "TASK_DEFINITION"),
            ("ECS_MANAGED_TAGS", "true"),
            ("ECS_LOG_GROUP", "/ecs/render"),
            ("ECS_LOG_STREAM_PREFIX", "jobs"),
        ])
        .unwrap();
        assert_eq!(config.container(), "app");
        assert_eq!(config.security_groups(), ["sg-1", "sg-2"]);
        assert!(config.assign_public_ip() && config.propagate_tags() && config.managed_tags());
        assert_eq!(config.platform_version(), Some("1.4.0"));
        assert_eq!(
            config.capacity(),
            [CapacityOption::FargateSpot, CapacityOption::Fargate]
        );
        let tags = BTreeMap::from([
            ("team".to_owned(), "render".to_owned()),
            ("cost-centre".to_owned(), "a=b".to_owned()),
        ]);
        assert_eq!(config.tags(), &tags);
        let logs = LogLocation {
            group: "/ecs/render".to_owned(),
            stream_prefix: "jobs".to_owned(),
        };
        assert_eq!(config.logs(), Some(&logs));
    }

    #[test]
    fn everything_that_is_missing_is_told_at_once() {
        let errors = EcsConfig::from_env(|_| None).unwrap_err();
        let variables: Vec<_> = errors.iter().map(|e| e.variable).collect();
        assert_eq!(
            variables,
            [
                "ECS_CLUSTER",
                "ECS_TASK_DEFINITION",
                "ECS_SUBNETS",
                "ECS_SECURITY_GROUPS"
            ]
        );
        let text = errors.to_string();
        assert!(
            text.starts_with("the ECS backend is not configured: ECS_CLUSTER is missing"),
            "{text}"
        );
    }

    #[test]
    fn what_is_wrong_is_told_by_its_variable() {
        let many = (1..=17)
            .map(|n| format!("subnet-{n}"))
            .collect::<Vec<_>>()
            .join(",");
        let tags = (0..8)
            .map(|n| format!("k{n}=v"))
            .collect::<Vec<_>>()
            .join(",");
        for (variable, value, part) in [
            ("ECS_CLUSTER", "my jobs", "\"my jobs\""),
            (
                "ECS_CLUSTER",
                "arn:aws:ecs:eu-west-1:1:service/jobs",
                "neither",
            ),
            ("ECS_TASK_DEFINITION", "render:latest", "family:revision"),
            ("ECS_CONTAINER", "a/b", "not a container's name"),
            ("ECS_SUBNETS", "sub-1", "begin with `subnet-`"),
            ("ECS_SUBNETS", "subnet-1,subnet-1", "twice"),
            ("ECS_SUBNETS", &many, "at most 16"),
            ("ECS_ASSIGN_PUBLIC_IP", "yes", "use true or false"),
            ("ECS_MANAGED_TAGS", "1", "use true or false"),
            ("ECS_PLATFORM_VERSION", "1.4", "LATEST"),
            ("ECS_CAPACITY", "SPOT", "FARGATE_SPOT"),
            ("ECS_CAPACITY", ",", "each once"),
            ("ECS_CAPACITY", "FARGATE,FARGATE", "each once"),
            ("ECS_TAGS", "team", "key=value"),
            ("ECS_TAGS", "team=a,team=b", "twice"),
            ("ECS_TAGS", "aws:team=a", "aws:"),
            ("ECS_TAGS", "longhaul:job=a", "longhaul:"),
            ("ECS_TAGS", &tags, "at most 7"),
            ("ECS_PROPAGATE_TAGS", "SERVICE", "TASK_DEFINITION"),
        ] {
            let (variables, text) = errors(&[(variable, value)]);
            assert_eq!(variables, [variable], "{text}");
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn what_contradicts_is_told() {
        let (variables, text) = errors(&[("ECS_SECURITY_GROUPS", "sg-2")]);
        assert_eq!(variables, ["ECS_SECURITY_GROUP"], "{text}");
        let (variables, text) = errors(&[("ECS_LOG_GROUP", "/ecs/render")]);
        assert_eq!(variables, ["ECS_LOG_STREAM_PREFIX"], "{text}");
        let (variables, text) = errors(&[("ECS_LOG_STREAM_PREFIX", "jobs")]);
        assert_eq!(variables, ["ECS_LOG_GROUP"], "{text}");
        let (variables, text) = errors(&[
            ("ECS_CLUSTER", "arn:aws:ecs:eu-west-1:1:cluster/jobs"),
            (
                "ECS_TASK_DEFINITION",
                "arn:aws:ecs:us-east-1:1:task-definition/render:7",
            ),
        ]);
        assert_eq!(variables, ["ECS_TASK_DEFINITION"], "{text}");
    }

    #[test]
    fn both_security_group_variables_may_say_the_same() {
        let config = read(&[("ECS_SECURITY_GROUPS", "sg-1")]).unwrap();
        assert_eq!(config.security_groups(), ["sg-1"]);
    }

    #[test]
    fn several_errors_are_told_together() {
        let (variables, _) = errors(&[
            ("ECS_CAPACITY", "SPOT"),
            ("ECS_SUBNETS", "x"),
            ("ECS_LOG_GROUP", "/g"),
        ]);
        assert_eq!(
            variables,
            ["ECS_CAPACITY", "ECS_SUBNETS", "ECS_LOG_STREAM_PREFIX"]
        );
    }
}
