//! The local durable service under load: what it does in a second, and what it costs while it does nothing.
//!
//! `cargo bench -p longhaul-benches --bench service` prints Markdown; `-- --smoke` does all of it with small numbers, to
//! show that it works. Service, functions and callers share this process, so its figures hold the callers' work too; the
//! database is on the disk of the target folder, with `synchronous=FULL`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot go on has nothing to say"
)]

mod wire;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use longhaul_benches::machine;
use longhaul_emulator::{FunctionConfig, Service, ServiceConfig};
use tokio::task::JoinSet;
use wire::{Function, Wire};

/// How much of everything.
struct Amounts {
    /// Checkpoint calls of each of the 64 executions.
    checkpoints: u64,
    executions: u64,
    suspended: u64,
    /// How long an idle service is watched.
    idle: Duration,
    repeats: usize,
}

const FULL: Amounts = Amounts {
    checkpoints: 400,
    executions: 100_000,
    suspended: 10_000,
    idle: Duration::from_secs(10),
    repeats: 3,
};

const SMOKE: Amounts = Amounts {
    checkpoints: 5,
    executions: 200,
    suspended: 100,
    idle: Duration::from_millis(500),
    repeats: 1,
};

/// Executions at the same time, as in the goal for checkpoint calls.
const CONCURRENT: usize = 64;

struct Bench {
    service: Service,
    wire: Arc<Wire>,
    commits: Arc<AtomicU64>,
}

async fn start(folder: &Path) -> Bench {
    let wire = Arc::new(Wire::default());
    let commits = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&commits);
    let handler = Arc::new(Function(Arc::clone(&wire)));
    let function = FunctionConfig::handler("job", handler).max_environments(256);
    let config = ServiceConfig::new(folder)
        .function(function)
        .on_commit(Arc::new(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
    let service = Service::start(config).await.expect("a service");
    wire.connect_to(&service.url());
    Bench {
        service,
        wire,
        commits,
    }
}

/// Runs `count` executions of the function from 64 callers, each of which waits for the end of one before it starts the next.
async fn execute(bench: &Bench, event: &str, count: u64) {
    let left = Arc::new(AtomicU64::new(count));
    let mut callers = JoinSet::new();
    for _ in 0..CONCURRENT {
        let (wire, left, event) = (Arc::clone(&bench.wire), Arc::clone(&left), event.to_owned());
        callers.spawn(async move {
            let one_less = |left: u64| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                .is_ok()
            {
                wire.invoke("RequestResponse", &event).await;
            }
        });
    }
    callers.join_all().await;
}

async fn checkpoints(folder: &Path, amounts: &Amounts) {
    let bench = start(folder).await;
    execute(&bench, "1", CONCURRENT as u64).await;
    let calls = amounts.checkpoints * CONCURRENT as u64;
    for _ in 0..amounts.repeats {
        let fsyncs = machine::fsyncs(folder);
        let (commits, cpu, began) = (
            bench.commits.load(Ordering::Relaxed),
            machine::cpu(),
            Instant::now(),
        );
        execute(&bench, &amounts.checkpoints.to_string(), CONCURRENT as u64).await;
        let seconds = began.elapsed().as_secs_f64();
        let commits = bench.commits.load(Ordering::Relaxed) - commits;
        let cpu = (machine::cpu() - cpu).as_secs_f64();
        println!(
            "| durable checkpoint calls, {CONCURRENT} executions at the same time | {:.0} a second | {:.0} commits a second, {:.1} calls in each; the disk does {fsyncs:.0} fdatasync a second; {:.2} ms of CPU a call |",
            calls as f64 / seconds,
            commits as f64 / seconds,
            calls as f64 / commits as f64,
            cpu * 1_000.0 / calls as f64,
        );
    }
    bench.service.shutdown().await;
}

async fn executions(folder: &Path, amounts: &Amounts) {
    let bench = start(folder).await;
    let parts = 10;
    // The first tenth fills caches and pools; memory is compared with what it was after that.
    let mut memory = Vec::new();
    let (cpu, began) = (machine::cpu(), Instant::now());
    for _ in 0..parts {
        execute(&bench, "1", amounts.executions / parts).await;
        memory.push(machine::resident_mib());
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = (machine::cpu() - cpu).as_secs_f64();
    println!(
        "| {} executions of one step, {CONCURRENT} callers | {:.0} a second | {:.2} ms of CPU each |",
        amounts.executions,
        amounts.executions as f64 / seconds,
        cpu * 1_000.0 / amounts.executions as f64
    );
    println!(
        "| memory over these | {:.0} MiB after a tenth, {:.0} MiB at the end | most {:.0} MiB |",
        memory[0],
        memory[memory.len() - 1],
        memory.iter().copied().fold(0.0, f64::max)
    );
    bench.service.shutdown().await;
}

async fn suspended(folder: &Path, amounts: &Amounts) {
    let bench = start(folder).await;
    for _ in 0..amounts.suspended {
        bench.wire.invoke("Event", "\"callback\"").await;
    }
    bench.wire.invocations(amounts.suspended).await;
    println!(
        "| {} executions suspended on callbacks | {} of CPU in {:?} | {:.0} MiB |",
        amounts.suspended,
        idle(amounts).await,
        amounts.idle,
        machine::resident_mib()
    );
    bench.service.shutdown().await;
    let began = Instant::now();
    let bench = start(folder).await;
    bench.wire.list().await;
    println!(
        "| started again with them, until the first answer | {:.2} s | then {} of CPU in {:?} |",
        began.elapsed().as_secs_f64(),
        idle(amounts).await,
        amounts.idle
    );
    bench.service.shutdown().await;
}

/// CPU time of a service that has nothing to do.
async fn idle(amounts: &Amounts) -> String {
    // What was begun may still end.
    tokio::time::sleep(amounts.idle / 5).await;
    let before = machine::cpu();
    tokio::time::sleep(amounts.idle).await;
    format!("{} ms", (machine::cpu() - before).as_millis())
}

#[tokio::main]
async fn main() {
    let smoke = std::env::args().any(|argument| argument == "--smoke");
    let amounts = if smoke { &SMOKE } else { &FULL };
    // Beside the bench's own program: on the disk of the target folder, while /tmp may be memory.
    let program = std::env::current_exe().expect("the bench's own path");
    let state = tempfile::tempdir_in(program.parent().expect("a folder")).expect("a folder");
    println!("{}\n", machine::facts());
    println!("| what | measured | more |\n| --- | --- | --- |");
    checkpoints(&state.path().join("checkpoints"), amounts).await;
    executions(&state.path().join("executions"), amounts).await;
    suspended(&state.path().join("suspended"), amounts).await;
}
