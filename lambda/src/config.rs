//! The handler's configuration, from environment variables.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `LONGHAUL_BACKEND` | `process`, `ecs` or `batch`; or several, separated by commas: the first is the default, and a job may name any of them. Required |
//! | `LONGHAUL_JOB` | the job that an event which is no job spec is the input of: a job spec, JSON. Without it such an event is an error |
//! | `LONGHAUL_HEARTBEAT` | how long a worker may be silent where its job does not say, as in `90s`; `0s` is for ever. Default: 30 s for `process`, 5 min for `ecs`, none for `batch`, whose jobs may wait in the queue for hours |
//! | `LONGHAUL_PAYLOAD_STORE` | where inputs and results go that are too large to travel inline: `s3://bucket/prefix` or `file:///folder`, which the workers must be able to reach too. Without it, or with `none`, they are refused |
//! | `LONGHAUL_METRICS` | the namespace under which jobs are counted and measured, in lines of CloudWatch's embedded metric format on standard output; needs the feature `metrics`. Without it, or with `none`, nothing is written |
//! | `LONGHAUL_LOG` | what is logged: a level (`off`, `error`, `warn`, `info`, `debug`, `trace`), `info` by default, or levels by target: `longhaul_lambda=debug,warn` |
//!
//! and each enabled backend's own variables.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use longhaul_core::{ComputeBackend, JobSpec, PayloadStore, contract};

use crate::JobRunner;
use crate::durable::BoxError;
use crate::handler::Handler;

/// The backends that were compiled in.
const COMPILED: &[&str] = &[
    #[cfg(feature = "process")]
    "process",
    #[cfg(feature = "ecs")]
    "ecs",
    #[cfg(feature = "batch")]
    "batch",
];

/// What is wrong with a configuration: every problem, not only the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    of: &'static str,
    problems: Vec<String>,
}

impl ConfigError {
    /// What is wrong with the configuration `of` something, such as `the handler`.
    pub(crate) fn new(of: &'static str, problems: Vec<String>) -> Self {
        Self { of, problems }
    }

    /// The problems, a sentence each.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration of {} is wrong", self.of)?;
        for problem in &self.problems {
            write!(f, "\n  - {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One backend's configuration.
#[derive(Debug, Clone)]
pub(crate) enum BackendConfig {
    #[cfg(feature = "process")]
    Process(longhaul_process::ProcessConfig),
    #[cfg(feature = "ecs")]
    Ecs(longhaul_ecs::EcsConfig),
    #[cfg(feature = "batch")]
    Batch(longhaul_batch::BatchConfig),
}

/// The handler's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    backends: Vec<BackendConfig>,
    job: Option<JobSpec>,
    heartbeat: Option<Duration>,
    payload_store: Option<Arc<dyn PayloadStore>>,
    #[cfg(feature = "metrics")]
    metrics: Option<crate::metrics::Metrics>,
}

impl Config {
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
        let job = get("LONGHAUL_JOB").and_then(|text| match job(&text) {
            Ok(job) => Some(job),
            Err(problem) => {
                problems.push(format!("LONGHAUL_JOB is not a job spec: {problem}"));
                None
            }
        });
        let heartbeat =
            get("LONGHAUL_HEARTBEAT").and_then(|text| match humantime::parse_duration(&text) {
                Ok(duration) if duration.subsec_nanos() == 0 => Some(duration),
                Ok(_) => {
                    problems.push(format!("LONGHAUL_HEARTBEAT is {text:?}: use whole seconds"));
                    None
                }
                Err(error) => {
                    problems.push(format!(
                        "LONGHAUL_HEARTBEAT is {text:?} ({error}): write it as 90s, 15m or 0s"
                    ));
                    None
                }
            });
        let payload_store =
            get(contract::PAYLOAD_STORE).and_then(|url| match payload_store(url.trim()) {
                Ok(store) => store,
                Err(problem) => {
                    problems.push(format!("{} is wrong: {problem}", contract::PAYLOAD_STORE));
                    None
                }
            });
        let metrics = get("LONGHAUL_METRICS").filter(|namespace| namespace != "none");
        let metrics = metrics.and_then(|namespace| match metrics_in(&namespace) {
            Ok(metrics) => Some(metrics),
            Err(problem) => {
                problems.push(format!("LONGHAUL_METRICS is wrong: {problem}"));
                None
            }
        });
        let _ = &metrics; // not every set of features needs it
        if problems.is_empty() {
            Ok(Self {
                backends,
                job,
                heartbeat,
                payload_store,
                #[cfg(feature = "metrics")]
                metrics,
            })
        } else {
            Err(ConfigError::new("the handler", problems))
        }
    }

    /// Builds the backends and the handler.
    ///
    /// # Errors
    ///
    /// When a backend cannot be built: a folder that cannot be made, for instance.
    pub fn build(self, sdk: &aws_config::SdkConfig) -> Result<Handler, BoxError> {
        let mut runner = runner(self.backends, sdk, self.heartbeat)?;
        if let Some(store) = self.payload_store {
            runner = runner.with_payload_store(store);
        }
        #[cfg(feature = "metrics")]
        if let Some(metrics) = self.metrics {
            runner = runner.with_metrics(metrics);
        }
        Ok(Handler::new(runner, self.job))
    }
}

#[cfg(feature = "metrics")]
fn metrics_in(namespace: &str) -> Result<crate::metrics::Metrics, String> {
    crate::metrics::Metrics::new(namespace).map_err(|error| error.to_string())
}

#[cfg(not(feature = "metrics"))]
fn metrics_in(namespace: &str) -> Result<(), String> {
    Err(format!(
        "{namespace} needs a program that was built with metrics: build longhaul-lambda with the feature `metrics`"
    ))
}

/// Opens the payload store, unless it is `none`: a folder is made, S3 is not asked yet.
fn payload_store(url: &str) -> Result<Option<Arc<dyn PayloadStore>>, String> {
    match url {
        "none" => Ok(None),
        url => open(url).map(Some),
    }
}

#[cfg(feature = "payload")]
fn open(url: &str) -> Result<Arc<dyn PayloadStore>, String> {
    if url.starts_with("memory:") {
        return Err(format!(
            "{url} is the memory of this process, which no worker can reach: use s3://bucket/prefix or file:///folder"
        ));
    }
    // Also where another crate of the same build has S3: what this function can do must not
    // depend on what it happens to be built with.
    if cfg!(not(feature = "s3")) && url.starts_with("s3:") {
        return Err(format!(
            "{url} is on S3, which this program was built without: build longhaul-lambda with the feature `s3`"
        ));
    }
    longhaul_payload::open(url).map_err(|error| error.full_message())
}

#[cfg(not(feature = "payload"))]
fn open(url: &str) -> Result<Arc<dyn PayloadStore>, String> {
    Err(format!(
        "{url} cannot be used, for this program was built without a payload store: build longhaul-lambda with the \
         feature `payload`, or `s3` for S3"
    ))
}

/// The backends that `LONGHAUL_BACKEND` names, in its order. What is wrong with them is added to
/// `problems`.
pub(crate) fn read_backends(
    get: &impl Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) -> Vec<BackendConfig> {
    let mut backends = Vec::new();
    for name in names(get("LONGHAUL_BACKEND"), problems) {
        match backend(&name, get) {
            Ok(config) => backends.push(config),
            Err(found) => problems.extend(found),
        }
    }
    backends
}

/// A runner over the backends, of which the first is the default. `heartbeat` replaces the
/// backends' own defaults; zero is none.
pub(crate) fn runner(
    backends: Vec<BackendConfig>,
    sdk: &aws_config::SdkConfig,
    heartbeat: Option<Duration>,
) -> Result<JobRunner, BoxError> {
    let mut runner: Option<JobRunner> = None;
    for config in backends {
        let (backend, default) = config.build(sdk)?;
        let heartbeat = heartbeat.map_or(default, |h| (!h.is_zero()).then_some(h));
        runner = Some(
            runner
                .unwrap_or_else(|| JobRunner::new(Arc::clone(&backend)))
                .with_backend(backend, heartbeat),
        );
    }
    Ok(runner.ok_or("no backend is configured")?)
}

fn names(value: Option<String>, problems: &mut Vec<String>) -> Vec<String> {
    let allowed = COMPILED.join(", ");
    let Some(value) = value else {
        problems.push(format!(
            "LONGHAUL_BACKEND is not set: name the backend that runs the jobs ({allowed})"
        ));
        return Vec::new();
    };
    let mut names = Vec::new();
    for name in value.split(',').map(str::trim) {
        if !COMPILED.contains(&name) {
            problems.push(format!(
                "LONGHAUL_BACKEND names {name:?}, which this build does not have (it has: {allowed})"
            ));
        } else if names.iter().any(|n| n == name) {
            problems.push(format!("LONGHAUL_BACKEND names {name} twice"));
        } else {
            names.push(name.to_owned());
        }
    }
    names
}

fn job(text: &str) -> Result<JobSpec, String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let job: JobSpec = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| crate::error::full_message(&error))?;
    reader.end().map_err(|error| error.to_string())?;
    job.validate().map_err(|error| error.to_string())?;
    Ok(job)
}

fn backend(
    name: &str,
    get: &impl Fn(&str) -> Option<String>,
) -> Result<BackendConfig, Vec<String>> {
    let _ = get; // not every set of features needs it
    match name {
        #[cfg(feature = "process")]
        "process" => longhaul_process::ProcessConfig::from_env(get)
            .map(BackendConfig::Process)
            .map_err(|errors| errors.problems.iter().map(ToString::to_string).collect()),
        #[cfg(feature = "ecs")]
        "ecs" => longhaul_ecs::EcsConfig::from_env(get)
            .map(BackendConfig::Ecs)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect()),
        #[cfg(feature = "batch")]
        "batch" => longhaul_batch::BatchConfig::from_env(get)
            .map(BackendConfig::Batch)
            .map_err(|errors| errors.problems().to_vec()),
        other => Err(vec![format!("backend {other:?} was not compiled in")]),
    }
}

impl BackendConfig {
    /// The backend, and how long its workers may be silent by default.
    fn build(
        self,
        sdk: &aws_config::SdkConfig,
    ) -> Result<(Arc<dyn ComputeBackend>, Option<Duration>), BoxError> {
        let _ = sdk; // not every set of features needs it
        match self {
            #[cfg(feature = "process")]
            Self::Process(config) => Ok((
                Arc::new(longhaul_process::ProcessBackend::new(config)),
                Some(Duration::from_secs(30)),
            )),
            #[cfg(feature = "ecs")]
            Self::Ecs(config) => Ok((
                Arc::new(longhaul_ecs::EcsBackend::from_sdk(config, sdk)),
                Some(Duration::from_secs(300)),
            )),
            #[cfg(feature = "batch")]
            Self::Batch(config) => Ok((
                Arc::new(longhaul_batch::BatchBackend::from_sdk(config, sdk)),
                longhaul_batch::DEFAULT_HEARTBEAT,
            )),
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
