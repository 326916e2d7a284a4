//! Servers that play AWS on loopback, for the tests of the backends and of the command.
//!
//! [`ecs`] and [`batch`] are our own: they keep what they are asked for, and fail as a test tells
//! them to, which no other stand-in for AWS can be told. [`peer`] talks to servers that nobody here
//! wrote, where there are some.
//!
//! Everything here panics where a test cannot go on.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a stage for tests: what goes wrong on it is the test's failure"
)]

pub mod batch;
pub mod ecs;
pub mod peer;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// A request that has come in whole.
struct Received {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// Serves every request with `answer` on a free port of 127.0.0.1; an error of its cuts the
/// connection. Ending the task closes all connections.
async fn serve<F, A>(answer: F) -> (SocketAddr, JoinHandle<()>)
where
    F: Fn(Received) -> A + Send + Sync + 'static,
    A: Future<Output = io::Result<Response<Full<Bytes>>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    let server = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = Arc::clone(&answer);
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.map_err(io::Error::other)?;
                    answer(Received {
                        path: head.uri.path().to_owned(),
                        headers: head.headers,
                        body: body.to_bytes(),
                    })
                    .await
                }
            });
            connections.spawn(async move {
                // An error is a connection that was cut, by either side.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
            while connections.try_join_next().is_some() {}
        }
    });
    (address, server)
}
