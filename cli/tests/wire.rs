//! What one job costs on the wire, counted between the function and the durable service.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Event, EventType, ExecutionStatus, InvocationType};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use longhaul_emulator::{FunctionConfig, Lifetime, Service, ServiceConfig};
use serde_json::{Value, json};
use support::{LONGEST, World, is_alive};

/// Passes requests on and counts them by what they are.
#[derive(Clone)]
struct Counter {
    /// The service's URL, known only after the function is configured with the counter's.
    target: Arc<Mutex<String>>,
    client: HttpClient<HttpConnector, Body>,
    counts: Arc<Mutex<BTreeMap<&'static str, usize>>>,
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
struct Setup {
    service: Service,
    client: Client,
    counter: Counter,
}

async fn set_up(state: &Path, lifetime: Lifetime) -> Setup {
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
        .env(
            "LONGHAUL_WORKER",
            json!([exe, "worker", "run", "--"]).to_string(),
        )
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

impl Setup {
    async fn invoke(&self, job: &Value) -> String {
        let answer = self
            .client
            .invoke()
            .function_name("jobs")
            .qualifier("$LATEST")
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(job.to_string()))
            .send()
            .await
            .unwrap();
        answer.durable_execution_arn().unwrap().to_owned()
    }

    async fn status(&self, arn: &str) -> ExecutionStatus {
        let execution = self
            .client
            .get_durable_execution()
            .durable_execution_arn(arn)
            .send()
            .await
            .unwrap();
        execution.status
    }

    async fn wait_end(&self, arn: &str) -> ExecutionStatus {
        let mut news = self.service.subscribe();
        tokio::time::timeout(LONGEST, async {
            loop {
                let status = self.status(arn).await;
                if status != ExecutionStatus::Running {
                    return status;
                }
                let _ = tokio::time::timeout(Duration::from_millis(200), news.recv()).await;
            }
        })
        .await
        .unwrap()
    }

    async fn history(&self, arn: &str) -> Vec<Event> {
        let history = self
            .client
            .get_durable_execution_history()
            .durable_execution_arn(arn)
            .include_execution_data(true)
            .send()
            .await
            .unwrap();
        history.events
    }
}

fn kinds(history: &[Event]) -> Vec<EventType> {
    history
        .iter()
        .map(|event| event.event_type.clone().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_succeeds_costs_3_checkpoint_calls_and_2_invocations() {
    for lifetime in [Lifetime::Reuse, Lifetime::Fresh] {
        let world = World::new();
        let setup = set_up(world.path(), lifetime).await;
        // The job waits for the function to be gone, so that it cannot report before.
        let script = "while [ ! -e go ]; do sleep 0.02; done";
        let job = json!({
            "name": "quick", "command": ["sh", "-c", script],
            "working_directory": world.path(),
        });
        let arn = setup.invoke(&job).await;
        tokio::time::timeout(LONGEST, async {
            while !kinds(&setup.history(&arn).await).contains(&EventType::InvocationCompleted) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
        world.file("go", "");
        assert_eq!(setup.wait_end(&arn).await, ExecutionStatus::Succeeded);
        assert_eq!(
            kinds(&setup.history(&arn).await),
            [
                EventType::ExecutionStarted,
                EventType::CallbackStarted,
                EventType::StepStarted,
                EventType::StepSucceeded,
                EventType::InvocationCompleted,
                EventType::CallbackSucceeded,
                EventType::InvocationCompleted,
                EventType::ExecutionSucceeded,
            ]
        );
        let counts = setup.counter.counts.lock().unwrap().clone();
        assert_eq!(counts.get("checkpoint"), Some(&3), "{counts:?}");
        assert_eq!(counts.get("state"), None, "{counts:?}");
        assert_eq!(counts.get("succeed"), Some(&1), "{counts:?}");
        setup.service.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_is_stopped_leaves_no_command_running() {
    let world = World::new();
    let setup = set_up(world.path(), Lifetime::Reuse).await;
    let script = "echo $$ > pid.new; mv pid.new pid; sleep 1000 & wait";
    let job = json!({
        "name": "endless", "command": ["sh", "-c", script], "heartbeat": "3s",
        "working_directory": world.path(),
    });
    let arn = setup.invoke(&job).await;
    let file = world.path().join("pid");
    tokio::time::timeout(LONGEST, async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    let pid: u32 = std::fs::read_to_string(&file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(is_alive(pid));
    setup
        .client
        .stop_durable_execution()
        .durable_execution_arn(&arn)
        .send()
        .await
        .unwrap();
    // Nobody cancels: the worker's next heartbeat, at most a second later, is told that the
    // callback is closed.
    tokio::time::timeout(LONGEST, async {
        while is_alive(pid) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(setup.status(&arn).await, ExecutionStatus::Stopped);
    setup.service.shutdown().await;
}
