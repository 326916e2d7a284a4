//! Many jobs at once: a concurrency limit, a completion rule, results in input order.

mod chained;
mod group;
mod outcome;
mod plan;
pub(crate) mod read;
mod report;
mod rule;
mod stop;
mod tally;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use longhaul_core::{CallbackResult, JobName, JobSpec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::durable::fan_out::{Side, side_by_side};
use crate::durable::{DurableContext, DurableError};
use crate::error::{RunError, full_message};
use crate::operations;
use crate::runner::JobRunner;
use group::Group;
use rule::Count;
use tally::Tally;

pub use chained::{ChainedOptions, FailedPart, MAX_PARTS, PartEnd, PartsFailed};
pub use outcome::JobEnd;
pub use plan::MAX_JOBS;
pub use report::{FanOutReport, NotMet};
pub use rule::Completion;

/// How [`JobRunner::run_all`] runs its jobs.
///
/// ```
/// use longhaul_lambda::{Completion, RunAllOptions};
///
/// let options = RunAllOptions::new()
///     .at_once(8)
///     .completion(Completion::Tolerate { failures: 2 });
/// let json = r#"{"at_once":8,"completion":{"tolerate":{"failures":2}}}"#;
/// assert_eq!(serde_json::from_str::<RunAllOptions>(json).unwrap(), options);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RunAllOptions {
    /// What the fan-out is called in the execution's history. `jobs` by default. Stable: another
    /// name breaks running executions.
    pub name: JobName,
    /// How many jobs run at once, from 1. 32 by default. Of more than 866 jobs no more than half
    /// run at once, whatever this is: a few share a context, for an execution can have no more
    /// than 3,000 operations.
    pub at_once: usize,
    /// When it is over. [`Completion::All`] by default.
    pub completion: Completion,
}

impl RunAllOptions {
    /// How many jobs run at once where nobody says.
    pub const DEFAULT_AT_ONCE: usize = 32;

    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            name: JobName::from_text("jobs"),
            at_once: Self::DEFAULT_AT_ONCE,
            completion: Completion::All,
        }
    }

    /// The same with this name.
    #[must_use]
    pub fn name(mut self, name: JobName) -> Self {
        self.name = name;
        self
    }

    /// The same with so many jobs at once.
    #[must_use]
    pub fn at_once(mut self, jobs: usize) -> Self {
        self.at_once = jobs;
        self
    }

    /// The same with this completion rule.
    #[must_use]
    pub fn completion(mut self, rule: Completion) -> Self {
        self.completion = rule;
        self
    }
}

impl Default for RunAllOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Why jobs could not be run together at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunAllError {
    /// A job can never run. Nothing was started.
    #[error("job number {index} (from 0) cannot run")]
    InvalidJob {
        /// Which, from 0.
        index: usize,
        /// Why.
        source: Box<RunError>,
    },
    /// The options make no sense for these jobs. Nothing was started.
    #[error("the options cannot be used: {problem}")]
    InvalidOptions {
        /// What is wrong and what to do.
        problem: String,
    },
    /// The jobs do not fit into one execution. Nothing was started.
    #[error(
        "{jobs} jobs are more than the {MAX_JOBS} that fit into one execution: run them in several, with \
         JobRunner::run_all_chained"
    )]
    TooMany {
        /// How many.
        jobs: usize,
    },
    /// A job is too large for the event of a chained execution. Nothing was started.
    #[error(
        "job `{job}`, number {index} (from 0), takes {bytes} bytes, and a chained execution is given less than a million: \
         put its input where the job can read it"
    )]
    TooLarge {
        /// Which, from 0.
        index: usize,
        /// Its name.
        job: JobName,
        /// How many bytes its spec takes as JSON.
        bytes: usize,
    },
    /// Parts of the jobs have no report, so it is not known what became of their jobs.
    #[error(transparent)]
    Parts(Box<PartsFailed>),
    /// The durable service or the SDK failed.
    #[error("the durable execution cannot go on")]
    Durable(#[source] DurableError),
}

impl RunAllError {
    /// The `ErrorType` of an execution that fails with this error.
    #[must_use]
    pub fn error_type(&self) -> &str {
        match self {
            Self::InvalidJob { source, .. } => source.error_type(),
            Self::InvalidOptions { .. } => "Longhaul.InvalidOptions",
            Self::TooMany { .. } => "Longhaul.TooManyJobs",
            Self::TooLarge { .. } => "Longhaul.JobTooLarge",
            Self::Parts(_) => "Longhaul.PartsFailed",
            Self::Durable(_) => "Longhaul.Durable",
        }
    }

    /// The `ErrorMessage` of an execution that fails with this error.
    #[must_use]
    pub fn error_message(&self) -> String {
        full_message(self)
    }
}

impl JobRunner {
    /// Runs `jobs`, some of them at once, until all have ended or the completion rule is decided,
    /// and reads their results as `T`s. Jobs may share a name.
    ///
    /// When it ends early, every job of the *execution* that is still running is stopped before
    /// this returns: they are found by the execution's id, so also those that this process knows
    /// nothing of. A job of the same execution that was started beside this call is stopped with
    /// them. Jobs that have not started never do.
    ///
    /// A job that succeeds costs two operations and its context a third; at most
    /// [`MAX_JOBS`] fit into one execution, with room for about 130 other attempts. More run with
    /// [`run_all_chained`](Self::run_all_chained). Set
    /// checkpoint batching on (handlers that are served by this crate do).
    ///
    /// Results that are larger than 32 KiB go to the payload store, where there is one: an
    /// execution cannot hold more than 100 MB in all.
    ///
    /// ```no_run
    /// use longhaul_core::JobSpec;
    /// use longhaul_lambda::{Completion, DurableContext, JobRunner, RunAllError, RunAllOptions};
    ///
    /// async fn sizes(ctx: DurableContext, runner: JobRunner, jobs: Vec<JobSpec>) -> Result<u64, RunAllError> {
    ///     let options = RunAllOptions::new().at_once(8).completion(Completion::Tolerate { failures: 3 });
    ///     let report = runner.run_all::<u64>(&ctx, jobs, options).await?;
    ///     Ok(report.results().map(|(_, size)| size).sum())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RunAllError`] when nothing was started, or the durable service failed. That jobs failed,
    /// or that the rule was not met, is no error but stands in the report:
    /// [`FanOutReport::into_results`] makes one of it. A result that is no `T` makes its job a
    /// failed one in the report, but the rule was applied before it was read.
    pub async fn run_all<T: DeserializeOwned>(
        &self,
        ctx: &DurableContext,
        jobs: Vec<JobSpec>,
        options: RunAllOptions,
    ) -> Result<FanOutReport<T>, RunAllError> {
        let report = self.run_all_unread(ctx, jobs, options).await?;
        Ok(self.read_all(report).await)
    }

    /// Like [`run_all`](Self::run_all), but leaves results that are in the payload store there.
    ///
    /// # Errors
    ///
    /// Those of [`run_all`](Self::run_all).
    pub async fn run_all_unread(
        &self,
        ctx: &DurableContext,
        jobs: Vec<JobSpec>,
        options: RunAllOptions,
    ) -> Result<FanOutReport<CallbackResult>, RunAllError> {
        let count = Count::of(jobs.len());
        self.run_counted(ctx, jobs, options, count).await
    }

    /// Runs jobs that are a part of more: `before` is what there is in all, and what has ended in
    /// other executions.
    pub(crate) async fn run_counted(
        &self,
        ctx: &DurableContext,
        jobs: Vec<JobSpec>,
        options: RunAllOptions,
        before: Count,
    ) -> Result<FanOutReport<CallbackResult>, RunAllError> {
        if jobs.len() > MAX_JOBS {
            return Err(RunAllError::TooMany { jobs: jobs.len() });
        }
        self.check_all(&jobs, &options, before.jobs)?;
        let all = jobs.len();
        let jobs: Vec<Arc<JobSpec>> = jobs.into_iter().map(Arc::new).collect();
        let tally = Arc::new(Tally::new(options.completion, all, before));
        let group = Arc::new(Group::new(self.clone(), jobs, Arc::clone(&tally)));
        let side = Side {
            name: operations::fan_out(&options.name),
            parts: group.plan().groups(),
            at_once: options.at_once,
        };
        let (plan, name) = (group.plan(), options.name.clone());
        let named = move |part| {
            let jobs = plan.group(part);
            operations::group(&name, jobs.start, jobs.end.saturating_sub(1))
        };
        let told = Arc::clone(&tally);
        let body = Arc::clone(&group);
        let parts = side_by_side(
            ctx,
            side,
            named,
            move |outcome| told.recorded(outcome),
            move |ctx, part| {
                let group = Arc::clone(&body);
                async move { group.run(&ctx, part).await }
            },
        )
        .await
        .map_err(RunAllError::Durable)?;

        let ended = parts.outcomes.into_iter().flat_map(|group| group.jobs);
        let ended = ended.collect();
        let (stopped, unstopped) = if parts.ended_early {
            let rest = self.stop_rest(ctx, &options.name, group.jobs(), &tally);
            let rest = rest.await.map_err(RunAllError::Durable)?;
            (rest.stopped, rest.problem)
        } else {
            (Vec::new(), None)
        };
        let ends = report::in_order(all, ended, stopped);
        let mut report = FanOutReport::new(ends, options.completion);
        report.ended_early = parts.ended_early;
        report.unstopped = unstopped;
        Ok(report)
    }

    /// Whether the jobs can run at all. `all` is how many the rule is for.
    pub(crate) fn check_all(
        &self,
        jobs: &[JobSpec],
        options: &RunAllOptions,
        all: usize,
    ) -> Result<(), RunAllError> {
        if options.at_once == 0 {
            return Err(RunAllError::InvalidOptions {
                problem: "no jobs at once is none at all: use 1 or more".to_owned(),
            });
        }
        if let Some(problem) = options.completion.problem(all) {
            return Err(RunAllError::InvalidOptions { problem });
        }
        for (index, job) in jobs.iter().enumerate() {
            self.check(job).map_err(|error| RunAllError::InvalidJob {
                index,
                source: Box::new(error),
            })?;
        }
        Ok(())
    }
}
