//! A job that is about to start: a spec with its execution, attempt and start key.

use std::time::Duration;

use serde_json::Value;

use crate::{CallbackToken, ExecutionId, JobName, JobSpec, StartKey, WorkerEnvironment, contract};

/// A spec together with what makes it one attempt of one execution.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    spec: JobSpec,
    execution: ExecutionId,
    attempt: u32,
    start_key: StartKey,
    heartbeat: Option<Duration>,
    input_uri: Option<String>,
    payload_store: Option<String>,
}

impl Job {
    /// Attempt number `attempt` (from 1) of `spec` in `execution`, to be started with `token`.
    /// Its heartbeat timeout is the spec's; see [`with_heartbeat`](Self::with_heartbeat).
    #[must_use]
    pub fn new(spec: JobSpec, execution: ExecutionId, attempt: u32, token: &CallbackToken) -> Self {
        let heartbeat = spec.heartbeat.filter(|h| !h.is_zero());
        Self {
            spec,
            execution,
            attempt,
            start_key: token.start_key(),
            heartbeat,
            input_uri: None,
            payload_store: None,
        }
    }

    /// The same job with the heartbeat timeout that its callback really has; `None` is none.
    #[must_use]
    pub fn with_heartbeat(mut self, heartbeat: Option<Duration>) -> Self {
        self.heartbeat = heartbeat.filter(|h| !h.is_zero());
        self
    }

    /// The spec.
    #[must_use]
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// The job's name.
    #[must_use]
    pub fn name(&self) -> &JobName {
        &self.spec.name
    }

    /// The execution that the job belongs to.
    #[must_use]
    pub fn execution(&self) -> &ExecutionId {
        &self.execution
    }

    /// The number of the attempt, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The idempotency key of the start.
    #[must_use]
    pub fn start_key(&self) -> &StartKey {
        &self.start_key
    }

    /// How long the worker may be silent before the durable service gives it up.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Duration> {
        self.heartbeat
    }

    /// The input.
    #[must_use]
    pub fn input(&self) -> &Value {
        &self.spec.input
    }

    /// The same job with its input by reference: `uri` names it in the payload store.
    #[must_use]
    pub fn with_input_uri(mut self, uri: impl Into<String>) -> Self {
        self.input_uri = Some(uri.into());
        self
    }

    /// Where the input is in the payload store, when it does not travel inline.
    #[must_use]
    pub fn input_uri(&self) -> Option<&str> {
        self.input_uri.as_deref()
    }

    /// The same job with the base of the payload store, where its worker puts a result that does
    /// not travel inline.
    #[must_use]
    pub fn with_payload_store(mut self, base: impl Into<String>) -> Self {
        self.payload_store = Some(base.into());
        self
    }

    /// The base of the payload store, when there is one.
    #[must_use]
    pub fn payload_store(&self) -> Option<&str> {
        self.payload_store.as_deref()
    }

    /// The environment of the worker: every variable of the worker contract (see
    /// [`contract`](crate::contract)), the scalars of the input, and the spec's own variables,
    /// which win over the scalars. It holds the token.
    #[must_use]
    pub fn environment(&self, token: &CallbackToken) -> WorkerEnvironment {
        let mut variables = contract::input_variables(&self.spec.input);
        if self.input_uri.is_some() {
            variables.retain(|_, value| value.len() <= contract::MAX_REFERENCED_SCALAR);
        }
        variables.extend(
            self.spec
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        let seconds = |d: Duration| d.as_secs().to_string();
        let input = match &self.input_uri {
            Some(uri) => (contract::INPUT_URI, uri.clone()),
            None => (contract::INPUT, self.spec.input.to_string()),
        };
        for (name, value) in [
            input,
            (contract::CALLBACK_ID, token.expose().to_owned()),
            (
                contract::HEARTBEAT_SECONDS,
                seconds(self.heartbeat.unwrap_or_default()),
            ),
            (contract::TIMEOUT_SECONDS, seconds(self.spec.timeout)),
            (contract::JOB_NAME, self.spec.name.to_string()),
            (contract::EXECUTION_ID, self.execution.to_string()),
            (contract::ATTEMPT, self.attempt.to_string()),
            (contract::START_KEY, self.start_key.to_string()),
        ] {
            variables.insert(name.to_owned(), value);
        }
        if let Some(base) = &self.payload_store {
            variables.insert(contract::PAYLOAD_STORE.to_owned(), base.clone());
        }
        WorkerEnvironment::new(variables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(json: &str) -> (Job, CallbackToken) {
        let token = CallbackToken::new("dG9rZW4=").unwrap();
        let spec: JobSpec = serde_json::from_str(json).unwrap();
        let job = Job::new(spec, ExecutionId::from_arn("arn"), 2, &token);
        (job, token)
    }

    #[test]
    fn the_environment_keeps_the_worker_contract() {
        let (job, token) = job(
            r#"{"name":"hello","input":{"message":"hi","processingTime":8},"timeout":"1h","heartbeat":"30s","environment":{"A":"b"}}"#,
        );
        let environment = job.environment(&token);
        let get = |name: &str| environment.get(name).unwrap_or("(absent)").to_owned();
        assert_eq!(get("CALLBACK_ID"), "dG9rZW4=");
        assert_eq!(
            get("LONGHAUL_INPUT"),
            r#"{"message":"hi","processingTime":8}"#
        );
        assert_eq!(get("LONGHAUL_HEARTBEAT_SECONDS"), "30");
        assert_eq!(get("LONGHAUL_TIMEOUT_SECONDS"), "3600");
        assert_eq!(get("LONGHAUL_JOB_NAME"), "hello");
        assert_eq!(get("LONGHAUL_EXECUTION_ID"), job.execution().as_str());
        assert_eq!(get("LONGHAUL_ATTEMPT"), "2");
        assert_eq!(get("LONGHAUL_START_KEY"), token.start_key().as_str());
        assert_eq!(get("MESSAGE"), "hi");
        assert_eq!(get("PROCESSING_TIME"), "8");
        assert_eq!(get("A"), "b");
    }

    #[test]
    fn a_variable_of_the_spec_wins_over_a_scalar_of_the_input() {
        let (job, token) =
            job(r#"{"name":"a","input":{"mode":"slow"},"environment":{"MODE":"fast"}}"#);
        assert_eq!(job.environment(&token).get("MODE"), Some("fast"));
    }

    #[test]
    fn no_heartbeat_is_0_seconds() {
        let (job, token) = job(r#"{"name":"a","heartbeat":"0s"}"#);
        assert_eq!(job.heartbeat(), None);
        assert_eq!(
            job.environment(&token).get("LONGHAUL_HEARTBEAT_SECONDS"),
            Some("0")
        );
    }

    #[test]
    fn an_input_by_reference_leaves_only_its_short_scalars() {
        let long = "x".repeat(257);
        let (job, token) = job(&format!(
            r#"{{"name":"a","input":{{"short":"s","long":"{long}"}}}}"#
        ));
        let environment = job.with_input_uri("file:///in").environment(&token);
        assert_eq!(environment.get("LONGHAUL_INPUT_URI"), Some("file:///in"));
        assert_eq!(environment.get("LONGHAUL_INPUT"), None);
        assert_eq!(environment.get("SHORT"), Some("s"));
        assert_eq!(environment.get("LONG"), None);
    }

    #[test]
    fn the_worker_learns_of_the_payload_store_where_there_is_one() {
        let (job, token) = job(r#"{"name":"a"}"#);
        assert_eq!(job.environment(&token).get("LONGHAUL_PAYLOAD_STORE"), None);
        let environment = job.with_payload_store("s3://b/p").environment(&token);
        assert_eq!(environment.get("LONGHAUL_PAYLOAD_STORE"), Some("s3://b/p"));
    }

    #[test]
    fn neither_a_job_nor_its_environment_shows_the_token() {
        let (job, token) = job(r#"{"name":"a"}"#);
        let text = format!("{job:?} {:?}", job.environment(&token));
        assert!(!text.contains(token.expose()), "{text}");
    }
}
