//! Local processes beside the bare spawn of the same command, one at a time and many at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use longhaul_benches::jobs::Stage;
use longhaul_benches::machine;
use longhaul_core::{
    BackendError, CallbackToken, CancelOutcome, ComputeBackend, Job, JobHandle, JobName, JobSpec,
};
use longhaul_emulator::{Outcome, StartExecution};
use longhaul_lambda::{DurableContext, ExecutionError, JobRunner, RunAllOptions};
use longhaul_process::{ProcessBackend, ProcessConfig};
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::figures::{head, row};

/// Jobs one after another.
const ALONE: usize = 100;
/// Jobs side by side, and how many of them at once.
const TOGETHER: usize = 256;
const AT_ONCE: usize = 64;

/// Since the epoch: what two processes can compare.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
}

/// What the job's command says: when it began and when it was about to end.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Stamps {
    began: Duration,
    ended: Duration,
}

/// The job's command: as little as can be told from outside.
pub(crate) fn stamp() {
    let began = now();
    let file = std::env::var_os("LONGHAUL_RESULT_FILE").expect("a worker's variable");
    let stamps = Stamps {
        began,
        ended: now(),
    };
    std::fs::write(file, serde_json::to_vec(&stamps).expect("JSON")).expect("a result");
}

fn this() -> PathBuf {
    std::env::current_exe().expect("this program's path")
}

/// The folder of the shim and the supervisor where they are not to be this program: `LONGHAUL_BENCH_PROGRAMS`.
fn programs() -> Option<PathBuf> {
    std::env::var_os("LONGHAUL_BENCH_PROGRAMS").map(PathBuf::from)
}

/// Of one job.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    asked: Duration,
    answered: Duration,
    /// The function had the result.
    resumed: Duration,
}

#[derive(Debug, Clone, Default)]
struct Book(Arc<Mutex<HashMap<u64, Seen>>>);

impl Book {
    fn note(&self, job: u64, note: impl FnOnce(&mut Seen)) {
        note(self.0.lock().unwrap().entry(job).or_default());
    }

    fn of(&self, job: usize) -> Seen {
        self.0.lock().unwrap()[&(job as u64)]
    }
}

/// The process backend, with notes of when it was asked and when it answered.
#[derive(Debug, Clone)]
struct Noting {
    backend: ProcessBackend,
    book: Book,
}

#[async_trait]
impl ComputeBackend for Noting {
    fn name(&self) -> &str {
        self.backend.name()
    }

    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
        let number = job.input().as_u64().expect("the job's number");
        let asked = now();
        let handle = self.backend.start(job, token).await?;
        let answered = now();
        self.book.note(number, |seen| {
            (seen.asked, seen.answered) = (asked, answered)
        });
        Ok(handle)
    }

    async fn cancel(&self, job: &JobHandle, reason: &str) -> Result<CancelOutcome, BackendError> {
        self.backend.cancel(job, reason).await
    }
}

fn job(number: usize) -> JobSpec {
    let command = [
        this().to_str().expect("a path in UTF-8").to_owned(),
        "stamp".to_owned(),
    ];
    JobSpec::new(JobName::from_text("stamp"))
        .with_command(command)
        .with_input(number as u64)
        .with_timeout(Duration::from_secs(600))
}

fn failed(error: impl std::error::Error) -> ExecutionError {
    ExecutionError::new("Bench", error.to_string())
}

/// Runs so many jobs in one execution: side by side, or one after another.
async fn one(
    jobs: usize,
    together: bool,
    book: Book,
    ctx: DurableContext,
    runner: JobRunner,
) -> Result<Vec<Stamps>, ExecutionError> {
    if together {
        let options = RunAllOptions::new().at_once(AT_ONCE);
        let jobs = (0..jobs).map(job).collect();
        let report = runner.run_all::<Stamps>(&ctx, jobs, options).await;
        return Ok(report
            .map_err(failed)?
            .results()
            .map(|(_, stamps)| *stamps)
            .collect());
    }
    let mut all = Vec::with_capacity(jobs);
    for number in 0..jobs {
        let report = runner.run::<Stamps>(&ctx, job(number)).await;
        all.push(report.map_err(failed)?.result);
        // Replays come here again: the first time counts.
        book.note(number as u64, |seen| {
            if seen.resumed.is_zero() {
                seen.resumed = now();
            }
        });
    }
    Ok(all)
}

/// Processor time: of this process, which plays function and service and spawns, and of the programs that it started.
#[derive(Debug, Clone, Copy)]
struct Cpu {
    here: Duration,
    programs: Duration,
}

impl Cpu {
    fn now() -> Self {
        Self {
            here: machine::cpu(),
            programs: machine::cpu_of_children(),
        }
    }

    fn since(self) -> Self {
        let now = Self::now();
        Self {
            here: now.here - self.here,
            programs: now.programs - self.programs,
        }
    }

    fn all(self) -> Duration {
        self.here + self.programs
    }
}

/// What so many jobs took.
struct Measured {
    stamps: Vec<Stamps>,
    book: Book,
    cpu: Cpu,
    took: Duration,
}

async fn ours(jobs: usize, together: bool) -> Measured {
    let stage = Stage::new(None).await.expect("a service");
    let folder = tempfile::tempdir().expect("a folder");
    let exe = this();
    let jobs_folder = folder.path().join("jobs");
    let mut config = match programs() {
        Some(folder) => ProcessConfig::new(jobs_folder)
            .with_shim([folder.join("longhaul-process-shim")])
            .with_worker([
                folder.join("longhaul-worker").into_os_string(),
                "run".into(),
                "--".into(),
            ]),
        None => ProcessConfig::new(jobs_folder)
            .with_shim([exe.as_os_str(), "shim".as_ref()])
            .with_worker([
                exe.as_os_str(),
                "worker".as_ref(),
                "run".as_ref(),
                "--".as_ref(),
            ]),
    };
    for (name, value) in [
        ("AWS_ENDPOINT_URL_LAMBDA", stage.service.url().as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "bench"),
        ("AWS_SECRET_ACCESS_KEY", "bench"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ] {
        config = config.with_variable(name, value);
    }
    let book = Book::default();
    let backend = Noting {
        backend: ProcessBackend::new(config),
        book: book.clone(),
    };
    let runner = JobRunner::new(Arc::new(backend));
    let noted = book.clone();
    stage
        .serve_ours(runner, move |jobs, ctx, runner| {
            one(jobs, together, noted.clone(), ctx, runner)
        })
        .expect("a function");
    let api = stage.service.api().clone();
    let (began, before) = (now(), Cpu::now());
    let request = StartExecution::new("bench", jobs.to_string());
    let started = api.start_execution(request).await.expect("an execution");
    let outcome = api.wait(&started.arn).await.expect("an end");
    let took = now() - began;
    let Outcome::Succeeded(Some(result)) = outcome else {
        panic!("{outcome:?}");
    };
    let stamps: Vec<Stamps> = serde_json::from_str(&result).expect("the stamps");
    assert_eq!(stamps.len(), jobs);
    children_ended().await;
    let cpu = before.since();
    stage.service.shutdown().await;
    Measured {
        stamps,
        book,
        cpu,
        took,
    }
}

/// The processor time of a child counts once it has ended and was waited for.
async fn children_ended() {
    loop {
        let children = std::fs::read_dir("/proc/self/task").expect("Linux");
        let any = children.flatten().any(|task| {
            std::fs::read_to_string(task.path().join("children"))
                .is_ok_and(|it| !it.trim().is_empty())
        });
        if !any {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The same command, spawned and waited for and nothing else: from the call to its first line, and to its end.
async fn bare_one(folder: &Path, number: usize) -> (Duration, Duration) {
    let file = folder.join(number.to_string());
    let asked = now();
    let mut command = Command::new(this());
    command.arg("stamp").env("LONGHAUL_RESULT_FILE", &file);
    command.stdin(Stdio::null());
    let status = command.status().await.expect("a process");
    let ended = now();
    assert!(status.success());
    let stamps: Stamps =
        serde_json::from_slice(&std::fs::read(file).expect("stamps")).expect("stamps");
    (stamps.began.saturating_sub(asked), ended - asked)
}

/// Returns the times to the first line and to the end, the processor time, and the time of all.
async fn bare(jobs: usize, at_once: usize) -> (Vec<Duration>, Vec<Duration>, Cpu, Duration) {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let (began, before) = (now(), Cpu::now());
    let mut left = 0..jobs;
    let mut running = JoinSet::new();
    let mut times = Vec::with_capacity(jobs);
    loop {
        while running.len() < at_once
            && let Some(number) = left.next()
        {
            let folder = Arc::clone(&folder);
            running.spawn(async move { bare_one(folder.path(), number).await });
        }
        let Some(one) = running.join_next().await else {
            break;
        };
        times.push(one.expect("a spawn"));
    }
    let (first, end) = times.into_iter().unzip();
    (first, end, before.since(), now() - began)
}

pub(crate) async fn measure() {
    head();
    let mut summary = Vec::new();
    for (jobs, at_once) in [(ALONE, 1), (TOGETHER, AT_ONCE)] {
        let (first, end, bare_cpu, bare_took) = bare(jobs, at_once).await;
        let what = format!("{at_once} at once, bare spawn");
        row(&format!("{what}: call to command running"), first);
        row(&format!("{what}: call to its end noticed"), end);
        let ours = ours(jobs, at_once > 1).await;
        let times = |time: &dyn Fn(Seen, Stamps) -> Duration| -> Vec<Duration> {
            let stamps = ours.stamps.iter().enumerate();
            stamps
                .map(|(job, stamps)| time(ours.book.of(job), *stamps))
                .collect()
        };
        let what = format!("{at_once} at once, process backend");
        row(
            &format!("{what}: `start` to its answer"),
            times(&|seen, _| seen.answered - seen.asked),
        );
        row(
            &format!("{what}: `start` to command running"),
            times(&|seen, stamps| stamps.began.saturating_sub(seen.asked)),
        );
        if at_once == 1 {
            row(
                &format!("{what}: command's end to function resumed"),
                times(&|seen, stamps| seen.resumed.saturating_sub(stamps.ended)),
            );
        }
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e3 / jobs as f64;
        let both = |cpu: Cpu| {
            let (here, programs) = (each(cpu.here), each(cpu.programs));
            format!("{here:.2} + {programs:.2} ms")
        };
        let rate = |took: Duration| jobs as f64 / took.as_secs_f64();
        summary.push(format!(
            "| {at_once} | {:.0} | {} | {:.0} | {} | {:.2} ms |",
            rate(bare_took),
            both(bare_cpu),
            rate(ours.took),
            both(ours.cpu),
            each(ours.cpu.all()) - each(bare_cpu.all()),
        ));
    }
    println!(
        "\nCPU each: of this process, which plays function and service and spawns, and of the programs.\n\n\
         | at once | bare, a second | CPU each | jobs a second | CPU each | more than bare |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    for line in summary {
        println!("{line}");
    }
}
