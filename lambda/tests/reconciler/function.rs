//! The binary `longhaul-reconciler` as Lambda runs it: over the Runtime API, one event at a time.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// What an invocation was answered with: a response, or an error.
type Answer = Result<Value, Value>;
type Asked = (Value, oneshot::Sender<Answer>);

/// The Runtime API: events in, answers out.
#[derive(Clone)]
struct RuntimeApi {
    events: Arc<tokio::sync::Mutex<mpsc::Receiver<Asked>>>,
    asked: Arc<Mutex<HashMap<String, oneshot::Sender<Answer>>>>,
}

async fn next(State(api): State<RuntimeApi>) -> impl IntoResponse {
    let (event, answer) = match api.events.lock().await.recv().await {
        Some(asked) => asked,
        // The test is over.
        None => std::future::pending().await,
    };
    let mut asked = api.asked.lock().unwrap();
    let id = format!("00000000-0000-0000-0000-{:012}", asked.len() + 1);
    asked.insert(id.clone(), answer);
    let headers = [
        ("lambda-runtime-aws-request-id", id),
        (
            "lambda-runtime-deadline-ms",
            "4102444800000".to_owned(), // 2100
        ),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:reconciler".to_owned(),
        ),
    ];
    (headers, event.to_string())
}

async fn answer(
    State(api): State<RuntimeApi>,
    Path((id, kind)): Path<(String, String)>,
    body: Bytes,
) -> StatusCode {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let answer = api.asked.lock().unwrap().remove(&id).unwrap();
    let _ = answer.send(match kind.as_str() {
        "response" => Ok(body),
        _ => Err(body),
    });
    StatusCode::ACCEPTED
}

/// The running function. It is killed when it is dropped.
pub(crate) struct Function {
    child: Child,
    events: mpsc::Sender<Asked>,
    server: JoinHandle<()>,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Function {
    fn drop(&mut self) {
        self.server.abort();
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Function {
    /// Starts the function with these variables and the most talkative log.
    pub(crate) async fn start(variables: &[(&str, String)]) -> Self {
        let (events, receiver) = mpsc::channel(1);
        let api = RuntimeApi {
            events: Arc::new(tokio::sync::Mutex::new(receiver)),
            asked: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{kind}", post(answer))
            .with_state(api);
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });

        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let child = Command::new(env!("CARGO_BIN_EXE_longhaul-reconciler"))
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .env("LONGHAUL_LOG", "trace")
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "reconciler")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "reconciler")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "reconciler")
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            events,
            server,
            log,
            _folder: folder,
        }
    }

    /// Invokes the function with `event`.
    pub(crate) async fn invoke(&self, event: Value) -> Answer {
        let (sender, receiver) = oneshot::channel();
        let invocation = async {
            self.events.send((event, sender)).await.unwrap();
            receiver.await.unwrap()
        };
        tokio::time::timeout(Duration::from_secs(60), invocation)
            .await
            .expect("the function answers within a minute")
    }

    /// Everything that it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}
