//! Which request is which operation, and the operations that change executions from outside.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use crate::api::PauseExecution;
use crate::error::{ApiError, ApiErrorKind};
use crate::model::{CallbackId, ExecutionArn};
use crate::pages::ASYNC_PAYLOAD;

use super::path::{Query, segments};
use super::{Server, body, executions, invoke, respond};

/// The largest body of a request that carries no payload, in bytes.
const SMALL: usize = 64 * 1024;

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

/// Answers the programs of another user, where only this one's are served.
pub(super) async fn refuse_other_user() -> Response {
    let error = ApiError::new(
        ApiErrorKind::AccessDenied,
        "This service serves the user who started it, and no other",
    );
    respond::error(&error, "")
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
            invoke::invoke(server, function, &query, headers, body).await
        }
        (method, ["2025-12-01", "durable-executions", arn, rest @ ..]) => {
            let arn = ExecutionArn::parse(arn)?;
            match (method, rest) {
                (&Method::POST, ["checkpoint"]) => executions::checkpoint(server, arn, body).await,
                (&Method::GET, ["state"]) => executions::state(server, arn, &query).await,
                (&Method::GET, ["history"]) => executions::history(server, &arn, &query).await,
                (&Method::GET, []) => executions::get(server, &arn, &query).await,
                (&Method::DELETE, []) => delete(server, &arn).await,
                (&Method::POST, ["stop"]) => stop(server, &arn, body).await,
                (&Method::POST, ["pause"]) => control(server, &arn, body, false).await,
                (&Method::POST, ["resume"]) => control(server, &arn, body, true).await,
                _ => Err(unknown()),
            }
        }
        (&Method::GET, ["2025-12-01", "functions", function, "durable-executions"]) => {
            executions::list(server, function, &query).await
        }
        (&Method::POST, ["2025-12-01", "durable-execution-callbacks", id, action]) => {
            callback(server, id, action, body).await
        }
        _ => Err(unknown()),
    }
}

fn unknown() -> ApiError {
    ApiError::new(
        ApiErrorKind::UnknownOperation,
        "This service has no such operation",
    )
}

async fn stop(server: &Server, arn: &ExecutionArn, body: Body) -> Result<Response, ApiError> {
    let error = body::error(server, body).await?;
    let at = server.api.stop_execution(arn, error).await?;
    respond::json(StatusCode::OK, &json!({ "StopTimestamp": at }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ControlBody {
    client_token: Option<String>,
    reason: Option<String>,
    execution_timeout_paused: Option<bool>,
}

async fn control(
    server: &Server,
    arn: &ExecutionArn,
    body: Body,
    resume: bool,
) -> Result<Response, ApiError> {
    let body: Option<ControlBody> = body::json(server, body, SMALL, "request").await?;
    let body = body.unwrap_or_default();
    let request = PauseExecution {
        client_token: body.client_token,
        reason: body.reason,
        stops_timeout: body.execution_timeout_paused.unwrap_or(true),
    };
    if resume {
        server.api.resume_execution(arn, request).await?;
    } else {
        server.api.pause_execution(arn, request).await?;
    }
    Ok(respond::raw_json(StatusCode::ACCEPTED, "{}"))
}

async fn delete(server: &Server, arn: &ExecutionArn) -> Result<Response, ApiError> {
    let at = server.api.delete_execution(arn).await?;
    respond::json(
        StatusCode::ACCEPTED,
        &json!({ "DeletionRequestTimestamp": at }),
    )
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
            // One byte over the limit is let through here: the operation itself says what is wrong with it.
            let body = body::read(server, body, ASYNC_PAYLOAD + 1).await?;
            let result = String::from_utf8(body.to_vec())
                .map_err(|_| ApiError::invalid("The result is not UTF-8."))?;
            server
                .api
                .succeed_callback(&id, (!result.is_empty()).then_some(result))
                .await?;
        }
        "fail" => {
            let error = body::error(server, body).await?.unwrap_or_default();
            server.api.fail_callback(&id, error).await?;
        }
        "heartbeat" => {
            body::read(server, body, SMALL).await?;
            server.api.heartbeat_callback(&id).await?;
        }
        _ => return Err(unknown()),
    }
    Ok(respond::raw_json(StatusCode::OK, "{}"))
}
