//! The state machine of one execution: pure functions from a state and a request to a [`Transition`].
//!
//! Nothing here reads a clock, touches a disk or starts anything. A transition is data: the new progress, the operations
//! that changed, the events to append, and what the service must do once all that is durable. The store writes exactly the
//! transition and [`Execution::apply`] applies it, so memory and disk cannot disagree.

mod chained;
mod checkpoint;
mod draft;
mod external;
mod invocation;
mod outcome;
mod page;
mod pause;
mod suspending;
mod target;
mod timers;
mod update;
mod validate;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::RngCore;
use serde::{Deserialize, Serialize};

use crate::config::{InvocationRetry, LONGEST_EXECUTION};
use crate::model::id::CheckpointToken;
use crate::model::operation::Operation;
use crate::model::{Event, ExecutionArn, Timestamp};

pub(crate) use chained::child_closed;
pub(crate) use checkpoint::{CheckpointRequest, Checkpointed, checkpoint, repeated};
use draft::Draft;
pub(crate) use external::{CallbackAction, callback, stop};
pub(crate) use invocation::{Begun, InvocationResult, begin, ended, recover, start};
pub use outcome::{ExecutionStatus, Outcome};
pub(crate) use page::{StatePage, marker, read_marker, state};
pub(crate) use pause::{ControlRequest, Pause, pause, resume};
pub(crate) use target::{FunctionName, Target};
pub(crate) use timers::due;
pub(crate) use validate::{is_tenant, is_trace};

/// What the machine may know of the world besides the execution.
pub(crate) struct World<'a> {
    pub(crate) now: Timestamp,
    pub(crate) rng: &'a mut dyn RngCore,
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    pub(crate) retry: InvocationRetry,
    pub(crate) functions: &'a dyn Resolve,
}

/// Finds functions that can be invoked.
pub(crate) trait Resolve {
    fn resolve(&self, name: &FunctionName) -> Option<Target>;
}

/// What was fixed when the execution started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) arn: ExecutionArn,
    pub(crate) version: String,
    pub(crate) started: Timestamp,
    pub(crate) deadline: Timestamp,
    pub(crate) execution_timeout: u64,
    pub(crate) retention_days: u32,
    pub(crate) trace: String,
    pub(crate) tenant: Option<String>,
    /// Started by a caller that waits for the result: its payloads may be larger.
    pub(crate) synchronous: bool,
    /// The execution and operation that started this one, when it is a chained invocation.
    pub(crate) parent: Option<(ExecutionArn, String)>,
    /// Stored beside the rest, because it can be large and never changes.
    #[serde(skip, default = "no_input")]
    pub(crate) input: Arc<str>,
}

impl Origin {
    /// When the execution's retention is over, if it ended at `ended`.
    pub(crate) const fn expires(&self, ended: Timestamp) -> Timestamp {
        ended.after_seconds(self.retention_days as u64 * 86_400)
    }
}

fn no_input() -> Arc<str> {
    Arc::from("")
}

/// At most one invocation of an execution is under way: this says whether one is wanted, and which one runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Gate {
    Idle,
    /// Wanted; it waits for an environment.
    Queued,
    Running(Running),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) request_id: String,
    /// The only token the next checkpoint may carry.
    pub(crate) token: CheckpointToken,
    pub(crate) started: Timestamp,
}

/// The small part of an execution that changes all the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) gate: Gate,
    pub(crate) ended: Option<Timestamp>,
    /// Events written so far: the last one's id.
    pub(crate) events: u64,
    /// The last event's time. Times in a history never go back, even when the system clock does.
    pub(crate) last_event: Timestamp,
    /// Counts changes to operations.
    pub(crate) changes: u64,
    /// The handler has seen every change up to this one.
    pub(crate) seen: u64,
    /// Failed invocations in a row.
    pub(crate) failures: u32,
    /// Suspensions with nothing to wait for, in a row.
    pub(crate) idle_suspensions: u32,
    /// No invocation before this moment.
    pub(crate) retry_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pause: Option<Pause>,
    /// An invocation is owed since a pause held it back or cut it off.
    #[serde(default)]
    pub(crate) deferred: bool,
    /// How long the execution timeout stood still so far.
    #[serde(default)]
    pub(crate) paused_millis: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    control: Option<pause::Control>,
    /// Positions of the chained invocations whose end the running invocation has not asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kept: Vec<usize>,
}

impl Progress {
    /// When the execution's time is up, with the time it was paused added. Never later than 366 days after the start.
    pub(crate) fn deadline(&self, origin: &Origin) -> Timestamp {
        let last = origin.started.after_seconds(LONGEST_EXECUTION);
        let stands_still = self
            .pause
            .as_ref()
            .is_some_and(|pause| pause.stops_timeout && pause.since.is_some());
        if stands_still {
            last
        } else {
            origin
                .deadline
                .after(Duration::from_millis(self.paused_millis))
                .min(last)
        }
    }
}

impl Transition {
    /// The execution's status after this transition.
    pub(crate) fn status(&self) -> ExecutionStatus {
        match (&self.outcome, &self.progress.pause) {
            (Some(outcome), _) => outcome.status(),
            (None, Some(pause)) if pause.since.is_some() => ExecutionStatus::Paused,
            (None, Some(_)) => ExecutionStatus::Pausing,
            (None, None) => ExecutionStatus::Running,
        }
    }
}

/// The answer to the last checkpoint, for a client that did not get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replay {
    pub(crate) client_token: String,
    pub(crate) token: CheckpointToken,
    pub(crate) at: Timestamp,
    pub(crate) response: Bytes,
}

/// How long a checkpoint's answer is repeated: `ClientToken` in the API model.
pub(crate) const REPLAY_WINDOW: Duration = Duration::from_secs(15 * 60);

/// One execution, as the service holds it while it is open.
#[derive(Debug, Clone)]
pub(crate) struct Execution {
    pub(crate) key: i64,
    pub(crate) origin: Arc<Origin>,
    pub(crate) progress: Progress,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) replay: Option<Arc<Replay>>,
    operations: Vec<Arc<Operation>>,
    positions: HashMap<String, usize>,
    timers: BTreeSet<(Timestamp, usize)>,
}

/// A new execution that a chained invocation starts.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) origin: Origin,
}

/// What must happen once a transition is durable.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// An invocation is wanted.
    Invoke,
    /// A chained invocation starts another execution. Happens in the same commit.
    StartChild(Box<Child>),
    /// The execution is closed.
    Closed,
}

/// One step of an execution, as data.
#[derive(Debug, Clone)]
pub(crate) struct Transition {
    pub(crate) progress: Progress,
    /// New and changed operations with their positions, ascending.
    pub(crate) operations: Vec<(usize, Arc<Operation>)>,
    pub(crate) events: Vec<Event>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) replay: Option<Arc<Replay>>,
    pub(crate) effects: Vec<Effect>,
}

/// What brings an execution back to where it was before a transition that could not be made durable.
#[derive(Debug)]
pub(crate) struct Undo {
    progress: Progress,
    operations: Vec<(usize, Option<Arc<Operation>>)>,
    outcome: Option<Outcome>,
    replay: Option<Arc<Replay>>,
}

impl Execution {
    /// An execution from its stored parts.
    pub(crate) fn restore(
        key: i64,
        origin: Arc<Origin>,
        progress: Progress,
        outcome: Option<Outcome>,
        replay: Option<Arc<Replay>>,
        operations: Vec<Arc<Operation>>,
    ) -> Self {
        let mut execution = Self {
            key,
            origin,
            progress,
            outcome,
            replay,
            operations: Vec::with_capacity(operations.len()),
            positions: HashMap::new(),
            timers: BTreeSet::new(),
        };
        for (position, operation) in operations.into_iter().enumerate() {
            execution.put(position, operation);
        }
        execution
    }

    pub(crate) fn arn(&self) -> &ExecutionArn {
        &self.origin.arn
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.outcome.is_some()
    }

    pub(crate) fn deadline(&self) -> Timestamp {
        self.progress.deadline(&self.origin)
    }

    pub(crate) fn operations(&self) -> &[Arc<Operation>] {
        &self.operations
    }

    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.positions.get(id).copied()
    }

    /// When the service must look at this execution again by itself.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        if self.is_closed() {
            return None;
        }
        let timer = self.timers.first().map(|(at, _)| *at);
        let retry = if self.progress.gate == Gate::Idle {
            self.progress.retry_at
        } else {
            None
        };
        [Some(self.deadline()), timer, retry]
            .into_iter()
            .flatten()
            .min()
    }

    /// Applies a transition made for exactly this state.
    pub(crate) fn apply(&mut self, transition: &Transition) -> Undo {
        let mut undo = Undo {
            progress: std::mem::replace(&mut self.progress, transition.progress.clone()),
            operations: Vec::with_capacity(transition.operations.len()),
            outcome: self.outcome.clone(),
            replay: self.replay.clone(),
        };
        for (position, operation) in &transition.operations {
            undo.operations
                .push((*position, self.operations.get(*position).cloned()));
            self.put(*position, Arc::clone(operation));
        }
        if let Some(outcome) = &transition.outcome {
            self.outcome = Some(outcome.clone());
        }
        if let Some(replay) = &transition.replay {
            self.replay = Some(Arc::clone(replay));
        }
        undo
    }

    /// Takes the last applied transition back.
    pub(crate) fn undo(&mut self, undo: Undo) {
        self.progress = undo.progress;
        self.outcome = undo.outcome;
        self.replay = undo.replay;
        for (position, before) in undo.operations.into_iter().rev() {
            match before {
                Some(operation) => self.put(position, operation),
                None => self.remove_last(position),
            }
        }
    }

    fn put(&mut self, position: usize, operation: Arc<Operation>) {
        let due = operation.due();
        match self.operations.get_mut(position) {
            Some(slot) => {
                if let Some(at) = slot.due() {
                    self.timers.remove(&(at, position));
                }
                *slot = operation;
            }
            None => {
                debug_assert_eq!(
                    position,
                    self.operations.len(),
                    "operations are appended one by one"
                );
                self.positions.insert(operation.id.clone(), position);
                self.operations.push(operation);
            }
        }
        if let Some(at) = due {
            self.timers.insert((at, position));
        }
    }

    fn remove_last(&mut self, position: usize) {
        debug_assert_eq!(
            position + 1,
            self.operations.len(),
            "operations are removed in reverse order"
        );
        if let Some(operation) = self.operations.pop() {
            self.positions.remove(&operation.id);
            if let Some(at) = operation.due() {
                self.timers.remove(&(at, position));
            }
        }
    }
}
