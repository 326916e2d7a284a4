//! A server on loopback that plays as much of S3 as a payload store needs, and of the places
//! where credentials come from; and that misbehaves on demand.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use longhaul_core::PayloadStore;
use longhaul_payload::StoreConfig;
use serde_json::json;

use crate::support::MAX_SIZE;

/// The bucket that is there.
pub(crate) const BUCKET: &str = "payloads";

/// How a request is answered out of the ordinary.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// With this status, and nothing is done.
    Refused(u16),
    /// With this status, after everything was done.
    DoneButSays(u16),
    /// As if somebody else were writing there, and then failed (`409 Conflict`).
    Conflict,
}

/// A request, as far as a test looks at it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// The server.
#[derive(Clone)]
pub(crate) struct Bucket {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Bytes>,
    seen: Vec<Seen>,
    faults: VecDeque<Fault>,
}

impl Bucket {
    /// Listens on a free port until the runtime of the test ends.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bucket = Self {
            address: listener.local_addr().unwrap(),
            inner: Arc::default(),
        };
        let app = Router::new().fallback(answer).with_state(bucket.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        bucket
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The environment of a Lambda function that is to use this server.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let variables = [
            ("AWS_ENDPOINT_URL_S3", self.url()),
            ("AWS_REGION", "eu-west-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIDFUNCTION".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "hush-secret".to_owned()),
            ("AWS_SESSION_TOKEN", "hush-session".to_owned()),
        ];
        variables.map(|(n, v)| (n.to_owned(), v)).into()
    }

    /// The store `s3://payloads/jobs` here.
    pub(crate) fn store(&self) -> Arc<dyn PayloadStore> {
        self.store_with(self.environment())
    }

    pub(crate) fn store_with(
        &self,
        environment: BTreeMap<String, String>,
    ) -> Arc<dyn PayloadStore> {
        StoreConfig::new(format!("s3://{BUCKET}/jobs"))
            .with_max_size(MAX_SIZE)
            .with_environment(environment)
            .open()
            .unwrap()
    }

    /// The next requests to the bucket are answered like this.
    pub(crate) fn will(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inner.lock().unwrap().faults.extend(faults);
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.inner.lock().unwrap().seen.clone()
    }

    /// What is under a key.
    pub(crate) fn object(&self, key: &str) -> Option<Bytes> {
        self.inner.lock().unwrap().objects.get(key).cloned()
    }

    /// Puts or deletes an object behind everybody's back.
    pub(crate) fn change(&self, key: &str, content: Option<&'static [u8]>) {
        let mut inner = self.inner.lock().unwrap();
        match content {
            Some(content) => inner
                .objects
                .insert(key.to_owned(), Bytes::from_static(content)),
            None => inner.objects.remove(key),
        };
    }
}

async fn answer(State(bucket): State<Bucket>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    // Through a proxy, the request line holds the whole URL.
    let host = parts.uri.host().map(str::to_owned);
    let seen = Seen {
        method: parts.method.clone(),
        host: host.unwrap_or_default(),
        path: parts.uri.path().to_owned(),
        headers: parts.headers.clone(),
    };
    let mut inner = bucket.inner.lock().unwrap();
    inner.seen.push(seen.clone());
    if let Some(answer) = credentials(&seen) {
        return answer;
    }
    let Some(key) = seen.path.strip_prefix(&format!("/{BUCKET}/")) else {
        return error(StatusCode::NOT_FOUND, "NoSuchBucket");
    };
    let fault = inner.faults.pop_front();
    match fault {
        Some(Fault::Refused(status)) => return error(status_of(status), "AccessDenied"),
        Some(Fault::Conflict) => return error(StatusCode::CONFLICT, "ConditionalRequestConflict"),
        Some(Fault::DoneButSays(_)) | None => {}
    }
    let answer = match parts.method {
        Method::PUT => {
            let only_new = seen.header("if-none-match") == "*";
            if only_new && inner.objects.contains_key(key) {
                error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed")
            } else {
                inner.objects.insert(key.to_owned(), body);
                ([(header::ETAG, "\"e\"")], "").into_response()
            }
        }
        Method::GET => match inner.objects.get(key) {
            Some(content) => {
                let headers = [
                    (header::ETAG, "\"e\""),
                    (header::LAST_MODIFIED, "Mon, 23 Nov 2026 07:00:00 GMT"),
                ];
                (headers, content.clone()).into_response()
            }
            None => error(StatusCode::NOT_FOUND, "NoSuchKey"),
        },
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    };
    match fault {
        Some(Fault::DoneButSays(status)) => error(status_of(status), "InternalError"),
        _ => answer,
    }
}

/// What the agents of ECS and EC2 answer.
fn credentials(seen: &Seen) -> Option<Response> {
    let of = |who: &str| {
        Some(
            Json(json!({
                "Code": "Success",
                "Type": "AWS-HMAC",
                "LastUpdated": "2026-11-23T07:00:00Z",
                "AccessKeyId": format!("AKID{who}"),
                "SecretAccessKey": "hush-secret",
                "Token": "hush-session",
                "Expiration": "2099-01-01T00:00:00Z",
            }))
            .into_response(),
        )
    };
    let role = "/latest/meta-data/iam/security-credentials/";
    match seen.path.as_str() {
        "/v2/credentials/of-the-task" if seen.host == "169.254.170.2" => of("TASK"),
        "/latest/api/token" if seen.method == Method::PUT => Some("a-token".into_response()),
        path if seen.header("x-aws-ec2-metadata-token") == "a-token" => match path {
            _ if path == role => Some("the-role".into_response()),
            _ if path == format!("{role}the-role") => of("INSTANCE"),
            _ => None,
        },
        _ => None,
    }
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap()
}

fn error(status: StatusCode, code: &str) -> Response {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    (status, body).into_response()
}
