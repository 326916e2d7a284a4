//! The operations that only read: what is committed, beside the writer.

use std::sync::Arc;

use crate::config::DurableConfig;
use crate::error::ApiError;
use crate::machine::FunctionName;
use crate::model::{Event, ExecutionArn};
use crate::pages::{self, history_from};
use crate::store::{ListFilter, Row};

use super::{
    Api, ExecutionDetails, ExecutionSummary, HistoryRequest, ListExecutions, Page, PauseDetails,
    unreadable,
};

impl Api {
    /// Describes an execution.
    ///
    /// # Errors
    ///
    /// `ResourceNotFound` for an unknown execution.
    pub async fn execution(&self, arn: &ExecutionArn) -> Result<ExecutionDetails, ApiError> {
        let wanted = arn.clone();
        let found = self.read(move |reader| reader.details(&wanted)).await?;
        let found = found.ok_or_else(|| ApiError::no_execution(arn))?;
        let (row, origin) = (found.row, found.origin);
        Ok(ExecutionDetails {
            arn: row.arn,
            version: origin.version.clone(),
            status: row.status,
            started: row.started,
            ended: row.ended,
            deadline: found.progress.deadline(&origin),
            input: Arc::clone(&origin.input),
            outcome: found.outcome,
            trace: origin.trace.clone(),
            durable: DurableConfig::new(origin.execution_timeout, origin.retention_days),
            pause: found.progress.pause.map(|pause| PauseDetails {
                requested: pause.requested,
                since: pause.since,
                reason: pause.reason,
                stops_timeout: pause.stops_timeout,
            }),
        })
    }

    /// One page of an execution's history.
    ///
    /// # Errors
    ///
    /// `ResourceNotFound` for an unknown execution, `InvalidParameterValue` for a marker that is none.
    pub async fn history(
        &self,
        arn: &ExecutionArn,
        request: HistoryRequest,
    ) -> Result<Page<Event>, ApiError> {
        let page = self.history_json(arn, request).await?;
        let items = page
            .items
            .iter()
            .map(|body| serde_json::from_str(body))
            .collect::<Result<_, _>>();
        Ok(Page {
            items: items.map_err(|error| unreadable(error.into()))?,
            next_marker: page.next_marker,
        })
    }

    /// One page of a history, each event as the JSON it is stored as.
    pub(crate) async fn history_json(
        &self,
        arn: &ExecutionArn,
        request: HistoryRequest,
    ) -> Result<Page<String>, ApiError> {
        let now = self.clock.now();
        let limit = self.limits.items(request.max_items)?;
        let from = request
            .marker
            .as_deref()
            .map(|marker| history_from(marker, now))
            .transpose()?;
        let wanted = arn.clone();
        let newest_first = request.newest_first;
        let found = self
            .read(move |reader| reader.events(&wanted, from, newest_first, limit.saturating_add(1)))
            .await?;
        let mut events = found.ok_or_else(|| ApiError::no_execution(arn))?;
        let next_marker = events
            .get(limit)
            .map(|(id, _)| pages::history_marker(*id, now));
        events.truncate(limit);
        Ok(Page {
            items: events.into_iter().map(|(_, body)| body).collect(),
            next_marker,
        })
    }

    /// One page of a function's executions.
    ///
    /// # Errors
    ///
    /// `ResourceNotFound` for an unknown function, `InvalidParameterValue` for a filter or marker that is none.
    pub async fn list(&self, request: ListExecutions) -> Result<Page<ExecutionSummary>, ApiError> {
        let now = self.clock.now();
        let name = FunctionName::qualified(&request.function, request.qualifier.as_deref())?;
        pages::check_name(request.name.as_deref())?;
        // Executions outlive the configuration of their function, so an unknown one is only an error when it has none.
        let known = self.functions.named(&name);
        let version = name.qualifier.as_ref().map(|qualifier| {
            let version = known
                .as_ref()
                .ok()
                .and_then(|function| function.qualified(qualifier));
            version.unwrap_or(qualifier).to_owned()
        });
        let unknown = known.err();
        let limit = self.limits.items(request.max_items)?;
        let filter = ListFilter {
            function: name.name,
            version,
            name: request.name,
            statuses: request.statuses,
            started_after: request.started_after,
            started_before: request.started_before,
            oldest_first: request.oldest_first,
            after: request
                .marker
                .as_deref()
                .map(|marker| pages::list_from(marker, now))
                .transpose()?,
            limit: limit.saturating_add(1),
        };
        let mut rows = self.read(move |reader| reader.list(&filter)).await?;
        if let (Some(error), true) = (unknown, rows.is_empty()) {
            return Err(error);
        }
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_marker = if more {
            rows.last()
                .map(|row| pages::list_marker(row.started, row.key, now))
        } else {
            None
        };
        let summary = |row: Row| ExecutionSummary {
            arn: row.arn,
            status: row.status,
            started: row.started,
            ended: row.ended,
        };
        Ok(Page {
            items: rows.into_iter().map(summary).collect(),
            next_marker,
        })
    }
}
