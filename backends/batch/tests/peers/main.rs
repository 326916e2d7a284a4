//! The backend against moto, a server that nobody here wrote. Each test runs when
//! `LONGHAUL_TEST_MOTO_URL` holds its URL, on loopback, and otherwise says what it needs;
//! `.ci/peers` runs them all.
//!
//! What moto cannot show, and the tests in `wire` do: throttling, exit codes, Batch's own reasons,
//! pages, and an effect of `TerminateJob` before the job goes on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

mod conformance;
mod moto;
#[path = "../support/sdk.rs"]
mod sdk;
#[path = "../support/subject.rs"]
mod subject;

use std::collections::BTreeMap;

use longhaul_batch::{BatchBackend, BatchConfig};
use longhaul_core::{
    BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId, FailureClass, Job,
    JobHandle, JobSpec, JobState,
};
use moto::{Jobs, Moto, ended};

/// A job of an execution that no other test has, and its token.
fn job(of: &BatchConfig, token: &str) -> (Job, CallbackToken) {
    let token = CallbackToken::new(format!("{token}-{}", of.job_queue)).unwrap();
    let spec: JobSpec = serde_json::from_str(
        r#"{"name":"hello","command":["sh","-c","echo 'für 😀'\n"],"input":{"message":"ünï 😀 \"x\""},
            "environment":{"A":"é"},"resources":{"vcpus":0.5,"memory_mib":1024},
            "tags":{"größe":"klein"}}"#,
    )
    .unwrap();
    let execution = ExecutionId::from_arn(&of.job_queue);
    (Job::new(spec, execution, 1, &token), token)
}

#[tokio::test]
async fn a_job_is_started_once_described_listed_and_cancelled() {
    let Some(moto) = Moto::with(Jobs::Wait).await else {
        return;
    };
    let backend = moto.backend();
    let (job, token) = job(&moto.config, "token");
    assert_eq!(backend.list(job.execution()).await.unwrap(), []);

    let handle = backend.start(&job, &token).await.unwrap();
    assert_eq!(backend.start(&job, &token).await.unwrap(), handle);
    let other_process = moto.backend();
    assert_eq!(other_process.start(&job, &token).await.unwrap(), handle);
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Pending);
    assert_eq!(status.exit_code, None);

    let (second, second_token) = self::job(&moto.config, "another");
    let second = backend.start(&second, &second_token).await.unwrap();
    let listed = backend.list(job.execution()).await.unwrap();
    assert_eq!(listed, [handle.clone(), second.clone()]);
    let other = ExecutionId::from_arn("another execution");
    assert_eq!(backend.list(&other).await.unwrap(), []);

    let outcome = backend.cancel(&handle, "nicht mehr nötig 😀").await;
    assert_eq!(outcome.unwrap(), CancelOutcome::Cancelled);
    let again = backend.cancel(&handle, "again").await;
    assert_eq!(again.unwrap(), CancelOutcome::Cancelled);

    moto.go_on().await;
    let status = ended(&backend, &handle).await;
    let reason = "longhaul: nicht mehr nötig 😀";
    assert_eq!(status.reason.as_deref(), Some(reason));
    assert_eq!(status.exit_code, None);
    let failure = status.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Cancelled);
    let late = backend.cancel(&handle, "late").await;
    assert_eq!(late.unwrap(), CancelOutcome::AlreadyEnded);
    ended(&backend, &second).await;
    assert_eq!(backend.list(job.execution()).await.unwrap(), []);
    assert_eq!(backend.start(&job, &token).await.unwrap(), handle);
}

#[tokio::test]
async fn concurrent_starts_with_one_token_return_one_handle() {
    let Some(moto) = Moto::with(Jobs::Wait).await else {
        return;
    };
    let (job, token) = job(&moto.config, "token");
    let starts: Vec<_> = (0..6)
        .map(|_| {
            let (backend, job, token) = (moto.backend(), job.clone(), token.clone());
            tokio::spawn(async move { backend.start(&job, &token).await.unwrap() })
        })
        .collect();
    let mut handles = Vec::new();
    for start in starts {
        handles.push(start.await.unwrap());
    }
    handles.dedup();
    assert_eq!(handles.len(), 1, "{handles:?}");
    // Every other job that was accepted has been told to stop, and says why.
    let backend = moto.backend();
    for twin in backend.list(job.execution()).await.unwrap() {
        let reason = backend.describe(&twin).await.unwrap().reason;
        let stopped = reason.is_some_and(|r| r.starts_with("longhaul: another job"));
        assert_eq!(stopped, twin != handles[0]);
    }
    moto.go_on().await;
}

#[tokio::test]
async fn what_a_job_says_arrives_in_batch() {
    let Some(moto) = Moto::with(Jobs::Succeed).await else {
        return;
    };
    let (job, token) = job(&moto.config, "token");
    let handle = moto.backend().start(&job, &token).await.unwrap();
    let answer = moto.client.describe_jobs().jobs(handle.id()).send().await;
    let detail = answer.unwrap().jobs.unwrap().remove(0);
    assert_eq!(
        detail.job_name,
        Some(longhaul_batch::job_name(job.execution(), job.start_key()))
    );
    assert_eq!(
        detail.timeout.unwrap().attempt_duration_seconds,
        Some(82_800)
    );
    let tags: BTreeMap<_, _> = detail.tags.unwrap().into_iter().collect();
    assert_eq!(tags["größe"], "klein");
    assert_eq!(tags["longhaul:job"], "hello");
    assert_eq!(tags["longhaul:execution"], job.execution().as_str());
    assert!(!tags.values().any(|value| value.contains(token.expose())));
    let container = detail.container.unwrap();
    assert_eq!(container.command, job.spec().command);
    let arrived: BTreeMap<_, _> = container
        .environment
        .unwrap()
        .into_iter()
        .map(|pair| (pair.name.unwrap(), pair.value.unwrap()))
        .collect();
    for (name, value) in job.environment(&token).iter() {
        assert_eq!(arrived[name], value, "{name}");
    }
}

#[tokio::test]
async fn a_job_that_ends_without_its_callback_is_lost_and_has_a_link_to_its_logs() {
    let Some(moto) = Moto::with(Jobs::Succeed).await else {
        return;
    };
    let backend = moto.backend();
    let (job, token) = job(&moto.config, "token");
    let handle = backend.start(&job, &token).await.unwrap();
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Ended);
    assert_eq!(status.exit_code, None, "moto names none");
    assert!(status.started_at.unwrap() <= status.ended_at.unwrap());
    let logs = status.logs.unwrap();
    assert!(
        logs.contains("eu-west-1") && logs.contains("$252Faws$252Fbatch$252Fjob"),
        "{logs}"
    );
    assert_eq!(status.failure.unwrap().class, FailureClass::Lost);
    let outcome = backend.cancel(&handle, "x").await.unwrap();
    assert_eq!(outcome, CancelOutcome::AlreadyEnded);
    assert_eq!(backend.list(job.execution()).await.unwrap(), []);
}

#[tokio::test]
async fn a_queue_or_definition_that_is_not_there_is_not_found() {
    let Some(moto) = Moto::with(Jobs::Succeed).await else {
        return;
    };
    let (job, token) = job(&moto.config, "token");
    let queue = &moto.config.job_queue;
    for config in [
        BatchConfig::new("nowhere", &moto.config.job_definition),
        BatchConfig::new(queue, "nothing"),
    ] {
        let backend = BatchBackend::new(config, moto.client.clone());
        let error = backend.start(&job, &token).await.unwrap_err();
        assert_eq!(
            error.kind(),
            BackendErrorKind::NotFound,
            "{}",
            error.full_message()
        );
        assert!(error.full_message().contains("does not exist"));
    }
    assert_eq!(moto.backend().list(job.execution()).await.unwrap(), []);
}

#[tokio::test]
async fn a_job_that_batch_does_not_know_is_not_found_and_unknown() {
    let Some(moto) = Moto::with(Jobs::Succeed).await else {
        return;
    };
    let unknown = JobHandle::new("batch", "4c7599ae-0a82-49aa-ba5a-4727fcce14a8");
    let outcome = moto.backend().cancel(&unknown, "x").await.unwrap();
    assert_eq!(outcome, CancelOutcome::NotFound);
    let status = moto.backend().describe(&unknown).await.unwrap();
    assert_eq!(status.state, JobState::Unknown);
}
