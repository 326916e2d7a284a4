//! HTTP: reads requests, plans in hand, and writes answers or cuts the connection.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cluster::{Refusal, State};
use super::{Misbehaviour, Request};
use crate::Received;

const SERVICE: &str = "AmazonEC2ContainerServiceV20141113.";

/// What to do with a request.
enum Reply {
    Answer(u16, Option<u64>, String),
    Cut,
    Hang,
}

pub(super) async fn spawn(
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
) -> (SocketAddr, JoinHandle<()>) {
    crate::serve(move |request| {
        let reply = reply(&request, &state);
        changed.send_modify(|count| *count += 1);
        async move {
            match reply {
                Reply::Answer(status, retry_after, body) => Ok(answer(status, retry_after, body)),
                Reply::Cut => Err(io::Error::other("cut as planned")),
                Reply::Hang => match std::future::pending::<Infallible>().await {},
            }
        }
    })
    .await
}

fn reply(request: &Received, state: &Mutex<State>) -> Reply {
    let header = |name: &str| request.headers.get(name).and_then(|v| v.to_str().ok());
    let target = header("x-amz-target").unwrap_or_default();
    match target.strip_prefix(SERVICE) {
        None => refuse(400, "UnknownOperationException", target),
        Some(_) if !header("authorization").is_some_and(|v| v.starts_with("AWS4-HMAC-SHA256 ")) => {
            refuse(400, "MissingAuthenticationTokenException", "Not signed.")
        }
        Some(_) if header("content-type") != Some("application/x-amz-json-1.1") => {
            refuse(400, "SerializationException", "Not JSON 1.1.")
        }
        Some(operation) => act(operation, &request.body, &mut state.lock().unwrap()),
    }
}

/// Does what `operation` asks for, or what was planned for it.
fn act(operation: &str, body: &[u8], state: &mut State) -> Reply {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return refuse(400, "SerializationException", "Not JSON.");
    };
    state.requests.push(Request {
        operation: operation.to_owned(),
        body: request.clone(),
        text: String::from_utf8_lossy(body).into_owned(),
    });
    match state.next_plan(operation) {
        None => write(state.act(operation, &request)),
        Some(Misbehaviour::Refuse(status, code, message)) => refuse(status, code, message),
        Some(Misbehaviour::RefuseFor(millis, code, message)) => match refuse(400, code, message) {
            Reply::Answer(status, _, body) => Reply::Answer(status, Some(millis), body),
            other => other,
        },
        Some(Misbehaviour::Fail(reason)) => write(state.fail(&request, reason)),
        Some(Misbehaviour::Garbage(status, body)) => Reply::Answer(status, None, body.to_owned()),
        Some(Misbehaviour::Cut) => Reply::Cut,
        Some(Misbehaviour::ActThenCut) => {
            let _ = state.act(operation, &request);
            Reply::Cut
        }
        Some(Misbehaviour::ActThenGarbage(status, body)) => {
            let _ = state.act(operation, &request);
            Reply::Answer(status, None, body.to_owned())
        }
        Some(Misbehaviour::ActThenHang) => {
            let _ = state.act(operation, &request);
            Reply::Hang
        }
    }
}

fn write(answer: Result<Value, Refusal>) -> Reply {
    match answer {
        Ok(body) => Reply::Answer(200, None, body.to_string()),
        Err(refusal) => {
            let mut body = json!({"__type": refusal.code, "message": refusal.message});
            if !refusal.resource_ids.is_empty() {
                body["resourceIds"] = json!(refusal.resource_ids);
            }
            Reply::Answer(400, None, body.to_string())
        }
    }
}

fn refuse(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({"__type": code, "message": message});
    Reply::Answer(status, None, body.to_string())
}

fn answer(status: u16, retry_after: Option<u64>, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    let headers = answer.headers_mut();
    headers.insert(
        "content-type",
        "application/x-amz-json-1.1".parse().unwrap(),
    );
    headers.insert("x-amzn-requestid", "0a1b2c3d".parse().unwrap());
    if let Some(millis) = retry_after {
        headers.insert("x-amz-retry-after", millis.into());
    }
    answer
}
