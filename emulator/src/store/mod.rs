//! Executions on disk: SQLite with a write-ahead log, synchronised before anything is answered.

mod folder;
mod load;
mod read;
mod record;
mod schema;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::ServiceError;

pub(crate) use folder::StateFolder;
pub(crate) use read::{Details, ListFilter, Overview, Reader, Row};

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

/// Pages in the write-ahead log, 16 MiB of them, after which SQLite moves them into the database. The pages that every commit
/// writes are moved once for all of these commits; SQLite's own 1,000 pages are full after some 150 commits.
const LOG_PAGES: i64 = 4_000;

/// Pages the writer keeps in memory, in KiB, so that a large index is not read from the disk for every insert.
const CACHE_KIB: i64 = 16 * 1024;

/// The one connection that writes.
pub(crate) struct Store {
    connection: Connection,
    path: PathBuf,
    /// Held until the last write is done, not until the service is dropped: a next service must not start before.
    _folder: Arc<StateFolder>,
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

/// The largest database that is read through at the start, in bytes. That takes about a second for each of them; damage in a
/// larger one is found where it is read.
const CHECKED: i64 = 256 * 1024 * 1024;

enum Found {
    Version(i64),
    Damage(String),
}

fn look(connection: &Connection) -> Result<Found, rusqlite::Error> {
    connection.busy_timeout(Duration::from_secs(5))?;
    let size: i64 = connection.query_row(
        "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
        [],
        |row| row.get(0),
    )?;
    if size <= CHECKED {
        let verdict: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Ok(Found::Damage(verdict));
        }
    }
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map(Found::Version)
}

fn prepare(connection: &mut Connection) -> Result<(), rusqlite::Error> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    schema::migrate(connection)
}

impl Store {
    /// Opens, and if need be makes or migrates, the database of a state folder that this process holds.
    ///
    /// Looked at before anything is changed: a damaged database, or one of a newer program, stays as it is.
    pub(crate) fn open(folder: &Arc<StateFolder>) -> Result<Self, ServiceError> {
        let path = folder.database()?;
        let broken = |error| classify(&path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags).map_err(broken)?;
        let found = look(&connection).map_err(broken)?;
        match found {
            Found::Version(version) if version > schema::VERSION => {
                return Err(ServiceError::NewerSchema {
                    path,
                    found: version,
                    known: schema::VERSION,
                });
            }
            Found::Version(_) => {}
            Found::Damage(verdict) => {
                return Err(ServiceError::Corrupt {
                    path,
                    source: verdict.into(),
                });
            }
        }
        prepare(&mut connection).map_err(broken)?;
        Ok(Self {
            connection,
            path,
            _folder: Arc::clone(folder),
        })
    }

    /// Lets the database grow by so many pages only, as a full disk would.
    #[cfg(test)]
    pub(crate) fn limit_growth(&self, pages: i64) -> Result<(), StoreError> {
        let now: i64 = self
            .connection
            .pragma_query_value(None, "page_count", |row| row.get(0))?;
        self.connection.query_row(
            &format!("PRAGMA max_page_count = {}", now + pages),
            [],
            |row| row.get::<_, i64>(0),
        )?;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a transaction unless one is open. Every write calls it, so that a batch that writes nothing costs nothing.
    fn begin(&self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() {
            self.connection
                .prepare_cached("BEGIN IMMEDIATE")?
                .execute([])?;
        }
        Ok(())
    }

    /// Makes everything durable that was written since the last commit, if anything was.
    pub(crate) fn commit(&self) -> Result<(), StoreError> {
        if !self.connection.is_autocommit() {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
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
