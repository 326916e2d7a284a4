//! What one commit holds: many calls' writes, what follows from them once they are durable, and how to take them back.

use crate::machine::{Transition, Undo};
use crate::service::ServiceEvent;
use crate::store::StoreError;

use super::{Engine, Work};

/// What one commit brings about, and how to take it back.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) undo: Vec<Step>,
    pub(super) written: bool,
    /// Somebody waits for the commit.
    pub(super) awaited: bool,
    pub(super) events: Vec<ServiceEvent>,
    pub(super) work: Vec<Work>,
    pub(super) closed: Vec<i64>,
}

/// When a call is answered.
#[derive(Default, PartialEq)]
pub(super) enum Haste {
    /// After the commit, which must not be put off.
    #[default]
    Commit,
    /// After the commit, which can be put off: the caller waits for something that comes later.
    Later,
    /// At once.
    Settled,
}

pub(super) enum Step {
    Created(i64),
    Applied(i64, Box<Undo>),
}

impl Engine {
    /// Makes the batch durable, then lets its consequences happen.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        self.store.commit()?;
        let batch = std::mem::take(&mut self.batch);
        if batch.written {
            self.commits += 1;
            if let Some(hook) = &self.on_commit {
                hook(self.commits);
            }
        }
        for event in batch.events {
            // Nobody listening is fine.
            drop(self.events.send(event));
        }
        self.ask_for(batch.work);
        for key in batch.closed {
            let outcome = self
                .open
                .get(&key)
                .and_then(|execution| execution.outcome.clone());
            for waiter in self.waiters.remove(&key).unwrap_or_default() {
                if let Some(outcome) = &outcome {
                    drop(waiter.send(outcome.clone()));
                }
            }
        }
        for step in batch.undo {
            let (Step::Created(key) | Step::Applied(key, _)) = step;
            self.forget_if_over(key);
        }
        self.publish_next_due();
        Ok(())
    }

    /// Undoes in memory what could not be made durable.
    pub(super) fn take_back(&mut self) {
        self.store.roll_back();
        let batch = std::mem::take(&mut self.batch);
        for step in batch.undo.into_iter().rev() {
            match step {
                Step::Applied(key, undo) => {
                    if let Some(execution) = self.open.get_mut(&key) {
                        execution.undo(*undo);
                    }
                    self.reschedule(key);
                }
                Step::Created(key) => self.forget(key),
            }
        }
    }

    /// Applies a transition that need not survive a crash: what it notes is done anew after one. Its caller is answered at
    /// once when the disk has what it sees of the execution, or nobody was told yet that it has.
    pub(super) fn apply_in_memory(&mut self, key: i64, transition: &Transition) {
        let changed = self.batch.undo.iter().any(|step| {
            let (Step::Created(other) | Step::Applied(other, _)) = step;
            *other == key
        });
        let settled = !changed || self.can_wait();
        if let Some(execution) = self.open.get_mut(&key) {
            let undo = execution.apply(transition);
            if !settled {
                self.batch.undo.push(Step::Applied(key, Box::new(undo)));
            }
            self.reschedule(key);
        }
        if settled {
            self.haste = Haste::Settled;
        }
    }

    /// Says whether the call that has just been made can be answered before the commit, and notes whether it waits for it.
    pub(super) fn answer_now(&mut self) -> bool {
        let haste = std::mem::take(&mut self.haste);
        self.batch.awaited |= haste == Haste::Commit;
        haste == Haste::Settled
    }

    /// True when something is written whose commit nobody waits for.
    pub(super) fn can_wait(&self) -> bool {
        self.batch.written && !self.batch.awaited
    }

    /// Lets the invocations that this batch wants begin before its commit.
    pub(super) fn ask_for_invocations(&mut self) {
        let work = std::mem::take(&mut self.batch.work);
        self.ask_for(work);
    }

    fn ask_for(&self, work: Vec<Work>) {
        for work in work {
            // The dispatcher is gone only while the service stops; the wish is in the database.
            drop(self.work.send(work));
        }
    }
}
