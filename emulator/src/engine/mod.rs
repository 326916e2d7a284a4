//! The writer: holds the open executions, applies transitions to disk and memory together, and tells the rest afterwards.

mod batch;
mod calls;
mod invocations;
mod job;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::config::{CommitHook, InvocationRetry, Limits};
use crate::functions::Functions;
use crate::machine::{self, Effect, Execution, Gate, Origin, Outcome, Transition, World};
use crate::model::{ExecutionArn, Timestamp};
use crate::service::ServiceEvent;
use crate::store::{Store, StoreError};

use batch::{Batch, Haste, Step};
pub(crate) use calls::{StartRequest, Waiting};
pub(crate) use job::{EngineHandle, Refusal, Writer};

/// An execution that wants to be invoked.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) key: i64,
    pub(crate) arn: ExecutionArn,
}

/// What the machine is told of the world, apart from the time.
struct Surroundings {
    rng: StdRng,
    region: String,
    account: String,
    retry: InvocationRetry,
    functions: Arc<Functions>,
}

impl Surroundings {
    fn at(&mut self, now: Timestamp) -> World<'_> {
        World {
            now,
            rng: &mut self.rng,
            region: &self.region,
            account: &self.account,
            retry: self.retry,
            functions: self.functions.as_ref(),
        }
    }
}

/// What the engine is made of.
pub(crate) struct EngineParts {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) retry: InvocationRetry,
    pub(crate) limits: Limits,
    pub(crate) functions: Arc<Functions>,
    pub(crate) on_commit: Option<CommitHook>,
    pub(crate) events: broadcast::Sender<ServiceEvent>,
    pub(crate) work: mpsc::UnboundedSender<Work>,
    pub(crate) next_due: watch::Sender<Option<Timestamp>>,
}

/// The state of all open executions. See [`EngineHandle`].
pub(crate) struct Engine {
    store: Store,
    clock: Arc<dyn Clock>,
    surroundings: Surroundings,
    limits: Limits,
    on_commit: Option<CommitHook>,
    events: broadcast::Sender<ServiceEvent>,
    work: mpsc::UnboundedSender<Work>,
    next_due: watch::Sender<Option<Timestamp>>,

    open: HashMap<i64, Execution>,
    keys: HashMap<ExecutionArn, i64>,
    schedule: BTreeSet<(Timestamp, i64)>,
    scheduled: HashMap<i64, Timestamp>,
    waiters: HashMap<i64, Vec<oneshot::Sender<Outcome>>>,
    next_key: i64,
    next_expiry: Option<Timestamp>,
    commits: u64,
    batch: Batch,
    /// Of the call that runs.
    haste: Haste,
}

impl Engine {
    /// Reads the open executions and asks anew for the invocations that a crash or a stop cut off.
    pub(crate) fn restore(parts: EngineParts) -> Result<Self, StoreError> {
        let next_key = parts.store.next_key()?;
        let next_expiry = parts.store.next_expiry()?;
        let mut engine = Self {
            store: parts.store,
            clock: parts.clock,
            surroundings: Surroundings {
                rng: StdRng::from_os_rng(),
                region: parts.region,
                account: parts.account,
                retry: parts.retry,
                functions: parts.functions,
            },
            limits: parts.limits,
            on_commit: parts.on_commit,
            events: parts.events,
            work: parts.work,
            next_due: parts.next_due,
            open: HashMap::new(),
            keys: HashMap::new(),
            schedule: BTreeSet::new(),
            scheduled: HashMap::new(),
            waiters: HashMap::new(),
            next_key,
            next_expiry,
            commits: 0,
            batch: Batch::default(),
            haste: Haste::default(),
        };
        engine.restore_open()?;
        engine.commit()?;
        Ok(engine)
    }

    fn restore_open(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut unknown = BTreeSet::new();
        for key in self.store.open_keys()? {
            let execution = self.store.load(key)?;
            let arn = execution.arn().clone();
            let recovery = machine::recover(&execution, now);
            self.keys.insert(arn.clone(), key);
            self.open.insert(key, execution);
            self.reschedule(key);
            if let Some(transition) = recovery {
                self.apply(key, transition)?;
            }
            if self
                .open
                .get(&key)
                .is_some_and(|execution| execution.progress.gate == Gate::Queued)
            {
                if self.surroundings.functions.contains(arn.function()) {
                    self.batch.work.push(Work { key, arn });
                } else {
                    unknown.insert(arn.function().to_owned());
                }
            }
        }
        for function in unknown {
            tracing::warn!(
                function,
                "executions of a function that is not configured now stay as they are until it is"
            );
        }
        Ok(())
    }

    /// Writes a transition and applies it, with everything that follows from it in the same commit.
    fn apply(&mut self, key: i64, transition: Transition) -> Result<(), StoreError> {
        let Some(execution) = self.open.get_mut(&key) else {
            return Err(StoreError::Record("an execution that is not open"));
        };
        self.store.update(execution, &transition)?;
        self.batch.written = true;
        let undo = Box::new(execution.apply(&transition));
        self.batch.undo.push(Step::Applied(key, undo));
        self.follow(key, transition)
    }

    fn create(&mut self, origin: Origin) -> Result<i64, StoreError> {
        let key = self.next_key;
        self.next_key += 1;
        let (mut execution, transition) = machine::start(key, origin);
        self.store.create(&execution, &transition)?;
        self.batch.written = true;
        // Taken back as a whole, so its own undo is not needed.
        drop(execution.apply(&transition));
        self.keys.insert(execution.arn().clone(), key);
        self.open.insert(key, execution);
        self.batch.undo.push(Step::Created(key));
        self.follow(key, transition)?;
        Ok(key)
    }

    fn follow(&mut self, key: i64, transition: Transition) -> Result<(), StoreError> {
        self.reschedule(key);
        let Some(arn) = self.open.get(&key).map(|execution| execution.arn().clone()) else {
            return Ok(());
        };
        if self.events.receiver_count() > 0 {
            self.batch
                .events
                .extend(
                    transition
                        .events
                        .into_iter()
                        .map(|event| ServiceEvent::History {
                            arn: arn.clone(),
                            event: Arc::new(event),
                        }),
                );
        }
        for effect in transition.effects {
            match effect {
                Effect::Invoke => self.batch.work.push(Work {
                    key,
                    arn: arn.clone(),
                }),
                Effect::StartChild(child) => {
                    self.create(child.origin)?;
                }
                Effect::Closed => self.closed(key)?,
            }
        }
        Ok(())
    }

    /// Tells the execution that waits for this one, if one does.
    fn closed(&mut self, key: i64) -> Result<(), StoreError> {
        self.batch.closed.push(key);
        let Some(execution) = self.open.get(&key) else {
            return Ok(());
        };
        let (Some(outcome), origin) = (execution.outcome.clone(), Arc::clone(&execution.origin))
        else {
            return Ok(());
        };
        if let Some(ended) = execution.progress.ended {
            let expires = origin.expires(ended);
            self.next_expiry = Some(self.next_expiry.map_or(expires, |at| at.min(expires)));
        }
        let Some((parent, operation)) = &origin.parent else {
            return Ok(());
        };
        let now = self.clock.now();
        let Some(parent) = self.keys.get(parent).copied() else {
            return Ok(());
        };
        let Some(waiting) = self.open.get(&parent) else {
            return Ok(());
        };
        let world = self.surroundings.at(now);
        match machine::child_closed(
            waiting,
            operation,
            &outcome,
            origin.execution_timeout,
            &world,
        ) {
            Some(transition) => self.apply(parent, transition),
            None => Ok(()),
        }
    }

    fn reschedule(&mut self, key: i64) {
        let due = self.open.get(&key).and_then(Execution::next_due);
        let known = match due {
            Some(at) => self.scheduled.insert(key, at),
            None => self.scheduled.remove(&key),
        };
        if known != due {
            if let Some(at) = known {
                self.schedule.remove(&(at, key));
            }
            if let Some(at) = due {
                self.schedule.insert((at, key));
            }
        }
    }

    fn publish_next_due(&self) {
        let timer = self.schedule.first().map(|(at, _)| *at);
        let next = [timer, self.next_expiry].into_iter().flatten().min();
        self.next_due
            .send_if_modified(|known| std::mem::replace(known, next) != next);
    }

    /// A closed execution whose last invocation has ended needs no memory any more.
    fn forget_if_over(&mut self, key: i64) {
        let over = self.open.get(&key).is_some_and(|execution| {
            execution.is_closed() && !matches!(execution.progress.gate, Gate::Running(_))
        });
        if over {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: i64) {
        if let Some(execution) = self.open.remove(&key) {
            self.keys.remove(execution.arn());
        }
        if let Some(at) = self.scheduled.remove(&key) {
            self.schedule.remove(&(at, key));
        }
        self.waiters.remove(&key);
    }

    /// The last act of the writer.
    fn end(&mut self) {
        self.store.checkpoint();
    }
}
