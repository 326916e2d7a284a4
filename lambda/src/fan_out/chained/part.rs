//! The event of a part and the answer to it.

use std::ops::Range;
use std::sync::Arc;

use longhaul_core::{CallbackResult, ExecutionId, JobSpec, PayloadUri};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::read::{unkept, unwritten};
use super::super::rule::Count;
use super::super::{FanOutReport, RunAllOptions};
use super::split::Job;
use crate::ExecutionError;
use crate::durable::DurableContext;
use crate::durable::chained::Event;
use crate::error::full_message;
use crate::runner::JobRunner;
use crate::stored::{self, MAX_EXECUTION_RESULT};

/// The member that only the event of a part has.
const PART: &str = "longhaul_part";

/// The largest report, in bytes, that is returned itself where there is a payload store. The
/// execution that waits for it loads it on every replay, and holds no more than 100 MB.
const RETURNED_REPORT: usize = 256 * 1024;

/// What an answer has beside its report, in bytes at most.
const BESIDE: usize = 256;

/// A part: `{"longhaul_part": …}` around this.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// Its jobs, in order.
    jobs: Vec<Alike>,
    options: RunAllOptions,
    /// How many jobs there are in all, and how those of the parts before this one ended.
    before: Count,
}

/// Jobs in a row that differ in nothing but their input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alike {
    job: JobSpec,
    inputs: Vec<Value>,
}

impl Part {
    fn new(jobs: &[Job], options: RunAllOptions, before: Count) -> Self {
        let mut alike: Vec<Alike> = Vec::new();
        for job in jobs {
            match alike.last_mut() {
                Some(last) if last.job == job.spec => last.inputs.push(job.input.clone()),
                _ => alike.push(Alike {
                    job: job.spec.clone(),
                    inputs: vec![job.input.clone()],
                }),
            }
        }
        Self {
            jobs: alike,
            options,
            before,
        }
    }

    /// Writes the event of the part that `mine` is of `jobs`.
    pub(super) fn event_of(
        jobs: &Arc<Vec<Job>>,
        mine: Range<usize>,
        options: &RunAllOptions,
        before: Count,
    ) -> Event {
        let (jobs, options) = (Arc::clone(jobs), options.clone());
        Box::new(move || {
            let mine = jobs.get(mine).unwrap_or_default();
            Self::new(mine, options, before).event()
        })
    }

    fn event(&self) -> Result<String, serde_json::Error> {
        let mut event = Map::new();
        event.insert(PART.to_owned(), serde_json::to_value(self)?);
        serde_json::to_string(&event)
    }

    /// The part that `event` asks for, where it asks for one.
    pub(super) fn of(event: &Value) -> Result<Option<Self>, ExecutionError> {
        let Some(asked) = event.get(PART) else {
            return Ok(None);
        };
        serde_path_to_error::deserialize(asked)
            .map(Some)
            .map_err(|error| {
                ExecutionError::new(
                    "Longhaul.InvalidEvent",
                    format!(
                        "the event is a part of many jobs and cannot be read, at `{PART}.{}`: {}",
                        error.path(),
                        error.inner()
                    ),
                )
            })
    }

    pub(super) fn into_jobs(self) -> (Vec<JobSpec>, RunAllOptions, Count) {
        let jobs = self.jobs.into_iter().flat_map(|alike| {
            let Alike { job, inputs } = alike;
            inputs
                .into_iter()
                .map(move |input| job.clone().with_input(input))
        });
        (jobs.collect(), self.options, self.before)
    }
}

/// What a part returns.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    /// How many of its jobs succeeded.
    pub(super) succeeded: usize,
    /// How many of them failed.
    pub(super) failed: usize,
    /// What became of them, where it is not
    #[serde(default)]
    report: Option<FanOutReport<CallbackResult>>,
    /// in the payload store, there.
    #[serde(default)]
    longhaul_payload: Option<PayloadUri>,
}

/// The same as it is written.
#[derive(Serialize)]
struct Written<'a> {
    succeeded: usize,
    failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    longhaul_payload: Option<PayloadUri>,
}

impl Answer {
    /// Reads the answer of a part with so many jobs.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub(super) fn read(text: &str, jobs: usize) -> Result<Self, String> {
        let answer: Self = serde_json::from_str(text).map_err(|error| {
            format!(
                "{error}; the function must answer the events of parts with JobRunner::run_part"
            )
        })?;
        if answer.succeeded + answer.failed > jobs {
            return Err(format!("it counts more than its {jobs} jobs"));
        }
        match (&answer.report, &answer.longhaul_payload) {
            (Some(report), None) => of_all(report, jobs)?,
            (None, Some(_)) => {}
            _ => return Err("it has no report, or two".to_owned()),
        }
        Ok(answer)
    }

    /// The report, from the payload store where it is there.
    ///
    /// # Errors
    ///
    /// Why there is none, in words.
    pub(super) async fn report(
        self,
        runner: &JobRunner,
        jobs: usize,
    ) -> Result<FanOutReport<CallbackResult>, String> {
        let uri = match (self.report, self.longhaul_payload) {
            (Some(report), _) => return Ok(report),
            (None, Some(uri)) => uri,
            (None, None) => return Err("it has no report".to_owned()),
        };
        let text = stored::read(runner.setup.store.as_deref(), &uri).await;
        let text = text.map_err(|error| error.full_message())?;
        let report = serde_json::from_str(&text).map_err(|error| full_message(&error))?;
        of_all(&report, jobs)?;
        Ok(report)
    }
}

fn of_all(report: &FanOutReport<CallbackResult>, jobs: usize) -> Result<(), String> {
    if report.jobs.len() == jobs {
        return Ok(());
    }
    let told = report.jobs.len();
    Err(format!(
        "its report tells of {told} jobs, and it has {jobs}"
    ))
}

impl JobRunner {
    /// Runs a part, and returns the answer.
    pub(super) async fn answer_part(
        &self,
        ctx: &DurableContext,
        part: Part,
    ) -> Result<Value, ExecutionError> {
        let (jobs, options, before) = part.into_jobs();
        let report = self.run_counted(ctx, jobs, options, before).await?;
        let text = serde_json::value::to_raw_value(&report).map_err(unwritten)?;
        let stored = self.keep_report(ctx, text.get()).await?;
        let answer = Written {
            succeeded: report.succeeded(),
            failed: report.failed(),
            report: stored.is_none().then_some(&*text),
            longhaul_payload: stored,
        };
        serde_json::to_value(answer).map_err(unwritten)
    }

    /// Puts a report into the payload store where it is large. `None` where it is returned itself.
    async fn keep_report(
        &self,
        ctx: &DurableContext,
        report: &str,
    ) -> Result<Option<PayloadUri>, ExecutionError> {
        let fits = report.len() + BESIDE <= MAX_EXECUTION_RESULT;
        if fits && (report.len() <= RETURNED_REPORT || self.setup.store.is_none()) {
            return Ok(None);
        }
        let execution = ExecutionId::from_arn(ctx.execution_arn());
        match self.put_report(execution, report).await {
            Ok(stored) => Ok(Some(stored.longhaul_payload)),
            Err(error) if fits => {
                tracing::warn!(
                    error = %error.full_message(),
                    "a large report is returned itself, for it cannot be put into the payload store"
                );
                Ok(None)
            }
            Err(error) => Err(unkept(&error)),
        }
    }
}
