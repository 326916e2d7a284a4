//! What the harness promises of time, replay and ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{HOUR, ran, spec};
use longhaul_core::JobSpec;
use longhaul_lambda::{DurableContext, JobRunner, RunError};
use longhaul_testing::{Harness, HarnessError, InMemory};
use serde_json::{Value, json};

#[tokio::test]
async fn a_job_of_a_month_is_waited_for_in_virtual_time_only() {
    let month = HOUR * 24 * 30;
    let backend = InMemory::new()
        .job("render", |_| Ok(json!(7)))
        .lasting("render", month);
    let spec = spec()
        .with_timeout(HOUR * 24 * 31)
        .with_heartbeat(HOUR * 24);
    let finished = ran(&backend, spec).await;
    assert_eq!((finished.took, finished.invocations), (month, 2));
    assert_eq!(finished.result(), 7);
}

#[tokio::test]
async fn the_handler_is_replayed_and_what_is_recorded_runs_once() {
    let backend = InMemory::new().any_job(|job| Ok(json!(job.input)));
    let runner = JobRunner::new(Arc::new(backend.clone()));
    let (calls, entered) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (called, begun) = (Arc::clone(&calls), Arc::clone(&entered));
    let handler = move |jobs: Vec<JobSpec>, ctx: DurableContext| {
        let (runner, called) = (runner.clone(), Arc::clone(&called));
        begun.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut results = Vec::new();
            for job in jobs {
                results.push(runner.run::<u64>(&ctx, job).await?.result);
            }
            let counted = ctx.step(move |_| async move {
                called.fetch_add(1, Ordering::Relaxed);
                Ok::<_, longhaul_lambda::durable::BoxError>(1_u64)
            });
            results.push(counted.await.unwrap());
            Ok::<_, RunError>(results)
        }
    };
    let jobs: Vec<JobSpec> = (1..=3).map(|n| spec().with_input(n)).collect();
    let finished = Harness::new(&backend).run(handler, jobs).await.unwrap();
    assert_eq!(finished.invocations, 4);
    assert_eq!(finished.result(), [1, 2, 3, 1]);
    assert_eq!(backend.started().len(), 3);
    assert_eq!(
        (
            entered.load(Ordering::Relaxed),
            calls.load(Ordering::Relaxed)
        ),
        (4, 1)
    );
}

#[tokio::test]
async fn jobs_see_their_input_and_environment_and_never_the_token() {
    let backend = InMemory::new().job("render", |job| {
        assert!(!job.environment.contains_key("CALLBACK_ID"));
        assert_eq!(job.environment["LONGHAUL_ATTEMPT"], "1");
        Ok(json!(job.input["frames"]))
    });
    let finished = ran(&backend, spec().with_input(json!({"frames": 240}))).await;
    assert_eq!(finished.result(), 240);
}

#[tokio::test]
async fn a_job_that_the_test_did_not_add_is_refused_with_those_it_did() {
    let backend = InMemory::new().job("encode", |_| Ok(json!(1)));
    let error = ran(&backend, spec()).await.error();
    assert_eq!(error.error_type(), "Longhaul.Backend.NotFound");
    assert!(
        error.error_message().contains("it has: encode"),
        "{}",
        error.error_message()
    );
}

#[tokio::test]
async fn one_backend_serves_one_run_after_the_other() {
    let backend = InMemory::new().job("render", |_| Ok(json!(7)));
    for runs in 1..=3 {
        assert_eq!(ran(&backend, spec()).await.result(), 7);
        assert_eq!(backend.started().len(), runs);
    }
}

#[tokio::test]
async fn an_execution_that_outlives_its_timeout_is_an_error_of_the_harness() {
    let backend = InMemory::new();
    let wait = |_: Value, ctx: DurableContext| async move {
        ctx.wait(HOUR * 2).await.map_err(|error| error.to_string())
    };
    let harness = Harness::new(&backend).execution_timeout(HOUR);
    let error = harness.run(wait, ()).await.unwrap_err();
    assert!(matches!(error, HarnessError::TimedOut(HOUR)), "{error:?}");
}

#[tokio::test]
async fn a_handler_that_panics_is_an_error_of_the_harness() {
    let backend = InMemory::new();
    let handler = |event: Value, _: DurableContext| async move {
        assert!(event.is_string(), "what the handler says");
        Ok::<(), String>(())
    };
    let error = Harness::new(&backend).run(handler, 1).await.unwrap_err();
    assert!(matches!(error, HarnessError::Ended(_)), "{error:?}");
}

#[tokio::test]
async fn a_handler_that_waits_for_what_is_not_durable_is_given_up() {
    let backend = InMemory::new();
    let handler = |_: Value, _: DurableContext| async move {
        std::future::pending::<()>().await;
        Ok::<(), String>(())
    };
    let harness = Harness::new(&backend).patience(Duration::from_millis(200));
    let error = harness.run(handler, 1).await.unwrap_err();
    assert!(matches!(error, HarnessError::Hangs(_)), "{error:?}");
}
