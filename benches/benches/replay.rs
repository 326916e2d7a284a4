//! How long one invocation takes that replays jobs which have all ended.
#![allow(clippy::unwrap_used, reason = "a bench")]

use std::path::PathBuf;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use longhaul_benches::history::{Size, event};
use longhaul_benches::replay::{Replay, Subject, expected};

/// How many jobs have ended.
const JOBS: [usize; 4] = [1, 10, 100, 1_000];

/// How long their results are, in bytes.
const RESULTS: [usize; 2] = [200, 4096];

fn replay(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for result in RESULTS {
        let mut group = criterion.benchmark_group(format!("replay-{result}"));
        group.measurement_time(Duration::from_secs(3));
        group.sample_size(30);
        for jobs in JOBS {
            group.throughput(Throughput::Elements(jobs as u64));
            for subject in Subject::ALL {
                let size = Size { jobs, result };
                let event = event(subject.shape(), size);
                let expected = expected(subject, size);
                let replay = Replay::new(subject).unwrap();
                group.bench_function(BenchmarkId::new(subject.name(), jobs), |bencher| {
                    bencher.iter(|| {
                        let answer = runtime.block_on(replay.answer(&event)).unwrap();
                        assert_eq!(answer, expected);
                        assert_eq!(replay.calls(), 0);
                    });
                });
            }
        }
        group.finish();
    }
}

/// The median that criterion wrote, in nanoseconds.
fn median(result: usize, subject: Subject, jobs: usize) -> Option<f64> {
    let home = std::env::var_os("CRITERION_HOME").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/criterion")),
        PathBuf::from,
    );
    let name = subject.name();
    let file = home.join(format!("replay-{result}/{name}/{jobs}/new/estimates.json"));
    let estimates: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

/// What criterion measured, as Markdown.
fn table() {
    println!("\n| result | jobs | subject | median | a job | to `value` | to `sdk-raw` |");
    println!("| ---: | ---: | --- | ---: | ---: | ---: | ---: |");
    for result in RESULTS {
        for jobs in JOBS {
            let base = |subject| median(result, subject, jobs).unwrap_or(f64::NAN);
            let (floor, raw) = (base(Subject::Value), base(Subject::SdkRaw));
            for subject in Subject::ALL {
                let Some(nanoseconds) = median(result, subject, jobs) else {
                    continue;
                };
                println!(
                    "| {result} | {jobs} | {} | {:.1} µs | {:.2} µs | {:.2} | {:.3} |",
                    subject.name(),
                    nanoseconds / 1e3,
                    nanoseconds / 1e3 / jobs as f64,
                    nanoseconds / floor,
                    nanoseconds / raw,
                );
            }
        }
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    replay(&mut criterion);
    criterion.final_summary();
    table();
}
