//! What every page has around its content.

use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};
use http::StatusCode;

use crate::model::Timestamp;

use super::Web;
use super::error::PageError;

/// What the layout needs.
pub(super) struct Chrome<'a> {
    pub(super) title: String,
    /// Version of the style and the script, in their addresses: a browser keeps them until they change.
    pub(super) assets: &'a str,
    /// The address of the API, as clients are told it.
    pub(super) url: &'a str,
    pub(super) region: &'a str,
    /// The token that forms carry.
    pub(super) token: &'a str,
}

impl Web {
    pub(super) fn chrome(&self, title: impl Into<String>) -> Chrome<'_> {
        Chrome {
            title: title.into(),
            assets: &self.assets.version,
            url: &self.parts.url,
            region: &self.parts.region,
            token: self.form.reveal(),
        }
    }
}

/// An instant for a `<time>` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instant {
    /// RFC 3339, in UTC.
    pub(super) iso: String,
    /// What stands there until the script writes it in the reader's own time zone.
    pub(super) text: String,
}

impl From<Timestamp> for Instant {
    fn from(at: Timestamp) -> Self {
        let iso = at.to_string();
        let text = match iso.split_once('T') {
            Some((day, time)) => {
                format!("{day} {} UTC", time.split('.').next().unwrap_or_default())
            }
            None => iso.clone(),
        };
        Self { iso, text }
    }
}

pub(super) fn html(template: &impl Template) -> Result<Response, PageError> {
    match template.render() {
        Ok(html) => Ok(Html(html).into_response()),
        Err(error) => Err(PageError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The service failed",
            format!("the page could not be written: {error}"),
        )),
    }
}

/// The parameters of a query string or of a form.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The last value of a field; none when it is absent or blank.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.trim())
            .find(|value| !value.is_empty())
    }
}

/// Where an execution's page is. Both names are of `[a-zA-Z0-9-_]`, so nothing needs to be encoded.
pub(super) fn execution_path(function: &str, name: &str) -> String {
    format!("/executions/{function}/{name}")
}
