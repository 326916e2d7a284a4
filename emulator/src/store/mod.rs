//! Executions on disk: SQLite with a write-ahead log, synchronised before anything is answered.

mod folder;
mod read;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use crate::error::ServiceError;
use crate::machine::{Execution, Origin, Progress, Replay, Transition};
use crate::model::id::CheckpointToken;
use crate::model::operation::{Kind, Operation};
use crate::model::{ExecutionArn, Timestamp};

pub(crate) use folder::StateFolder;
pub(crate) use read::{ListFilter, Reader, Row};

/// A read or write that did not work. The batch it belongs to is taken back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the database did not take a statement")]
    Sqlite(#[from] rusqlite::Error),
    #[error("a stored record could not be written or read as JSON")]
    Json(#[from] serde_json::Error),
    #[error("a stored record is not what this program wrote: {0}")]
    Record(&'static str),
}

/// How a missing value in the cache of prepared statements is kept small and yet never thrashes.
const STATEMENTS: usize = 64;

/// The one connection that writes.
pub(crate) struct Store {
    connection: Connection,
    path: PathBuf,
}

fn classify(path: &Path, error: rusqlite::Error) -> ServiceError {
    let path = path.to_path_buf();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => ServiceError::Corrupt {
            path,
            source: Box::new(error),
        },
        _ => ServiceError::Database {
            path,
            source: Box::new(error),
        },
    }
}

impl Store {
    /// Opens, and if need be makes or migrates, the database of a state folder that this process holds.
    pub(crate) fn open(folder: &StateFolder) -> Result<Self, ServiceError> {
        let path = folder.database()?;
        let open = || -> Result<(Connection, Result<(), i64>), rusqlite::Error> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let mut connection = Connection::open_with_flags(&path, flags)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            // Looked at before anything is changed: a newer or a damaged database stays as it is.
            let found: i64 =
                connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if found > schema::VERSION {
                return Ok((connection, Err(found)));
            }
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", true)?;
            let migrated = schema::migrate(&mut connection)?;
            Ok((connection, migrated))
        };
        let (connection, migrated) = open().map_err(|error| classify(&path, error))?;
        if let Err(found) = migrated {
            return Err(ServiceError::NewerSchema {
                path,
                found,
                known: schema::VERSION,
            });
        }
        let store = Self { connection, path };
        store.check()?;
        Ok(store)
    }

    /// A quick look at the whole file, so that damage is found before anything is written.
    fn check(&self) -> Result<(), ServiceError> {
        let verdict: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| classify(&self.path, error))?;
        if verdict == "ok" {
            Ok(())
        } else {
            Err(ServiceError::Corrupt {
                path: self.path.clone(),
                source: verdict.into(),
            })
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn begin(&self) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch("BEGIN IMMEDIATE")?)
    }

    pub(crate) fn commit(&self) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    /// Takes the open transaction back. SQLite may have done so already, for example on a full disk.
    pub(crate) fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction could not be rolled back");
        }
    }

    pub(crate) fn next_key(&self) -> Result<i64, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT coalesce(max(key), 0) + 1 FROM executions")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Writes a new execution and its first transition.
    pub(crate) fn create(
        &self,
        execution: &Execution,
        transition: &Transition,
    ) -> Result<(), StoreError> {
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
        self.connection
            .prepare_cached("INSERT INTO origins (execution, body, input) VALUES (?1, ?2, ?3)")?
            .execute(params![
                execution.key,
                serde_json::to_string(origin.as_ref())?,
                origin.input.as_ref()
            ])?;
        self.write_parts(execution, transition)
    }

    /// Writes a transition of a known execution.
    pub(crate) fn update(
        &self,
        execution: &Execution,
        transition: &Transition,
    ) -> Result<(), StoreError> {
        let progress = serde_json::to_string(&transition.progress)?;
        match &transition.outcome {
            None => {
                self.connection
                    .prepare_cached("UPDATE executions SET progress = ?2 WHERE key = ?1")?
                    .execute(params![execution.key, progress])?;
            }
            Some(outcome) => {
                let ended = transition
                    .progress
                    .ended
                    .ok_or(StoreError::Record("an outcome without an end"))?;
                let days = u64::from(execution.origin.retention_days);
                self.connection
                    .prepare_cached(
                        "UPDATE executions SET progress = ?2, status = ?3, ended = ?4, expires = ?5 WHERE key = ?1",
                    )?
                    .execute(params![
                        execution.key,
                        progress,
                        outcome.status().as_str(),
                        ended.as_millis(),
                        ended.after_seconds(days * 86_400).as_millis(),
                    ])?;
                self.connection
                    .prepare_cached("INSERT INTO outcomes (execution, body) VALUES (?1, ?2)")?
                    .execute(params![execution.key, serde_json::to_string(outcome)?])?;
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
            self.connection
                .prepare_cached(
                    "INSERT INTO operations (execution, position, body) VALUES (?1, ?2, ?3)
                     ON CONFLICT (execution, position) DO UPDATE SET body = excluded.body",
                )?
                .execute(params![
                    key,
                    place,
                    serde_json::to_string(operation.as_ref())?
                ])?;
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
            self.connection
                .prepare_cached("INSERT INTO events (execution, id, body) VALUES (?1, ?2, ?3)")?
                .execute(params![key, id, serde_json::to_string(event)?])?;
        }
        if let Some(replay) = &transition.replay {
            self.connection
                .prepare_cached(
                    "INSERT INTO replays (execution, client_token, token, at, response) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (execution) DO UPDATE SET client_token = excluded.client_token,
                        token = excluded.token, at = excluded.at, response = excluded.response",
                )?
                .execute(params![
                    key,
                    replay.client_token,
                    replay.token.as_str(),
                    replay.at.as_millis(),
                    replay.response.as_ref()
                ])?;
        }
        Ok(())
    }

    /// Keys of the executions that are not closed, oldest first.
    pub(crate) fn open_keys(&self) -> Result<Vec<i64>, StoreError> {
        let mut statement = self
            .connection
            .prepare("SELECT key FROM executions WHERE status = 'RUNNING' ORDER BY key")?;
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

    /// Deletes closed executions whose retention is over, at most `most` of them. Returns how many went.
    pub(crate) fn expire(&self, now: Timestamp, most: usize) -> Result<usize, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        Ok(self
            .connection
            .prepare_cached(
                "DELETE FROM executions WHERE key IN
                 (SELECT key FROM executions WHERE expires IS NOT NULL AND expires <= ?1 ORDER BY expires LIMIT ?2)",
            )?
            .execute(params![now.as_millis(), most])?)
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

    pub(crate) fn set(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO settings (name, value) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            )?
            .execute([name, value])?;
        Ok(())
    }

    /// Moves the write-ahead log into the database, so that a cleanly ended service leaves one file.
    pub(crate) fn checkpoint(&self) {
        let result: Result<i64, _> =
            self.connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        if let Err(error) = result {
            tracing::warn!(%error, "the write-ahead log could not be moved into the database; it will be at the next start");
        }
    }
}
