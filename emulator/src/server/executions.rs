//! Operations that read executions, or that a running handler calls: checkpoint, state, get, history, list.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::api::{HistoryRequest, ListExecutions};
use crate::error::ApiError;
use crate::machine::{CheckpointRequest, ExecutionStatus, Outcome};
use crate::model::event::strip_data;
use crate::model::id::CheckpointToken;
use crate::model::operation::{OperationStatus, Seconds, Wire};
use crate::model::update::CheckpointBody;
use crate::model::{ExecutionArn, Timestamp};

use super::path::Query;
use super::{Server, body, respond};

pub(super) async fn checkpoint(
    server: &Server,
    arn: ExecutionArn,
    body: Body,
) -> Result<Response, ApiError> {
    let body: CheckpointBody = body::json(server, body, usize::MAX, "checkpoint").await?;
    let request = CheckpointRequest {
        token: CheckpointToken::parse(&body.checkpoint_token)?,
        client_token: body.client_token,
        updates: body.updates.unwrap_or_default(),
    };
    let answer = server.api.checkpoint(arn, request).await?;
    Ok(respond::raw_json(StatusCode::OK, answer))
}

pub(super) async fn state(
    server: &Server,
    arn: ExecutionArn,
    query: &Query,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<'a> {
        operations: Vec<Wire<'a, Seconds>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_marker: Option<&'a str>,
    }
    let token = query
        .get("CheckpointToken")
        .ok_or_else(|| ApiError::invalid("CheckpointToken is required."))?
        .to_owned();
    let marker = query.get("Marker").map(ToOwned::to_owned);
    let (page, origin) = server
        .api
        .state(arn, token, marker, query.max_items()?)
        .await?;
    let execution = page.first.then(|| {
        Wire::execution(
            &origin.arn,
            &origin.input,
            origin.started,
            OperationStatus::Started,
            None,
        )
    });
    let operations = execution
        .into_iter()
        .chain(page.operations.iter().map(|it| Wire::operation(it)))
        .collect();
    respond::json(
        StatusCode::OK,
        &Answer {
            operations,
            next_marker: page.next.as_deref(),
        },
    )
}

pub(super) async fn get(
    server: &Server,
    arn: &ExecutionArn,
    query: &Query,
) -> Result<Response, ApiError> {
    let data = query.flag("IncludeExecutionData", true)?;
    let details = server.api.execution(arn).await?;
    let mut body = json!({
        "DurableExecutionArn": details.arn.as_str(),
        "DurableExecutionName": details.arn.name(),
        "FunctionArn": details.arn.function_arn(),
        "StartTimestamp": details.started,
        "Status": details.status,
        "Version": details.version,
        "TraceHeader": {"XAmznTraceId": details.trace},
        "ExecutionDataIncluded": data,
        "DurableConfig": {
            "RetentionPeriodInDays": details.durable.retention_days,
            "ExecutionTimeout": details.durable.execution_timeout,
        },
    });
    let mut put = |name: &str, value: serde_json::Value| {
        if let Some(body) = body.as_object_mut() {
            body.insert(name.to_owned(), value);
        }
    };
    match details.ended {
        Some(ended) => put("EndTimestamp", json!(ended)),
        None => put("ExpectedExecutionTimeoutTimestamp", json!(details.deadline)),
    }
    if let Some(pause) = &details.pause {
        let mut body = json!({
            "PauseRequestTimestamp": pause.requested,
            "ExecutionTimeoutPaused": pause.stops_timeout,
        });
        if let (Some(reason), true, Some(body)) = (&pause.reason, data, body.as_object_mut()) {
            body.insert("Reason".to_owned(), json!(reason));
        }
        put("PauseDetails", body);
    }
    if data {
        put("InputPayload", json!(details.input.as_ref()));
        match &details.outcome {
            Some(Outcome::Succeeded(Some(result))) => put("Result", json!(result)),
            Some(Outcome::Failed(error) | Outcome::Stopped(error)) => put("Error", json!(error)),
            _ => {}
        }
    }
    respond::json(StatusCode::OK, &body)
}

pub(super) async fn history(
    server: &Server,
    arn: &ExecutionArn,
    query: &Query,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        events: Vec<Box<RawValue>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_marker: Option<String>,
    }
    let data = query.flag("IncludeExecutionData", true)?;
    let request = HistoryRequest {
        newest_first: query.flag("ReverseOrder", false)?,
        marker: query.get("Marker").map(ToOwned::to_owned),
        max_items: query.max_items()?,
    };
    let page = server.api.history_json(arn, request).await?;
    let event = |body: String| -> Result<Box<RawValue>, serde_json::Error> {
        if data {
            return RawValue::from_string(body);
        }
        let mut event = serde_json::from_str(&body)?;
        strip_data(&mut event);
        RawValue::from_string(event.to_string())
    };
    let events = page.items.into_iter().map(event).collect::<Result<_, _>>();
    let events =
        events.map_err(|error| ApiError::service("A stored event could not be read", error))?;
    respond::json(
        StatusCode::OK,
        &Answer {
            events,
            next_marker: page.next_marker,
        },
    )
}

pub(super) async fn list(
    server: &Server,
    function: &str,
    query: &Query,
) -> Result<Response, ApiError> {
    let statuses: Vec<ExecutionStatus> = query
        .all("Statuses")
        .map(|status| {
            serde_json::from_value(json!(status))
                .map_err(|_| ApiError::invalid("Statuses has an unknown status."))
        })
        .collect::<Result<_, _>>()?;
    if statuses.len() > 10 {
        return Err(ApiError::invalid("Statuses must have 1 to 10 members."));
    }
    let request = ListExecutions {
        function: function.to_owned(),
        qualifier: query.get("Qualifier").map(ToOwned::to_owned),
        name: query.get("DurableExecutionName").map(ToOwned::to_owned),
        statuses,
        started_after: instant(query, "StartedAfter")?,
        started_before: instant(query, "StartedBefore")?,
        // "ReverseOrder" is the reverse of newest first.
        oldest_first: query.flag("ReverseOrder", false)?,
        marker: query.get("Marker").map(ToOwned::to_owned),
        max_items: query.max_items()?,
    };
    let page = server.api.list(request).await?;
    let executions: Vec<_> = page
        .items
        .iter()
        .map(|execution| {
            let mut body = json!({
                "DurableExecutionArn": execution.arn.as_str(),
                "DurableExecutionName": execution.arn.name(),
                "FunctionArn": execution.arn.function_arn(),
                "Status": execution.status,
                "StartTimestamp": execution.started,
            });
            if let (Some(ended), Some(body)) = (execution.ended, body.as_object_mut()) {
                body.insert("EndTimestamp".to_owned(), json!(ended));
            }
            body
        })
        .collect();
    let mut body = json!({ "DurableExecutions": executions });
    if let (Some(marker), Some(body)) = (page.next_marker, body.as_object_mut()) {
        body.insert("NextMarker".to_owned(), json!(marker));
    }
    respond::json(StatusCode::OK, &body)
}

/// A timestamp in a query: ISO 8601, as SDKs write it there, or epoch seconds.
fn instant(query: &Query, name: &'static str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = query.get(name) else {
        return Ok(None);
    };
    if let Ok(at) =
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
    {
        return Ok(Some(Timestamp::from(std::time::SystemTime::from(at))));
    }
    serde_json::from_str(text)
        .map(Some)
        .map_err(|_| ApiError::invalid(format!("{name} must be an ISO 8601 timestamp.")))
}
