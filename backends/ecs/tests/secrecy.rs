//! The callback token stays between the job and its worker.
#![allow(
    clippy::unwrap_used,
    reason = "tests panic where a promise is broken, also in their helpers"
)]

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use common::{backend, hello, sdk, token};
use longhaul_core::ComputeBackend;
use longhaul_fake_aws::ecs::{FakeEcs, Misbehaviour};

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
        .with_env_filter("debug,longhaul_ecs=trace")
        .with_writer(move || writer.clone())
        .finish();
    // For the whole program: this is its only test.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let ecs = FakeEcs::start().await;
    let (backend, token) = (backend(sdk(&ecs.url())), token("bmV2ZXItc2hvdy1tZQ=="));
    let mut errors = String::new();
    for plan in [
        Misbehaviour::ActThenCut,
        Misbehaviour::Garbage(
            200,
            "{\"tasks\":[{\"overrides\":\"bmV2ZXItc2hvdy1tZQ==\"}]}",
        ),
        Misbehaviour::Refuse(
            400,
            "InvalidParameterException",
            "Bad: bmV2ZXItc2hvdy1tZQ==",
        ),
    ] {
        ecs.plan("RunTask", plan);
        if let Err(error) = backend.start(&hello(&token), &token).await {
            errors += &format!("{error:?} {}", error.full_message());
        }
    }
    let handle = backend.start(&hello(&token), &token).await.unwrap();
    backend.describe(&handle).await.unwrap();
    backend.cancel(&handle, "x").await.unwrap();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("started a task"), "{text}");
    assert!(!errors.is_empty());
    assert!(!text.contains(token.expose()), "{text}");
    assert!(!errors.contains(token.expose()), "{errors}");
}
