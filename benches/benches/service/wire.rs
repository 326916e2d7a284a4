//! A caller and a function that talk to the service over HTTP as an SDK does, with as little work of their own as can be.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use longhaul_emulator::{Invocation, InvocationError, InvocationHandler};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Notify;

type Connection = SendRequest<Full<Bytes>>;

/// Connections to the service, kept open between requests.
#[derive(Default)]
pub(crate) struct Wire {
    address: OnceLock<String>,
    idle: Mutex<Vec<Connection>>,
    invocations: AtomicU64,
    invoked: Notify,
}

impl Wire {
    pub(crate) fn connect_to(&self, url: &str) {
        let address = url.strip_prefix("http://").expect("a URL");
        self.address.set(address.to_owned()).expect("once");
    }

    async fn connection(&self) -> Connection {
        let idle = self.idle.lock().unwrap().pop();
        if let Some(connection) = idle.filter(|connection| !connection.is_closed()) {
            return connection;
        }
        let address = self.address.get().expect("an address");
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        sender
    }

    /// Sends a request and returns the answer, which must be a success.
    async fn call(&self, request: hyper::http::request::Builder, body: Bytes) -> Bytes {
        let address = self.address.get().expect("an address");
        let request: Request<Full<Bytes>> = request
            .header("host", address)
            .body(Full::new(body))
            .expect("a request");
        let mut connection = self.connection().await;
        connection.ready().await.expect("a connection");
        let answer: Response<Incoming> = connection.send_request(request).await.expect("an answer");
        let status = answer.status();
        let body = answer
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        assert!(
            status.is_success(),
            "{status}: {}",
            String::from_utf8_lossy(&body)
        );
        self.idle.lock().unwrap().push(connection);
        body
    }

    /// Starts an execution; with `RequestResponse`, waits for its end.
    pub(crate) async fn invoke(&self, kind: &str, event: &str) {
        let request = Request::post("/2015-03-31/functions/job/invocations?Qualifier=$LATEST")
            .header("x-amz-invocation-type", kind);
        self.call(request, event.to_owned().into()).await;
    }

    /// Asks for something that is only answered once the service is up.
    pub(crate) async fn list(&self) {
        let request = Request::get("/2025-12-01/functions/job/durable-executions?MaxItems=1");
        self.call(request, Bytes::new()).await;
    }

    /// Waits until so many invocations have answered.
    pub(crate) async fn invocations(&self, count: u64) {
        while self.invocations.load(Ordering::SeqCst) < count {
            self.invoked.notified().await;
        }
    }

    async fn checkpoint(&self, arn: &str, token: &mut String, number: u64, updates: Value) {
        let path = format!("/2025-12-01/durable-executions/{arn}/checkpoint");
        let body = json!({
            "CheckpointToken": token,
            "ClientToken": format!("call-{number}"),
            "Updates": updates,
        });
        let answer = self
            .call(Request::post(path), body.to_string().into())
            .await;
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        *token = answer["CheckpointToken"]
            .as_str()
            .expect("a token")
            .to_owned();
    }
}

/// A durable function: a number makes so many steps, one checkpoint call for each; anything else waits for a callback.
pub(crate) struct Function(pub(crate) Arc<Wire>);

#[async_trait]
impl InvocationHandler for Function {
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvocationError> {
        let event: Value = serde_json::from_slice(&invocation.event).expect("an event");
        let arn = event["DurableExecutionArn"].as_str().expect("an ARN");
        let arn = arn.replace('/', "%2F").replace(':', "%3A");
        let mut token = event["CheckpointToken"]
            .as_str()
            .expect("a token")
            .to_owned();
        let input =
            &event["InitialExecutionState"]["Operations"][0]["ExecutionDetails"]["InputPayload"];
        let steps = input.as_str().and_then(|input| input.parse().ok());
        let answer = if let Some(steps) = steps {
            for number in 0..steps {
                // What the Rust SDK sends for a step that is done at once.
                let id = format!("{number:064x}");
                let updates = json!([
                    {"Id": id, "Type": "STEP", "SubType": "Step", "Action": "START", "Name": "one"},
                    {"Id": id, "Type": "STEP", "SubType": "Step", "Action": "SUCCEED", "Name": "one", "Payload": "1"},
                ]);
                self.0.checkpoint(&arn, &mut token, number, updates).await;
            }
            json!({"Status": "SUCCEEDED", "Result": "1"})
        } else {
            let updates = json!([{"Id": "c", "Type": "CALLBACK", "SubType": "Callback", "Action": "START", "Name": "approval"}]);
            self.0.checkpoint(&arn, &mut token, 0, updates).await;
            json!({"Status": "PENDING"})
        };
        self.0.invocations.fetch_add(1, Ordering::SeqCst);
        self.0.invoked.notify_one();
        Ok(answer.to_string().into())
    }
}
