//! Parts that have no report.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Range;

use longhaul_core::CallbackResult;

use super::super::FanOutReport;
use crate::durable::ReportedError;
use crate::durable::chained::End;

/// Parts of many jobs have no report, so it is not known what became of their jobs.
///
/// What the others came to is in [`report`](Self::report). Jobs that an execution leaves running
/// when it fails, times out or is stopped are stopped by the reconciler, or by `longhaul serve`.
#[derive(Debug)]
#[non_exhaustive]
pub struct PartsFailed {
    /// The function that ran the parts.
    pub target: String,
    /// The parts, at least one, in the order of their jobs.
    pub parts: Vec<FailedPart>,
    /// What is known of all the jobs: those of these parts are unfinished in it, and those of
    /// parts that were never begun.
    pub report: FanOutReport<CallbackResult>,
}

/// A part that has no report.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedPart {
    /// Its jobs, counted from 0.
    pub jobs: Range<usize>,
    /// How its execution ended.
    pub end: PartEnd,
    /// What its execution failed with; what cannot be read, for one that returned something.
    pub error: ReportedError,
}

/// How an execution ended that has no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartEnd {
    /// It failed.
    Failed,
    /// Its time was over.
    TimedOut,
    /// Somebody stopped it.
    Stopped,
    /// It returned something that is no report of its jobs, or one that cannot be had from the
    /// payload store.
    Unreadable,
}

impl From<End> for PartEnd {
    fn from(end: End) -> Self {
        match end {
            End::Failed => Self::Failed,
            End::TimedOut => Self::TimedOut,
            End::Stopped => Self::Stopped,
        }
    }
}

impl fmt::Display for FailedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = &self.jobs;
        let how = match self.end {
            PartEnd::Failed => "failed",
            PartEnd::TimedOut => "timed out",
            PartEnd::Stopped => "was stopped",
            PartEnd::Unreadable => "returned no report",
        };
        write!(
            f,
            "the execution of jobs {start} to {} (from 0) {how}",
            end.saturating_sub(1)
        )?;
        for text in [&self.error.error_type, &self.error.message]
            .into_iter()
            .flatten()
        {
            write!(f, ": {text}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PartsFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.parts.iter();
        if let Some(first) = parts.next() {
            write!(f, "{first}")?;
        }
        for part in parts {
            write!(f, "; {part}")?;
        }
        write!(
            f,
            " (function `{}`; of all {} jobs {} succeeded and {} failed)",
            self.target,
            self.report.jobs.len(),
            self.report.succeeded(),
            self.report.failed()
        )
    }
}

impl StdError for PartsFailed {}
