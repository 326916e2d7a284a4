//! How many jobs one execution can hold, and which of them share a context.

/// The most operations that an execution can have (Lambda quotas, durable functions).
const MAX_OPERATIONS: usize = 3_000;

/// What is left of them for other attempts and for what else the function does.
const RESERVE: usize = 400;

/// The most jobs that run in one execution.
pub const MAX_JOBS: usize = 1_000;

/// Jobs in groups, each of which is run in a context of its own, one job after the other.
///
/// A job costs two operations and its context a third. Where that would be too many, a few jobs
/// share a context. Which ones depends on nothing but their number, so a replay finds the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    jobs: usize,
    in_group: usize,
}

impl Plan {
    /// A plan for at most [`MAX_JOBS`].
    pub(crate) fn of(jobs: usize) -> Self {
        let left = (MAX_OPERATIONS - RESERVE).saturating_sub(2 * jobs).max(1);
        Self {
            jobs,
            in_group: jobs.div_ceil(left).max(1),
        }
    }

    pub(crate) fn groups(self) -> usize {
        self.jobs.div_ceil(self.in_group)
    }

    /// The jobs of a group, counted from 0.
    pub(crate) fn group(self, group: usize) -> std::ops::Range<usize> {
        let first = (group * self.in_group).min(self.jobs);
        first..(first + self.in_group).min(self.jobs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_job_is_in_one_group_and_all_fit_into_an_execution(jobs in 0..=MAX_JOBS) {
            let plan = Plan::of(jobs);
            let all: Vec<usize> = (0..plan.groups()).flat_map(|g| plan.group(g)).collect();
            prop_assert_eq!(all, (0..jobs).collect::<Vec<_>>());
            prop_assert!(2 * jobs + plan.groups() + RESERVE <= MAX_OPERATIONS);
        }
    }

    #[test]
    fn jobs_share_a_context_only_when_they_must() {
        assert_eq!(Plan::of(866).groups(), 866);
        assert_eq!(Plan::of(MAX_JOBS).groups(), 500);
    }
}
