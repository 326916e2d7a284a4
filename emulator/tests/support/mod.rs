//! What the tests share: a service on a temporary folder, a real SDK client for it, and waiting without sleeping blindly.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]
#![allow(dead_code, reason = "every test binary uses a part of this")]

pub(crate) mod handler;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod service;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Event, EventType, ExecutionStatus, InvocationType};
use longhaul_emulator::{FunctionConfig, InvocationRetry, Service, ServiceConfig};
use serde_json::Value;
use tempfile::TempDir;

/// The longest any test waits for anything.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// A program of `examples/`. A plain `cargo test` builds them beside the tests; `cargo test --test NAME` does not.
pub(crate) fn example(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("the test's own path");
    path.pop();
    path.pop();
    path.push("examples");
    path.push(name);
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(format!("{name}.rs"));
    let changed = |path: &PathBuf| std::fs::metadata(path).and_then(|it| it.modified()).ok();
    assert!(
        changed(&path) >= changed(&source),
        "{} is not up to date: run `cargo build -p longhaul-emulator --examples`",
        path.display()
    );
    path
}

/// The function of the tests, as a real function binary.
pub(crate) fn function() -> FunctionConfig {
    named("job")
}

pub(crate) fn named(name: &str) -> FunctionConfig {
    FunctionConfig::process(
        name,
        example("durable-function"),
        std::iter::empty::<&str>(),
    )
}

pub(crate) fn config(state: &TempDir) -> ServiceConfig {
    ServiceConfig::new(state.path().join("service")).invocation_retry(InvocationRetry::new(
        5,
        Duration::from_millis(100),
        Duration::from_secs(1),
    ))
}

pub(crate) async fn start(state: &TempDir) -> (Service, Client) {
    let service = Service::start(config(state).function(function()))
        .await
        .unwrap();
    let client = client(&service.url());
    (service, client)
}

/// A real SDK client for the service at `url`.
pub(crate) fn client(url: &str) -> Client {
    client_with_key(url, "local")
}

pub(crate) fn client_with_key(url: &str, key: &str) -> Client {
    Client::from_conf(
        aws_sdk_lambda::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(url)
            .credentials_provider(Credentials::new(key, "secret", None, None, "test"))
            .build(),
    )
}

/// Starts an execution of `job` and returns its ARN.
pub(crate) async fn invoke(client: &Client, event: Value) -> String {
    let output = client
        .invoke()
        .function_name("job")
        .qualifier("$LATEST")
        .invocation_type(InvocationType::Event)
        .payload(Blob::new(event.to_string()))
        .send()
        .await
        .unwrap();
    assert_eq!(output.status_code(), 202);
    output.durable_execution_arn().unwrap().to_owned()
}

/// Polls until `check` gives something.
pub(crate) async fn until<T, F, Fut>(what: &str, mut check: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let began = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(
            began.elapsed() < LONGEST,
            "{what} did not happen within {LONGEST:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the execution has ended and returns its status with its result or error.
pub(crate) async fn ended(client: &Client, arn: &str) -> (ExecutionStatus, Value) {
    until("the end of the execution", || async {
        let execution = client
            .get_durable_execution()
            .durable_execution_arn(arn)
            .send()
            .await
            .ok()?;
        let value = match (execution.result(), execution.error()) {
            (Some(result), _) => serde_json::from_str(result).unwrap(),
            (None, Some(error)) => {
                serde_json::json!({"type": error.error_type(), "message": error.error_message()})
            }
            (None, None) => Value::Null,
        };
        (*execution.status() != ExecutionStatus::Running)
            .then(|| (execution.status().clone(), value))
    })
    .await
}

pub(crate) async fn history(client: &Client, arn: &str) -> Vec<Event> {
    let output = client
        .get_durable_execution_history()
        .durable_execution_arn(arn)
        .max_items(1_000)
        .send()
        .await
        .unwrap();
    output.events().to_vec()
}

pub(crate) fn types(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event.event_type().unwrap().as_str())
        .collect()
}

/// Waits for the first event of a type.
pub(crate) async fn event(client: &Client, arn: &str, wanted: EventType) -> Event {
    until(wanted.as_str(), || async {
        history(client, arn)
            .await
            .into_iter()
            .find(|event| event.event_type() == Some(&wanted))
    })
    .await
}

/// Waits until the execution has a callback and its invocation has ended, and returns the callback's id.
pub(crate) async fn suspended_callback(client: &Client, arn: &str) -> String {
    event(client, arn, EventType::InvocationCompleted).await;
    let started = event(client, arn, EventType::CallbackStarted).await;
    started
        .callback_started_details()
        .unwrap()
        .callback_id()
        .to_owned()
}
