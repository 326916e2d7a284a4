//! What invocations, and time, ask of the writer.

use std::sync::Arc;

use bytes::Bytes;

use crate::api::Settled;
use crate::error::ApiError;
use crate::machine::{
    self, Begun, CheckpointRequest, Checkpointed, Gate, InvocationResult, Origin, StatePage,
};
use crate::model::{ExecutionArn, Timestamp};

use super::{Engine, Refusal};

/// Executions looked at in one commit when many timers are due at once.
const TIMERS_AT_ONCE: usize = 256;

/// Closed executions deleted in one commit.
const EXPIRED_AT_ONCE: usize = 64;

impl Engine {
    /// Takes a checkpoint and returns the answer's JSON.
    pub(crate) fn checkpoint(
        &mut self,
        arn: &ExecutionArn,
        request: &CheckpointRequest,
    ) -> Result<Bytes, Refusal> {
        let now = self.clock.now();
        let Some(key) = self.keys.get(arn).copied() else {
            // Closed since: a client that lost the answer to the checkpoint that closed it still gets that answer.
            let replay = self.store.replay_of(arn)?;
            return machine::repeated(replay.as_ref(), request, now)
                .ok_or_else(|| ApiError::stale_token().into());
        };
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

    /// Does what is due, and says whether anything is left to do before the clock moves.
    pub(crate) fn settle(&mut self) -> Result<Settled, Refusal> {
        self.tick()?;
        let invoked = self
            .open
            .values()
            .any(|execution| execution.progress.gate != Gate::Idle);
        let next = self.schedule.first().map(|(at, _)| *at);
        let now = self.clock.now();
        Ok(if invoked || next.is_some_and(|at| at <= now) {
            Settled::Busy
        } else {
            Settled::Until(next)
        })
    }

    pub(super) fn look_at_timers(&mut self, key: i64, now: Timestamp) -> Result<(), Refusal> {
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
    pub(super) fn time_out(&mut self, key: i64, now: Timestamp) -> Result<(), Refusal> {
        if self
            .open
            .get(&key)
            .is_some_and(|execution| !execution.is_closed() && execution.deadline() <= now)
        {
            self.look_at_timers(key, now)?;
        }
        Ok(())
    }
}
