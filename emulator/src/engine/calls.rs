//! What callers from outside can ask of the writer: each is one method here, run by it.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::error::{ApiError, ApiErrorKind};
use crate::machine::{self, CallbackAction, ControlRequest, Origin, Outcome, Target};
use crate::model::id::{mint_ordered_uuid, mint_uuid};
use crate::model::{CallbackId, ErrorObject, ExecutionArn, Timestamp};
use crate::pages;

use super::{Engine, Haste, Refusal};

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

impl Engine {
    /// Starts an execution. A name that is taken gives the execution that has it, if its input is the same.
    pub(crate) fn start(&mut self, request: &StartRequest) -> Result<Started, Refusal> {
        let now = self.clock.now();
        let target = &request.target;
        if let Some(name) = &request.name {
            pages::check_name(Some(name))?;
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
        let id = mint_ordered_uuid(now, world.rng);
        let name = request
            .name
            .clone()
            .unwrap_or_else(|| mint_ordered_uuid(now, world.rng));
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

    /// Starts an execution for a caller who waits for its end, and is told nothing before it: the start shares the commit
    /// of what comes next, and the first invocation begins before that.
    pub(crate) fn run(&mut self, request: &StartRequest) -> Result<(Started, Waiting), Refusal> {
        let started = self.start(request)?;
        let waiting = self.wait(&started.arn)?;
        self.haste = Haste::Later;
        Ok((started, waiting))
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
        match self.store.end(arn)? {
            Some((outcome, _)) => Ok(Waiting::Over(outcome)),
            None => Err(ApiError::no_execution(arn).into()),
        }
    }

    /// The open execution of this ARN; says what is wrong when there is none.
    fn open_key(&self, arn: &ExecutionArn) -> Result<i64, Refusal> {
        if let Some(key) = self.keys.get(arn) {
            return Ok(*key);
        }
        match self.store.end(arn)? {
            Some(_) => Err(ApiError::new(
                ApiErrorKind::ResourceConflict,
                "The durable execution has ended",
            )
            .into()),
            None => Err(ApiError::no_execution(arn).into()),
        }
    }

    /// Stops an execution and returns when it ended.
    pub(crate) fn stop(
        &mut self,
        arn: &ExecutionArn,
        error: Option<&ErrorObject>,
    ) -> Result<Timestamp, Refusal> {
        let now = self.clock.now();
        let Some(key) = self.keys.get(arn).copied() else {
            let (_, ended) = self
                .store
                .end(arn)?
                .ok_or_else(|| ApiError::no_execution(arn))?;
            return Ok(ended);
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

    /// Pauses an execution, or resumes it.
    pub(crate) fn control(
        &mut self,
        arn: &ExecutionArn,
        request: &ControlRequest,
        resume: bool,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        let key = self.open_key(arn)?;
        self.time_out(key, now)?;
        let execution = self
            .open
            .get(&key)
            .ok_or_else(|| ApiError::no_execution(arn))?;
        let world = self.surroundings.at(now);
        let control = if resume {
            machine::resume
        } else {
            machine::pause
        };
        if let Some(transition) = control(execution, request, &world)? {
            self.apply(key, transition)?;
        }
        Ok(())
    }

    /// Deletes an execution that has ended, and returns when it was asked to.
    pub(crate) fn delete(&mut self, arn: &ExecutionArn) -> Result<Timestamp, Refusal> {
        let now = self.clock.now();
        let running = ApiError::new(
            ApiErrorKind::ResourceConflict,
            "The durable execution has not ended, or its last invocation still runs",
        );
        if self.keys.contains_key(arn) {
            return Err(running.into());
        }
        self.store
            .end(arn)?
            .ok_or_else(|| ApiError::no_execution(arn))?;
        self.store.delete(arn)?;
        self.batch.written = true;
        Ok(now)
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
