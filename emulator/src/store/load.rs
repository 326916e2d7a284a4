//! Reading on the writer's own connection: what it needs to go on, and what its own transaction has already changed.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};

use crate::machine::{Execution, Origin, Outcome, Replay};
use crate::model::operation::Operation;
use crate::model::{ExecutionArn, Timestamp};

use super::record::{self, RecordKind};
use super::{Store, StoreError};

impl Store {
    pub(crate) fn next_key(&self) -> Result<i64, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT coalesce(max(key), 0) + 1 FROM executions")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Keys of the executions that are not closed, oldest first.
    pub(crate) fn open_keys(&self) -> Result<Vec<i64>, StoreError> {
        let mut statement = self
            .connection
            .prepare("SELECT key FROM executions WHERE ended IS NULL ORDER BY key")?;
        let keys = statement
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(keys)
    }

    /// The execution with this name, and its input.
    pub(crate) fn named(
        &self,
        function: &str,
        name: &str,
    ) -> Result<Option<(ExecutionArn, String)>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT arn, body FROM executions JOIN records ON execution = key
             WHERE function = ?1 AND name = ?2 AND kind = ?3",
        )?;
        let found: Option<(String, String)> = statement
            .query_row(params![function, name, RecordKind::Input], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        found
            .map(|(arn, input)| {
                Ok((
                    ExecutionArn::parse(&arn).map_err(|_| StoreError::Record("an ARN"))?,
                    input,
                ))
            })
            .transpose()
    }

    /// The execution and position of a callback.
    pub(crate) fn callback(&self, id: &str) -> Result<Option<(i64, usize)>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT execution, position FROM callbacks WHERE id = ?1")?;
        let found: Option<(i64, i64)> = statement
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        found
            .map(|(key, position)| {
                Ok((
                    key,
                    usize::try_from(position).map_err(|_| StoreError::Record("a position"))?,
                ))
            })
            .transpose()
    }

    /// How and when a closed execution ended; `None` when it is not closed or not there.
    pub(crate) fn end(
        &self,
        arn: &ExecutionArn,
    ) -> Result<Option<(Outcome, Timestamp)>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT body, ended FROM executions JOIN records ON execution = key
             WHERE arn = ?1 AND ended IS NOT NULL AND kind = ?2",
        )?;
        let found: Option<(String, i64)> = statement
            .query_row(params![arn.as_str(), RecordKind::Outcome], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        found
            .map(|(body, ended)| Ok((serde_json::from_str(&body)?, Timestamp::from_millis(ended))))
            .transpose()
    }

    /// Reads one execution as a whole.
    pub(crate) fn load(&self, key: i64) -> Result<Execution, StoreError> {
        let progress: String = self
            .connection
            .prepare_cached("SELECT progress FROM executions WHERE key = ?1")?
            .query_row([key], |row| row.get(0))?;
        let mut statement = self.connection.prepare_cached(
            "SELECT kind, body FROM records WHERE execution = ?1 AND kind < ?2 ORDER BY kind, id",
        )?;
        let mut rows = statement.query(params![key, RecordKind::Event])?;
        let (mut origin, mut input, mut outcome, mut replay) = (None, None, None, None);
        let mut operations = Vec::new();
        while let Some(row) = rows.next()? {
            let body = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
            match RecordKind::of(row.get(0)?)? {
                RecordKind::Origin => origin = Some(serde_json::from_str::<Origin>(body)?),
                RecordKind::Input => input = Some(body.into()),
                RecordKind::Outcome => outcome = Some(serde_json::from_str(body)?),
                RecordKind::Replay => replay = Some(Arc::new(record::read_replay(body)?)),
                RecordKind::Operation => {
                    operations.push(Arc::new(serde_json::from_str::<Operation>(body)?));
                }
                RecordKind::Event => {}
            }
        }
        let (Some(mut origin), Some(input)) = (origin, input) else {
            return Err(StoreError::Record("an execution without its origin"));
        };
        origin.input = input;
        Ok(Execution::restore(
            key,
            Arc::new(origin),
            serde_json::from_str(&progress)?,
            outcome,
            replay,
            operations,
        ))
    }

    /// The answer to the last checkpoint of an execution that need not be open.
    pub(crate) fn replay_of(&self, arn: &ExecutionArn) -> Result<Option<Replay>, StoreError> {
        let body: Option<String> = self
            .connection
            .prepare_cached(
                "SELECT body FROM executions JOIN records ON execution = key WHERE arn = ?1 AND kind = ?2",
            )?
            .query_row(params![arn.as_str(), RecordKind::Replay], |row| row.get(0))
            .optional()?;
        body.as_deref().map(record::read_replay).transpose()
    }

    /// When the next closed execution's retention is over.
    pub(crate) fn next_expiry(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT min(expires) FROM executions WHERE expires IS NOT NULL")?;
        let at: Option<i64> = statement.query_row([], |row| row.get(0))?;
        Ok(at.map(Timestamp::from_millis))
    }

    pub(crate) fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT value FROM settings WHERE name = ?1")?;
        Ok(statement.query_row([name], |row| row.get(0)).optional()?)
    }
}
