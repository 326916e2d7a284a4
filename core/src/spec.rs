//! The description of a job, as it stands in a job file.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration::{optional_text, text};
use crate::{JobName, RetryPolicy};

mod check;

/// One unit of work. Fields other than these are refused when it is read.
///
/// ```
/// use longhaul_core::JobSpec;
///
/// let spec: JobSpec = serde_json::from_str(r#"{
///     "name": "render",
///     "command": ["render", "--quality", "high"],
///     "input": {"scene": "s3://scenes/7"},
///     "resources": {"vcpus": 2, "memory_mib": 4096},
///     "timeout": "1h 30m",
///     "heartbeat": "60s"
/// }"#).unwrap();
/// spec.validate().unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct JobSpec {
    /// What the job is called in logs, tags and operation names.
    pub name: JobName,
    /// The program and its arguments, with no shell in between. Absent: the command that the
    /// container image or task definition names; the process backend has none and needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// More environment variables. Names are letters, digits and `_`, not a digit first;
    /// `CALLBACK_ID` and `LONGHAUL_…` are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The directory to run in, for local processes. Container backends refuse it: there the
    /// image decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Any JSON. The job finds it in `LONGHAUL_INPUT`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// What the job needs of its machine.
    #[serde(default, skip_serializing_if = "Resources::is_default")]
    pub resources: Resources,
    /// How long the job may take over all its attempts and the waits between them: whole seconds,
    /// 1 s to 366 days. Absent, the default: as long as its attempts take. It ends a running attempt as
    /// its timeout would, with [`DeadlineExceeded`](crate::FailureClass::DeadlineExceeded), and
    /// an attempt that could not begin before it is not made. The first attempt is given so much from the moment
    /// its callback is created; for those that follow it counts from when the first start was
    /// answered, which is recorded.
    #[serde(
        default,
        with = "optional_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub deadline: Option<Duration>,
    /// How long one attempt may take, from the moment its callback is created: 1 s to 366 days.
    /// 23 hours by default, so that explaining and cancelling still fit in an execution of a day.
    #[serde(default = "default_timeout", with = "text")]
    pub timeout: Duration,
    /// How long the worker may be silent: whole seconds, less than the timeout; `0s` is for ever.
    /// Absent: the runner's default for the backend.
    #[serde(
        default,
        with = "optional_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub heartbeat: Option<Duration>,
    /// When a failed attempt is followed by another one.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// The backend to run on, one of those that the handler has enabled. Absent: its default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// More tags for the platform, at most 40.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

fn default_timeout() -> Duration {
    JobSpec::DEFAULT_TIMEOUT
}

/// What a job needs of its machine. What is absent is left to the platform's definition. Local
/// processes take what the machine has, whatever stands here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Resources {
    /// Virtual processors, more than 0, such as 0.25 or 4. Fargate and Batch take some sizes only, and
    /// only together with some of memory: a backend refuses the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<f64>,
    /// Memory in MiB, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// Scratch disk in GiB, from 1. Fargate has 20 without it, and 200 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage_gib: Option<u32>,
    /// How many GPUs. Fargate has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
}

impl Resources {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A spec that can never run, and why. The message names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
#[non_exhaustive]
pub struct InvalidSpec {
    /// The field, as in `environment.PATH`.
    pub field: String,
    /// What is wrong with it and what to do.
    pub problem: String,
}

impl InvalidSpec {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

impl JobSpec {
    /// How long one attempt may take when the spec does not say.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(23 * 3600);

    /// The longest timeout: 366 days, the longest life of an execution
    /// (Lambda API, `DurableConfig.ExecutionTimeout`).
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(31_622_400);

    /// A job with a name and defaults for everything else.
    #[must_use]
    pub fn new(name: JobName) -> Self {
        Self {
            name,
            command: None,
            environment: BTreeMap::new(),
            working_directory: None,
            input: Value::Null,
            resources: Resources::default(),
            deadline: None,
            timeout: Self::DEFAULT_TIMEOUT,
            heartbeat: None,
            retry: RetryPolicy::default(),
            backend: None,
            tags: BTreeMap::new(),
        }
    }

    /// The same job with this command.
    #[must_use]
    pub fn with_command<I, S>(mut self, command: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.command = Some(command.into_iter().map(Into::into).collect());
        self
    }

    /// The same job with this input.
    #[must_use]
    pub fn with_input(mut self, input: impl Into<Value>) -> Self {
        self.input = input.into();
        self
    }

    /// The same job with this input, anything that can be written as JSON.
    ///
    /// ```
    /// use longhaul_core::{JobName, JobSpec};
    /// use serde::Serialize;
    ///
    /// #[derive(Serialize)]
    /// struct Scene {
    ///     frames: u32,
    /// }
    ///
    /// let job = JobSpec::new(JobName::from_text("render")).with_json_input(&Scene { frames: 7 })?;
    /// assert_eq!(job.input["frames"], 7);
    /// # Ok::<(), longhaul_core::InvalidSpec>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidSpec`] for field `input` when it cannot: a map whose keys are no text, say.
    pub fn with_json_input<T: Serialize + ?Sized>(self, input: &T) -> Result<Self, InvalidSpec> {
        match serde_json::to_value(input) {
            Ok(input) => Ok(self.with_input(input)),
            Err(error) => Err(InvalidSpec::new(
                "input",
                format!("cannot be written as JSON: {error}"),
            )),
        }
    }

    /// The same job with this deadline for all its attempts together.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The same job with this timeout for each of its attempts.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same job with this heartbeat timeout.
    #[must_use]
    pub fn with_heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = Some(heartbeat);
        self
    }

    /// The same job with this retry policy.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> Result<JobSpec, String> {
        let spec: JobSpec = serde_json::from_str(json).map_err(|e| e.to_string())?;
        spec.validate().map_err(|e| e.to_string())?;
        Ok(spec)
    }

    #[test]
    fn a_name_is_enough() {
        let spec = spec(r#"{"name":"a"}"#).unwrap();
        assert_eq!(spec, JobSpec::new(JobName::new("a").unwrap()));
    }

    #[test]
    fn a_written_spec_reads_back() {
        let spec = spec(
            r#"{"name":"a","command":["x","ü"],"environment":{"A":"1"},"input":{"k":[1,"\u0000"]},
                "resources":{"vcpus":0.25,"memory_mib":512},"timeout":"1h 30m","heartbeat":"90s",
                "retry":{"attempts":5,"on":["Lost","Interrupted"],"backoff":"1s","max_backoff":"1m"},
                "backend":"ecs","tags":{"team":"render"}}"#,
        )
        .unwrap();
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<JobSpec>(&json).unwrap(), spec);
    }
}
