//! What an invocation asks for: a job, or an input for the configured one.

use longhaul_core::{InvalidSpec, JobSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::RunAllOptions;

/// The member that only an event for many jobs has.
const FAN_OUT: &str = "longhaul_fan_out";

/// An event for many jobs: `{"longhaul_fan_out": …}` around this. The execution's result is a
/// [`FanOutReport`](crate::FanOutReport), written as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FanOut {
    /// The job, without its input.
    pub job: JobSpec,
    /// An input for each of the jobs.
    pub inputs: Vec<Value>,
    /// How they are run.
    #[serde(default)]
    pub options: RunAllOptions,
}

impl FanOut {
    /// The event.
    ///
    /// # Errors
    ///
    /// When it cannot be written as JSON: never, as long as its parts can.
    pub fn event(&self) -> Result<Value, serde_json::Error> {
        let mut event = Map::new();
        event.insert(FAN_OUT.to_owned(), serde_json::to_value(self)?);
        Ok(Value::Object(event))
    }

    /// The jobs.
    pub(crate) fn jobs(self) -> (Vec<JobSpec>, RunAllOptions) {
        let Self {
            job,
            inputs,
            options,
        } = self;
        let jobs = inputs
            .into_iter()
            .map(|input| job.clone().with_input(input))
            .collect();
        (jobs, options)
    }
}

/// The jobs that `event` asks for, where it asks for many.
///
/// # Errors
///
/// [`InvalidEvent`] for an event that asks for many and cannot be read.
pub fn fan_out_of(event: &Value) -> Result<Option<FanOut>, InvalidEvent> {
    let Some(asked) = event.get(FAN_OUT) else {
        return Ok(None);
    };
    match serde_path_to_error::deserialize(asked) {
        Ok(asked) => Ok(Some(asked)),
        Err(error) => Err(InvalidEvent::NotASpec {
            path: format!("{FAN_OUT}.{}", error.path()),
            source: error.into_inner(),
        }),
    }
}

/// Members that only a job spec has. An object with a `name` and one of these is meant as one.
const SPEC_MEMBERS: [&str; 11] = [
    "command",
    "environment",
    "working_directory",
    "input",
    "resources",
    "deadline",
    "timeout",
    "heartbeat",
    "retry",
    "backend",
    "tags",
];

/// An event that no job can be made of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEvent {
    /// The event is not an object.
    #[error(
        "the event is {found}, not an object: send a job spec, or the input of the configured job as an object"
    )]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// The event is a job spec, with an error at `path`.
    #[error("the event looks like a job spec, but cannot be read as one, at `{path}`")]
    NotASpec {
        /// Where.
        path: String,
        /// What is wrong there.
        source: serde_json::Error,
    },
    /// The event is a job spec that can never run.
    #[error("the event is a job spec that can never run")]
    InvalidSpec(#[source] InvalidSpec),
    /// The event is an input, and there is no job to give it to.
    #[error(
        "the event is the input of a job, but no job is configured: set LONGHAUL_JOB to a job spec, or send a job spec (an object with `name` and `command`)"
    )]
    NoJob,
}

/// The job that `event` asks for.
///
/// An object with a `name` and at least one other member of a job spec is a job spec, and must be
/// a right one. Any other object is the input of `default`.
///
/// # Errors
///
/// [`InvalidEvent`] when no job can be made of it.
pub fn job_of(event: Value, default: Option<&JobSpec>) -> Result<JobSpec, InvalidEvent> {
    let members = match event {
        Value::Object(members) => members,
        other => {
            return Err(InvalidEvent::NotAnObject {
                found: kind_of(&other),
            });
        }
    };
    if is_spec(&members) {
        let spec: JobSpec =
            serde_path_to_error::deserialize(Value::Object(members)).map_err(|error| {
                InvalidEvent::NotASpec {
                    path: error.path().to_string(),
                    source: error.into_inner(),
                }
            })?;
        spec.validate().map_err(InvalidEvent::InvalidSpec)?;
        return Ok(spec);
    }
    let default = default.ok_or(InvalidEvent::NoJob)?;
    Ok(default.clone().with_input(Value::Object(members)))
}

fn is_spec(members: &Map<String, Value>) -> bool {
    members.get("name").is_some_and(Value::is_string)
        && SPEC_MEMBERS.iter().any(|name| members.contains_key(*name))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use longhaul_core::JobName;
    use serde_json::json;

    use super::*;

    fn default() -> JobSpec {
        JobSpec::new(JobName::new("configured").unwrap()).with_command(["work"])
    }

    #[test]
    fn the_original_samples_payload_is_the_input_of_the_configured_job() {
        let event = json!({"message": "Test ECS task", "processingTime": 8});
        let job = job_of(event.clone(), Some(&default())).unwrap();
        assert_eq!(job, default().with_input(event));
    }

    #[test]
    fn a_spec_is_taken_as_it_is() {
        let job = job_of(json!({"name": "a", "command": ["x"]}), Some(&default())).unwrap();
        assert_eq!(job.name.as_str(), "a");
    }

    #[test]
    fn a_spec_with_a_mistake_is_not_taken_for_an_input() {
        let error = job_of(
            json!({"name": "a", "command": ["x"], "retry": {"atempts": 1}}),
            Some(&default()),
        )
        .unwrap_err();
        let text = crate::error::full_message(&error);
        assert!(
            text.contains("at `retry") && text.contains("atempts"),
            "{text}"
        );
        let error = job_of(json!({"name": "a", "command": []}), Some(&default())).unwrap_err();
        assert!(matches!(error, InvalidEvent::InvalidSpec(_)));
    }

    #[test]
    fn an_input_that_has_a_name_is_still_an_input() {
        let job = job_of(json!({"name": "Ada"}), Some(&default())).unwrap();
        assert_eq!(job.input, json!({"name": "Ada"}));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for event in [json!(null), json!([1]), json!("x"), json!(1), json!(true)] {
            let error = job_of(event, Some(&default())).unwrap_err();
            assert!(matches!(error, InvalidEvent::NotAnObject { .. }));
        }
    }

    #[test]
    fn an_input_without_a_configured_job_says_what_to_set() {
        let error = job_of(json!({"a": 1}), None).unwrap_err();
        assert!(error.to_string().contains("LONGHAUL_JOB"));
    }
}
