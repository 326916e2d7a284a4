//! When a job ran, as its worker or its platform tells.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::JobHandle;

/// When a job ran, by the clock of the machine that it ran on, to the millisecond.
///
/// Serialised as `{"begun":1767225600000,"ended":1767225660000}`, in milliseconds since 1970.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use longhaul_core::JobTimes;
///
/// let begun = UNIX_EPOCH + Duration::from_millis(1_767_225_600_000);
/// let times = JobTimes::new(begun, begun + Duration::from_secs(60));
/// assert_eq!(times.run_time(), Duration::from_secs(60));
/// assert_eq!(times.begun(), begun);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobTimes {
    begun: u64,
    ended: u64,
}

impl JobTimes {
    /// A job that ran from `begun` to `ended`. One that ended before it began took no time: a
    /// clock was set.
    #[must_use]
    pub fn new(begun: SystemTime, ended: SystemTime) -> Self {
        let begun = millis(begun);
        Self {
            begun,
            ended: millis(ended).max(begun),
        }
    }

    /// When the job's own work began: its image was pulled, its machine was there.
    #[must_use]
    pub fn begun(&self) -> SystemTime {
        time(self.begun)
    }

    /// When the job's own work ended: its result was not delivered yet.
    #[must_use]
    pub fn ended(&self) -> SystemTime {
        time(self.ended)
    }

    /// How long it ran.
    #[must_use]
    pub fn run_time(&self) -> Duration {
        Duration::from_millis(self.ended.saturating_sub(self.begun))
    }

    /// How long the job of `handle` waited for its machine and its image: from when its start was
    /// answered to when its own work began. By two clocks; never less than zero. `None` where the
    /// handle does not say when that was.
    #[must_use]
    pub fn queue_time(&self, handle: &JobHandle) -> Option<Duration> {
        let accepted = handle.started_at()?;
        Some(self.begun().duration_since(accepted).unwrap_or_default())
    }

    /// `begun=… ended=…`, as a callback's text has it.
    pub(crate) fn header(self) -> String {
        format!("begun={} ended={}", self.begun, self.ended)
    }

    /// Reads [`header`](Self::header). Words that are not known are left out, for a later version.
    pub(crate) fn from_header(text: &str) -> Option<Self> {
        let value = |name: &str| {
            let mut words = text.split(' ').filter_map(|word| word.split_once('='));
            words.find(|(key, _)| *key == name)?.1.parse().ok()
        };
        let begun: u64 = value("begun")?;
        let ended: u64 = value("ended")?;
        Some(Self {
            begun,
            ended: ended.max(begun),
        })
    }
}

/// A moment in milliseconds since 1970; 0 for one before.
pub(crate) fn millis(at: SystemTime) -> u64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The moment `millis` milliseconds after 1970.
pub(crate) fn time(millis: u64) -> SystemTime {
    let since = Duration::from_millis(millis);
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_with_words_of_a_later_version() {
        let times = JobTimes::new(time(7), time(9));
        assert_eq!(JobTimes::from_header(&times.header()), Some(times));
        let later = "begun=7 cpu=3 ended=9 x";
        assert_eq!(JobTimes::from_header(later), Some(times));
        for text in ["", "begun=7", "begun=x ended=9", "begun=-1 ended=9"] {
            assert_eq!(JobTimes::from_header(text), None, "{text}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_negative_time() {
        assert_eq!(JobTimes::new(time(9), time(7)).run_time(), Duration::ZERO);
        let set = JobTimes::from_header("begun=9 ended=7");
        assert_eq!(set.map(|times| times.run_time()), Some(Duration::ZERO));
    }
}
