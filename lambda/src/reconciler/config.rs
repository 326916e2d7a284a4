//! The reconciler's configuration, from environment variables.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;

use super::told::JobEvents;
use super::{LambdaCallbacks, Reconciler};
use crate::config::{BackendConfig, ConfigError, read_backends, runner};
use crate::durable::BoxError;

/// The longest grace: an invocation is at most 15 minutes, and usually has much less.
const LONGEST_GRACE: Duration = Duration::from_secs(120);

/// The reconciler's configuration.
///
/// | variable | meaning |
/// | --- | --- |
/// | `LONGHAUL_BACKEND` | the backends, as the handler has them: `ecs`, `batch` or both, separated by commas. Required |
/// | `LONGHAUL_FUNCTION` | the handler's ARN without a version. Executions of other functions are ignored; without it none is |
/// | `LONGHAUL_RECONCILER_GRACE` | how long a word that may be under way is waited for, `0s` to `2m`; `30s` by default. The function's own timeout must be longer by a minute |
/// | `LONGHAUL_LOG` | what is logged: a level (`off`, `error`, `warn`, `info`, `debug`, `trace`), `info` by default, or levels by target: `longhaul_lambda=debug,warn` |
///
/// and each backend's own variables, with the handler's values.
#[derive(Debug, Clone)]
pub struct ReconcilerConfig {
    backends: Vec<BackendConfig>,
    function: Option<String>,
    grace: Duration,
}

impl ReconcilerConfig {
    /// Reads the process's environment.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is missing, unknown or contradictory.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads variables from `get`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is missing, unknown or contradictory.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let get = |name: &str| get(name).filter(|value| !value.trim().is_empty());
        let mut problems = Vec::new();
        let backends = read_backends(&get, &mut problems);
        let function = get("LONGHAUL_FUNCTION");
        if let Some(text) = &function
            && !is_function(text)
        {
            problems.push(format!(
                "LONGHAUL_FUNCTION is {text:?}: write the handler's ARN without a version or alias, arn:aws:lambda:REGION:ACCOUNT:function:NAME"
            ));
        }
        let grace = match get("LONGHAUL_RECONCILER_GRACE") {
            None => Reconciler::DEFAULT_GRACE,
            Some(text) => match humantime::parse_duration(text.trim()) {
                Ok(grace) if grace <= LONGEST_GRACE => grace,
                _ => {
                    problems.push(format!(
                        "LONGHAUL_RECONCILER_GRACE is {text:?}: write it as 30s, from 0s to 2m"
                    ));
                    Reconciler::DEFAULT_GRACE
                }
            },
        };
        if problems.is_empty() {
            Ok(Self {
                backends,
                function,
                grace,
            })
        } else {
            Err(ConfigError::new("the reconciler", problems))
        }
    }

    /// Builds the backends, the client of the callback API and the reconciler.
    ///
    /// # Errors
    ///
    /// When a backend cannot be built.
    pub fn build(self, sdk: &SdkConfig) -> Result<Reconciler, BoxError> {
        let platforms: Vec<_> = self.backends.iter().filter_map(events).collect();
        let runner = runner(self.backends, sdk, None)?;
        let mut reconciler = Reconciler::new(runner, Arc::new(LambdaCallbacks::from_sdk(sdk)))
            .with_grace(self.grace);
        for platform in platforms {
            reconciler = reconciler.with_events(platform);
        }
        if let Some(function) = self.function {
            reconciler = reconciler.with_function(function);
        }
        Ok(reconciler)
    }
}

/// What reads the events of a backend's platform, where it sends some.
fn events(config: &BackendConfig) -> Option<Arc<dyn JobEvents>> {
    match *config {
        #[cfg(feature = "process")]
        BackendConfig::Process(_) => None,
        #[cfg(feature = "ecs")]
        BackendConfig::Ecs(ref config) => Some(Arc::new(super::EcsEvents::new(config.clone()))),
        #[cfg(feature = "batch")]
        BackendConfig::Batch(ref config) => Some(Arc::new(super::BatchEvents::new(config.clone()))),
    }
}

/// Whether the text is the ARN of a function without a qualifier.
fn is_function(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let [scheme, partition, service, region, account, resource, name] = parts.as_slice() else {
        return false;
    };
    (*scheme, *service, *resource) == ("arn", "lambda", "function")
        && [partition, region, account, name]
            .iter()
            .all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<ReconcilerConfig, ConfigError> {
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        ReconcilerConfig::read(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let error = read(&[
            ("LONGHAUL_BACKEND", "mainframe"),
            ("LONGHAUL_FUNCTION", "handler"),
            ("LONGHAUL_RECONCILER_GRACE", "3h"),
        ])
        .unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("the configuration of the reconciler is wrong\n"));
        for variable in [
            "LONGHAUL_BACKEND",
            "LONGHAUL_FUNCTION",
            "LONGHAUL_RECONCILER_GRACE",
        ] {
            assert!(text.contains(variable), "{text}");
        }
        assert_eq!(error.problems().len(), 3);
        let error = read(&[]).unwrap_err();
        assert!(error.to_string().contains("LONGHAUL_BACKEND is not set"));
    }

    #[test]
    fn a_function_is_named_by_its_arn_without_a_version() {
        let function = "arn:aws:lambda:eu-west-1:123456789012:function:handler";
        assert!(is_function(function));
        for text in [
            "handler",
            "arn:aws:lambda:eu-west-1:123456789012:function:handler:prod",
            "arn:aws:lambda:eu-west-1:123456789012:function:",
            "arn:aws:ecs:eu-west-1:123456789012:function:handler",
        ] {
            assert!(!is_function(text), "{text}");
        }
    }

    #[cfg(all(feature = "ecs", feature = "batch"))]
    #[test]
    fn every_variable_is_read_and_the_backends_variables_are_the_handlers() {
        let variables = [
            ("LONGHAUL_BACKEND", "ecs,batch"),
            ("ECS_CLUSTER", "jobs"),
            ("ECS_TASK_DEFINITION", "worker"),
            ("ECS_SUBNETS", "subnet-1"),
            ("ECS_SECURITY_GROUPS", "sg-1"),
            ("BATCH_JOB_QUEUE", "jobs"),
            ("BATCH_JOB_DEFINITION", "worker"),
        ];
        let plain = read(&variables).unwrap();
        assert_eq!(
            (plain.function, plain.grace),
            (None, Duration::from_secs(30))
        );
        let sdk = SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .build();
        let reconciler = ReconcilerConfig {
            function: Some("f".to_owned()),
            ..read(&variables).unwrap()
        }
        .build(&sdk)
        .unwrap();
        let sources: Vec<_> = reconciler.platforms.iter().map(|p| p.source()).collect();
        assert_eq!(sources, ["aws.ecs", "aws.batch"]);
        assert_eq!(reconciler.function.as_deref(), Some("f"));

        let function = "arn:aws:lambda:eu-west-1:123456789012:function:handler";
        let more = [
            ("LONGHAUL_FUNCTION", function),
            ("LONGHAUL_RECONCILER_GRACE", " 0s "),
        ];
        let full = read(&[&variables[..], &more].concat()).unwrap();
        assert_eq!(full.function.as_deref(), Some(function));
        assert_eq!(full.grace, Duration::ZERO);

        let missing = read(&[("LONGHAUL_BACKEND", "ecs,batch")]).unwrap_err();
        for variable in ["ECS_CLUSTER", "ECS_SUBNETS", "BATCH_JOB_QUEUE"] {
            assert!(missing.to_string().contains(variable), "{missing}");
        }
    }
}
