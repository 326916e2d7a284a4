//! What the log tells of attempts: each once, however often they are replayed, and no token.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod common;

use std::sync::{Arc, Mutex};

use common::{HOUR, spec};
use longhaul_core::{FailureClass, JobFailure, JobSpec, RetryPolicy};
use longhaul_lambda::{DurableContext, JobRunner, RunError};
use longhaul_testing::{Harness, InMemory};
use serde_json::{Value, json};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_attempt_and_each_new_try_is_told_once_over_replays() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let backend = InMemory::new().job("render", |job| match job.attempt {
        1 | 2 => Err(JobFailure::new(FailureClass::Interrupted).into()),
        _ => Ok(json!(7)),
    });
    let runner = JobRunner::new(Arc::new(backend.clone()));
    let handler = move |job: JobSpec, ctx: DurableContext| {
        let runner = runner.clone();
        async move {
            let report = runner.run::<u64>(&ctx, job).await?;
            for _ in 0..3 {
                ctx.wait(HOUR).await.unwrap();
            }
            Ok::<_, RunError>(report.result)
        }
    };
    let job = spec().with_retry(RetryPolicy::default());
    let finished = Harness::new(&backend).run(handler, job).await.unwrap();
    assert!(finished.invocations > 6, "{}", finished.invocations);
    assert_eq!(finished.result(), 7);

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let told: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| {
            line["target"]
                .as_str()
                .unwrap()
                .starts_with("longhaul_lambda")
        })
        .collect();
    let messages: Vec<_> = told
        .iter()
        .map(|line| line["fields"]["message"].as_str().unwrap())
        .collect();
    let failed = ["started", "failed", "the job is tried again"];
    let expected = [&failed[..], &failed[..], &["started", "succeeded"][..]].concat();
    assert_eq!(messages, expected, "{text}");
    let last = &told.last().unwrap()["span"];
    assert_eq!(
        (&last["attempt"], &last["handle"]),
        (&json!(3), &json!("memory:job-3"))
    );
    assert_eq!(told[1]["fields"]["class"], "Interrupted");
}
