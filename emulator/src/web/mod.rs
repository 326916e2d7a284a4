//! The web page: executions to look at and to act on, in a browser, on the port of the API.
//!
//! Everything is rendered here; the script only fetches what has changed. A page never holds the id of a callback: forms name
//! the execution and the operation, and every answer passes [`redact`] before it leaves.

mod access;
mod actions;
mod assets;
mod chrome;
mod error;
mod events;
mod execution;
mod format;
mod list;
mod logs;
mod redact;
mod scale;
mod timeline;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

use crate::api::Api;
use crate::clock::Clock;
use crate::error::ApiError;
use crate::server::Server;
use crate::store::{Reader, StoreError};

pub use logs::{LogSource, LogTail, RecordedStep};

/// The service's web page, and what it shows beside what the service itself knows.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct WebPage {
    logs: Option<Arc<dyn LogSource>>,
}

impl WebPage {
    /// A page that shows what the service itself knows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows the logs that `source` finds beside the steps that started what wrote them.
    #[must_use]
    pub fn logs(mut self, source: Arc<dyn LogSource>) -> Self {
        self.logs = Some(source);
        self
    }
}

impl fmt::Debug for WebPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebPage")
            .field("logs", &self.logs.is_some())
            .finish()
    }
}

/// What the page is made of.
pub(crate) struct WebParts {
    pub(crate) page: WebPage,
    pub(crate) api: Api,
    /// The page's own connection: what it reads holds up nobody else's reading.
    pub(crate) reader: Reader,
    pub(crate) clock: Arc<dyn Clock>,
    /// The configured functions.
    pub(crate) functions: Vec<String>,
    pub(crate) url: String,
    pub(crate) region: String,
}

/// What every handler of the page needs.
#[derive(Clone)]
struct Web {
    parts: Arc<WebParts>,
    server: Server,
    form: access::FormToken,
    assets: &'static assets::Assets,
}

/// The page's routes. Nothing else of the server is touched.
pub(crate) fn router(parts: WebParts, server: Server) -> Router {
    let web = Web {
        parts: Arc::new(parts),
        server,
        form: access::FormToken::mint(),
        assets: assets::all(),
    };
    Router::new()
        .route("/", get(list::page))
        .route("/executions/{function}/{name}", get(execution::page))
        .route(
            "/executions/{function}/{name}/events/{id}",
            get(events::one),
        )
        .route("/executions/{function}/{name}/stop", post(actions::stop))
        .route(
            "/executions/{function}/{name}/callbacks/{operation}/{action}",
            post(actions::callback),
        )
        .route("/assets/{name}", get(assets::one))
        .layer(middleware::from_fn_with_state(web.clone(), access::guard))
        .with_state(web)
}

impl Web {
    /// Reads the durable state where it holds up nobody.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let parts = Arc::clone(&self.parts);
        match tokio::task::spawn_blocking(move || read(&parts.reader)).await {
            Ok(result) => {
                result.map_err(|e| ApiError::service("The durable state could not be read", e))
            }
            Err(_) => Err(ApiError::stopping()),
        }
    }
}
