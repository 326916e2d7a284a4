//! The Lambda Runtime API, one listener for each environment: who calls is known by where they call.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::peer::is_own_user;
use super::{Invocation, InvocationError};

/// The largest answer of a function, in bytes: 6 MB and room for the envelope, as on AWS.
const LARGEST_ANSWER: usize = 6 * 1024 * 1024 + 100 * 1024;

/// What a function told its Runtime API.
#[derive(Debug)]
pub(super) enum Report {
    /// It asks for an invocation: it is ready.
    Ready,
    Answered(String, Bytes),
    Failed(String, InvocationError),
    /// It could not initialise.
    InitFailed(InvocationError),
}

/// The Runtime API of one environment.
#[derive(Debug)]
pub(super) struct RuntimeApi {
    pub(super) address: SocketAddr,
    invocations: mpsc::Sender<Invocation>,
    reports: mpsc::Receiver<Report>,
    stop: CancellationToken,
}

struct Shared {
    invocations: Mutex<mpsc::Receiver<Invocation>>,
    reports: mpsc::Sender<Report>,
    /// The invocation that was handed out and not answered yet.
    current: StdMutex<Option<String>>,
}

impl RuntimeApi {
    pub(super) async fn listen() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (invocations, queue) = mpsc::channel(1);
        let (sender, reports) = mpsc::channel(4);
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            invocations: Mutex::new(queue),
            reports: sender,
            current: StdMutex::new(None),
        });
        tokio::spawn(serve(listener, shared, stop.clone()));
        Ok(Self {
            address,
            invocations,
            reports,
            stop,
        })
    }

    /// Hands the environment its next invocation. False when its Runtime API is gone.
    pub(super) async fn send(&self, invocation: Invocation) -> bool {
        self.invocations.send(invocation).await.is_ok()
    }

    /// The next thing the function says; pending for ever once nothing can come any more.
    pub(super) async fn report(&mut self) -> Report {
        match self.reports.recv().await {
            Some(report) => report,
            None => std::future::pending().await,
        }
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "a connection to a Runtime API was not accepted");
                    continue;
                }
            },
        };
        if !stream
            .local_addr()
            .is_ok_and(|local| is_own_user(peer, local))
        {
            tracing::warn!("a program of another user was turned away from a Runtime API");
            continue;
        }
        let shared = Arc::clone(&shared);
        let stop = stop.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(answer(&shared, request).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = stop.cancelled() => {}
                result = connection => if let Err(error) = result {
                    tracing::debug!(%error, "a Runtime API connection ended early");
                }
            }
        });
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let Some(rest) = path.strip_prefix("/2018-06-01/runtime/") else {
        return refusal(StatusCode::NOT_FOUND, "UnknownOperation", "no such path");
    };
    let segments: Vec<&str> = rest.split('/').collect();
    match (request.method(), segments.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => next(shared).await,
        (&Method::POST, ["invocation", id, what @ ("response" | "error")]) => {
            let (id, failed) = ((*id).to_owned(), *what == "error");
            if shared.current().as_ref() != Some(&id) {
                return refusal(
                    StatusCode::BAD_REQUEST,
                    "InvalidRequestID",
                    "not the invocation that runs here",
                );
            }
            let headers = request.headers().clone();
            let (report, response) = match body(request).await {
                Ok(body) if failed => (
                    Report::Failed(id.clone(), error_of(&headers, &body)),
                    accepted(),
                ),
                Ok(body) => (Report::Answered(id.clone(), body), accepted()),
                Err(TooLarge(true)) => {
                    let message = format!(
                        "Response payload size exceeded maximum allowed payload size ({LARGEST_ANSWER} bytes)."
                    );
                    let error =
                        InvocationError::new("Function.ResponseSizeTooLarge", message.clone());
                    (
                        Report::Failed(id.clone(), error),
                        refusal(
                            StatusCode::PAYLOAD_TOO_LARGE,
                            "RequestEntityTooLarge",
                            &message,
                        ),
                    )
                }
                Err(TooLarge(false)) => {
                    return refusal(
                        StatusCode::BAD_REQUEST,
                        "InvalidBody",
                        "the body did not arrive",
                    );
                }
            };
            // Taken back only now: two answers to one invocation must not both count.
            if shared.take_current(&id) {
                shared.report(report).await;
                response
            } else {
                refusal(
                    StatusCode::BAD_REQUEST,
                    "InvalidRequestID",
                    "not the invocation that runs here",
                )
            }
        }
        (&Method::POST, ["init", "error"]) => {
            let headers = request.headers().clone();
            let body = body(request).await.unwrap_or_default();
            shared
                .report(Report::InitFailed(error_of(&headers, &body)))
                .await;
            accepted()
        }
        _ => refusal(StatusCode::NOT_FOUND, "UnknownOperation", "no such path"),
    }
}

impl Shared {
    fn current(&self) -> Option<String> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn take_current(&self, id: &str) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let same = current.as_deref() == Some(id);
        if same {
            *current = None;
        }
        same
    }

    async fn report(&self, report: Report) {
        // Nobody listens to an environment that is being ended.
        drop(self.reports.send(report).await);
    }
}

async fn next(shared: &Shared) -> Response<Full<Bytes>> {
    shared.report(Report::Ready).await;
    let Some(invocation) = shared.invocations.lock().await.recv().await else {
        return refusal(
            StatusCode::GONE,
            "Shutdown",
            "this environment is being ended",
        );
    };
    *shared
        .current
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(invocation.request_id.clone());
    let mut response = Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", &invocation.request_id)
        .header(
            "lambda-runtime-deadline-ms",
            invocation.deadline.as_millis().to_string(),
        )
        .header(
            "lambda-runtime-invoked-function-arn",
            &invocation.function_arn,
        )
        .header("lambda-runtime-trace-id", &invocation.trace_id);
    if let Some(tenant) = &invocation.tenant_id {
        response = response.header("lambda-runtime-aws-tenant-id", tenant);
    }
    response
        .body(Full::new(invocation.event))
        .unwrap_or_else(|_| {
            refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InvalidHeader",
                "a header could not be written",
            )
        })
}

/// A body that is over the limit, or (`false`) did not arrive.
struct TooLarge(bool);

async fn body(request: Request<Incoming>) -> Result<Bytes, TooLarge> {
    match Limited::new(request.into_body(), LARGEST_ANSWER)
        .collect()
        .await
    {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(TooLarge(error.is::<LengthLimitError>())),
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ErrorBody {
    error_message: String,
    error_type: String,
    stack_trace: Vec<serde_json::Value>,
}

fn error_of(headers: &HeaderMap, body: &[u8]) -> InvocationError {
    let parsed: ErrorBody = serde_json::from_slice(body).unwrap_or_else(|_| ErrorBody {
        error_message: String::from_utf8_lossy(body).chars().take(1_000).collect(),
        ..ErrorBody::default()
    });
    let header = headers
        .get("lambda-runtime-function-error-type")
        .and_then(|value| value.to_str().ok());
    let error_type = if parsed.error_type.is_empty() {
        header.unwrap_or("Runtime.Unknown").to_owned()
    } else {
        parsed.error_type
    };
    let line = |value: serde_json::Value| match value {
        serde_json::Value::String(line) => line,
        other => other.to_string(),
    };
    InvocationError {
        error_type,
        message: parsed.error_message,
        stack_trace: parsed.stack_trace.into_iter().map(line).collect(),
    }
}

fn accepted() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"{\"status\":\"OK\"}")));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

fn refusal(status: StatusCode, error_type: &str, message: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "errorType": error_type, "errorMessage": message }).to_string();
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}
