//! Writing: transitions, settings, and the end of what is kept no longer.

use rusqlite::params;

use crate::machine::{Execution, Transition};
use crate::model::operation::Kind;
use crate::model::{ExecutionArn, Timestamp};

use super::record::{self, RecordKind};
use super::{Store, StoreError};

impl Store {
    /// Writes a new execution and its first transition.
    pub(crate) fn create(
        &self,
        execution: &Execution,
        transition: &Transition,
    ) -> Result<(), StoreError> {
        self.begin()?;
        let origin = &execution.origin;
        self.connection
            .prepare_cached(
                "INSERT INTO executions (key, arn, function, name, version, status, started, progress)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'RUNNING', ?6, ?7)",
            )?
            .execute(params![
                execution.key,
                origin.arn.as_str(),
                origin.arn.function(),
                origin.arn.name(),
                origin.version,
                origin.started.as_millis(),
                serde_json::to_string(&transition.progress)?,
            ])?;
        let body = serde_json::to_string(origin.as_ref())?;
        self.put(execution.key, RecordKind::Origin, 0, &body)?;
        self.put(execution.key, RecordKind::Input, 0, &origin.input)?;
        self.write_parts(execution, transition)
    }

    /// Writes a transition of a known execution.
    pub(crate) fn update(
        &self,
        execution: &Execution,
        transition: &Transition,
    ) -> Result<(), StoreError> {
        self.begin()?;
        let progress = serde_json::to_string(&transition.progress)?;
        match &transition.outcome {
            // Closed before: only the invocation that was left running then has ended.
            None if execution.is_closed() => {
                self.connection
                    .prepare_cached("UPDATE executions SET progress = ?2 WHERE key = ?1")?
                    .execute(params![execution.key, progress])?;
            }
            None => {
                self.connection
                    .prepare_cached(
                        "UPDATE executions SET progress = ?2, status = ?3 WHERE key = ?1",
                    )?
                    .execute(params![
                        execution.key,
                        progress,
                        transition.status().as_str()
                    ])?;
            }
            Some(outcome) => {
                let ended = transition
                    .progress
                    .ended
                    .ok_or(StoreError::Record("an outcome without an end"))?;
                self.connection
                    .prepare_cached(
                        "UPDATE executions SET progress = ?2, status = ?3, ended = ?4, expires = ?5 WHERE key = ?1",
                    )?
                    .execute(params![
                        execution.key,
                        progress,
                        outcome.status().as_str(),
                        ended.as_millis(),
                        execution.origin.expires(ended).as_millis(),
                    ])?;
                let body = serde_json::to_string(outcome)?;
                self.put(execution.key, RecordKind::Outcome, 0, &body)?;
            }
        }
        self.write_parts(execution, transition)
    }

    fn write_parts(
        &self,
        execution: &Execution,
        transition: &Transition,
    ) -> Result<(), StoreError> {
        let key = execution.key;
        let known = execution.operations().len();
        for (position, operation) in &transition.operations {
            let place = i64::try_from(*position).map_err(|_| StoreError::Record("a position"))?;
            let body = serde_json::to_string(operation.as_ref())?;
            self.replace(key, RecordKind::Operation, place, &body)?;
            if let (true, Kind::Callback(callback)) = (*position >= known, &operation.kind) {
                self.connection
                    .prepare_cached(
                        "INSERT INTO callbacks (id, execution, position) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![callback.id.reveal(), key, place])?;
            }
        }
        for event in &transition.events {
            let id = i64::try_from(event.id).map_err(|_| StoreError::Record("an event id"))?;
            self.put(key, RecordKind::Event, id, &serde_json::to_string(event)?)?;
        }
        if let Some(replay) = &transition.replay {
            let body = record::write_replay(replay)?;
            self.replace(key, RecordKind::Replay, 0, &body)?;
        }
        Ok(())
    }

    /// Writes a record that is not there yet.
    fn put(&self, key: i64, kind: RecordKind, id: i64, body: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO records (execution, kind, id, body) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![key, kind, id, body])?;
        Ok(())
    }

    /// Writes a record, whether it is there or not.
    fn replace(&self, key: i64, kind: RecordKind, id: i64, body: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO records (execution, kind, id, body) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (execution, kind, id) DO UPDATE SET body = excluded.body",
            )?
            .execute(params![key, kind, id, body])?;
        Ok(())
    }

    /// Deletes a closed execution and everything about it.
    pub(crate) fn delete(&self, arn: &ExecutionArn) -> Result<(), StoreError> {
        self.begin()?;
        self.connection
            .prepare_cached("DELETE FROM executions WHERE arn = ?1 AND ended IS NOT NULL")?
            .execute([arn.as_str()])?;
        Ok(())
    }

    /// Deletes closed executions whose retention is over, at most `most` of them. Returns how many went.
    pub(crate) fn expire(&self, now: Timestamp, most: usize) -> Result<usize, StoreError> {
        self.begin()?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        Ok(self
            .connection
            .prepare_cached(
                "DELETE FROM executions WHERE key IN
                 (SELECT key FROM executions WHERE expires IS NOT NULL AND expires <= ?1 ORDER BY expires LIMIT ?2)",
            )?
            .execute(params![now.as_millis(), most])?)
    }

    pub(crate) fn set(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.begin()?;
        self.connection
            .prepare_cached(
                "INSERT INTO settings (name, value) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            )?
            .execute([name, value])?;
        Ok(())
    }
}
