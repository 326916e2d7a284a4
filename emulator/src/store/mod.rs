//! Executions on disk: SQLite with a write-ahead log, synchronised before anything is answered.

mod folder;
mod load;
mod read;
mod schema;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::ServiceError;

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

/// Prepared statements that are kept: more than there are, so that none is ever prepared twice.
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
