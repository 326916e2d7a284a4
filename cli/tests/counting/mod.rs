//! A durable service whose function talks to it through a counter of requests.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "helpers of tests, each test uses some"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use longhaul_emulator::{FunctionConfig, Lifetime, Service, ServiceConfig};
use serde_json::{Value, json};

/// Passes requests on and counts them by what they are.
#[derive(Clone)]
pub struct Counter {
    /// The service's URL, known only after the function is configured with the counter's.
    target: Arc<Mutex<String>>,
    client: HttpClient<HttpConnector, Body>,
    pub counts: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Counter {
    /// Starts one and returns it with its URL.
    async fn start() -> (Self, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let counter = Self {
            target: Arc::default(),
            client: HttpClient::builder(TokioExecutor::new()).build_http(),
            counts: Arc::default(),
        };
        let app = Router::new().fallback(pass).with_state(counter.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (counter, url)
    }
}

async fn pass(State(counter): State<Counter>, mut request: Request) -> impl IntoResponse {
    let path = request.uri().path_and_query().unwrap().as_str().to_owned();
    let kind = match path.split('?').next().unwrap() {
        p if p.ends_with("/checkpoint") => "checkpoint",
        p if p.ends_with("/state") => "state",
        p if p.ends_with("/succeed") => "succeed",
        p if p.ends_with("/fail") => "fail",
        p if p.ends_with("/heartbeat") => "heartbeat",
        _ => "other",
    };
    *counter.counts.lock().unwrap().entry(kind).or_default() += 1;
    let target = counter.target.lock().unwrap().clone();
    *request.uri_mut() = format!("{target}{path}").parse().unwrap();
    let host = request.uri().authority().unwrap().as_str().parse().unwrap();
    request.headers_mut().insert("host", host);
    counter
        .client
        .request(request)
        .await
        .unwrap()
        .map(Body::new)
}

/// A service whose function talks to it through the counter.
pub struct Setup {
    pub service: Service,
    pub client: Client,
    pub counter: Counter,
}

pub async fn set_up(state: &Path, lifetime: Lifetime) -> Setup {
    let exe = env!("CARGO_BIN_EXE_longhaul");
    let worker = json!([exe, "worker", "run", "--"]);
    set_up_with(state, lifetime, &worker).await
}

/// The same with another worker, a command as a JSON list.
pub async fn set_up_with(state: &Path, lifetime: Lifetime, worker: &Value) -> Setup {
    let (counter, proxy) = Counter::start().await;
    let exe = env!("CARGO_BIN_EXE_longhaul");
    let function = FunctionConfig::process("jobs", exe, ["lambda"])
        .env("AWS_ENDPOINT_URL_LAMBDA", proxy)
        .env("LONGHAUL_BACKEND", "process")
        .env("LONGHAUL_PROCESS_DIRECTORY", state.join("jobs"))
        .env(
            "LONGHAUL_PROCESS_SHIM",
            json!([exe, "process-shim"]).to_string(),
        )
        .env("LONGHAUL_WORKER", worker.to_string())
        .lifetime(lifetime);
    let service = Service::start(ServiceConfig::new(state.join("service")).function(function))
        .await
        .unwrap();
    *counter.target.lock().unwrap() = service.url().to_string();
    let client = Client::from_conf(
        aws_sdk_lambda::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(service.url())
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .build(),
    );
    Setup {
        service,
        client,
        counter,
    }
}
