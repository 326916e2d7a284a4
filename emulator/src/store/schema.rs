//! The database's shape, its version, and how an older one becomes the current one.

use rusqlite::{Connection, TransactionBehavior};

/// The newest schema this program knows. Kept in SQLite's `user_version`.
pub(crate) const VERSION: i64 = 3;

/// `MIGRATIONS[n]` brings a database from version `n` to `n + 1`. One that has been released is never changed; the databases
/// of earlier versions are in `tests/fixtures`.
const MIGRATIONS: [&str; VERSION as usize] = [
    // `executions` has only what changes or is searched: SQLite rewrites a whole row, so what is large and fixed is
    // elsewhere. Times are milliseconds since the epoch, bodies are JSON.
    "
    CREATE TABLE executions (
        key INTEGER PRIMARY KEY,
        arn TEXT NOT NULL UNIQUE,
        function TEXT NOT NULL,
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        status TEXT NOT NULL,
        started INTEGER NOT NULL,
        ended INTEGER,
        expires INTEGER,
        progress TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX executions_by_name ON executions (function, name);
    CREATE INDEX executions_by_start ON executions (function, started, key);
    CREATE INDEX executions_open ON executions (key) WHERE ended IS NULL;
    CREATE INDEX executions_by_expiry ON executions (expires) WHERE expires IS NOT NULL;
    CREATE TABLE origins (
        execution INTEGER PRIMARY KEY REFERENCES executions (key) ON DELETE CASCADE,
        body TEXT NOT NULL,
        input TEXT NOT NULL
    ) STRICT;
    CREATE TABLE outcomes (
        execution INTEGER PRIMARY KEY REFERENCES executions (key) ON DELETE CASCADE,
        body TEXT NOT NULL
    ) STRICT;
    CREATE TABLE operations (
        execution INTEGER NOT NULL REFERENCES executions (key) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (execution, position)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE callbacks (
        id TEXT PRIMARY KEY,
        execution INTEGER NOT NULL REFERENCES executions (key) ON DELETE CASCADE,
        position INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX callbacks_by_execution ON callbacks (execution);
    CREATE TABLE events (
        execution INTEGER NOT NULL REFERENCES executions (key) ON DELETE CASCADE,
        id INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (execution, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE replays (
        execution INTEGER PRIMARY KEY REFERENCES executions (key) ON DELETE CASCADE,
        client_token TEXT NOT NULL,
        token TEXT NOT NULL,
        at INTEGER NOT NULL,
        response BLOB NOT NULL
    ) STRICT;
    CREATE TABLE settings (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    ",
    // Open executions in the order of lists: what runs is found without a look at everything that has ended.
    "
    DROP INDEX executions_open;
    CREATE INDEX executions_open ON executions (function, started, key) WHERE ended IS NULL;
    ",
    // One table for all that an execution consists of, where there were five: what a checkpoint writes is on fewer
    // pages. The kinds are those of `RecordKind`.
    "
    CREATE TABLE records (
        execution INTEGER NOT NULL REFERENCES executions (key) ON DELETE CASCADE,
        kind INTEGER NOT NULL,
        id INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (execution, kind, id)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO records
        SELECT execution, 1, 0, body FROM origins
        UNION ALL SELECT execution, 2, 0, input FROM origins
        UNION ALL SELECT execution, 3, 0, body FROM outcomes
        UNION ALL SELECT execution, 4, 0, json_object('client_token', client_token, 'token', token, 'at', at,
            'response', json(CAST(response AS TEXT))) FROM replays
        UNION ALL SELECT execution, 5, position, body FROM operations
        UNION ALL SELECT execution, 6, id, body FROM events;
    DROP TABLE origins;
    DROP TABLE outcomes;
    DROP TABLE replays;
    DROP TABLE operations;
    DROP TABLE events;
    ",
];

/// Brings a database of an older version, or an empty one, to [`VERSION`].
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let pending = usize::try_from(found)
        .ok()
        .and_then(|found| MIGRATIONS.get(found..))
        .unwrap_or_default();
    for migration in pending {
        transaction.execute_batch(migration)?;
    }
    if !pending.is_empty() {
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}
