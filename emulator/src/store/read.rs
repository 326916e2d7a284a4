//! Reading what is committed, beside the writer: details, histories and lists.

mod overview;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, params, params_from_iter};

use crate::machine::{ExecutionStatus, Origin, Outcome, Progress};
use crate::model::{ExecutionArn, Timestamp};

use super::StoreError;
use super::record::RecordKind;

pub(crate) use overview::Overview;

/// One execution as a list shows it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) key: i64,
    pub(crate) arn: ExecutionArn,
    pub(crate) status: ExecutionStatus,
    pub(crate) started: Timestamp,
    pub(crate) ended: Option<Timestamp>,
}

/// Everything about one execution but its operations and its history.
#[derive(Debug, Clone)]
pub(crate) struct Details {
    pub(crate) row: Row,
    pub(crate) origin: Origin,
    pub(crate) progress: Progress,
    pub(crate) outcome: Option<Outcome>,
}

/// What a list shall contain.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListFilter {
    pub(crate) function: String,
    pub(crate) version: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) statuses: Vec<ExecutionStatus>,
    pub(crate) started_after: Option<Timestamp>,
    pub(crate) started_before: Option<Timestamp>,
    pub(crate) oldest_first: bool,
    /// Continue behind this start time and key.
    pub(crate) after: Option<(Timestamp, i64)>,
    pub(crate) limit: usize,
}

/// A connection that only reads. It sees every answered write: answers follow commits.
pub(crate) struct Reader {
    connection: Mutex<Connection>,
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        read(&connection)
    }

    /// Everything about one execution but its operations.
    pub(crate) fn details(&self, arn: &ExecutionArn) -> Result<Option<Details>, StoreError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT key, arn, status, started, ended, origin.body, input.body, outcome.body, progress FROM executions
                 JOIN records AS origin ON origin.execution = key AND origin.kind = ?2
                 JOIN records AS input ON input.execution = key AND input.kind = ?3
                 LEFT JOIN records AS outcome ON outcome.execution = key AND outcome.kind = ?4
                 WHERE arn = ?1",
            )?;
            let text = |row: &rusqlite::Row<'_>, at: usize| row.get::<_, String>(at);
            let found = statement
                .query_row(params![arn.as_str(), RecordKind::Origin, RecordKind::Input, RecordKind::Outcome], |row| {
                    let outcome: Option<String> = row.get(7)?;
                    Ok((raw(row)?, text(row, 5)?, text(row, 6)?, outcome, text(row, 8)?))
                })
                .optional()?;
            let Some((row, body, input, outcome, progress)) = found else { return Ok(None) };
            let mut origin: Origin = serde_json::from_str(&body)?;
            origin.input = input.into();
            Ok(Some(Details {
                row: row.try_into()?,
                origin,
                progress: serde_json::from_str(&progress)?,
                outcome: outcome.map(|body| serde_json::from_str(&body)).transpose()?,
            }))
        })
    }

    /// The JSON of events, `limit` at most, from `from` on in the given direction; `None` when there is no such execution.
    pub(crate) fn events(
        &self,
        arn: &ExecutionArn,
        from: Option<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Option<Vec<(u64, String)>>, StoreError> {
        self.with(|connection| {
            let key: Option<i64> = connection
                .prepare_cached("SELECT key FROM executions WHERE arn = ?1")?
                .query_row([arn.as_str()], |row| row.get(0))
                .optional()?;
            let Some(key) = key else { return Ok(None) };
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let from = from.map(|id| i64::try_from(id).unwrap_or(i64::MAX));
            let rows = if newest_first {
                let sql = "SELECT id, body FROM records
                    WHERE execution = ?1 AND kind = ?2 AND id <= ?3 ORDER BY id DESC LIMIT ?4";
                bodies(
                    connection,
                    sql,
                    params![key, RecordKind::Event, from.unwrap_or(i64::MAX), limit],
                )?
            } else {
                let sql = "SELECT id, body FROM records
                    WHERE execution = ?1 AND kind = ?2 AND id >= ?3 ORDER BY id LIMIT ?4";
                bodies(
                    connection,
                    sql,
                    params![key, RecordKind::Event, from.unwrap_or(0), limit],
                )?
            };
            Ok(Some(rows))
        })
    }

    /// Executions of a function.
    pub(crate) fn list(&self, filter: &ListFilter) -> Result<Vec<Row>, StoreError> {
        let mut sql =
            "SELECT key, arn, status, started, ended FROM executions WHERE function = ?".to_owned();
        let mut values: Vec<Value> = vec![filter.function.clone().into()];
        let mut also = |condition: &str, more: Vec<Value>| {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.extend(more);
        };
        if let Some(version) = &filter.version {
            also("version = ?", vec![version.clone().into()]);
        }
        if let Some(name) = &filter.name {
            also("name = ?", vec![name.clone().into()]);
        }
        if !filter.statuses.is_empty() {
            let marks = vec!["?"; filter.statuses.len()].join(", ");
            let statuses = filter
                .statuses
                .iter()
                .map(|status| status.as_str().to_owned().into())
                .collect();
            also(&format!("status IN ({marks})"), statuses);
            if all_open(&filter.statuses) {
                also(OPEN, Vec::new());
            }
        }
        if let Some(after) = filter.started_after {
            also("started > ?", vec![after.as_millis().into()]);
        }
        if let Some(before) = filter.started_before {
            also("started < ?", vec![before.as_millis().into()]);
        }
        if let Some((started, key)) = filter.after {
            let condition = if filter.oldest_first {
                "(started, key) > (?, ?)"
            } else {
                "(started, key) < (?, ?)"
            };
            also(condition, vec![started.as_millis().into(), key.into()]);
        }
        sql.push_str(if filter.oldest_first {
            " ORDER BY started, key LIMIT ?"
        } else {
            " ORDER BY started DESC, key DESC LIMIT ?"
        });
        values.push(i64::try_from(filter.limit).unwrap_or(i64::MAX).into());
        self.with(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values), raw)?;
            rows.map(|row| row?.try_into()).collect()
        })
    }
}

/// What is true of every open execution, as the index of these says it.
const OPEN: &str = "ended IS NULL";

/// True when only executions that have not ended are wanted.
fn all_open(statuses: &[ExecutionStatus]) -> bool {
    use ExecutionStatus::{Paused, Pausing, Running};
    let open = |status| matches!(status, &Running | &Pausing | &Paused);
    !statuses.is_empty() && statuses.iter().all(open)
}

fn bodies(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<Vec<(u64, String)>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    rows.map(|row| {
        let (id, body) = row?;
        Ok((
            u64::try_from(id).map_err(|_| StoreError::Record("an event id"))?,
            body,
        ))
    })
    .collect()
}

struct RawRow {
    key: i64,
    arn: String,
    status: String,
    started: i64,
    ended: Option<i64>,
}

fn raw(row: &rusqlite::Row<'_>) -> Result<RawRow, rusqlite::Error> {
    Ok(RawRow {
        key: row.get(0)?,
        arn: row.get(1)?,
        status: row.get(2)?,
        started: row.get(3)?,
        ended: row.get(4)?,
    })
}

impl TryFrom<RawRow> for Row {
    type Error = StoreError;

    fn try_from(row: RawRow) -> Result<Self, StoreError> {
        Ok(Self {
            key: row.key,
            arn: ExecutionArn::parse(&row.arn).map_err(|_| StoreError::Record("an ARN"))?,
            status: serde_json::from_value(row.status.into())?,
            started: Timestamp::from_millis(row.started),
            ended: row.ended.map(Timestamp::from_millis),
        })
    }
}
