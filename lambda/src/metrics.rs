//! Metrics as lines of CloudWatch's embedded metric format.
//!
//! A Lambda function that writes such a line to standard output has the metrics in it without a
//! call, an agent or a permission (Amazon CloudWatch user guide, “Embedding metrics within logs”).
//! That they arrive was not tried on AWS; the lines are checked against the specification's rules
//! (“Specification: Embedded metric format”).
//!
//! | metric | unit | when it is written |
//! | --- | --- | --- |
//! | `JobsStarted` | count | the platform has accepted an attempt |
//! | `JobsSucceeded` | count | an attempt has a result |
//! | `JobsFailed` | count | an attempt has none, or did not start; also by `Class` |
//! | `QueueTime` | milliseconds | with either end: from the accepted start to the beginning of the job's own work |
//! | `RunTime` | milliseconds | with either end: how long that work took |
//! | `CallbackDeliveryTime` | milliseconds | with either end: from the end of that work to the handler's first sight of it: storing a large result, delivering the report, waking the function |
//!
//! Dimensions are `Job` and `Backend`, and for failures `Class` as well: a
//! [class](longhaul_core::FailureClass) or `NotStarted`. `ExecutionId`, `Attempt` and `Handle` stand
//! beside them, to be searched for, and never the callback token. Times are there where they are
//! known: see [`JobReport`](crate::JobReport).
//!
//! Every attempt is counted once, and not when it is replayed; twice at worst, where an invocation
//! is killed between the counting and what it records next. No durable operation is needed for it.

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use longhaul_core::{ExecutionId, JobFailure, JobHandle, JobTimes};
use serde_json::{Map, Value, json};

use crate::JobRunner;
use crate::told::{Teller, Which};

/// Where metrics go, and under which name.
///
/// ```
/// # use std::sync::Arc;
/// use longhaul_core::MockComputeBackend;
/// use longhaul_lambda::JobRunner;
/// use longhaul_lambda::metrics::Metrics;
///
/// # let mut backend = MockComputeBackend::new();
/// # backend.expect_name().return_const("mock".to_owned());
/// let runner = JobRunner::new(Arc::new(backend)).with_metrics(Metrics::new("Renderer/Jobs")?);
/// # Ok::<(), longhaul_lambda::metrics::InvalidNamespace>(())
/// ```
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    namespace: String,
    write: Box<dyn Fn(&str) + Send + Sync>,
}

/// Text that cannot be a namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{namespace:?} is no namespace for metrics: use 1 to 255 letters, digits and . - _ / # :, and not AWS/ at the beginning"
)]
pub struct InvalidNamespace {
    namespace: String,
}

impl Metrics {
    /// Metrics in `namespace`, written to standard output: 1 to 255 letters, digits and
    /// `. - _ / # :`, not `AWS/` at the beginning.
    ///
    /// # Errors
    ///
    /// [`InvalidNamespace`].
    pub fn new(namespace: &str) -> Result<Self, InvalidNamespace> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_/#:".contains(c);
        let length = (1..=255).contains(&namespace.len());
        let reserved = namespace.starts_with("AWS/") || namespace.starts_with(':');
        if !length || reserved || !namespace.chars().all(allowed) {
            return Err(InvalidNamespace {
                namespace: namespace.to_owned(),
            });
        }
        Ok(Self(Arc::new(Inner {
            namespace: namespace.to_owned(),
            write: Box::new(|line| {
                // One call a line, so that lines of several threads do not mix.
                let line = format!("{line}\n");
                let _ = std::io::stdout().lock().write_all(line.as_bytes());
            }),
        })))
    }

    /// The same metrics, handed to `write` line by line, without the line's end.
    #[must_use]
    pub fn writing_to(self, write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            namespace: self.0.namespace.clone(),
            write: Box::new(write),
        }))
    }

    pub(crate) fn started(&self, which: Which<'_>, handle: &JobHandle, now: SystemTime) {
        let mut line = Line::of(which, Some(handle));
        line.measure("JobsStarted", "Count", 1);
        self.write(line, now);
    }

    pub(crate) fn ended(&self, which: Which<'_>, ending: Ending<'_>, now: SystemTime) {
        let mut line = Line::of(which, ending.handle);
        match ending.class {
            None => line.measure("JobsSucceeded", "Count", 1),
            Some(class) => {
                line.class(class);
                line.measure("JobsFailed", "Count", 1);
            }
        }
        if let Some(times) = ending.times {
            let queued = ending.handle.and_then(|handle| times.queue_time(handle));
            if let Some(queued) = queued {
                line.measure("QueueTime", "Milliseconds", millis(queued));
            }
            line.measure("RunTime", "Milliseconds", millis(times.run_time()));
            let delivered = now.duration_since(times.ended()).unwrap_or_default();
            line.measure("CallbackDeliveryTime", "Milliseconds", millis(delivered));
        }
        self.write(line, now);
    }

    fn write(&self, line: Line, now: SystemTime) {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        let mut members = line.members;
        let about = json!({
            "Timestamp": millis(since.unwrap_or_default()),
            "CloudWatchMetrics": [{
                "Namespace": self.0.namespace,
                "Dimensions": line.dimensions,
                "Metrics": line.metrics,
            }],
        });
        members.insert("_aws".to_owned(), about);
        (self.0.write)(&Value::Object(members).to_string());
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metrics").field(&self.0.namespace).finish()
    }
}

/// How an attempt ended, as far as it is measured.
pub(crate) struct Ending<'a> {
    handle: Option<&'a JobHandle>,
    class: Option<&'a str>,
    times: Option<JobTimes>,
}

impl<'a> Ending<'a> {
    pub(crate) fn succeeded(handle: &'a JobHandle, times: Option<JobTimes>) -> Self {
        Self {
            handle: Some(handle),
            class: None,
            times,
        }
    }

    pub(crate) fn failed(handle: &'a JobHandle, failure: &JobFailure) -> Self {
        Self {
            handle: Some(handle),
            class: Some(failure.class.as_str()),
            times: failure.times,
        }
    }

    pub(crate) fn not_started() -> Self {
        Self {
            handle: None,
            class: Some("NotStarted"),
            times: None,
        }
    }
}

/// A line in the making.
struct Line {
    members: Map<String, Value>,
    dimensions: Vec<Vec<&'static str>>,
    metrics: Vec<Value>,
}

impl Line {
    fn of(which: Which<'_>, handle: Option<&JobHandle>) -> Self {
        let mut members = Map::new();
        let mut set = |name: &str, value: Value| members.insert(name.to_owned(), value);
        set("Job", which.job.to_string().into());
        set("Backend", which.backend.into());
        set(
            "ExecutionId",
            ExecutionId::from_arn(which.arn).to_string().into(),
        );
        set("Attempt", which.attempt.into());
        if let Some(handle) = handle {
            set("Handle", handle.to_string().into());
        }
        Self {
            members,
            dimensions: vec![vec!["Job", "Backend"]],
            metrics: Vec::new(),
        }
    }

    fn class(&mut self, class: &str) {
        self.members.insert("Class".to_owned(), class.into());
        self.dimensions.push(vec!["Job", "Backend", "Class"]);
    }

    fn measure(&mut self, name: &str, unit: &str, value: u64) {
        self.metrics.push(json!({"Name": name, "Unit": unit}));
        self.members.insert(name.to_owned(), value.into());
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl JobRunner {
    /// The same runner, which writes [metrics](crate::metrics).
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.setup_mut().teller = Teller::with_metrics(metrics);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_cloudwatch_would_refuse_is_refused() {
        for namespace in ["", "AWS/Lambda", ":a", "a b", "ü", &"x".repeat(256)] {
            let error = Metrics::new(namespace).unwrap_err().to_string();
            assert!(error.contains("1 to 255 letters"), "{error}");
        }
        assert!(Metrics::new("Longhaul/Jobs#1").is_ok());
    }
}
