//! Reads the events of AWS Batch: a job has ended.

use longhaul_batch::{BatchConfig, JobFacts, TWIN_REASON, job_status, parse_job_name};
use longhaul_core::contract::CALLBACK_ID;
use longhaul_core::{FailureClass, JobFailure, JobHandle};
use serde::Deserialize;
use serde_json::Value;

use super::error::{Malformed, read};
use super::owner::{Owner, is_configured, owner, unrevised};
use super::told::{EndedJob, JobEvents, Told};

/// Reads `Batch Job State Change` (AWS Batch User Guide, "Job state change events").
///
/// A job is ours if it is in the configured queue, of the configured job definition in any
/// revision, named as longhaul names jobs, and carries the callback token whose start key is in
/// the name.
#[derive(Debug, Clone)]
pub struct BatchEvents {
    config: BatchConfig,
}

impl BatchEvents {
    /// Reads the events of the jobs that a backend with `config` submits.
    #[must_use]
    pub fn new(config: BatchConfig) -> Self {
        Self { config }
    }
}

/// What tells whether the event matters.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    job_id: String,
    job_name: String,
    job_queue: String,
    job_definition: String,
    status: String,
}

/// The variables of the job, which [`JobFacts`] leaves behind. Has no `Debug`: one of them is
/// the token.
#[derive(Deserialize)]
struct Variables {
    #[serde(default)]
    container: Option<Container>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    environment: Option<Vec<Variable>>,
}

#[derive(Deserialize)]
struct Variable {
    name: Option<String>,
    value: Option<String>,
}

impl Variables {
    fn get(self, name: &str) -> Option<String> {
        let variables = self.container?.environment?;
        let found = variables
            .into_iter()
            .find(|variable| variable.name.as_deref() == Some(name));
        found?.value
    }
}

impl JobEvents for BatchEvents {
    fn source(&self) -> &'static str {
        "aws.batch"
    }

    fn detail_type(&self) -> &'static str {
        "Batch Job State Change"
    }

    fn read(&self, detail: Value) -> Result<Told, Malformed> {
        let head: Head = read("detail", detail.clone())?;
        let job = JobHandle::new(longhaul_batch::NAME, head.job_id);
        if !matches!(head.status.as_str(), "SUCCEEDED" | "FAILED") {
            return Ok(Told::Nothing(format!("job {job} has not ended yet")));
        }
        if !is_configured(&self.config.job_queue, &head.job_queue) {
            return Ok(Told::Nothing(format!("job {job} is in another queue")));
        }
        if unrevised(&self.config.job_definition) != unrevised(&head.job_definition) {
            return Ok(Told::Nothing(format!(
                "job {job} is of another job definition"
            )));
        }
        let Some((execution, start_key)) = parse_job_name(&head.job_name) else {
            return Ok(Told::Nothing(format!(
                "job {job} is not ours: its name says so"
            )));
        };
        let facts: JobFacts = read("detail", detail.clone())?;
        if facts.status_reason.as_deref() == Some(TWIN_REASON) {
            return Ok(Told::Nothing(format!(
                "job {job} was the second of one start, and the first runs on"
            )));
        }
        let variables: Variables = read("detail", detail)?;
        let callback_id = variables.get(CALLBACK_ID);
        let token = match owner(&job, callback_id.as_deref(), Some(start_key.as_str()))? {
            Owner::Us(token) => token,
            Owner::SomebodyElse(why) => {
                return Ok(Told::Nothing(format!("job {job} is not ours: {why}")));
            }
        };
        let status = job_status(&facts, &self.config.log_group);
        Ok(Told::Ended(Box::new(EndedJob {
            job,
            execution: Some(execution),
            token,
            failure: status
                .failure
                .unwrap_or_else(|| JobFailure::new(FailureClass::Lost)),
            ended_at: status.ended_at,
        })))
    }
}
