//! The service: three calls, typed errors, and a log of what was called.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::sync::watch;

/// The callback's id, with all that base64 has to offer to a path.
pub(crate) const TOKEN: &str = "c2Vj/cmV0+dG9r/ZW4+MTIz==";

/// How long a test waits for something that should take no time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A call that the service took.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Call {
    Heartbeat,
    Success(Vec<u8>),
    Failure(Value),
}

/// What the service answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    Accepted,
    /// An HTTP status, and what stands in the header `x-amzn-errortype`.
    Error(u16, &'static str),
}

/// The answer to a call whose callback is closed.
pub(crate) const CLOSED: Answer = Answer::Error(400, "CallbackTimeoutException");

type Answers = Box<dyn Fn(&Call, &[Call]) -> Answer + Send + Sync>;

struct Shared {
    answers: Answers,
    calls: Mutex<Vec<Call>>,
    count: watch::Sender<usize>,
}

/// A service with an address, which takes calls once it [listens](Self::listen).
pub(crate) struct Service {
    shared: Arc<Shared>,
    socket: Option<TcpSocket>,
    pub(crate) address: SocketAddr,
}

impl Service {
    /// A service that has its address and refuses connections. `answers` is told each call with
    /// those before it.
    pub(crate) fn down(answers: impl Fn(&Call, &[Call]) -> Answer + Send + Sync + 'static) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let shared = Shared {
            answers: Box::new(answers),
            calls: Mutex::default(),
            count: watch::Sender::new(0),
        };
        Self {
            shared: Arc::new(shared),
            address: socket.local_addr().unwrap(),
            socket: Some(socket),
        }
    }

    /// A service that answers.
    pub(crate) fn with(answers: impl Fn(&Call, &[Call]) -> Answer + Send + Sync + 'static) -> Self {
        let mut service = Self::down(answers);
        service.listen();
        service
    }

    /// A service that accepts everything.
    pub(crate) fn up() -> Self {
        Self::with(|_, _| Answer::Accepted)
    }

    /// Takes calls from now on.
    pub(crate) fn listen(&mut self) {
        let listener = self.socket.take().unwrap().listen(64).unwrap();
        let router = axum::Router::new()
            .fallback(answer)
            .with_state(self.shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// The calls so far that complete the callback.
    pub(crate) fn reports(&self) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| *call != Call::Heartbeat);
        calls
    }

    /// The one failure that was reported.
    pub(crate) fn failure(&self) -> Failure {
        match &self.reports()[..] {
            [Call::Failure(error)] => Failure(error.clone()),
            other => panic!("not one failure: {other:?}"),
        }
    }

    /// Waits until `count` calls were taken.
    pub(crate) async fn called(&self, count: usize) {
        let mut counter = self.shared.count.subscribe();
        let reached = counter.wait_for(|taken| *taken >= count);
        tokio::time::timeout(PATIENCE, reached)
            .await
            .unwrap_or_else(|_| panic!("{count} calls were not made: {:?}", self.calls()))
            .unwrap();
    }
}

/// An error object on the wire.
#[derive(Debug)]
pub(crate) struct Failure(Value);

impl Failure {
    pub(crate) fn error_type(&self) -> &str {
        self.0["ErrorType"].as_str().unwrap()
    }

    pub(crate) fn message(&self) -> &str {
        self.0["ErrorMessage"].as_str().unwrap()
    }

    pub(crate) fn data(&self) -> Value {
        serde_json::from_str(self.0["ErrorData"].as_str().unwrap()).unwrap()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, body: Bytes) -> Response {
    let parts: Vec<&str> = uri.path().split('/').collect();
    let [
        "",
        "2025-12-01",
        "durable-execution-callbacks",
        id,
        operation,
    ] = parts[..]
    else {
        return error(404, "UnknownOperationException");
    };
    if percent_decode_str(id).decode_utf8().unwrap() != TOKEN {
        return error(404, "ResourceNotFoundException");
    }
    let call = match operation {
        "heartbeat" => Call::Heartbeat,
        "succeed" => Call::Success(body.to_vec()),
        "fail" => Call::Failure(serde_json::from_slice(&body).unwrap()),
        _ => return error(404, "UnknownOperationException"),
    };
    let answer = {
        let mut calls = shared.calls.lock().unwrap();
        let answer = (shared.answers)(&call, &calls);
        calls.push(call);
        shared.count.send_replace(calls.len());
        answer
    };
    match answer {
        Answer::Accepted => (StatusCode::OK, "{}").into_response(),
        Answer::Error(status, code) => error(status, code),
    }
}

/// An error that quotes the callback's id, as a careless service might.
fn error(status: u16, code: &'static str) -> Response {
    let body = serde_json::json!({"Type": "User", "message": format!("callback {TOKEN}: {code}")});
    (
        StatusCode::from_u16(status).unwrap(),
        [("x-amzn-errortype", code)],
        body.to_string(),
    )
        .into_response()
}
