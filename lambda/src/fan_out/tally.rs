//! What has become of the jobs of a fan-out so far, in this process's memory.
//!
//! It is built anew on every replay: from what completed contexts recorded, before anything runs,
//! and then from what is replayed and what happens. So it decides nothing by itself that must be
//! the same on a replay: that a fan-out ended early is recorded by the context that ended it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use longhaul_core::JobHandle;
use tokio::sync::Notify;

use super::outcome::{Ended, GroupOutcome};
use super::rule::{Completion, Count};
use crate::attempt::Together;

#[derive(Debug)]
pub(crate) struct Tally {
    rule: Completion,
    jobs: usize,
    /// What ended in other executions before: the rule goes on counting from there.
    before: Count,
    state: Mutex<State>,
    /// Told whenever an outcome was recorded.
    recorded: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Whether each job that ended succeeded.
    ended: BTreeMap<usize, bool>,
    /// Groups whose outcome counts and is just being recorded.
    unrecorded: BTreeSet<usize>,
    /// The last attempt of each job that was started.
    started: BTreeMap<usize, JobHandle>,
    decided: bool,
}

impl Tally {
    pub(crate) fn new(rule: Completion, jobs: usize, before: Count) -> Self {
        Self {
            rule,
            jobs,
            before,
            state: Mutex::default(),
            recorded: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing more shall start.
    pub(crate) fn is_decided(&self) -> bool {
        self.state().decided
    }

    /// Counts the jobs of a group as ended where that decides the fan-out, or where the group is
    /// `done`. Whether it is decided with them and jobs are left that this would keep from running.
    pub(crate) fn count(&self, group: usize, own: &[Ended], done: bool) -> bool {
        let mut state = self.state();
        let mut ended = state.ended.clone();
        ended.extend(own.iter().map(|job| (job.index, job.succeeded())));
        let ends_others = self.rule.is_decided(self.counted(&ended)) && ended.len() < self.jobs;
        if ends_others || done {
            state.ended = ended;
        }
        state.decided |= ends_others;
        if done && !ends_others {
            state.unrecorded.insert(group);
        }
        ends_others
    }

    fn counted(&self, ended: &BTreeMap<usize, bool>) -> Count {
        let succeeded = ended.values().filter(|succeeded| **succeeded).count();
        Count {
            jobs: self.before.jobs,
            succeeded: self.before.succeeded + succeeded,
            failed: self.before.failed + ended.len() - succeeded,
        }
    }

    /// A group's outcome was recorded, now or before this replay.
    pub(crate) fn recorded(&self, outcome: &GroupOutcome) {
        let mut state = self.state();
        let jobs = outcome.jobs.iter();
        state
            .ended
            .extend(jobs.map(|job| (job.index, job.succeeded())));
        state.unrecorded.remove(&outcome.group);
        drop(state);
        self.recorded.notify_waiters();
    }

    /// Waits until every outcome that counts is recorded, so that no outcome that helped to decide
    /// is lost with this process. They are being recorded: this is a matter of milliseconds.
    pub(crate) async fn all_recorded(&self) {
        loop {
            let recorded = self.recorded.notified();
            tokio::pin!(recorded);
            recorded.as_mut().enable();
            if self.state().unrecorded.is_empty() {
                return;
            }
            recorded.await;
        }
    }

    /// The jobs that were started and have not ended.
    pub(crate) fn running(&self) -> Vec<(usize, JobHandle)> {
        let state = self.state();
        let running = state
            .started
            .iter()
            .filter(|(index, _)| !state.ended.contains_key(index));
        running
            .map(|(index, handle)| (*index, handle.clone()))
            .collect()
    }
}

/// One job of a fan-out.
pub(crate) struct Member<'a> {
    pub(crate) tally: &'a Tally,
    pub(crate) index: usize,
}

impl Together for Member<'_> {
    fn goes_on(&self) -> bool {
        !self.tally.is_decided()
    }

    fn started(&self, handle: &JobHandle) {
        let mut state = self.tally.state();
        state.started.insert(self.index, handle.clone());
    }
}

#[cfg(test)]
mod tests {
    use longhaul_core::JobName;

    use super::super::outcome::How;
    use super::*;

    fn ended(index: usize, succeeded: bool) -> Ended {
        Ended {
            index,
            job: JobName::new("a").unwrap(),
            how: if succeeded {
                How::Succeeded {
                    handle: JobHandle::new("process", "1"),
                    attempts: 1,
                    times: None,
                    result: "1".to_owned(),
                }
            } else {
                How::NotStarted {
                    error_type: "x".to_owned(),
                    message: "x".to_owned(),
                }
            },
        }
    }

    #[tokio::test]
    async fn who_decides_waits_for_what_counts_to_be_recorded() {
        let tally = Tally::new(Completion::Tolerate { failures: 1 }, 5, Count::of(5));
        assert!(!tally.count(0, &[ended(0, false)], true));
        assert!(tally.count(1, &[ended(1, false)], true));
        assert!(tally.is_decided());
        let mut waits = Box::pin(tally.all_recorded());
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        assert!(waits.as_mut().poll(&mut context).is_pending());
        tally.recorded(&GroupOutcome {
            group: 0,
            jobs: vec![ended(0, false)],
        });
        waits.await;
    }

    #[test]
    fn what_a_group_has_so_far_counts_for_itself_and_for_others_when_it_is_done() {
        let tally = Tally::new(Completion::Tolerate { failures: 1 }, 5, Count::of(5));
        assert!(!tally.count(0, &[ended(0, false)], false));
        assert!(!tally.count(1, &[ended(2, false)], true));
        assert!(tally.count(0, &[ended(0, false), ended(1, true)], true));
    }

    #[test]
    fn the_last_job_ends_nobody() {
        let tally = Tally::new(Completion::FirstSuccesses { successes: 2 }, 2, Count::of(2));
        assert!(!tally.count(0, &[ended(0, true)], true));
        assert!(!tally.count(1, &[ended(1, true)], true));
        assert!(!tally.is_decided());
    }

    #[test]
    fn what_ended_in_other_executions_counts() {
        let before = Count {
            jobs: 10,
            succeeded: 4,
            failed: 1,
        };
        let tally = Tally::new(Completion::Tolerate { failures: 1 }, 3, before);
        assert!(!tally.count(0, &[ended(0, true)], true));
        assert!(tally.count(1, &[ended(1, false)], true));
        // Of its own three jobs two can no longer succeed, but of all ten six may.
        let tally = Tally::new(Completion::FirstSuccesses { successes: 6 }, 3, before);
        assert!(!tally.count(0, &[ended(0, false)], true));
        assert!(!tally.count(1, &[ended(1, false)], true));
        let tally = Tally::new(Completion::FirstSuccesses { successes: 6 }, 3, before);
        assert!(!tally.count(0, &[ended(0, true)], true));
        assert!(tally.count(1, &[ended(1, true)], true));
    }

    #[test]
    fn a_job_that_started_and_has_not_ended_is_running() {
        let tally = Tally::new(Completion::All, 2, Count::of(2));
        let handle = JobHandle::new("process", "1");
        for index in 0..2 {
            let tally = &tally;
            Member { tally, index }.started(&handle);
        }
        tally.recorded(&GroupOutcome {
            group: 0,
            jobs: vec![ended(0, true)],
        });
        assert_eq!(tally.running(), [(1, handle)]);
    }
}
