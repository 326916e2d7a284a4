//! Reading for people: executions of all functions in one list, an execution's callbacks, and its events one by one.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params, params_from_iter};

use crate::machine::ExecutionStatus;
use crate::model::operation::Operation;
use crate::model::{Event, ExecutionArn, Timestamp};

use super::super::StoreError;
use super::super::record::RecordKind;
use super::{OPEN, Reader, Row, all_open, raw};

/// What a list across functions shall contain, newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overview {
    /// Only this function.
    pub(crate) function: Option<String>,
    /// Only names that contain this.
    pub(crate) name: Option<String>,
    /// Only these statuses; all when empty.
    pub(crate) statuses: Vec<ExecutionStatus>,
    /// Continue behind this start time and key.
    pub(crate) after: Option<(Timestamp, i64)>,
    pub(crate) limit: usize,
}

impl Reader {
    /// Executions of all functions.
    ///
    /// The index is by function, so each function is asked for its newest and the answers are merged: a few functions with
    /// very many executions are listed without sorting them all.
    pub(crate) fn overview(&self, wanted: &Overview) -> Result<Vec<Row>, StoreError> {
        let functions = match &wanted.function {
            Some(function) => vec![function.clone()],
            None => self.functions()?,
        };
        let mut rows = Vec::new();
        for function in functions {
            rows.extend(self.newest(&function, wanted)?);
        }
        rows.sort_by_key(|row| std::cmp::Reverse((row.started, row.key)));
        rows.truncate(wanted.limit);
        Ok(rows)
    }

    fn newest(&self, function: &str, wanted: &Overview) -> Result<Vec<Row>, StoreError> {
        let mut sql =
            "SELECT key, arn, status, started, ended FROM executions WHERE function = ?".to_owned();
        let mut values: Vec<Value> = vec![function.to_owned().into()];
        if let Some(name) = &wanted.name {
            sql.push_str(" AND instr(lower(name), lower(?))");
            values.push(name.clone().into());
        }
        if !wanted.statuses.is_empty() {
            let marks = vec!["?"; wanted.statuses.len()].join(", ");
            sql.push_str(&format!(" AND status IN ({marks})"));
            values.extend(
                wanted
                    .statuses
                    .iter()
                    .map(|status| status.as_str().to_owned().into()),
            );
            if all_open(&wanted.statuses) {
                sql.push_str(&format!(" AND {OPEN}"));
            }
        }
        if let Some((started, key)) = wanted.after {
            sql.push_str(" AND (started, key) < (?, ?)");
            values.extend([started.as_millis().into(), key.into()]);
        }
        sql.push_str(" ORDER BY started DESC, key DESC LIMIT ?");
        values.push(i64::try_from(wanted.limit).unwrap_or(i64::MAX).into());
        self.with(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values), raw)?;
            rows.map(|row| row?.try_into()).collect()
        })
    }

    /// The functions that have executions, by name. Steps from one to the next in the index, however many executions each has.
    pub(crate) fn functions(&self) -> Result<Vec<String>, StoreError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "WITH RECURSIVE known (function) AS (
                     SELECT min(function) FROM executions
                     UNION ALL
                     SELECT (SELECT min(executions.function) FROM executions WHERE executions.function > known.function)
                     FROM known WHERE known.function IS NOT NULL
                 ) SELECT function FROM known WHERE function IS NOT NULL",
            )?;
            let names = statement.query_map([], |row| row.get(0))?;
            Ok(names.collect::<Result<_, _>>()?)
        })
    }

    /// How many executions have not ended.
    pub(crate) fn open_executions(&self) -> Result<u64, StoreError> {
        let count: i64 = self.with(|connection| {
            Ok(connection
                .prepare_cached("SELECT count(*) FROM executions WHERE ended IS NULL")?
                .query_row([], |row| row.get(0))?)
        })?;
        u64::try_from(count).map_err(|_| StoreError::Record("a count"))
    }

    /// The execution of this name. Names are unique within a function.
    pub(crate) fn named(
        &self,
        function: &str,
        name: &str,
    ) -> Result<Option<ExecutionArn>, StoreError> {
        let arn: Option<String> = self.with(|connection| {
            Ok(connection
                .prepare_cached("SELECT arn FROM executions WHERE function = ?1 AND name = ?2")?
                .query_row([function, name], |row| row.get(0))
                .optional()?)
        })?;
        arn.map(|arn| ExecutionArn::parse(&arn).map_err(|_| StoreError::Record("an ARN")))
            .transpose()
    }

    /// The callback operations of an execution, in order.
    pub(crate) fn callbacks(&self, arn: &ExecutionArn) -> Result<Vec<Operation>, StoreError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT body FROM callbacks
                 JOIN records ON records.execution = callbacks.execution AND kind = ?2 AND records.id = position
                 WHERE callbacks.execution = (SELECT key FROM executions WHERE arn = ?1) ORDER BY position",
            )?;
            let wanted = params![arn.as_str(), RecordKind::Operation];
            let bodies = statement.query_map(wanted, |row| row.get::<_, String>(0))?;
            bodies
                .map(|body| Ok(serde_json::from_str(&body?)?))
                .collect()
        })
    }

    /// Whether this text is the id of a callback that is kept, of any execution.
    pub(crate) fn is_callback(&self, text: &str) -> Result<bool, StoreError> {
        self.with(|connection| {
            Ok(connection
                .prepare_cached("SELECT 1 FROM callbacks WHERE id = ?1")?
                .exists([text])?)
        })
    }

    /// Hands over an execution's events one by one, so that a long history with large payloads is never held whole.
    pub(crate) fn each_event(
        &self,
        arn: &ExecutionArn,
        mut take: impl FnMut(Event),
    ) -> Result<(), StoreError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT body FROM records
                 WHERE execution = (SELECT key FROM executions WHERE arn = ?1) AND kind = ?2 ORDER BY id",
            )?;
            let wanted = params![arn.as_str(), RecordKind::Event];
            let bodies = statement.query_map(wanted, |row| row.get::<_, String>(0))?;
            for body in bodies {
                take(serde_json::from_str(&body?)?);
            }
            Ok(())
        })
    }
}
