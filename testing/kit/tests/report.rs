//! What a report tells of a job, and that a replay tells the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod common;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use common::{HOUR, spec};
use longhaul_core::JobSpec;
use longhaul_lambda::{DurableContext, JobReport, JobRunner, RunAllOptions, RunError};
use longhaul_testing::{Harness, InMemory};
use serde_json::json;

type Seen = Arc<Mutex<Vec<JobReport<u64>>>>;

#[tokio::test]
async fn a_report_has_the_times_and_every_replay_has_the_same() {
    let backend = InMemory::new()
        .job("render", |_| Ok(json!(7)))
        .lasting("render", HOUR);
    let clock = backend.clone();
    let runner = JobRunner::new(Arc::new(backend.clone())).with_clock(move || clock.time());
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let handler = move |spec: JobSpec, ctx: DurableContext| {
        let (runner, noted) = (runner.clone(), Arc::clone(&noted));
        async move {
            let report = runner.run::<u64>(&ctx, spec).await?;
            noted.lock().unwrap().push(report);
            ctx.wait(HOUR).await.unwrap();
            Ok::<(), RunError>(())
        }
    };
    Harness::new(&backend).run(handler, spec()).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    for report in seen.iter() {
        assert_eq!(report, &seen[0]);
        assert_eq!(report.run_time(), Some(HOUR));
        // A job in memory begins when it is started.
        assert_eq!(report.queue_time(), Some(Duration::ZERO));
        assert_eq!(report.handle.started_at(), seen[0].handle.started_at());
        assert_eq!(report.attempts, 1);
    }
}

#[tokio::test]
async fn the_reports_of_many_jobs_have_their_times_too() {
    let backend = InMemory::new()
        .job("render", |_| Ok(json!(7)))
        .lasting("render", HOUR);
    let clock = backend.clone();
    let runner = JobRunner::new(Arc::new(backend.clone())).with_clock(move || clock.time());
    let handler = move |jobs: Vec<JobSpec>, ctx: DurableContext| {
        let runner = runner.clone();
        async move {
            let options = RunAllOptions::new();
            let report = runner.run_all::<u64>(&ctx, jobs, options).await.unwrap();
            let times = report.jobs.iter().map(|end| {
                let report = end.report().unwrap();
                (report.queue_time(), report.run_time())
            });
            Ok::<_, RunError>(times.collect::<Vec<_>>())
        }
    };
    let harness = Harness::new(&backend);
    let finished = harness.run(handler, vec![spec(); 3]).await.unwrap();
    let expected = (Some(Duration::ZERO), Some(HOUR));
    assert_eq!(finished.result(), [expected; 3]);
}
