//! A job that is about to start: a spec with its execution, attempt and start key.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::{
    CallbackToken, ExecutionId, JobName, JobSpec, StartKey, TraceContext, WorkerEnvironment,
    contract,
};

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
    trace: Option<TraceContext>,
    times: bool,
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
            trace: None,
            times: false,
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

    /// The same job, whose worker is told that times are read: see
    /// [`contract::TIMES`](crate::contract::TIMES). For a caller that reads the callback's text
    /// with [`CallbackResult`](crate::CallbackResult).
    #[must_use]
    pub fn with_times(mut self) -> Self {
        self.times = true;
        self
    }

    /// The same job in this trace. It must be recorded, so that a repeated start hands over the
    /// same; a job without one has the trace of its input or of its execution.
    #[must_use]
    pub fn with_trace(mut self, trace: TraceContext) -> Self {
        self.trace = Some(trace);
        self
    }

    /// The trace that the worker is told it belongs to, unless the spec's environment tells it
    /// another: see [`contract`](crate::contract#trace-context). The same for every repetition.
    #[must_use]
    pub fn trace(&self) -> TraceContext {
        let member = |name: &str| self.spec.input.get(name).and_then(Value::as_str);
        let of_input = || {
            let trace = TraceContext::from_traceparent(member("traceparent")?)?;
            Some(trace.with_state(member("tracestate").unwrap_or_default()))
        };
        self.trace
            .clone()
            .or_else(of_input)
            .unwrap_or_else(|| TraceContext::derived(&self.execution, &self.start_key))
    }

    /// Sets the variables of the trace, in place of those that scalars of the input made.
    fn set_trace(&self, variables: &mut BTreeMap<String, String>) {
        const NAMES: [&str; 3] = [
            contract::TRACEPARENT,
            contract::TRACESTATE,
            contract::XRAY_TRACE_ID,
        ];
        let own = |name: &str| self.spec.environment.contains_key(name);
        if own(contract::TRACEPARENT) || own(contract::XRAY_TRACE_ID) {
            variables.retain(|name, _| own(name) || !NAMES.contains(&name.as_str()));
            return;
        }
        let trace = self.trace();
        let state = trace.tracestate().map(str::to_owned);
        for (name, value) in NAMES
            .into_iter()
            .zip([Some(trace.traceparent()), state, trace.xray()])
        {
            match value {
                Some(value) => variables.insert(name.to_owned(), value),
                None => variables.remove(name),
            };
        }
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
        self.set_trace(&mut variables);
        if self.times {
            variables.insert(contract::TIMES.to_owned(), "1".to_owned());
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

    const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    /// `TRACEPARENT`, `TRACESTATE` and `_X_AMZN_TRACE_ID`.
    fn trace_variables(job: &Job, token: &CallbackToken) -> [Option<String>; 3] {
        let environment = job.environment(token);
        [
            contract::TRACEPARENT,
            contract::TRACESTATE,
            contract::XRAY_TRACE_ID,
        ]
        .map(|name| environment.get(name).map(str::to_owned))
    }

    #[test]
    fn a_worker_is_told_the_same_trace_however_often_it_is_started() {
        let (job, token) = job(r#"{"name":"a"}"#);
        let (again, _) = super::tests::job(r#"{"name":"a"}"#);
        let [parent, state, xray] = trace_variables(&job, &token);
        let derived = TraceContext::derived(job.execution(), job.start_key());
        assert_eq!(parent, Some(derived.traceparent()));
        assert_eq!((state, xray), (None, None));
        assert_eq!(job.environment(&token), again.environment(&token));
    }

    #[test]
    fn the_trace_of_the_input_is_passed_on_and_a_malformed_one_is_not() {
        let (given, token) = job(&format!(
            r#"{{"name":"a","input":{{"traceparent":"{W3C}","tracestate":"rojo=1"}}}}"#
        ));
        let expected = [Some(W3C.to_owned()), Some("rojo=1".to_owned()), None];
        assert_eq!(trace_variables(&given, &token), expected);

        let (bad, token) =
            job(r#"{"name":"a","input":{"traceparent":"00-x","tracestate":"rojo=1"}}"#);
        let derived = TraceContext::derived(bad.execution(), bad.start_key());
        let expected = [Some(derived.traceparent()), None, None];
        assert_eq!(trace_variables(&bad, &token), expected);
    }

    #[test]
    fn a_recorded_trace_of_x_ray_is_told_in_both_forms() {
        let (job, token) = job(&format!(
            r#"{{"name":"a","input":{{"traceparent":"{W3C}"}}}}"#
        ));
        let job = job.with_trace(TraceContext::from_xray(XRAY).unwrap());
        let parent = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
        let expected = [Some(parent.to_owned()), None, Some(XRAY.to_owned())];
        assert_eq!(trace_variables(&job, &token), expected);
    }

    #[test]
    fn a_trace_in_the_spec_is_the_only_one_that_the_worker_is_told() {
        let (job, token) = job(&format!(
            r#"{{"name":"a","environment":{{"TRACEPARENT":"{W3C}"}},"input":{{"tracestate":"rojo=1"}}}}"#
        ));
        let job = job.with_trace(TraceContext::from_xray(XRAY).unwrap());
        let expected = [Some(W3C.to_owned()), None, None];
        assert_eq!(trace_variables(&job, &token), expected);
    }

    #[test]
    fn neither_a_job_nor_its_environment_shows_the_token() {
        let (job, token) = job(r#"{"name":"a"}"#);
        let text = format!("{job:?} {:?}", job.environment(&token));
        assert!(!text.contains(token.expose()), "{text}");
    }
}
