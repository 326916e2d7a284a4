//! Jobs in chained executions, with the harness: hours of virtual time, and failures.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::HOUR;
use longhaul_core::{FailureClass, JobFailure, JobName, JobSpec, RetryPolicy};
use longhaul_lambda::{
    ChainedOptions, Completion, DurableContext, ExecutionError, JobRunner, RunAllOptions,
};
use longhaul_testing::{Finished, Harness, InMemory};
use serde_json::{Value, json};

/// Jobs that return their input doubled after an hour; the odd one in `bad` fails.
fn doubling(bad: i64) -> InMemory {
    let body = move |job: &longhaul_testing::JobCall| match job.input.as_i64() {
        Some(n) if n == bad => Err(Box::new(JobFailure::new(FailureClass::Failed))),
        n => Ok(json!(n.map(|n| 2 * n))),
    };
    InMemory::new().job("double", body).lasting("double", HOUR)
}

struct Failed(ExecutionError);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::fmt::Debug for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.0, f)
    }
}

/// Runs jobs with the inputs 0 to `jobs`, in parts of two.
async fn ran(backend: &InMemory, jobs: i64, options: ChainedOptions) -> Finished<Value, Failed> {
    let runner = JobRunner::new(Arc::new(backend.clone()));
    let handler = move |event: Value, ctx: DurableContext| {
        let (runner, options) = (runner.clone(), options.clone());
        async move {
            if let Some(answer) = runner.run_part(&ctx, &event).await.map_err(Failed)? {
                return Ok(answer);
            }
            let jobs = 0..event.as_i64().unwrap();
            let jobs = jobs.map(|n| {
                JobSpec::new(JobName::from_text("double"))
                    .with_retry(RetryPolicy::never())
                    .with_input(n)
            });
            let report = runner.run_all_chained::<i64>(&ctx, jobs.collect(), options);
            let report = report.await.map_err(|error| Failed(error.into()))?;
            let results: Vec<_> = report.results().map(|(_, result)| *result).collect();
            Ok(json!({"results": results, "unfinished": report.unfinished(), "met": report.met}))
        }
    };
    Harness::new(backend).run(handler, jobs).await.unwrap()
}

fn options(rule: Completion) -> ChainedOptions {
    let run_all = RunAllOptions::new().at_once(1).completion(rule);
    ChainedOptions::new(run_all).jobs_in_part(2)
}

/// Whether it took so many hours, and not an hour more.
fn about(took: Duration, hours: u32) -> bool {
    (HOUR * hours..HOUR * (hours + 1)).contains(&took)
}

#[tokio::test]
async fn parts_run_one_after_the_other_and_every_job_once() {
    let backend = doubling(-1);
    let finished = ran(&backend, 5, options(Completion::All)).await;
    assert!(about(finished.took, 5), "{:?}", finished.took);
    let result = finished.result();
    assert_eq!(
        result,
        json!({"results": [0, 2, 4, 6, 8], "unfinished": 0, "met": true})
    );
    assert_eq!(backend.started().len(), 5);
    assert!(backend.running().is_empty());
}

#[tokio::test]
async fn parts_of_a_round_run_at_once() {
    let backend = doubling(-1);
    let finished = ran(&backend, 6, options(Completion::All).parts_at_once(2)).await;
    assert!(
        about(finished.took, 4),
        "two rounds of two hours: {:?}",
        finished.took
    );
    assert_eq!(finished.result()["results"], json!([0, 2, 4, 6, 8, 10]));
    assert_eq!(backend.started().len(), 6);
}

#[tokio::test]
async fn a_failure_that_decides_the_rule_begins_no_further_part() {
    let backend = doubling(1);
    let result = ran(&backend, 6, options(Completion::FirstFailure))
        .await
        .result();
    assert_eq!(
        result,
        json!({"results": [0], "unfinished": 4, "met": false})
    );
    assert_eq!(backend.started().len(), 2);
    assert!(backend.running().is_empty());
}

#[tokio::test]
async fn a_function_that_does_not_answer_parts_is_named_with_the_jobs() {
    let backend = doubling(-1);
    let runner = JobRunner::new(Arc::new(backend.clone()));
    let handler = move |event: Value, ctx: DurableContext| {
        let runner = runner.clone();
        async move {
            if event.is_object() {
                return Ok::<_, Failed>(json!("what is this"));
            }
            let jobs = vec![JobSpec::new(JobName::from_text("double")).with_input(1)];
            let report = runner.run_all_chained::<i64>(&ctx, jobs, ChainedOptions::default());
            let report = report.await.map_err(|error| Failed(error.into()))?;
            Ok(json!(report.met))
        }
    };
    let error = Harness::new(&backend)
        .run(handler, 1)
        .await
        .unwrap()
        .error()
        .0;
    assert_eq!(error.error_type, "Longhaul.PartsFailed");
    for text in ["jobs 0 to 0", "run_part", "function:function:$LATEST"] {
        assert!(error.message.contains(text), "{}", error.message);
    }
    assert!(backend.started().is_empty());
}
