//! Every failure that can be injected, and what exactly the function sees of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod common;

use std::time::Duration;

use common::{HOUR, failure, ran, spec};
use longhaul_core::{BackendErrorKind, FailureClass, JobFailure, JobState, RetryPolicy};
use longhaul_lambda::RunError;
use longhaul_testing::{Fault, InMemory};
use serde_json::json;

fn backend() -> InMemory {
    InMemory::new()
        .job("render", |_| Ok(json!(7)))
        .lasting("render", HOUR)
}

#[tokio::test]
async fn a_start_that_is_denied_is_not_started_at_once() {
    let backend = backend().inject("render", Fault::StartFails(BackendErrorKind::Denied));
    let finished = ran(&backend, spec()).await;
    assert_eq!((finished.invocations, finished.took), (1, Duration::ZERO));
    let error = finished.error();
    assert_eq!(error.error_type(), "Longhaul.Backend.Denied");
    let RunError::NotStarted { message, .. } = error else {
        panic!("{error:?}")
    };
    assert!(message.contains("injected StartFails(Denied)"), "{message}");
    assert!(backend.started().is_empty());
}

#[tokio::test]
async fn a_start_that_finds_the_platform_unavailable_is_tried_again_before_it_is_given_up() {
    let fault = Fault::StartFails(BackendErrorKind::Unavailable);
    let finished = ran(&backend().inject("render", fault), spec()).await;
    assert!(finished.invocations > 1, "{}", finished.invocations);
    assert!(
        finished.took >= Duration::from_secs(5),
        "{:?}",
        finished.took
    );
    assert_eq!(
        finished.error().error_type(),
        "Longhaul.Backend.Unavailable"
    );
}

#[tokio::test]
async fn a_job_that_dies_silently_is_lost_and_its_exit_code_unknown() {
    let backend = backend().inject("render", Fault::DiesSilently);
    let finished = ran(&backend, spec()).await;
    assert!(
        finished.took >= HOUR && finished.took < HOUR * 2,
        "{:?}",
        finished.took
    );
    let failure = failure(finished);
    assert_eq!(
        (failure.class, failure.exit_code),
        (FailureClass::Lost, None)
    );
    assert_eq!(
        failure.message.as_deref(),
        Some("the job was killed; the worker sent no heartbeat for 5m")
    );
}

#[tokio::test]
async fn a_job_whose_heartbeat_stops_is_lost_and_stopped() {
    let backend = backend().inject("render", Fault::HeartbeatStops);
    let finished = ran(&backend, spec()).await;
    assert_eq!(finished.took, Duration::from_secs(300));
    let failure = failure(finished);
    assert_eq!(failure.class, FailureClass::Lost);
    assert_eq!(
        failure.reason.as_deref(),
        Some("the platform says that it is still running")
    );
    assert!(backend.running().is_empty());
    let statuses = backend.statuses("render");
    let stopped = statuses[0].failure.as_ref().unwrap();
    assert_eq!(stopped.class, FailureClass::Cancelled);
}

#[tokio::test]
async fn a_job_that_never_ends_times_out_and_is_stopped() {
    let backend = backend().inject("render", Fault::NeverEnds);
    let finished = ran(&backend, spec().with_timeout(HOUR * 10)).await;
    assert_eq!(finished.took, HOUR * 10);
    let failure = failure(finished);
    assert_eq!(failure.class, FailureClass::TimedOut);
    assert_eq!(failure.message.as_deref(), Some("no result within 10h"));
    assert!(backend.running().is_empty());
}

#[tokio::test]
async fn a_result_at_the_moment_of_the_timeout_is_too_late() {
    let backend = backend();
    let failure = failure(ran(&backend, spec().with_timeout(HOUR)).await);
    assert_eq!(failure.class, FailureClass::TimedOut);
    assert!(backend.running().is_empty() && backend.deliveries().is_empty());
}

#[tokio::test]
async fn a_result_before_the_suspension_is_not_lost() {
    let backend = backend().inject("render", Fault::ResultBeforeSuspension);
    let finished = ran(&backend, spec()).await;
    // Neither a timeout nor a heartbeat had to end the wait.
    assert!(
        finished.took < Duration::from_secs(60),
        "{:?}",
        finished.took
    );
    assert_eq!(finished.result(), 7);
    let deliveries = backend.deliveries();
    assert_eq!((backend.started().len(), deliveries.len()), (1, 1));
    assert_eq!(deliveries[0].at, Duration::ZERO);
}

#[tokio::test]
async fn a_result_that_arrives_twice_counts_once_and_the_second_is_refused() {
    let backend = backend().inject("render", Fault::ResultTwice);
    assert_eq!(ran(&backend, spec()).await.result(), 7);
    let deliveries = backend.deliveries();
    let accepted: Vec<_> = deliveries
        .iter()
        .map(|one| (one.at, one.accepted))
        .collect();
    assert_eq!(accepted, [(HOUR, true), (HOUR, false)]);
}

#[tokio::test]
async fn a_cancel_that_fails_is_told_and_the_job_goes_on() {
    let backend = backend()
        .inject("render", Fault::HeartbeatStops)
        .inject("render", Fault::CancelFails(BackendErrorKind::Denied));
    let failure = failure(ran(&backend, spec()).await);
    assert_eq!(failure.class, FailureClass::Lost);
    let reason = failure.reason.unwrap();
    assert!(
        reason.contains("could not be told to stop the job")
            && reason.contains("CancelFails(Denied)"),
        "{reason}"
    );
    assert_eq!(backend.running().len(), 1);
    assert_eq!(backend.statuses("render")[0].state, JobState::Running);
}

#[tokio::test]
async fn every_class_that_a_closure_returns_arrives_as_it_is() {
    for class in FailureClass::ALL {
        let sent = JobFailure::new(class)
            .with_message("the test says so")
            .with_exit_code(9)
            .with_reason("its own");
        let told = sent.clone();
        let backend = InMemory::new().job("render", move |_| Err(told.clone().into()));
        let arrived = failure(ran(&backend, spec()).await);
        let ran = arrived.times.map(|times| times.run_time());
        assert_eq!(ran, Some(Duration::from_secs(1)));
        assert_eq!(arrived, sent.with_times(arrived.times));
    }
}

#[tokio::test]
async fn a_fault_of_one_attempt_leaves_the_next_one_alone() {
    let backend = backend().inject_at("render", 1, Fault::DiesSilently);
    let mut retry = RetryPolicy::default();
    retry.attempts = 2;
    retry.on = vec![FailureClass::Lost];
    let finished = ran(&backend, spec().with_retry(retry)).await;
    assert!(finished.took > HOUR * 2, "{:?}", finished.took);
    assert_eq!(finished.result(), 7);
    let attempts: Vec<_> = backend.started().iter().map(|call| call.attempt).collect();
    assert_eq!(attempts, [1, 2]);
}
