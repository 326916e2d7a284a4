//! Tests of what is told of a start: once, with everything that names it, and never the token.

use std::sync::{Mutex, PoisonError};

use aws_durable_execution_sdk::test_util::LocalRunner;
use longhaul_core::{JobName, MockComputeBackend};
use serde_json::{Value, json};
use tracing_subscriber::fmt::format::FmtSpan;

use super::*;
use crate::JobRunner;
use crate::durable::BoxError;

/// What was written, a JSON object a line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_start_is_told_once_over_replays_with_what_names_it_and_without_the_token() {
    let token = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&token);
    let mut backend = MockComputeBackend::new();
    backend.expect_name().return_const("mock".to_owned());
    backend.expect_start().times(1).returning(move |_, token| {
        *seen.lock().unwrap() = token.expose().to_owned();
        tracing::info!("the backend's own word");
        Ok(JobHandle::new("mock", "job-1"))
    });
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(move || writer.clone())
        .finish();
    // For this thread, which is the only one of this test's runtime.
    let guard = tracing::subscriber::set_default(subscriber);
    let runner = JobRunner::new(Arc::new(backend));
    let result = LocalRunner::new()
        .callback_success(&"ok")
        .run(
            move |_: Value, ctx: DurableContext| {
                let runner = runner.clone();
                async move {
                    let spec = JobSpec::new(JobName::new("hello").unwrap());
                    let report = runner.run::<Value>(&ctx, spec).await;
                    Ok::<_, BoxError>(report?.result)
                }
            },
            Value::Null,
        )
        .await;
    drop(guard);
    assert_eq!(result.output(), Some(&json!("ok")));
    assert!(result.invocation_count() > 1, "nothing was replayed");

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let token = token.lock().unwrap().clone();
    assert!(!token.is_empty() && !text.contains(&token), "{text}");
    let told: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let with = |message: &str| -> Vec<&Value> {
        let of = |line: &&Value| line["fields"]["message"] == message;
        told.iter().filter(of).collect()
    };
    let started = with("started");
    assert_eq!(started.len(), 1, "{text}");
    let span = &started[0]["span"];
    assert_eq!(span["name"], "start");
    assert_eq!(
        (&span["job"], &span["attempt"]),
        (&json!("hello"), &json!(1))
    );
    assert_eq!(
        span["execution"].as_str().map(str::len),
        Some(ExecutionId::LEN),
        "{span}"
    );
    assert_eq!(started[0]["fields"]["handle"], "mock:job-1");
    // What the backend says is inside the span, and the span is there once.
    assert_eq!(with("the backend's own word")[0]["span"]["job"], "hello");
    let spans = told
        .iter()
        .filter(|line| line["fields"]["message"] == "close" && line["span"]["name"] == "start");
    let spans: Vec<&Value> = spans.collect();
    assert_eq!(spans.len(), 1, "{text}");
    assert_eq!(spans[0]["span"]["handle"], "mock:job-1");
    let succeeded = with("succeeded");
    assert_eq!(succeeded.len(), 1, "{text}");
    let span = &succeeded[0]["span"];
    assert_eq!(
        (&span["job"], &span["handle"]),
        (&json!("hello"), &json!("mock:job-1"))
    );
    assert_eq!(span["attempt"], 1);
}
