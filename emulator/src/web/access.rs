//! Who may see the page and who may press its buttons, and what a browser may do with an answer.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};

use super::Web;
use super::error::PageError;
use super::redact::redact;

/// What a page may load and do: its own script and style, requests and forms to where it came from, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // Not `no-referrer`: forms would then come from the origin `null`.
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=()",
    ),
];

/// A secret that every form of this service carries, so that no other page can make one up. New at every start.
#[derive(Clone)]
pub(super) struct FormToken {
    text: String,
    digest: [u8; 32],
}

impl FormToken {
    pub(super) fn mint() -> Self {
        let mut bytes = [0_u8; 32];
        rand::rng().fill_bytes(&mut bytes);
        let text = URL_SAFE_NO_PAD.encode(bytes);
        let digest = Sha256::digest(&text).into();
        Self { text, digest }
    }

    /// The token, for a form of this service's own pages.
    pub(super) fn reveal(&self) -> &str {
        &self.text
    }

    /// Digests are compared, so that the time tells nothing about where a wrong token differs.
    pub(super) fn is(&self, given: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        given == self.digest
    }
}

/// Lets a request through to the page, or answers it; puts the headers on every answer.
pub(super) async fn guard(State(web): State<Web>, request: Request, next: Next) -> Response {
    let asked = request.headers().clone();
    let mut response = match check(&web, &request) {
        Ok(()) => clean(&web, next.run(request).await)
            .await
            .unwrap_or_else(IntoResponse::into_response),
        Err(refused) => refused.for_script(&asked).into_response(),
    };
    if response.status() == StatusCode::OK
        && asked.get(header::IF_NONE_MATCH) == response.headers().get(header::ETAG)
        && asked.contains_key(header::IF_NONE_MATCH)
    {
        response = StatusCode::NOT_MODIFIED.into_response();
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Takes callback ids out of an answer, and gives it the tag by which a repeated request finds it unchanged. The files that
/// every page has in common hold nothing of any execution.
async fn clean(web: &Web, response: Response) -> Result<Response, PageError> {
    if response.headers().contains_key(header::CACHE_CONTROL) {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let unreadable = |_| {
        PageError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The service failed",
            "The page could not be written.",
        )
    };
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .map_err(unreadable)?;
    let text = String::from_utf8_lossy(&body).into_owned();
    let text = web
        .read(move |reader| redact(text, |id| reader.is_callback(id)))
        .await?;
    parts.headers.remove(header::CONTENT_LENGTH);
    let digest = Sha256::digest(&text);
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..12]));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, tag);
    }
    Ok(Response::from_parts(parts, text.into()))
}

fn check(web: &Web, request: &Request) -> Result<(), PageError> {
    let headers = request.headers();
    web.server.guard.check_page(headers)?;
    if request.method() == Method::POST && !is_from_own_page(headers) {
        return Err(PageError::new(
            StatusCode::FORBIDDEN,
            "Not from this page",
            "The form was sent from another web page, or from a program: only this service's own page may send it. \
             Programs use the Lambda API on the same port.",
        ));
    }
    Ok(())
}

/// Whether a browser says that one of our own pages sent this. The host is known to be ours, and an origin, where there is
/// one, too: see the server's guard. Browsers send at least one of the two headers with every POST.
fn is_from_own_page(headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => headers.contains_key(header::ORIGIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_of_this_service_is_its_token() {
        let token = FormToken::mint();
        assert!(token.is(token.reveal()));
        assert!(!token.is(""));
        assert!(!token.is(FormToken::mint().reveal()));
        assert!(token.reveal().len() >= 43);
    }

    #[test]
    fn a_form_comes_from_our_own_page_or_from_nowhere() {
        let from = |pairs: &[(&'static str, &'static str)]| {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (*name, HeaderValue::from_static(value))
            };
            let mut headers = HeaderMap::new();
            for (name, value) in pairs.iter().map(pair) {
                headers.append(name, value);
            }
            is_from_own_page(&headers)
        };
        let own = ("origin", "http://127.0.0.1:1");
        assert!(from(&[("sec-fetch-site", "same-origin")]));
        assert!(from(&[own]));
        assert!(!from(&[]));
        for site in ["cross-site", "same-site", "none"] {
            assert!(!from(&[
                ("sec-fetch-site", site),
                ("origin", "http://127.0.0.1:1")
            ]));
        }
    }
}
