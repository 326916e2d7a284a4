//! Invoke: starts an execution, and waits for it when the caller does.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use crate::api::StartExecution;
use crate::error::ApiError;
use crate::machine::Outcome;
use crate::model::ErrorObject;
use crate::pages::SYNC_PAYLOAD;

use super::path::Query;
use super::{Server, body, respond};

/// The longest a caller waits for a result, whatever the function's timeout.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

pub(super) async fn invoke(
    server: &Server,
    function: &str,
    query: &Query,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    // One byte over the limit is let through here: the operation itself says what is wrong with it.
    let body = body::read(server, body, SYNC_PAYLOAD + 1).await?;
    let kind = text(headers, "x-amz-invocation-type").unwrap_or("RequestResponse");
    let qualifier = query.get("Qualifier");
    // Nothing comes of it: a function's log is a file.
    if !matches!(
        text(headers, "x-amz-log-type"),
        None | Some("None" | "Tail")
    ) {
        return Err(ApiError::invalid("LogType must be None or Tail."));
    }
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
    let request = StartExecution {
        function: function.to_owned(),
        qualifier: qualifier.map(ToOwned::to_owned),
        name: text(headers, "x-amz-durable-execution-name").map(ToOwned::to_owned),
        input: if body.is_empty() {
            "{}".to_owned()
        } else {
            body::utf8(&body)?
        },
        synchronous,
        trace: text(headers, "x-amzn-trace-id").map(ToOwned::to_owned),
        tenant: text(headers, "x-amz-tenant-id").map(ToOwned::to_owned),
    };
    let (started, mut response) = if synchronous {
        let (started, end) = server.api.run_execution(request).await?;
        let ended = tokio::select! {
            () = server.stop.cancelled() => return Err(ApiError::stopping()),
            ended = tokio::time::timeout(LONGEST_WAIT, end) => ended,
        };
        let response = match ended {
            Ok(outcome) => outcome_response(&outcome?)?,
            Err(_) => function_error(&ErrorObject::new(
                "Sandbox.Timedout",
                format!(
                    "The execution did not end within {} seconds; it goes on",
                    LONGEST_WAIT.as_secs()
                ),
            ))?,
        };
        (started, response)
    } else {
        let started = server.api.start_execution(request).await?;
        let response = respond::raw_json(StatusCode::ACCEPTED, Body::empty());
        (started, response)
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

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .filter(|value| !value.is_empty())
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
