//! What callers can ask of the writer: each is one method here, run on its thread.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::error::{ApiError, ApiErrorKind};
use crate::machine::{
    self, Begun, CallbackAction, CheckpointRequest, Checkpointed, InvocationResult, Origin,
    Outcome, StatePage, Target,
};
use crate::model::id::{is_name, mint_uuid};
use crate::model::{CallbackId, ErrorObject, ExecutionArn, Timestamp};

use super::{Engine, Refusal};

/// A request to start an execution, already checked against the functions.
#[derive(Debug, Clone)]
pub(crate) struct StartRequest {
    pub(crate) target: Target,
    pub(crate) name: Option<String>,
    pub(crate) input: Arc<str>,
    pub(crate) synchronous: bool,
    pub(crate) trace: Option<String>,
    pub(crate) tenant: Option<String>,
}

/// An execution that was started, or found under the same name.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    pub(crate) arn: ExecutionArn,
    pub(crate) existing: bool,
}

/// An execution's end, now or later.
#[derive(Debug)]
pub(crate) enum Waiting {
    Over(Outcome),
    /// Resolves when it ends; fails when the service stops first.
    Open(oneshot::Receiver<Outcome>),
}

/// Executions looked at in one commit when many timers are due at once.
const TIMERS_AT_ONCE: usize = 256;

/// Closed executions deleted in one commit.
const EXPIRED_AT_ONCE: usize = 64;

impl Engine {
    /// Starts an execution. A name that is taken gives the execution that has it, if its input is the same.
    pub(crate) fn start(&mut self, request: &StartRequest) -> Result<Started, Refusal> {
        let now = self.clock.now();
        let target = &request.target;
        if let Some(name) = &request.name {
            if !is_name(name, 64) {
                return Err(ApiError::invalid(
                    "Invalid durable execution name: use 1 to 64 of [a-zA-Z0-9-_].",
                )
                .into());
            }
            if let Some((arn, input)) = self.store.named(&target.name, name)? {
                if same_json(&input, &request.input) {
                    return Ok(Started {
                        arn,
                        existing: true,
                    });
                }
                return Err(ApiError::new(
                    ApiErrorKind::DurableExecutionAlreadyStarted,
                    format!("A durable execution named {name} was already started with a different payload"),
                )
                .into());
            }
        }
        let world = self.surroundings.at(now);
        let id = mint_uuid(world.rng);
        let name = request.name.clone().unwrap_or_else(|| mint_uuid(world.rng));
        let arn = ExecutionArn::from_parts(
            world.region,
            world.account,
            &target.name,
            &target.version,
            &name,
            &id,
        );
        let trace = request
            .trace
            .clone()
            .unwrap_or_else(|| trace_header(now, &mint_uuid(world.rng)));
        let origin = Origin {
            arn: arn.clone(),
            version: target.version.clone(),
            started: now,
            deadline: now.after_seconds(target.durable.execution_timeout),
            execution_timeout: target.durable.execution_timeout,
            retention_days: target.durable.retention_days,
            trace,
            tenant: request.tenant.clone(),
            synchronous: request.synchronous,
            parent: None,
            input: Arc::clone(&request.input),
        };
        self.create(origin)?;
        Ok(Started {
            arn,
            existing: false,
        })
    }

    /// The end of an execution, when it comes.
    pub(crate) fn wait(&mut self, arn: &ExecutionArn) -> Result<Waiting, Refusal> {
        if let Some(key) = self.keys.get(arn).copied()
            && let Some(execution) = self.open.get(&key)
        {
            if let Some(outcome) = &execution.outcome {
                return Ok(Waiting::Over(outcome.clone()));
            }
            let (sender, receiver) = oneshot::channel();
            let waiters = self.waiters.entry(key).or_default();
            waiters.retain(|waiter| !waiter.is_closed());
            waiters.push(sender);
            return Ok(Waiting::Open(receiver));
        }
        let key = self
            .store
            .key_of(arn)?
            .ok_or_else(|| ApiError::no_execution(arn))?;
        match self.store.load(key)?.outcome {
            Some(outcome) => Ok(Waiting::Over(outcome)),
            None => Err(ApiError::no_execution(arn).into()),
        }
    }

    /// Takes a checkpoint and returns the answer's JSON.
    pub(crate) fn checkpoint(
        &mut self,
        arn: &ExecutionArn,
        request: &CheckpointRequest,
    ) -> Result<Bytes, Refusal> {
        let now = self.clock.now();
        let key = self
            .keys
            .get(arn)
            .copied()
            .ok_or_else(ApiError::stale_token)?;
        self.time_out(key, now)?;
        let execution = self.open.get(&key).ok_or_else(ApiError::stale_token)?;
        let mut world = self.surroundings.at(now);
        match machine::checkpoint(execution, request, &mut world)? {
            Checkpointed::Repeated(response) => Ok(response),
            Checkpointed::Applied(transition, response) => {
                self.apply(key, *transition)?;
                Ok(response)
            }
        }
    }

    /// A page of operations for the handler that holds `token`.
    pub(crate) fn state(
        &mut self,
        arn: &ExecutionArn,
        token: &str,
        marker: Option<&str>,
        max_items: usize,
    ) -> Result<(StatePage, Arc<Origin>), Refusal> {
        let now = self.clock.now();
        let key = self
            .keys
            .get(arn)
            .copied()
            .ok_or_else(ApiError::stale_token)?;
        let execution = self.open.get(&key).ok_or_else(ApiError::stale_token)?;
        let world = self.surroundings.at(now);
        let page = machine::state(
            execution,
            token,
            marker,
            max_items,
            self.limits.event_state,
            &world,
        )?;
        Ok((page, Arc::clone(&execution.origin)))
    }

    /// Stops an execution and returns when it ended.
    pub(crate) fn stop(
        &mut self,
        arn: &ExecutionArn,
        error: Option<&ErrorObject>,
    ) -> Result<Timestamp, Refusal> {
        let now = self.clock.now();
        let Some(key) = self.keys.get(arn).copied() else {
            let key = self
                .store
                .key_of(arn)?
                .ok_or_else(|| ApiError::no_execution(arn))?;
            let ended = self.store.load(key)?.progress.ended;
            return ended.ok_or_else(|| ApiError::no_execution(arn).into());
        };
        self.time_out(key, now)?;
        let execution = self
            .open
            .get(&key)
            .ok_or_else(|| ApiError::no_execution(arn))?;
        let world = self.surroundings.at(now);
        let (transition, at) = machine::stop(execution, error, &world);
        if let Some(transition) = transition {
            self.apply(key, transition)?;
        }
        Ok(at)
    }

    /// Completes a callback or notes its heartbeat.
    pub(crate) fn callback(
        &mut self,
        id: &CallbackId,
        action: &CallbackAction,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        let (key, position) = self
            .store
            .callback(id.reveal())?
            .ok_or_else(|| ApiError::new(ApiErrorKind::ResourceNotFound, "Callback not found"))?;
        // Timers first: an answer that comes at the very moment a timeout is due is late, whichever is looked at first.
        self.look_at_timers(key, now)?;
        let closed = || {
            ApiError::new(
                ApiErrorKind::CallbackTimeout,
                "The callback has expired, or is already closed",
            )
        };
        let execution = self.open.get(&key).ok_or_else(closed)?;
        let world = self.surroundings.at(now);
        let transition = machine::callback(execution, position, action, &world)?;
        self.apply(key, transition)?;
        Ok(())
    }

    /// Begins the invocation an execution wants; `None` when it wants none any more.
    pub(crate) fn begin_invocation(&mut self, key: i64) -> Option<Begun> {
        let now = self.clock.now();
        let execution = self.open.get(&key)?;
        let mut world = self.surroundings.at(now);
        let (transition, begun) = machine::begin(execution, self.limits.event_state, &mut world)?;
        self.apply_in_memory(key, &transition);
        Some(begun)
    }

    /// Notes how an invocation ended.
    pub(crate) fn end_invocation(
        &mut self,
        key: i64,
        request_id: &str,
        result: &InvocationResult,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        let Some(execution) = self.open.get(&key) else {
            return Ok(());
        };
        let world = self.surroundings.at(now);
        if let Some(transition) = machine::ended(execution, request_id, result, &world) {
            self.apply(key, transition)?;
        }
        Ok(())
    }

    /// Does what is due: timers of executions, and the end of closed executions' retention.
    pub(crate) fn tick(&mut self) -> Result<(), Refusal> {
        let now = self.clock.now();
        let due: Vec<i64> = self
            .schedule
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(TIMERS_AT_ONCE)
            .map(|(_, key)| *key)
            .collect();
        for key in due {
            self.look_at_timers(key, now)?;
        }
        if self.next_expiry.is_some_and(|at| at <= now) {
            if self.store.expire(now, EXPIRED_AT_ONCE)? > 0 {
                self.batch.written = true;
            }
            self.next_expiry = self.store.next_expiry()?;
        }
        Ok(())
    }

    fn look_at_timers(&mut self, key: i64, now: Timestamp) -> Result<(), Refusal> {
        let Some(execution) = self.open.get(&key) else {
            return Ok(());
        };
        let world = self.surroundings.at(now);
        if let Some(transition) = machine::due(execution, &world) {
            self.apply(key, transition)?;
        }
        Ok(())
    }

    /// Closes an execution whose time is up, before anything else is done to it.
    fn time_out(&mut self, key: i64, now: Timestamp) -> Result<(), Refusal> {
        if self
            .open
            .get(&key)
            .is_some_and(|execution| !execution.is_closed() && execution.origin.deadline <= now)
        {
            self.look_at_timers(key, now)?;
        }
        Ok(())
    }

    /// Remembers a setting of the service itself.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        self.store.set(name, value)?;
        self.batch.written = true;
        Ok(())
    }
}

/// True when two payloads are the same JSON, however they are spaced.
fn same_json(a: &str, b: &str) -> bool {
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    a == b || parse(a).is_some_and(|value| Some(value) == parse(b))
}

/// A trace header as X-Ray spells it, for an execution that was started without one.
fn trace_header(now: Timestamp, random: &str) -> String {
    let random: String = random
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(24)
        .collect();
    format!("Root=1-{:08x}-{random};Sampled=0", now.as_millis() / 1_000)
}
