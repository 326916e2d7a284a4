//! When a fan-out is over, and whether it went as it should.

use serde::{Deserialize, Serialize};

/// When jobs that run together are over, and whether that is a success.
///
/// ```
/// use longhaul_lambda::Completion;
///
/// let rule: Completion = serde_json::from_str(r#"{"tolerate":{"failures":2}}"#).unwrap();
/// assert_eq!(rule, Completion::Tolerate { failures: 2 });
/// assert_eq!(Completion::default(), Completion::All);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Completion {
    /// Every job is run to its end, whatever becomes of the others. Met when all succeed.
    #[default]
    All,
    /// The first failure ends it all. Met when all succeed.
    FirstFailure,
    /// So many failures are borne; one more ends it all. Met when no more than those fail.
    Tolerate {
        /// How many.
        failures: usize,
    },
    /// So many in a hundred of the jobs may fail; more end it all. Met when no more than those
    /// fail.
    ToleratePercent {
        /// How many in a hundred, 0 to 100.
        percent: u8,
    },
    /// The first so many successes end it all. Met with them; over as well when too many have
    /// failed for it.
    FirstSuccesses {
        /// How many, from 1 to the number of jobs.
        successes: usize,
    },
}

impl Completion {
    /// What is wrong with the rule for so many jobs.
    pub(crate) fn problem(self, jobs: usize) -> Option<String> {
        match self {
            Self::ToleratePercent { percent } if percent > 100 => {
                Some(format!("{percent} % of the jobs cannot fail: use 0 to 100"))
            }
            Self::FirstSuccesses { successes } if successes == 0 || successes > jobs => {
                Some(format!(
                    "{successes} successes of {jobs} jobs cannot be waited for: use 1 to {jobs}"
                ))
            }
            _ => None,
        }
    }

    /// Whether it is decided, so that nothing more need run.
    pub(crate) fn is_decided(self, count: Count) -> bool {
        match self {
            Self::All => false,
            Self::FirstSuccesses { successes } => {
                count.succeeded >= successes || count.failed > count.jobs.saturating_sub(successes)
            }
            rule => !rule.bears(count),
        }
    }

    /// Whether it is met by what there is in the end.
    pub(crate) fn is_met(self, count: Count) -> bool {
        let all_ended = count.succeeded + count.failed == count.jobs;
        match self {
            Self::FirstSuccesses { successes } => count.succeeded >= successes,
            rule => all_ended && rule.bears(count),
        }
    }

    fn bears(self, count: Count) -> bool {
        match self {
            Self::All | Self::FirstFailure | Self::FirstSuccesses { .. } => count.failed == 0,
            Self::Tolerate { failures } => count.failed <= failures,
            Self::ToleratePercent { percent } => {
                count.failed * 100 <= usize::from(percent) * count.jobs
            }
        }
    }
}

/// How many jobs there are, and how many of them have ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) jobs: usize,
    pub(crate) succeeded: usize,
    pub(crate) failed: usize,
}

impl Count {
    /// So many jobs, none of which has ended.
    pub(crate) fn of(jobs: usize) -> Self {
        Self {
            jobs,
            succeeded: 0,
            failed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(succeeded: usize, failed: usize) -> Count {
        Count {
            jobs: 10,
            succeeded,
            failed,
        }
    }

    #[test]
    fn a_rule_is_decided_with_the_first_job_that_decides_it_and_met_only_as_it_says() {
        use Completion::{All, FirstFailure, FirstSuccesses, Tolerate, ToleratePercent};
        let two = Tolerate { failures: 2 };
        let some = ToleratePercent { percent: 25 };
        let three = FirstSuccesses { successes: 3 };
        for (rule, succeeded, failed, decided, met) in [
            (All, 3, 6, false, false),
            (All, 9, 1, false, false),
            (All, 10, 0, false, true),
            (FirstFailure, 9, 0, false, false),
            (FirstFailure, 0, 1, true, false),
            (FirstFailure, 10, 0, false, true),
            (two, 0, 2, false, false),
            (two, 8, 2, false, true),
            (two, 0, 3, true, false),
            (some, 8, 2, false, true),
            (some, 0, 3, true, false),
            (three, 2, 7, false, false),
            (three, 3, 0, true, true),
            (three, 0, 8, true, false),
        ] {
            let count = count(succeeded, failed);
            assert_eq!(rule.is_decided(count), decided, "{rule:?} {count:?}");
            assert_eq!(rule.is_met(count), met, "{rule:?} {count:?}");
        }
    }

    #[test]
    fn a_rule_that_cannot_be_met_is_refused() {
        let refused = |rule: Completion| rule.problem(3).is_some();
        assert!(refused(Completion::FirstSuccesses { successes: 0 }));
        assert!(refused(Completion::FirstSuccesses { successes: 4 }));
        assert!(!refused(Completion::FirstSuccesses { successes: 3 }));
        assert!(refused(Completion::ToleratePercent { percent: 101 }));
    }
}
