//! The operations of the API: which request is which, what is read from it, and what goes back.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::api::{HistoryRequest, ListExecutions, StartExecution};
use crate::error::{ApiError, ApiErrorKind};
use crate::machine::{CheckpointRequest, ExecutionStatus, Outcome};
use crate::model::event::strip_data;
use crate::model::id::CheckpointToken;
use crate::model::operation::{OperationStatus, Seconds, Wire};
use crate::model::update::CheckpointBody;
use crate::model::{CallbackId, ErrorObject, ExecutionArn, Timestamp};

use super::path::{Query, segments};
use super::{Server, respond};

/// The longest a caller waits for a result, whatever the function's timeout.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// Answers every request.
pub(super) async fn handle(State(server): State<Server>, request: Request) -> Response {
    let user_agent = request
        .headers()
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let mut response = match route(&server, request).await {
        Ok(response) => response,
        Err(error) => respond::error(&error, &user_agent),
    };
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

async fn route(server: &Server, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    server.guard.check(&parts.headers)?;
    let segments = segments(parts.uri.path())?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let query = Query::parse(parts.uri.query())?;
    let headers = &parts.headers;
    match (&parts.method, segments.as_slice()) {
        (&Method::POST, ["2015-03-31", "functions", function, "invocations"]) => {
            invoke(server, function, &query, headers, body).await
        }
        (&Method::POST, ["2025-12-01", "durable-executions", arn, "checkpoint"]) => {
            checkpoint(server, arn, body).await
        }
        (&Method::GET, ["2025-12-01", "durable-executions", arn, "state"]) => {
            state(server, arn, &query).await
        }
        (&Method::GET, ["2025-12-01", "durable-executions", arn, "history"]) => {
            history(server, arn, &query).await
        }
        (&Method::POST, ["2025-12-01", "durable-executions", arn, "stop"]) => {
            stop(server, arn, body).await
        }
        (&Method::GET, ["2025-12-01", "durable-executions", arn]) => get(server, arn, &query).await,
        (&Method::GET, ["2025-12-01", "functions", function, "durable-executions"]) => {
            list(server, function, &query).await
        }
        (&Method::POST, ["2025-12-01", "durable-execution-callbacks", id, action]) => {
            callback(server, id, action, body).await
        }
        _ => Err(ApiError::new(
            ApiErrorKind::UnknownOperation,
            "This service has no such operation",
        )),
    }
}

/// Reads a body within the limits of size and time.
async fn read(server: &Server, body: Body) -> Result<Bytes, ApiError> {
    let collected = tokio::time::timeout(
        server.limits.read_timeout,
        Limited::new(body, server.limits.body).collect(),
    );
    match collected.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::new(
            ApiErrorKind::RequestTooLarge,
            format!("Request must be smaller than {} bytes", server.limits.body),
        )),
        Ok(Err(_)) => Err(ApiError::new(
            ApiErrorKind::InvalidRequestContent,
            "The request body did not arrive whole",
        )),
        Err(_) => Err(ApiError::new(
            ApiErrorKind::InvalidRequestContent,
            "The request body did not arrive in time",
        )),
    }
}

fn utf8(body: &[u8]) -> Result<String, ApiError> {
    String::from_utf8(body.to_vec()).map_err(|_| {
        ApiError::new(
            ApiErrorKind::InvalidRequestContent,
            "The request body is not UTF-8",
        )
    })
}

/// An optional error object as the whole body.
async fn error_body(server: &Server, body: Body) -> Result<Option<ErrorObject>, ApiError> {
    let body = read(server, body).await?;
    if body.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&body)
        .map(Some)
        .map_err(|error| ApiError::invalid(format!("The error object is not valid: {error}")))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .filter(|value| !value.is_empty())
}

async fn invoke(
    server: &Server,
    function: &str,
    query: &Query,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read(server, body).await?;
    let kind = text(headers, "x-amz-invocation-type").unwrap_or("RequestResponse");
    let qualifier = query.get("Qualifier");
    if kind == "DryRun" {
        server.api.target(function, qualifier)?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let synchronous = match kind {
        "RequestResponse" => true,
        "Event" => false,
        _ => {
            return Err(ApiError::invalid(
                "InvocationType must be RequestResponse, Event or DryRun.",
            ));
        }
    };
    let started = server
        .api
        .start_execution(StartExecution {
            function: function.to_owned(),
            qualifier: qualifier.map(ToOwned::to_owned),
            name: text(headers, "x-amz-durable-execution-name").map(ToOwned::to_owned),
            input: if body.is_empty() {
                "{}".to_owned()
            } else {
                utf8(&body)?
            },
            synchronous,
            trace: text(headers, "x-amzn-trace-id").map(ToOwned::to_owned),
            tenant: text(headers, "x-amz-tenant-id").map(ToOwned::to_owned),
        })
        .await?;
    let mut response = if synchronous {
        let ended = tokio::select! {
            () = server.stop.cancelled() => return Err(ApiError::stopping()),
            ended = tokio::time::timeout(LONGEST_WAIT, server.api.wait(&started.arn)) => ended,
        };
        match ended {
            Ok(outcome) => outcome_response(&outcome?)?,
            Err(_) => function_error(&ErrorObject::new(
                "Sandbox.Timedout",
                format!(
                    "The execution did not end within {} seconds; it goes on",
                    LONGEST_WAIT.as_secs()
                ),
            ))?,
        }
    } else {
        respond::raw_json(StatusCode::ACCEPTED, Body::empty())
    };
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    };
    put("x-amz-durable-execution-arn", started.arn.as_str());
    put("x-amz-executed-version", &started.version);
    Ok(response)
}

fn outcome_response(outcome: &Outcome) -> Result<Response, ApiError> {
    match outcome {
        Outcome::Succeeded(result) => {
            let body = result.clone().unwrap_or_else(|| "null".to_owned());
            Ok(respond::raw_json(StatusCode::OK, body))
        }
        Outcome::Failed(error) | Outcome::Stopped(error) => function_error(error),
        Outcome::TimedOut => function_error(&ErrorObject::new(
            "ExecutionTimedOut",
            "The durable execution reached its execution timeout",
        )),
    }
}

/// A failed execution as Invoke reports it: status 200, with the error as the payload.
fn function_error(error: &ErrorObject) -> Result<Response, ApiError> {
    let body = json!({
        "errorMessage": error.error_message,
        "errorType": error.error_type,
        "errorData": error.error_data,
        "stackTrace": error.stack_trace,
    });
    let body: serde_json::Map<_, _> = body
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let mut response = respond::json(StatusCode::OK, &body)?;
    response.headers_mut().insert(
        "x-amz-function-error",
        HeaderValue::from_static("Unhandled"),
    );
    Ok(response)
}

async fn checkpoint(server: &Server, arn: &str, body: Body) -> Result<Response, ApiError> {
    let arn = ExecutionArn::parse(arn)?;
    let body = read(server, body).await?;
    let body: CheckpointBody = serde_json::from_slice(&body)
        .map_err(|error| ApiError::invalid(format!("The checkpoint is not valid: {error}")))?;
    let request = CheckpointRequest {
        token: CheckpointToken::parse(&body.checkpoint_token)?,
        client_token: body.client_token,
        updates: body.updates.unwrap_or_default(),
    };
    let answer = server.api.checkpoint(arn, request).await?;
    Ok(respond::raw_json(StatusCode::OK, answer))
}

async fn state(server: &Server, arn: &str, query: &Query) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<'a> {
        operations: Vec<Wire<'a, Seconds>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_marker: Option<&'a str>,
    }
    let arn = ExecutionArn::parse(arn)?;
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

async fn get(server: &Server, arn: &str, query: &Query) -> Result<Response, ApiError> {
    let arn = ExecutionArn::parse(arn)?;
    let data = query.flag("IncludeExecutionData", true)?;
    let details = server.api.execution(&arn).await?;
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

async fn history(server: &Server, arn: &str, query: &Query) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        events: Vec<Box<RawValue>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_marker: Option<String>,
    }
    let arn = ExecutionArn::parse(arn)?;
    let data = query.flag("IncludeExecutionData", true)?;
    let request = HistoryRequest {
        newest_first: query.flag("ReverseOrder", false)?,
        marker: query.get("Marker").map(ToOwned::to_owned),
        max_items: query.max_items()?,
    };
    let page = server.api.history_json(&arn, request).await?;
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

async fn list(server: &Server, function: &str, query: &Query) -> Result<Response, ApiError> {
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

async fn stop(server: &Server, arn: &str, body: Body) -> Result<Response, ApiError> {
    let arn = ExecutionArn::parse(arn)?;
    let error = error_body(server, body).await?;
    let at = server.api.stop_execution(&arn, error).await?;
    respond::json(StatusCode::OK, &json!({ "StopTimestamp": at }))
}

async fn callback(
    server: &Server,
    id: &str,
    action: &str,
    body: Body,
) -> Result<Response, ApiError> {
    let id = CallbackId::parse(id)?;
    match action {
        "succeed" => {
            let body = read(server, body).await?;
            let result = String::from_utf8(body.to_vec())
                .map_err(|_| ApiError::invalid("The result is not UTF-8."))?;
            server
                .api
                .succeed_callback(&id, (!result.is_empty()).then_some(result))
                .await?;
        }
        "fail" => {
            let error = error_body(server, body).await?.unwrap_or_default();
            server.api.fail_callback(&id, error).await?;
        }
        "heartbeat" => {
            read(server, body).await?;
            server.api.heartbeat_callback(&id).await?;
        }
        _ => {
            return Err(ApiError::new(
                ApiErrorKind::UnknownOperation,
                "This service has no such operation",
            ));
        }
    }
    Ok(respond::raw_json(StatusCode::OK, "{}"))
}
