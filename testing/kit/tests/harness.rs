//! What the harness promises of time, replay and ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{HOUR, ran, spec};
use longhaul_core::{FailureClass, JobFailure, JobName, JobSpec};
use longhaul_lambda::{
    Completion, DurableContext, JobEnd, JobRunner, RunAllError, RunAllOptions, RunError,
};
use longhaul_testing::{Harness, HarnessError, InMemory, JobCall};
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

/// Four jobs at once that take a day, two, three and four; the ones that are named fail.
async fn ran_days(failing: &[u32], rule: Completion) -> (Duration, Value) {
    let mut backend = InMemory::new();
    for day in 1..=4 {
        let name = format!("day-{day}");
        let fails = failing.contains(&day);
        let end = move |_: &JobCall| {
            if fails {
                return Err(JobFailure::new(FailureClass::Failed).into());
            }
            Ok(json!(day))
        };
        backend = backend.job(&name, end).lasting(&name, HOUR * 24 * day);
    }
    let jobs = (1..=4).map(|day| JobSpec::new(JobName::from_text(&format!("day-{day}"))));
    // None needs a heartbeat: each would be a call to the service.
    let jobs = jobs.map(|job| job.with_timeout(HOUR * 200).with_heartbeat(Duration::ZERO));
    let jobs: Vec<JobSpec> = jobs.collect();
    let runner = JobRunner::new(Arc::new(backend.clone()));
    let handler = move |jobs: Vec<JobSpec>, ctx: DurableContext| {
        let runner = runner.clone();
        async move {
            let options = RunAllOptions::new().completion(rule);
            let report = runner.run_all::<u32>(&ctx, jobs, options).await?;
            let end = |end: &JobEnd<u32>| match end {
                JobEnd::Succeeded(_) => "ok",
                JobEnd::Failed(_) => "failed",
                _ => "stopped",
            };
            let ends: Vec<_> = report.jobs.iter().map(end).collect();
            Ok::<_, RunAllError>(json!({"ends": ends, "met": report.met}))
        }
    };
    let finished = Harness::new(&backend).run(handler, jobs).await.unwrap();
    assert!(backend.running().is_empty(), "{rule:?}");
    (finished.took, finished.result())
}

#[tokio::test]
async fn each_completion_rule_is_decided_on_the_day_that_decides_it() {
    use Completion::{All, FirstFailure, FirstSuccesses, Tolerate, ToleratePercent};
    let day = HOUR * 24;
    let one = Tolerate { failures: 1 };
    let half = ToleratePercent { percent: 50 };
    let two = FirstSuccesses { successes: 2 };
    for (rule, failing, days, ends, met) in [
        (All, &[][..], 4, ["ok", "ok", "ok", "ok"], true),
        (All, &[1, 2], 4, ["failed", "failed", "ok", "ok"], false),
        (
            FirstFailure,
            &[2],
            2,
            ["ok", "failed", "stopped", "stopped"],
            false,
        ),
        (one, &[3], 4, ["ok", "ok", "failed", "ok"], true),
        (
            one,
            &[1, 3],
            3,
            ["failed", "ok", "failed", "stopped"],
            false,
        ),
        (half, &[1, 2], 4, ["failed", "failed", "ok", "ok"], true),
        (
            half,
            &[1, 2, 3],
            3,
            ["failed", "failed", "failed", "stopped"],
            false,
        ),
        (two, &[1], 3, ["failed", "ok", "ok", "stopped"], true),
        (
            two,
            &[1, 2, 3],
            3,
            ["failed", "failed", "failed", "stopped"],
            false,
        ),
    ] {
        let ran = ran_days(failing, rule).await;
        let wanted = json!({"ends": ends, "met": met});
        assert_eq!(ran, (day * days, wanted), "{rule:?} {failing:?}");
    }
}
