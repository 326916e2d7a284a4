//! When the job ran: the wall clock at its beginning, and a clock that nobody sets from there.

use std::time::SystemTime;

use longhaul_core::JobTimes;
use tokio::time::Instant;

/// A job that runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    begun: SystemTime,
    since: Instant,
}

impl Stopwatch {
    /// The job begins to run.
    pub(crate) fn start() -> Self {
        Self {
            begun: SystemTime::now(),
            since: Instant::now(),
        }
    }

    /// The job has ended.
    pub(crate) fn stop(self) -> JobTimes {
        JobTimes::new(self.begun, self.begun + self.since.elapsed())
    }
}
