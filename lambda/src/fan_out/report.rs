//! What became of jobs that ran together.

use std::collections::BTreeMap;

use longhaul_core::{CallbackResult, JobHandle};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::outcome::{Ended, How, JobEnd};
use super::rule::{Completion, Count};

/// What became of jobs that ran together.
///
/// One whose results are unread can be written and read as JSON: it is what a chained execution
/// returns.
#[derive(Debug)]
#[non_exhaustive]
pub struct FanOutReport<T> {
    /// How each job ended, in the order in which the jobs were given.
    pub jobs: Vec<JobEnd<T>>,
    /// Whether the completion rule was met.
    pub met: bool,
    /// Whether it was over before every job had ended, so that jobs were stopped or never started.
    pub ended_early: bool,
    /// Why jobs may still be running although they were to be stopped; `None` where they were.
    pub unstopped: Option<String>,
}

/// The completion rule was not met.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {jobs} jobs failed, {unfinished} did not finish{}", first.as_deref().map(|first| format!("; the first: {first}")).unwrap_or_default())]
#[non_exhaustive]
pub struct NotMet {
    /// How many jobs there were.
    pub jobs: usize,
    /// How many failed.
    pub failed: usize,
    /// How many were stopped or never started.
    pub unfinished: usize,
    /// What the first failed with.
    pub first: Option<String>,
}

impl<T> FanOutReport<T> {
    pub(crate) fn new(jobs: Vec<JobEnd<T>>, rule: Completion) -> Self {
        let mut report = Self {
            jobs,
            met: false,
            ended_early: false,
            unstopped: None,
        };
        report.met = rule.is_met(Count {
            jobs: report.jobs.len(),
            succeeded: report.succeeded(),
            failed: report.failed(),
        });
        report
    }

    /// How many jobs succeeded.
    #[must_use]
    pub fn succeeded(&self) -> usize {
        let ends = self.jobs.iter();
        ends.filter(|end| matches!(end, JobEnd::Succeeded(_)))
            .count()
    }

    /// How many jobs failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        let ends = self.jobs.iter();
        ends.filter(|end| matches!(end, JobEnd::Failed(_))).count()
    }

    /// How many jobs were stopped or never started.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.jobs.len() - self.succeeded() - self.failed()
    }

    /// The jobs that failed, counted from 0, by what they failed with: `Longhaul.OutOfMemory`.
    #[must_use]
    pub fn failures(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut failures: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, end) in self.jobs.iter().enumerate() {
            if let Some(error) = end.error() {
                failures.entry(error.error_type()).or_default().push(index);
            }
        }
        failures
    }

    /// The results of the jobs that succeeded, with the jobs' numbers from 0.
    pub fn results(&self) -> impl Iterator<Item = (usize, &T)> {
        let ends = self.jobs.iter().enumerate();
        ends.filter_map(|(index, end)| end.report().map(|report| (index, &report.result)))
    }

    /// The results, in the order of the jobs and without those that have none.
    ///
    /// # Errors
    ///
    /// [`NotMet`] when the completion rule was not met.
    pub fn into_results(self) -> Result<Vec<T>, NotMet> {
        if !self.met {
            let first = self.jobs.iter().find_map(JobEnd::error);
            return Err(NotMet {
                jobs: self.jobs.len(),
                failed: self.failed(),
                unfinished: self.unfinished(),
                first: first
                    .map(|error| format!("{}: {}", error.error_type(), error.error_message())),
            });
        }
        let ends = self.jobs.into_iter();
        Ok(ends
            .filter_map(|end| match end {
                JobEnd::Succeeded(report) => Some(report.result),
                _ => None,
            })
            .collect())
    }
}

/// A report as it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    jobs: usize,
    met: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ended_early: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unstopped: Option<String>,
    ended: Vec<Ended>,
    /// Those that were stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stopped: Vec<(usize, JobHandle)>,
}

impl Serialize for FanOutReport<CallbackResult> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut ended = Vec::with_capacity(self.jobs.len());
        let mut stopped = Vec::new();
        for (index, end) in self.jobs.iter().enumerate() {
            match end {
                JobEnd::Succeeded(report) => ended.push(Ended {
                    index,
                    job: report.job.clone(),
                    how: How::succeeded(report),
                }),
                JobEnd::Failed(error) => ended.extend(Ended::failed(index, error)),
                JobEnd::Unfinished { handle } => {
                    stopped.extend(handle.clone().map(|handle| (index, handle)));
                }
            }
        }
        Written {
            jobs: self.jobs.len(),
            met: self.met,
            ended_early: self.ended_early,
            unstopped: self.unstopped.clone(),
            ended,
            stopped,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FanOutReport<CallbackResult> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        Ok(Self {
            jobs: in_order(written.jobs, written.ended, written.stopped),
            met: written.met,
            ended_early: written.ended_early,
            unstopped: written.unstopped,
        })
    }
}

/// How every job ended, in order, from what is known of some of them.
pub(crate) fn in_order(
    jobs: usize,
    ended: Vec<Ended>,
    stopped: Vec<(usize, JobHandle)>,
) -> Vec<JobEnd<CallbackResult>> {
    let mut ends: Vec<_> = (0..jobs)
        .map(|_| JobEnd::Unfinished { handle: None })
        .collect();
    for (index, handle) in stopped {
        if let Some(end) = ends.get_mut(index) {
            *end = JobEnd::Unfinished {
                handle: Some(handle),
            };
        }
    }
    for job in ended {
        if let Some(end) = ends.get_mut(job.index) {
            *end = job.end();
        }
    }
    ends
}
