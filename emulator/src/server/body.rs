//! Request bodies, bounded in size and in time.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::error::{ApiError, ApiErrorKind};
use crate::model::ErrorObject;

use super::Server;

/// The room an error object of 1 MB may take as JSON, where a character can need six bytes, and a little more.
const ERROR_BODY: usize = 8 * 1024 * 1024;

/// Reads a body of at most `limit` bytes, or of the server's own limit if that is lower.
pub(crate) async fn read(server: &Server, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let limit = limit.min(server.limits.body);
    let collected = tokio::time::timeout(
        server.limits.read_timeout,
        Limited::new(body, limit).collect(),
    );
    let content =
        |message: &'static str| Err(ApiError::new(ApiErrorKind::InvalidRequestContent, message));
    match collected.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::new(
            ApiErrorKind::RequestTooLarge,
            format!("Request must have at most {limit} bytes for this operation"),
        )),
        Ok(Err(_)) => content("The request body did not arrive whole"),
        Err(_) => content("The request body did not arrive in time"),
    }
}

/// Reads JSON; a missing body is what `null` is.
pub(super) async fn json<T: serde::de::DeserializeOwned>(
    server: &Server,
    body: Body,
    limit: usize,
    what: &str,
) -> Result<T, ApiError> {
    let body = read(server, body, limit).await?;
    let text: &[u8] = if body.is_empty() { b"null" } else { &body };
    serde_json::from_slice(text)
        .map_err(|error| ApiError::invalid(format!("The {what} is not valid: {error}")))
}

/// Reads an optional error object as the whole body.
pub(super) async fn error(server: &Server, body: Body) -> Result<Option<ErrorObject>, ApiError> {
    json(server, body, ERROR_BODY, "error object").await
}

pub(super) fn utf8(body: &Bytes) -> Result<String, ApiError> {
    String::from_utf8(body.to_vec()).map_err(|_| {
        ApiError::new(
            ApiErrorKind::InvalidRequestContent,
            "The request body is not UTF-8",
        )
    })
}
