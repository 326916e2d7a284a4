//! Why a page cannot be shown or a button did nothing: as a page for a person, as JSON for the page's script.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::error::{ApiError, ApiErrorKind};

/// A refusal that a person reads.
#[derive(Debug)]
pub(super) struct PageError {
    status: StatusCode,
    title: &'static str,
    message: String,
    as_json: bool,
    asks_for_key: bool,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    status: u16,
    title: &'a str,
    message: &'a str,
}

impl PageError {
    pub(super) fn new(status: StatusCode, title: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            title,
            message: message.into(),
            as_json: false,
            asks_for_key: false,
        }
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", message)
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "That did not work", message)
    }

    /// The same as JSON, if the one who asked wants that.
    pub(super) fn for_script(mut self, headers: &HeaderMap) -> Self {
        self.as_json = wants_json(headers);
        self
    }
}

/// Whether the page's script asked, and not a browser by itself.
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept == "application/json")
}

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        let status = StatusCode::from_u16(error.kind().status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let title = match error.kind() {
            ApiErrorKind::ResourceNotFound => "Not found",
            ApiErrorKind::CallbackTimeout => "Too late",
            ApiErrorKind::AccessDenied => "Not allowed",
            ApiErrorKind::UnrecognizedClient => "Sign in",
            ApiErrorKind::Service => "The service failed",
            _ => "That did not work",
        };
        let asks_for_key = error.kind() == ApiErrorKind::UnrecognizedClient;
        let status = if asks_for_key {
            StatusCode::UNAUTHORIZED
        } else {
            status
        };
        Self {
            asks_for_key,
            ..Self::new(status, title, error.message())
        }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut response = if self.as_json {
            axum::Json(json!({ "error": self.message })).into_response()
        } else {
            let page = ErrorPage {
                status: self.status.as_u16(),
                title: self.title,
                message: &self.message,
            };
            match page.render() {
                Ok(html) => Html(html).into_response(),
                Err(_) => self.message.into_response(),
            }
        };
        *response.status_mut() = self.status;
        if self.asks_for_key {
            // The browser asks for a name and a password; the password is the access key id.
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(
                    "Basic realm=\"Access key id as the password\", charset=\"UTF-8\"",
                ),
            );
        }
        response
    }
}
