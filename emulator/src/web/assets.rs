//! The style, the script and the icon: inside the program, so that a page needs no other host and no file on disk.

use std::sync::OnceLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use sha2::{Digest as _, Sha256};

use super::error::PageError;

const FILES: [(&str, &str, &str); 3] = [
    (
        "page.css",
        "text/css; charset=utf-8",
        include_str!("../../assets/page.css"),
    ),
    (
        "page.js",
        "text/javascript; charset=utf-8",
        include_str!("../../assets/page.js"),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_str!("../../assets/icon.svg"),
    ),
];

/// The files as a whole.
pub(super) struct Assets {
    /// Changes with their content.
    pub(super) version: String,
}

pub(super) fn all() -> &'static Assets {
    static ALL: OnceLock<Assets> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut digest = Sha256::new();
        for (_, _, content) in FILES {
            digest.update(content);
        }
        let version = digest
            .finalize()
            .into_iter()
            .take(6)
            .map(|b| format!("{b:02x}"));
        Assets {
            version: version.collect(),
        }
    })
}

/// One file. Pages name it with its version, so it never changes under its address.
pub(super) async fn one(Path(name): Path<String>) -> Response {
    let Some((_, kind, content)) = FILES.into_iter().find(|(known, _, _)| *known == name) else {
        return PageError::not_found("There is no such file.").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("max-age=31536000, immutable"),
        ),
    ];
    (headers, content).into_response()
}
