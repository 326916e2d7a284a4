//! How many jobs a second one fan-out does, and how its cost grows: no-op jobs, the embedded service with its disk, the function
//! in the same process.
#![allow(clippy::unwrap_used, reason = "a bench")]

use std::process::Command;

use longhaul_benches::jobs::{Fate, Way, run};
use longhaul_benches::machine;

const JOBS: [usize; 3] = [100, 1_000, 10_000];
const AT_ONCE: usize = 64;
/// How often each is measured, in a process of its own for its peak memory.
const ROUNDS: usize = 5;

fn one(jobs: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let cost = runtime
        .block_on(run(jobs, Way::RunAll(AT_ONCE), Fate::SucceedAtOnce))
        .unwrap();
    assert!(cost.succeeded && cost.starts == jobs, "{cost:?}");
    let (cpu, peak) = (machine::cpu().as_secs_f64(), machine::peak_mib());
    println!(
        "{} {cpu} {peak} {} {}",
        cost.took.as_secs_f64(),
        cost.checkpoints,
        cost.invocations
    );
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    if let Some(jobs) = arguments.next().and_then(|argument| argument.parse().ok()) {
        return one(jobs);
    }
    let program = std::env::current_exe().unwrap();
    println!(
        "| jobs | jobs a second | ms of CPU a job | peak memory, MiB | checkpoint calls a job | invocations |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    for jobs in JOBS {
        let mut rows: Vec<Vec<f64>> = (0..ROUNDS)
            .map(|_| {
                let output = Command::new(&program)
                    .arg(jobs.to_string())
                    .output()
                    .unwrap();
                assert!(
                    output.status.success(),
                    "{}",
                    String::from_utf8_lossy(&output.stderr)
                );
                let line = String::from_utf8(output.stdout).unwrap();
                line.split_whitespace()
                    .map(|number| number.parse().unwrap())
                    .collect()
            })
            .collect();
        rows.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let count = jobs as f64;
        let (fastest, middle, slowest) = (&rows[0], &rows[ROUNDS / 2], &rows[ROUNDS - 1]);
        println!(
            "| {jobs} | {:.0} ({:.0} to {:.0}) | {:.2} | {:.0} | {:.2} | {} |",
            count / middle[0],
            count / slowest[0],
            count / fastest[0],
            middle[1] * 1_000.0 / count,
            middle[2],
            middle[3] / count,
            middle[4]
        );
    }
}
