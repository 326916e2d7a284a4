//! A transition in the making: sees its own changes, and leaves the execution alone until it is finished.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::model::operation::Operation;
use crate::model::{Event, EventDetails, EventError, EventOperation, EventResult, Timestamp};

use super::{Effect, Execution, Gate, Outcome, Progress, Replay, Transition};

pub(crate) struct Draft<'a> {
    execution: &'a Execution,
    pub(super) now: Timestamp,
    pub(super) progress: Progress,
    changed: BTreeMap<usize, Operation>,
    added: HashMap<String, usize>,
    events: Vec<Event>,
    outcome: Option<Outcome>,
    pub(super) replay: Option<Arc<Replay>>,
    effects: Vec<Effect>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(execution: &'a Execution, now: Timestamp) -> Self {
        Self {
            execution,
            now,
            progress: execution.progress.clone(),
            changed: BTreeMap::new(),
            added: HashMap::new(),
            events: Vec::new(),
            outcome: None,
            replay: None,
            effects: Vec::new(),
        }
    }

    pub(super) const fn execution(&self) -> &'a Execution {
        self.execution
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.outcome.is_some() || self.execution.is_closed()
    }

    /// How many operations there are, with the new ones.
    pub(super) fn len(&self) -> usize {
        self.execution.operations.len() + self.added.len()
    }

    pub(super) fn position(&self, id: &str) -> Option<usize> {
        self.added
            .get(id)
            .copied()
            .or_else(|| self.execution.position(id))
    }

    pub(super) fn get(&self, position: usize) -> Option<&Operation> {
        self.changed
            .get(&position)
            .or_else(|| self.execution.operations.get(position).map(AsRef::as_ref))
    }

    pub(super) fn find(&self, id: &str) -> Option<(usize, &Operation)> {
        let position = self.position(id)?;
        Some((position, self.get(position)?))
    }

    /// Positions of operations whose time has come by now, earliest first.
    pub(super) fn due_positions(&self) -> Vec<usize> {
        let stored = self
            .execution
            .timers
            .iter()
            .take_while(|(at, _)| *at <= self.now)
            .copied();
        let new = self
            .changed
            .iter()
            .filter_map(|(position, operation)| Some((operation.due()?, *position)));
        let mut due: Vec<(Timestamp, usize)> = stored
            .filter(|(_, position)| !self.changed.contains_key(position))
            .chain(new.filter(|(at, _)| *at <= self.now))
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, position)| position).collect()
    }

    /// Stores an operation that its handler must see. A new one goes to the end.
    pub(super) fn touch(&mut self, position: usize, mut operation: Operation) {
        self.progress.changes += 1;
        operation.touched = self.progress.changes;
        if position >= self.len() {
            self.added.insert(operation.id.clone(), position);
        }
        self.changed.insert(position, operation);
    }

    /// Stores a change that is none of the handler's business, such as a heartbeat.
    pub(super) fn put_quietly(&mut self, position: usize, operation: Operation) {
        self.changed.insert(position, operation);
    }

    /// Appends an event about the operation at `position`.
    pub(super) fn event(&mut self, position: usize, details: EventDetails) {
        let operation = self.get(position).map(|operation| EventOperation {
            id: operation.id.clone(),
            parent_id: operation.parent.clone(),
            name: operation.name.clone(),
            sub_type: operation.sub_type.clone(),
        });
        self.append(operation, details);
    }

    /// Appends an event about the execution itself.
    pub(super) fn execution_event(&mut self, details: EventDetails) {
        let arn = self.execution.arn();
        let operation = EventOperation {
            id: arn.id().to_owned(),
            parent_id: None,
            name: Some(arn.name().to_owned()),
            sub_type: None,
        };
        self.append(Some(operation), details);
    }

    /// Appends an event.
    pub(super) fn append(&mut self, operation: Option<EventOperation>, details: EventDetails) {
        self.progress.events += 1;
        self.progress.last_event = self.progress.last_event.max(self.now);
        self.events.push(Event {
            id: self.progress.events,
            at: self.progress.last_event,
            operation,
            details,
        });
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Asks for an invocation after a pause, so that a failing handler does not spin.
    pub(super) fn wake_at(&mut self, at: Timestamp) {
        self.progress.gate = Gate::Idle;
        self.progress.retry_at = Some(at);
    }

    /// Closes the execution. Does nothing when it is closed already: an execution ends once.
    pub(super) fn close(&mut self, outcome: Outcome) {
        if self.is_closed() {
            return;
        }
        self.execution_event(match &outcome {
            Outcome::Succeeded(result) => EventDetails::ExecutionSucceeded {
                result: EventResult::new(result.clone()),
            },
            Outcome::Failed(error) => EventDetails::ExecutionFailed {
                error: EventError::new(error.clone()),
            },
            Outcome::TimedOut => EventDetails::ExecutionTimedOut { error: None },
            Outcome::Stopped(error) => EventDetails::ExecutionStopped {
                error: EventError::new(error.clone()),
            },
        });
        self.progress.ended = Some(self.progress.last_event);
        self.progress.retry_at = None;
        self.progress.pause = None;
        self.progress.deferred = false;
        // An invocation that only waits is not needed any more; one that runs is left to end by itself.
        if self.progress.gate == Gate::Queued {
            self.progress.gate = Gate::Idle;
        }
        self.outcome = Some(outcome);
        self.effect(Effect::Closed);
    }

    /// Operations that changed since the handler last saw them, in the order they started.
    pub(super) fn unseen(&self) -> Vec<&Operation> {
        (0..self.len())
            .filter_map(|position| self.get(position))
            .filter(|operation| operation.touched > self.progress.seen)
            .collect()
    }

    pub(super) fn finish(self) -> Transition {
        Transition {
            progress: self.progress,
            operations: self
                .changed
                .into_iter()
                .map(|(position, operation)| (position, Arc::new(operation)))
                .collect(),
            events: self.events,
            outcome: self.outcome,
            replay: self.replay,
            effects: self.effects,
        }
    }
}
