//! How long one invocation takes that replays jobs which have all ended.
#![allow(clippy::unwrap_used, reason = "a bench")]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use longhaul_benches::history::Size;
use longhaul_benches::replay::{Replay, Subject, expected};
use longhaul_benches::results::{JOBS, RESULTS, median};

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
                let event = runtime.block_on(subject.event(size)).unwrap();
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

/// What criterion measured, as Markdown.
fn table() {
    println!("\n| result | jobs | subject | median (95 %) | a job | to `value` | to `sdk-raw` |");
    println!("| ---: | ---: | --- | ---: | ---: | ---: | ---: |");
    for result in RESULTS {
        for jobs in JOBS {
            let base = |subject| median(result, subject, jobs).map_or(f64::NAN, |median| median.is);
            let (floor, raw) = (base(Subject::Value), base(Subject::SdkRaw));
            for subject in Subject::ALL {
                let Some(median) = median(result, subject, jobs) else {
                    continue;
                };
                println!(
                    "| {result} | {jobs} | {} | {:.1} µs ({:.1} to {:.1}) | {:.2} µs | {:.2} | {:.3} |",
                    subject.name(),
                    median.is / 1e3,
                    median.from / 1e3,
                    median.to / 1e3,
                    median.is / 1e3 / jobs as f64,
                    median.is / floor,
                    median.is / raw,
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
