//! The callback token stays between the job and its worker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

#[path = "support/sdk.rs"]
mod sdk;

use std::io;
use std::sync::{Arc, Mutex};

use longhaul_batch::{BatchBackend, BatchConfig};
use longhaul_core::{CallbackToken, ComputeBackend, ExecutionId, Job, JobSpec};
use longhaul_fake_aws::batch::{FakeBatch, Fault};

const TOKEN: &str = "bmV2ZXItc2hvdy1tZQ==";

/// Everything that is logged, as text.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_token_is_in_no_log_and_in_no_error() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("debug,longhaul_batch=trace")
        .with_writer(move || writer.clone())
        .finish();
    // For the whole program: this is its only test.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let fake = FakeBatch::start().await;
    let config = BatchConfig::new("jobs", "worker");
    let backend = BatchBackend::from_sdk(config, &sdk::shared(fake.url()));
    let token = CallbackToken::new(TOKEN).unwrap();
    let spec = JobSpec::new("hello".parse().unwrap()).with_command(["say"]);
    let job = Job::new(spec, ExecutionId::from_arn("arn"), 1, &token);

    let mut errors = format!("{backend:?}");
    for fault in [
        Fault::Answer(400, "ClientException", format!("Invalid: {TOKEN}")),
        Fault::Answer(500, "ServerException", format!("Broken: {TOKEN}")),
        Fault::Then(200, "{\"jobId\":\"bmV2ZXItc2hvdy1tZQ==\""),
        Fault::CutAfter,
    ] {
        fake.fail("submitjob", fault);
        if let Err(error) = backend.start(&job, &token).await {
            errors += &format!("{error:?} {}", error.full_message());
        }
    }
    let handle = backend.start(&job, &token).await.unwrap();
    let status = backend.describe(&handle).await.unwrap();
    backend.cancel(&handle, "x").await.unwrap();

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("the job was submitted before"), "{text}");
    assert!(errors.contains("(redacted)"), "{errors}");
    for told in [text, errors, format!("{handle:?} {status:?}")] {
        assert!(!told.contains(TOKEN), "{told}");
    }
}
