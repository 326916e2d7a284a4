//! The HTTP surface: a loopback listener with bounded connections, and the API behind it.

pub(crate) mod body;
mod executions;
mod guard;
mod invoke;
mod operations;
mod path;
mod respond;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::config::{Limits, ServiceConfig};
use crate::environment::is_own_user;
use crate::error::ServiceError;
use crate::web::{self, WebParts};

pub(crate) use guard::Guard;

/// How long requests may take to end once the service stops.
const GRACE: Duration = Duration::from_secs(5);

/// What every request handler needs.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) api: Api,
    pub(crate) guard: Arc<Guard>,
    pub(crate) limits: Limits,
    pub(crate) stop: CancellationToken,
}

/// Opens the socket. With port 0, the port used last comes first: workers that were started before a restart still know it.
pub(crate) async fn bind(
    address: SocketAddr,
    last_port: Option<u16>,
) -> Result<TcpListener, ServiceError> {
    if address.port() == 0
        && let Some(port) = last_port
    {
        let last = SocketAddr::new(address.ip(), port);
        match TcpListener::bind(last).await {
            Ok(listener) => return Ok(listener),
            Err(error) => tracing::warn!(
                port,
                %error,
                "the port used last is taken; programs started before this restart cannot reach the service on the new one"
            ),
        }
    }
    TcpListener::bind(address)
        .await
        .map_err(|source| ServiceError::Listen { address, source })
}

/// Serves until `stop`, then lets running requests end for a moment.
pub(crate) async fn serve(
    listener: TcpListener,
    api: Api,
    guard: Guard,
    limits: Limits,
    page: Option<WebParts>,
    own_user_only: bool,
    stop: CancellationToken,
) {
    let server = Server {
        api,
        guard: Arc::new(guard),
        limits,
        stop: stop.clone(),
    };
    let router = Router::new()
        .fallback(operations::handle)
        .with_state(server.clone());
    let router = match page {
        Some(parts) => router.merge(web::router(parts, server)),
        None => router,
    };
    let connections = Arc::new(Semaphore::new(
        limits.connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let graceful = GracefulShutdown::new();
    loop {
        // A place first, then the connection: those over the limit wait in the listener's queue.
        let accepted = async {
            let place = Arc::clone(&connections).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, (stream, peer)) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => match accepted {
                (Ok(place), Ok((stream, peer))) => (place, (stream, peer)),
                (_, Err(error)) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                (Err(_), _) => break,
            },
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
        let watcher = graceful.watcher();
        let router = router.clone();
        tokio::spawn(async move {
            let _place = place;
            let router = if own_user_only && !is_own_users(&stream, peer).await {
                Router::new().fallback(operations::refuse_other_user)
            } else {
                router
            };
            // Waiting for an answer is no fault; not taking one that is there is.
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(limits.read_timeout));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.read_timeout)
                .serve_connection(
                    TokioIo::new(Box::pin(stream)),
                    TowerToHyperService::new(router),
                );
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::debug!("connections were cut because their requests did not end");
    }
}

/// Asks the kernel whose program is at the other end, on a thread that may wait for the answer.
async fn is_own_users(stream: &TcpStream, peer: SocketAddr) -> bool {
    let Ok(local) = stream.local_addr() else {
        return false;
    };
    tokio::task::spawn_blocking(move || is_own_user(peer, local))
        .await
        .unwrap_or(false)
}

impl Guard {
    pub(crate) fn of(config: &ServiceConfig, address: SocketAddr) -> Self {
        Self::new(address, config.access_key_id.as_deref())
    }
}
