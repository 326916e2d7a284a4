//! The backend over the wire, against a server that fails in every way that Batch can.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

#[path = "../support/sdk.rs"]
mod sdk;

mod after;
mod broken;
mod starts;

use longhaul_batch::{BatchBackend, BatchConfig, job_name};
use longhaul_core::{
    BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId, FailureClass, Job,
    JobHandle, JobSpec, JobState, Retry,
};
use longhaul_fake_aws::batch::{FakeBatch, Fault};
use sdk::shared;
use serde_json::{Value, json};

const TOKEN: &str = "dG9rZW4tMQ==";

fn token() -> CallbackToken {
    CallbackToken::new(TOKEN).unwrap()
}

fn execution() -> ExecutionId {
    ExecutionId::from_arn("arn")
}

fn job() -> Job {
    let spec: JobSpec = serde_json::from_str(
        r#"{"name":"hello","command":["say","für 😀 \"x\"\n"],"input":{"message":"hi"},
            "resources":{"vcpus":0.5,"memory_mib":512},"timeout":"1h"}"#,
    )
    .unwrap();
    Job::new(spec, execution(), 1, &token())
}

fn backend(fake: &FakeBatch) -> BatchBackend {
    BatchBackend::from_sdk(BatchConfig::new("jobs", "worker:7"), &shared(fake.url()))
}

/// A start that fails in a way that leaves open whether it worked, as every such error must be.
async fn ambiguous_start(fake: &FakeBatch) {
    let error = backend(fake).start(&job(), &token()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        BackendErrorKind::Ambiguous,
        "{}",
        error.full_message()
    );
    assert_eq!(error.retry(), Retry::SameToken);
    assert!(!error.full_message().contains(TOKEN));
}
