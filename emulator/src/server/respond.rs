//! Answers as AWS's clients read them: JSON bodies, and errors named in a header.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::error::{ApiError, ApiErrorKind};

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Result<Response, ApiError> {
    let bytes = serde_json::to_vec(body)
        .map_err(|error| ApiError::service("The answer could not be written as JSON", error))?;
    Ok(raw_json(status, bytes))
}

/// An answer that is JSON already.
pub(super) fn raw_json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// The answer to a refused request.
///
/// SDKs take an error's type from `x-amzn-errortype`. The message is in both spellings, because the API model spells the
/// member `Message` for some errors and `message` for others and every SDK reads at least one of them.
pub(super) fn error(error: &ApiError, user_agent: &str) -> Response {
    let message = match error.kind() {
        ApiErrorKind::InvalidCheckpointToken => stale_token_message(user_agent),
        _ => error.message(),
    };
    let kind = if error.kind().status() >= 500 {
        "Service"
    } else {
        "User"
    };
    let body =
        serde_json::json!({ "Type": kind, "Message": message, "message": message }).to_string();
    let status =
        StatusCode::from_u16(error.kind().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = raw_json(status, body);
    response.headers_mut().insert(
        "x-amzn-errortype",
        HeaderValue::from_static(error.kind().code()),
    );
    if error.kind() == ApiErrorKind::TooManyRequests {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The message that makes a stale token harmless.
///
/// The durable SDKs tell a stale token, which the next invocation mends, from a request that can never work by the start of
/// the message, and do not agree on it: Rust 0.1.0 and JavaScript look for `Invalid Checkpoint Token`, Python 3.0.0 for
/// `Invalid checkpoint token`. What AWS sends is not documented. The Python SDK calls through boto3, whose user agent says so.
fn stale_token_message(user_agent: &str) -> &'static str {
    let python = ["boto3", "botocore"]
        .iter()
        .any(|name| user_agent.to_ascii_lowercase().contains(name));
    if python {
        "Invalid checkpoint token"
    } else {
        "Invalid Checkpoint Token"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sdk_finds_the_stale_token_message_it_looks_for() {
        assert_eq!(
            stale_token_message("Boto3/1.44.5 md/Botocore#1.44.5 lang/python#3.13"),
            "Invalid checkpoint token"
        );
        assert_eq!(
            stale_token_message("aws-sdk-rust/1.4.1 os/linux lang/rust/1.95.0"),
            "Invalid Checkpoint Token"
        );
        assert_eq!(
            stale_token_message("aws-sdk-js/3.1000.0"),
            "Invalid Checkpoint Token"
        );
        assert_eq!(stale_token_message(""), "Invalid Checkpoint Token");
    }
}
