//! Metrics as lines of the embedded metric format: well-formed, and each once over replays.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{HOUR, spec};
use longhaul_core::{BackendErrorKind, FailureClass, JobFailure, JobSpec, RetryPolicy};
use longhaul_lambda::metrics::Metrics;
use longhaul_lambda::{Completion, DurableContext, JobRunner, RunAllOptions, RunError};
use longhaul_testing::{Fault, Harness, InMemory};
use serde_json::{Value, json};

type Lines = Arc<Mutex<Vec<String>>>;

fn measured(backend: &InMemory) -> (JobRunner, Lines) {
    let lines = Lines::default();
    let (written, clock) = (Arc::clone(&lines), backend.clone());
    let metrics = Metrics::new("Test/Jobs")
        .unwrap()
        .writing_to(move |line| written.lock().unwrap().push(line.to_owned()));
    let runner = JobRunner::new(Arc::new(backend.clone()))
        .with_metrics(metrics)
        .with_clock(move || clock.time());
    (runner, lines)
}

/// Runs the jobs one after the other, and waits at the end: everything is replayed several times.
async fn ran(backend: &InMemory, jobs: Vec<JobSpec>) -> Vec<Value> {
    let (runner, lines) = measured(backend);
    let handler = move |jobs: Vec<JobSpec>, ctx: DurableContext| {
        let runner = runner.clone();
        async move {
            for job in jobs {
                let ended = runner.run::<Value>(&ctx, job).await;
                if let Err(error @ RunError::Durable { .. }) = ended {
                    return Err(error);
                }
            }
            ctx.wait(HOUR).await.unwrap();
            Ok::<(), RunError>(())
        }
    };
    let finished = Harness::new(backend).run(handler, jobs).await.unwrap();
    assert!(finished.invocations > 2, "{}", finished.invocations);
    finished.result();
    parsed(&lines)
}

/// The lines, each checked against the specification of the embedded metric format.
fn parsed(lines: &Lines) -> Vec<Value> {
    let lines = lines.lock().unwrap();
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| {
            assert!(!line.contains('\n'), "{line}");
            serde_json::from_str(line).unwrap()
        })
        .collect();
    for line in &lines {
        let about = line["_aws"].as_object().unwrap();
        assert!(about["Timestamp"].as_u64().unwrap() > 1_700_000_000_000);
        let directives = about["CloudWatchMetrics"].as_array().unwrap();
        assert_eq!(directives.len(), 1);
        assert_eq!(directives[0]["Namespace"], "Test/Jobs");
        let sets = directives[0]["Dimensions"].as_array().unwrap();
        assert!(!sets.is_empty());
        for set in sets {
            let names = set.as_array().unwrap();
            assert!(names.len() <= 30);
            for name in names {
                let value = line[name.as_str().unwrap()].as_str().unwrap();
                assert!(!value.is_empty() && value.len() <= 1024 && value.is_ascii());
            }
        }
        let metrics = directives[0]["Metrics"].as_array().unwrap();
        assert!(!metrics.is_empty() && metrics.len() <= 100);
        for metric in metrics {
            let unit = metric["Unit"].as_str().unwrap();
            assert!(["Count", "Milliseconds"].contains(&unit), "{unit}");
            let name = metric["Name"].as_str().unwrap();
            assert!(line[name].is_number(), "{line}");
        }
    }
    lines
}

/// How often each metric was written.
fn counts(lines: &[Value]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let metrics = &line["_aws"]["CloudWatchMetrics"][0]["Metrics"];
        for metric in metrics.as_array().unwrap() {
            let name = metric["Name"].as_str().unwrap().to_owned();
            *counts.entry(name).or_default() += 1;
        }
    }
    counts
}

fn expected<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts.map(|(name, count)| (name.to_owned(), count)).into()
}

#[tokio::test]
async fn every_attempt_is_counted_once_over_replays() {
    let backend = InMemory::new()
        .job("render", |_| Ok(json!(7)))
        .lasting("render", HOUR);
    let lines = ran(&backend, vec![spec(); 3]).await;
    let once = expected([
        ("JobsStarted", 3),
        ("JobsSucceeded", 3),
        ("QueueTime", 3),
        ("RunTime", 3),
        ("CallbackDeliveryTime", 3),
    ]);
    assert_eq!(counts(&lines), once);
    let ended = &lines[1];
    assert_eq!(ended["RunTime"], json!(3_600_000));
    assert_eq!(
        (&ended["QueueTime"], &ended["CallbackDeliveryTime"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(
        (&ended["Job"], &ended["Backend"]),
        (&json!("render"), &json!("memory"))
    );
    assert_eq!(ended["Handle"], "memory:job-1");
    assert!(ended.get("Class").is_none());
}

#[tokio::test]
async fn failures_are_counted_by_class_with_each_attempt() {
    let interrupted = |job: &longhaul_testing::JobCall| match job.attempt {
        1 => Err(JobFailure::new(FailureClass::Interrupted).into()),
        _ => Err(JobFailure::new(FailureClass::OutOfMemory).into()),
    };
    let backend = InMemory::new()
        .job("render", interrupted)
        .job("encode", |_| Ok(json!(1)))
        .inject("encode", Fault::StartFails(BackendErrorKind::Denied))
        .job("lost", |_| Ok(json!(1)))
        .inject("lost", Fault::HeartbeatStops);
    let named = |name| JobSpec::new(longhaul_core::JobName::from_text(name));
    let jobs = vec![
        spec().with_retry(RetryPolicy::default()),
        named("encode"),
        named("lost"),
    ];
    let lines = ran(&backend, jobs).await;
    let once = expected([
        ("JobsStarted", 3),
        ("JobsFailed", 4),
        ("QueueTime", 2),
        ("RunTime", 2),
        ("CallbackDeliveryTime", 2),
    ]);
    assert_eq!(counts(&lines), once);
    let classes: Vec<_> = lines
        .iter()
        .filter_map(|line| line["Class"].as_str())
        .collect();
    assert_eq!(
        classes,
        ["Interrupted", "OutOfMemory", "NotStarted", "Lost"]
    );
    let failed = lines.iter().find(|line| line["Class"] == "Lost").unwrap();
    let sets = &failed["_aws"]["CloudWatchMetrics"][0]["Dimensions"];
    assert_eq!(
        *sets,
        json!([["Job", "Backend"], ["Job", "Backend", "Class"]])
    );
}

#[tokio::test]
async fn jobs_that_run_together_are_counted_once_each_too() {
    let backend = InMemory::new()
        .any_job(|job| match job.input.as_u64() {
            Some(3) => Err(JobFailure::new(FailureClass::Failed).into()),
            _ => Ok(json!(1)),
        })
        .lasting("render", Duration::from_secs(60));
    let (runner, lines) = measured(&backend);
    let handler = move |jobs: Vec<JobSpec>, ctx: DurableContext| {
        let runner = runner.clone();
        async move {
            let options = RunAllOptions::new().at_once(4).completion(Completion::All);
            let report = runner.run_all::<Value>(&ctx, jobs, options).await.unwrap();
            ctx.wait(HOUR).await.unwrap();
            Ok::<_, RunError>(report.succeeded())
        }
    };
    let jobs: Vec<JobSpec> = (0..20).map(|n| spec().with_input(n)).collect();
    let finished = Harness::new(&backend).run(handler, jobs).await.unwrap();
    assert_eq!(finished.result(), 19);
    let counts = counts(&parsed(&lines));
    let of = |name: &str| counts.get(name).copied();
    assert_eq!(of("JobsStarted"), Some(20));
    assert_eq!((of("JobsSucceeded"), of("JobsFailed")), (Some(19), Some(1)));
    assert_eq!(of("RunTime"), Some(20));
}
