//! The buttons: complete, fail and heartbeat of a callback, and stop.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::model::operation::Kind;
use crate::model::{CallbackId, ErrorObject, ExecutionArn};
use crate::pages::ASYNC_PAYLOAD;
use crate::server::body;

use super::Web;
use super::chrome::{Fields, execution_path};
use super::error::{PageError, wants_json};

/// The largest form: a callback's result of 1 MiB, in which every byte may be encoded as three.
const FORM: usize = 3 * ASYNC_PAYLOAD + 64 * 1024;

/// The longest reason of a stop, in bytes.
const REASON: usize = 1_024;

/// Stops an execution.
pub(super) async fn stop(
    State(web): State<Web>,
    Path((function, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (headers, form) = form(&web, request).await;
    let done = async {
        let form = form?;
        let arn = find(&web, &function, &name).await?;
        let reason = form.get("reason").unwrap_or("Stopped on the web page");
        if reason.len() > REASON {
            return Err(PageError::bad("The reason is too long."));
        }
        web.parts
            .api
            .stop_execution(&arn, Some(ErrorObject::message(reason)))
            .await?;
        Ok(format!("{name} is stopped."))
    };
    answer(done.await, &headers, &function, &name)
}

/// Completes a callback, fails it, or says that whoever holds it is alive. The id is looked up here and goes no further.
pub(super) async fn callback(
    State(web): State<Web>,
    Path((function, name, operation, action)): Path<(String, String, String, String)>,
    request: Request,
) -> Response {
    let (headers, form) = form(&web, request).await;
    let done = async {
        let form = form?;
        let arn = find(&web, &function, &name).await?;
        let (id, label) = find_callback(&web, &arn, operation).await?;
        act(&web, &id, &label, &action, &form).await
    };
    answer(done.await, &headers, &function, &name)
}

async fn act(
    web: &Web,
    id: &CallbackId,
    label: &str,
    action: &str,
    form: &Fields,
) -> Result<String, PageError> {
    match action {
        "succeed" => {
            let result = form.get("result");
            if let Some(result) = result {
                serde_json::from_str::<serde::de::IgnoredAny>(result).map_err(|error| {
                    PageError::bad(format!(
                        "The result is not JSON ({error}). Put text in double quotes."
                    ))
                })?;
            }
            web.parts
                .api
                .succeed_callback(id, result.map(ToOwned::to_owned))
                .await?;
            Ok(format!("Completed: {label}"))
        }
        "fail" => {
            let error = ErrorObject {
                error_type: form.get("type").map(ToOwned::to_owned),
                error_message: form.get("message").map(ToOwned::to_owned),
                error_data: None,
                stack_trace: None,
            };
            web.parts.api.fail_callback(id, error).await?;
            Ok(format!("Failed: {label}"))
        }
        "heartbeat" => {
            web.parts.api.heartbeat_callback(id).await?;
            Ok(format!("Heartbeat noted: {label}"))
        }
        _ => Err(PageError::not_found("There is no such button.")),
    }
}

/// Reads a form of our own page: one that carries this service's token.
async fn form(web: &Web, request: Request) -> (HeaderMap, Result<Fields, PageError>) {
    let (parts, body) = request.into_parts();
    let read = async {
        let fields = Fields::parse(&body::read(&web.server, body, FORM).await?);
        if fields.get("token").is_some_and(|token| web.form.is(token)) {
            Ok(fields)
        } else {
            Err(PageError::new(
                StatusCode::FORBIDDEN,
                "The form is out of date",
                "The service was started anew since this page was loaded. Load the page again.",
            ))
        }
    };
    (parts.headers, read.await)
}

async fn find(web: &Web, function: &str, name: &str) -> Result<ExecutionArn, PageError> {
    let wanted = (function.to_owned(), name.to_owned());
    web.read(move |reader| reader.named(&wanted.0, &wanted.1))
        .await?
        .ok_or_else(|| PageError::not_found("There is no such execution."))
}

async fn find_callback(
    web: &Web,
    arn: &ExecutionArn,
    operation: String,
) -> Result<(CallbackId, String), PageError> {
    let arn = arn.clone();
    let callbacks = web.read(move |reader| reader.callbacks(&arn)).await?;
    callbacks
        .into_iter()
        .find(|callback| callback.id == operation)
        .and_then(|callback| match callback.kind {
            Kind::Callback(details) => Some((details.id, callback.name.unwrap_or_default())),
            _ => None,
        })
        .ok_or_else(|| PageError::not_found("There is no such callback."))
}

/// JSON for the script; for a browser without it the execution's page again, or a page that says what is wrong.
fn answer(
    done: Result<String, PageError>,
    headers: &HeaderMap,
    function: &str,
    name: &str,
) -> Response {
    match done {
        Ok(message) if wants_json(headers) => {
            axum::Json(json!({ "message": message })).into_response()
        }
        Ok(_) => Redirect::to(&execution_path(function, name)).into_response(),
        Err(error) => error.for_script(headers).into_response(),
    }
}
