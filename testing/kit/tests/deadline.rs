//! The deadline of a job over all its attempts, in virtual time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{HOUR, spec};
use longhaul_core::{BackendErrorKind, FailureClass, JobFailure, JobSpec, RetryPolicy};
use longhaul_lambda::{DurableContext, JobRunner, RunError};
use longhaul_testing::{Fault, Finished, Harness, InMemory};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);

fn interrupted() -> InMemory {
    InMemory::new()
        .job("render", |_| {
            Err(JobFailure::new(FailureClass::Interrupted).into())
        })
        .lasting("render", MINUTE * 20)
}

fn retried(attempts: u32) -> RetryPolicy {
    let mut retry = RetryPolicy::default();
    retry.attempts = attempts;
    retry.backoff = MINUTE;
    retry.max_backoff = MINUTE;
    retry.jitter = 0.0;
    retry
}

/// Runs `spec`, and then waits for a day, so that everything before is replayed once more.
async fn ran(backend: &InMemory, spec: JobSpec) -> Finished<u64, RunError> {
    let clock = backend.clone();
    let runner = JobRunner::new(Arc::new(backend.clone())).with_clock(move || clock.time());
    let handler = move |spec: JobSpec, ctx: DurableContext| {
        let runner = runner.clone();
        async move {
            let ended = runner.run::<u64>(&ctx, spec).await;
            ctx.wait(HOUR * 24).await.unwrap();
            Ok(ended?.result)
        }
    };
    Harness::new(backend).run(handler, spec).await.unwrap()
}

fn failure(finished: &Finished<u64, RunError>) -> JobFailure {
    let error = finished.outcome.as_ref().unwrap_err();
    error.job_failure().unwrap().clone()
}

#[tokio::test]
async fn it_ends_the_first_attempt_that_runs_past_it_stops_it_and_is_not_tried_again() {
    let backend = InMemory::new()
        .job("render", |_| Ok(json!(1)))
        .lasting("render", HOUR * 5);
    let mut retry = retried(5);
    retry.on = FailureClass::ALL.to_vec();
    let spec = spec().with_retry(retry).with_deadline(HOUR * 2);
    let finished = ran(&backend, spec).await;
    assert_eq!(finished.took, HOUR * 26);
    let failure = failure(&finished);
    assert_eq!(failure.class, FailureClass::DeadlineExceeded);
    assert_eq!(
        failure.message.as_deref(),
        Some("no result within 2h, which is what was left of the deadline of 2h for all attempts")
    );
    let error = finished.error();
    assert_eq!(error.error_type(), "Longhaul.DeadlineExceeded");
    assert_eq!(backend.started().len(), 1);
    let stopped = backend.statuses("render")[0].failure.clone().unwrap();
    assert_eq!(stopped.class, FailureClass::Cancelled);
}

#[tokio::test]
async fn an_attempt_gets_what_the_ones_before_have_left_and_its_worker_is_told() {
    // 20 min, 1 min of backoff, 20 min, 1 min: 18 min of the hour are left for the third.
    let backend = interrupted();
    let spec = spec().with_retry(retried(9)).with_deadline(HOUR);
    let finished = ran(&backend, spec).await;
    assert_eq!(finished.took, HOUR * 25);
    let failure = failure(&finished);
    assert_eq!(failure.class, FailureClass::DeadlineExceeded);
    let message = failure.message.unwrap();
    assert!(message.starts_with("no result within 18m"), "{message}");
}

#[tokio::test]
async fn the_timeout_that_workers_are_told_is_what_is_left() {
    let backend = interrupted();
    let finished = ran(&backend, spec().with_retry(retried(9)).with_deadline(HOUR));
    assert!(finished.await.outcome.is_err());
    let told =
        |call: &longhaul_testing::JobCall| call.environment["LONGHAUL_TIMEOUT_SECONDS"].clone();
    let told: Vec<_> = backend.started().iter().map(told).collect();
    assert_eq!(told, ["3600", "2340", "1080"]);
}

#[tokio::test]
async fn an_attempt_that_could_not_begin_in_time_is_not_made_and_nobody_waits_for_it() {
    let backend = interrupted();
    let spec = spec().with_retry(retried(9)).with_deadline(MINUTE * 21);
    let finished = ran(&backend, spec).await;
    assert_eq!(finished.took, MINUTE * 20 + HOUR * 24);
    assert_eq!(backend.started().len(), 1);
    let failure = failure(&finished);
    assert_eq!(failure.class, FailureClass::DeadlineExceeded);
    assert_eq!(
        failure.message.as_deref(),
        Some(
            "the deadline of 21m for all attempts passes before attempt 2 could begin; the one before: \
             Longhaul.Interrupted: the job was interrupted"
        )
    );
}

#[tokio::test]
async fn starts_that_find_no_capacity_end_with_it_too() {
    let backend = interrupted().inject("render", Fault::StartFails(BackendErrorKind::Capacity));
    let spec = spec().with_retry(retried(100)).with_deadline(MINUTE * 10);
    let finished = ran(&backend, spec).await;
    let waited = finished.took - HOUR * 24;
    assert!(waited >= MINUTE * 9 && waited < MINUTE * 11, "{waited:?}");
    let error = finished.error();
    assert_eq!(error.error_type(), "Longhaul.DeadlineExceeded");
    let message = error.error_message();
    assert!(
        message.contains("injected StartFails(Capacity)"),
        "{message}"
    );
}

#[tokio::test]
async fn a_job_that_ends_in_time_pays_nothing_for_it() {
    let backend = InMemory::new().job("render", |_| Ok(json!(7)));
    let with = ran(&backend, spec().with_deadline(HOUR)).await;
    let without = ran(&backend, spec()).await;
    assert_eq!(with.invocations, without.invocations);
    assert_eq!(with.result(), 7);
}
