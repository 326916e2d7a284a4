//! More jobs than one execution can hold, in parts that are executions of their own.

mod failed;
mod part;
mod split;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use longhaul_core::{CallbackResult, JobSpec};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::rule::Count;
use super::{Completion, FanOutReport, JobEnd, MAX_JOBS, RunAllError, RunAllOptions};
use crate::durable::chained::{self, Invoke, InvokeError};
use crate::durable::{DurableContext, ReportedError};
use crate::operations;
use crate::runner::JobRunner;
use part::{Answer, Part};
use split::Job;

pub use failed::{FailedPart, PartEnd, PartsFailed};
pub use split::MAX_PARTS;

/// How [`JobRunner::run_all_chained`] runs its jobs.
///
/// ```
/// use longhaul_lambda::{ChainedOptions, Completion, RunAllOptions};
///
/// let options = ChainedOptions::new(RunAllOptions::new().at_once(50).completion(Completion::FirstFailure))
///     .jobs_in_part(500)
///     .parts_at_once(4)
///     .target("films:prod");
/// assert_eq!(options.run_all.at_once, 50);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainedOptions {
    /// How each part runs its jobs, so many at once; and the rule, which is one for all the parts.
    pub run_all: RunAllOptions,
    /// How many jobs a part has at most, 1 to [`MAX_JOBS`], which is the default. A part has fewer
    /// where their specs would be more than a chained execution can be given. Stable, as the jobs
    /// are: a change breaks running executions.
    pub jobs_in_part: usize,
    /// How many parts run at once, from 1. 1 by default, and then so many jobs run at once as
    /// [`run_all`](Self::run_all) says; with more, as many times as many. Stable too.
    pub parts_at_once: usize,
    /// The function that runs the parts: name or ARN, with a version, an alias or `$LATEST`.
    /// `None`, the default, is the function that runs, in the version that runs.
    pub target: Option<String>,
}

impl ChainedOptions {
    /// Full parts, one after the other, by the function that runs.
    #[must_use]
    pub fn new(run_all: RunAllOptions) -> Self {
        Self {
            run_all,
            jobs_in_part: MAX_JOBS,
            parts_at_once: 1,
            target: None,
        }
    }

    /// The same with at most so many jobs in a part.
    #[must_use]
    pub fn jobs_in_part(mut self, jobs: usize) -> Self {
        self.jobs_in_part = jobs;
        self
    }

    /// The same with so many parts at once.
    #[must_use]
    pub fn parts_at_once(mut self, parts: usize) -> Self {
        self.parts_at_once = parts;
        self
    }

    /// The same with another function for the parts.
    #[must_use]
    pub fn target(mut self, function: impl Into<String>) -> Self {
        self.target = Some(function.into());
        self
    }
}

impl Default for ChainedOptions {
    fn default() -> Self {
        Self::new(RunAllOptions::new())
    }
}

impl JobRunner {
    /// Runs any number of `jobs`: in parts, each of which is a chained execution with an identity,
    /// a history and limits of its own. What comes back is one report, in the order of the jobs.
    ///
    /// The function that runs the parts answers their events with [`run_part`](Self::run_part):
    /// `longhaul-handler` does, and a function of one's own does within
    /// [`function::with_parts`](crate::function::with_parts). It needs the permission
    /// `lambda:InvokeFunction` for the target, with its qualifier.
    ///
    /// # The rule over the parts
    ///
    /// The parts run in rounds of [`parts_at_once`](ChainedOptions::parts_at_once): when all of a
    /// round have ended, the next round begins, unless the rule is decided. The rule counts all the
    /// jobs. A part is told how the jobs of the rounds before it ended, and goes on counting from
    /// there; so with one part at once the rule is kept as exactly as
    /// [`run_all`](Self::run_all) keeps it. Parts of one round do not know of each other: each
    /// ends by itself when what it knows decides the rule, which is never too early, but the others
    /// of the round are not ended by it. So with P parts at once up to P times as many failures (or
    /// successes) as decide the rule may be waited for. Whether it is
    /// [met](FanOutReport::met) is always told by all the jobs.
    ///
    /// Nothing is left running: a part that ends early stops its jobs, and this returns when every
    /// part that was begun has ended. Only where *this* execution is stopped or times out, parts
    /// that were begun go on to their end: stop them as well.
    ///
    /// # What fits
    ///
    /// A part costs one operation, so [`MAX_PARTS`] fit into an execution with room for others:
    /// 2.6 million jobs. An execution holds 100 MB, to which a part adds the specs of its jobs and
    /// its report; reports of more than 256 KiB go to the payload store, where there is one. Jobs
    /// in a row that differ in nothing but their input are sent as one spec with many inputs.
    ///
    /// ```no_run
    /// use longhaul_core::JobSpec;
    /// use longhaul_lambda::{ChainedOptions, DurableContext, JobRunner, RunAllError, RunAllOptions};
    ///
    /// async fn sizes(ctx: DurableContext, runner: JobRunner, jobs: Vec<JobSpec>) -> Result<u64, RunAllError> {
    ///     let options = ChainedOptions::new(RunAllOptions::new().at_once(200));
    ///     let report = runner.run_all_chained::<u64>(&ctx, jobs, options).await?;
    ///     Ok(report.results().map(|(_, size)| size).sum())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`run_all`](Self::run_all), but for [`RunAllError::TooMany`];
    /// [`RunAllError::TooLarge`] for a job that no chained execution can be given, before anything
    /// starts; and [`RunAllError::Parts`] when a part has no report, because its execution failed,
    /// timed out or was stopped. It says which jobs those are, and has the report of the others. No
    /// part is begun after that, and those of the same round are waited for.
    pub async fn run_all_chained<T: DeserializeOwned>(
        &self,
        ctx: &DurableContext,
        jobs: Vec<JobSpec>,
        options: ChainedOptions,
    ) -> Result<FanOutReport<T>, RunAllError> {
        let report = self.run_all_chained_unread(ctx, jobs, options).await?;
        Ok(self.read_all(report).await)
    }

    /// Like [`run_all_chained`](Self::run_all_chained), but leaves results that are in the payload
    /// store there.
    ///
    /// # Errors
    ///
    /// Those of [`run_all_chained`](Self::run_all_chained).
    pub async fn run_all_chained_unread(
        &self,
        ctx: &DurableContext,
        jobs: Vec<JobSpec>,
        options: ChainedOptions,
    ) -> Result<FanOutReport<CallbackResult>, RunAllError> {
        let all = jobs.len();
        self.check_all(&jobs, &options.run_all, all)?;
        let target = target(ctx, &options)?;
        let jobs: Arc<Vec<Job>> = Arc::new(jobs.into_iter().map(Job::new).collect());
        let parts = split::split(&jobs, &options)?;
        let mut sum = Sum::new(all, options.run_all.completion);
        for round in parts.chunks(options.parts_at_once) {
            let functions = round.iter().map(|part| Invoke {
                name: operations::part(&options.run_all.name, part.start, part.end - 1),
                target: target.clone(),
                event: Part::event_of(&jobs, part.clone(), &options.run_all, sum.count()),
            });
            let answers = chained::invoke_all(ctx, functions.collect()).await;
            for (part, answer) in round.iter().zip(answers) {
                sum.add(part.clone(), answer)?;
            }
            if sum.is_over() {
                break;
            }
        }
        sum.report(self, target).await
    }

    /// Runs a part of the jobs of [`run_all_chained`](Self::run_all_chained), where `event` is one,
    /// and returns what the execution is to return; `None` where it is another event.
    ///
    /// Whoever may invoke a function that calls this may have it run any job.
    ///
    /// # Errors
    ///
    /// When the event cannot be read, the jobs cannot be run at all, the durable service failed,
    /// or the report fits neither the execution nor the payload store.
    pub async fn run_part(
        &self,
        ctx: &DurableContext,
        event: &Value,
    ) -> Result<Option<Value>, crate::ExecutionError> {
        match Part::of(event)? {
            Some(part) => self.answer_part(ctx, part).await.map(Some),
            None => Ok(None),
        }
    }
}

/// The function that runs the parts.
fn target(ctx: &DurableContext, options: &ChainedOptions) -> Result<String, RunAllError> {
    let invalid = |problem: String| RunAllError::InvalidOptions { problem };
    let target = options.target.clone().or_else(|| chained::own_name(ctx));
    let target = target.ok_or_else(|| {
        invalid("the function that runs is not known: name the one that runs the parts".to_owned())
    })?;
    let parts = target.split(':').count();
    // arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER, or NAME:QUALIFIER.
    let qualified = if target.starts_with("arn:") {
        parts == 8
    } else {
        parts > 1
    };
    if qualified {
        return Ok(target);
    }
    Err(invalid(format!(
        "`{target}` has no qualifier, without which a durable function is not invoked: add a version, an alias or \
         $LATEST, as in `{target}:$LATEST`"
    )))
}

/// What is known of the parts so far.
struct Sum {
    jobs: usize,
    rule: Completion,
    succeeded: usize,
    failed: usize,
    answers: Vec<(Range<usize>, Answer)>,
    without: Vec<FailedPart>,
}

impl Sum {
    fn new(jobs: usize, rule: Completion) -> Self {
        Self {
            jobs,
            rule,
            succeeded: 0,
            failed: 0,
            answers: Vec::new(),
            without: Vec::new(),
        }
    }

    fn count(&self) -> Count {
        Count {
            jobs: self.jobs,
            succeeded: self.succeeded,
            failed: self.failed,
        }
    }

    /// A part has ended.
    fn add(
        &mut self,
        jobs: Range<usize>,
        answer: Result<String, InvokeError>,
    ) -> Result<(), RunAllError> {
        match answer {
            Ok(text) => match Answer::read(&text, jobs.len()) {
                Ok(answer) => {
                    self.succeeded += answer.succeeded;
                    self.failed += answer.failed;
                    self.answers.push((jobs, answer));
                }
                Err(problem) => self.without.push(FailedPart::unreadable(jobs, problem)),
            },
            Err(InvokeError::Ended { end, error }) => self.without.push(FailedPart {
                jobs,
                end: end.into(),
                error,
            }),
            Err(InvokeError::Durable(error)) => return Err(RunAllError::Durable(error)),
        }
        Ok(())
    }

    /// Whether no further part is to begin.
    fn is_over(&self) -> bool {
        !self.without.is_empty() || self.rule.is_decided(self.count())
    }

    /// One report of all the parts. Those that are in the payload store are read here, when all
    /// have ended: their counts are all that the rule asks for.
    async fn report(
        mut self,
        runner: &JobRunner,
        target: String,
    ) -> Result<FanOutReport<CallbackResult>, RunAllError> {
        let mut ends: Vec<_> = (0..self.jobs)
            .map(|_| JobEnd::Unfinished { handle: None })
            .collect();
        let mut unstopped: Option<String> = None;
        for (jobs, answer) in std::mem::take(&mut self.answers) {
            match answer.report(runner, jobs.len()).await {
                Ok(report) => {
                    for (place, end) in ends.iter_mut().skip(jobs.start).zip(report.jobs) {
                        *place = end;
                    }
                    unstopped = unstopped.or(report.unstopped);
                }
                Err(problem) => self.without.push(FailedPart::unreadable(jobs, problem)),
            }
        }
        let mut report = FanOutReport::new(ends, self.rule);
        report.ended_early = report.unfinished() > 0;
        report.unstopped = unstopped;
        if self.without.is_empty() {
            return Ok(report);
        }
        self.without.sort_by_key(|part| part.jobs.start);
        Err(RunAllError::Parts(Box::new(PartsFailed {
            target,
            parts: self.without,
            report,
        })))
    }
}

impl FailedPart {
    fn unreadable(jobs: Range<usize>, problem: String) -> Self {
        Self {
            jobs,
            end: PartEnd::Unreadable,
            error: ReportedError {
                message: Some(problem),
                ..ReportedError::default()
            },
        }
    }
}
