//! Reading on the writer's own connection: what it needs to go on, and what its own transaction has already changed.

use std::sync::Arc;

use rusqlite::OptionalExtension as _;

use crate::machine::{Execution, Origin, Outcome, Progress, Replay};
use crate::model::id::CheckpointToken;
use crate::model::operation::Operation;
use crate::model::{ExecutionArn, Timestamp};

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

    pub(crate) fn key_of(&self, arn: &ExecutionArn) -> Result<Option<i64>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT key FROM executions WHERE arn = ?1")?;
        Ok(statement
            .query_row([arn.as_str()], |row| row.get(0))
            .optional()?)
    }

    /// The execution with this name, and its input.
    pub(crate) fn named(
        &self,
        function: &str,
        name: &str,
    ) -> Result<Option<(ExecutionArn, String)>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT arn, input FROM executions JOIN origins ON execution = key WHERE function = ?1 AND name = ?2",
        )?;
        let found: Option<(String, String)> = statement
            .query_row([function, name], |row| Ok((row.get(0)?, row.get(1)?)))
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
            "SELECT outcomes.body, ended FROM executions JOIN outcomes ON execution = key
             WHERE arn = ?1 AND ended IS NOT NULL",
        )?;
        let found: Option<(String, i64)> = statement
            .query_row([arn.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        found
            .map(|(body, ended)| Ok((serde_json::from_str(&body)?, Timestamp::from_millis(ended))))
            .transpose()
    }

    /// Reads one execution as a whole.
    pub(crate) fn load(&self, key: i64) -> Result<Execution, StoreError> {
        let (progress, body, input, outcome): (String, String, String, Option<String>) = self
            .connection
            .prepare_cached(
                "SELECT progress, origins.body, input, outcomes.body FROM executions
                 JOIN origins ON origins.execution = key LEFT JOIN outcomes ON outcomes.execution = key
                 WHERE key = ?1",
            )?
            .query_row([key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let mut origin: Origin = serde_json::from_str(&body)?;
        origin.input = input.into();
        let progress: Progress = serde_json::from_str(&progress)?;
        let outcome = outcome
            .map(|body| serde_json::from_str(&body))
            .transpose()?;
        let operations = self
            .connection
            .prepare_cached("SELECT body FROM operations WHERE execution = ?1 ORDER BY position")?
            .query_map([key], |row| row.get::<_, String>(0))?
            .map(|body| Ok(Arc::new(serde_json::from_str::<Operation>(&body?)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        let replay = self.replay(key)?.map(Arc::new);
        Ok(Execution::restore(
            key,
            Arc::new(origin),
            progress,
            outcome,
            replay,
            operations,
        ))
    }

    /// The answer to the last checkpoint of an execution that need not be open.
    pub(crate) fn replay_of(&self, arn: &ExecutionArn) -> Result<Option<Replay>, StoreError> {
        match self.key_of(arn)? {
            Some(key) => self.replay(key),
            None => Ok(None),
        }
    }

    fn replay(&self, key: i64) -> Result<Option<Replay>, StoreError> {
        let found: Option<(String, String, i64, Vec<u8>)> = self
            .connection
            .prepare_cached(
                "SELECT client_token, token, at, response FROM replays WHERE execution = ?1",
            )?
            .query_row([key], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        found
            .map(|(client_token, token, at, response)| {
                Ok(Replay {
                    client_token,
                    token: CheckpointToken::parse(&token)
                        .map_err(|_| StoreError::Record("a checkpoint token"))?,
                    at: Timestamp::from_millis(at),
                    response: response.into(),
                })
            })
            .transpose()
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
