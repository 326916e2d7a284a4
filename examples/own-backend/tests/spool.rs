//! The backend over a real folder with a real daemon: every promise, and a job from end to end.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;

use async_trait::async_trait;
use longhaul_core::conformance::{self, Census, Limit, Received, Subject};
use longhaul_core::{
    CallbackToken, ComputeBackend, ExecutionId, Job, JobHandle, JobName, JobSpec, Locate, contract,
};
use longhaul_endings::{Served, wait_for};
use own_backend::backend::MAX_STRING;
use own_backend::{Spool, SpoolBackend};
use serde_json::json;

/// A running `spoold`. It is killed with the test, and its jobs with it.
struct Daemon {
    child: Child,
    spool: PathBuf,
}

impl Daemon {
    fn start(spool: &Path, worker: &[&str]) -> Self {
        let child = Self::run(spool, worker);
        let spool = spool.to_owned();
        Self { child, spool }
    }

    fn run(spool: &Path, worker: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spoold"));
        command.arg(spool).arg("8").args(worker).spawn().unwrap()
    }

    /// Kills it as a crash would, and starts another one.
    fn replace(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::run(&self.spool, &[]);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let jobs = fs::read_dir(self.spool.join("jobs")).into_iter().flatten();
        let keys: Vec<String> = jobs
            .flatten()
            .filter_map(|job| job.file_name().into_string().ok())
            .collect();
        for (pid, environment) in processes() {
            let key = environment.get(contract::START_KEY);
            if key.is_some_and(|key| keys.contains(key)) {
                let pid = pid.to_string();
                let _ = Command::new("kill").args(["-KILL", &pid]).status();
            }
        }
    }
}

/// Every process and its environment.
fn processes() -> Vec<(u32, BTreeMap<String, String>)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let text = String::from_utf8(fs::read(format!("/proc/{pid}/environ")).ok()?).ok()?;
        let pairs = text.split('\0').filter_map(|one| one.split_once('='));
        let owned = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some((pid, owned.collect()))
    })
    .collect()
}

/// Writes its start key down, and is one process until it is killed.
const LONG: &str = "echo \"$LONGHAUL_START_KEY\" >> \"$RAN\"; exec sleep 600";

struct Queue {
    backend: SpoolBackend,
    // Before its folder, which it must be found in when it is dropped.
    daemon: Daemon,
    folder: tempfile::TempDir,
}

impl Queue {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let spool = Spool::open(&path).unwrap();
        let ran = folder.path().join("ran");
        let backend =
            SpoolBackend::new(Arc::new(spool)).with_variable("RAN", ran.to_string_lossy());
        let daemon = Daemon::start(&path, &[]);
        Self {
            folder,
            backend,
            daemon,
        }
    }

    fn of_job(job: &Job) -> Vec<(u32, BTreeMap<String, String>)> {
        let key = job.start_key().as_str();
        let mut all = processes();
        all.retain(|(_, env)| env.get(contract::START_KEY).is_some_and(|it| it == key));
        all
    }
}

fn job<const N: usize>(command: [&str; N]) -> JobSpec {
    JobSpec::new(JobName::from_text("job")).with_command(command)
}

/// A long job with one more word of so many bytes.
fn with_word(bytes: usize) -> JobSpec {
    job(["sh", "-c", LONG, "sh", &"x".repeat(bytes)])
}

#[async_trait]
impl Subject for Queue {
    fn backend(&self) -> &dyn ComputeBackend {
        &self.backend
    }

    fn long_job(&self) -> JobSpec {
        job(["sh", "-c", LONG, "sh"])
    }

    fn job_that_exits(&self, code: i32) -> Option<JobSpec> {
        Some(job(["sh", "-c", &format!("exit {code}")]))
    }

    fn unknown_handle(&self) -> JobHandle {
        JobHandle::new("spool", "f".repeat(64))
    }

    fn locate(&self) -> Option<&dyn Locate> {
        Some(&self.backend)
    }

    fn limits(&self, _: &ExecutionId, _: &CallbackToken) -> Vec<Limit> {
        vec![Limit {
            name: "word of a command line".to_owned(),
            at: with_word(MAX_STRING - 1),
            beyond: with_word(MAX_STRING),
        }]
    }

    async fn census(&self, job: &Job) -> Option<Census> {
        let running = Self::of_job(job).len();
        let ran = fs::read_to_string(self.folder.path().join("ran")).unwrap_or_default();
        let key = job.start_key().as_str();
        let written = ran.lines().filter(|line| *line == key).count();
        // One that was cancelled while it waited has started in the sense of the suite: it was taken.
        let queued = usize::from(self.folder.path().join("spool/jobs").join(key).exists());
        let started = written.max(running).max(queued);
        Some(Census { started, running })
    }

    async fn received(&self, job: &Job) -> Option<Received> {
        let (_, environment) = Self::of_job(job).into_iter().next()?;
        let ticket = self.folder.path().join("spool/jobs");
        let ticket = fs::read(ticket.join(job.start_key().as_str()).join("ticket.json")).ok()?;
        let ticket: own_backend::Ticket = serde_json::from_slice(&ticket).ok()?;
        Some(Received {
            command: Some(ticket.command),
            environment: Some(environment),
            // A process has none.
            tags: None,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_keeps_every_promise() {
    let queue = Queue::new();
    let report = conformance::run_all(&queue).await;
    println!("{report}");
    report.assert();
    assert_eq!(report.skipped().count(), 0);
}

/// A token of this test process.
fn token(number: u32) -> CallbackToken {
    CallbackToken::new(format!("token-{}-{number}", std::process::id())).unwrap()
}

/// A service with the function of this crate, and a daemon that runs jobs under the supervisor.
fn set_up() -> (tempfile::TempDir, Daemon, Served) {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    Spool::open(&spool).unwrap();
    let supervisor = longhaul_endings::longhaul();
    let daemon = Daemon::start(
        &spool,
        &[supervisor.to_str().unwrap(), "worker", "run", "--"],
    );
    let function = format!("queue={}", env!("CARGO_BIN_EXE_spool-function"));
    let served = Served::start_with(
        &["--function", &function],
        &[("SPOOL", spool.to_str().unwrap())],
    );
    (folder, daemon, served)
}

#[test]
fn a_function_sleeps_while_its_job_runs_in_the_queue_and_has_its_result_or_its_failure() {
    let (_folder, _daemon, served) = set_up();
    let script = "printf '%s' \"$LONGHAUL_INPUT\" > \"$LONGHAUL_RESULT_FILE\"";
    let event = json!({"name": "echo", "command": ["sh", "-c", script], "input": {"a": [1]}});
    let execution = served.wait_closed(&served.invoke("queue", &event));
    assert_eq!(execution["Status"], "SUCCEEDED", "{execution:#}");
    assert_eq!(execution["Result"], r#"{"a":[1]}"#);
    let event = json!({"name": "fail", "command": ["sh", "-c", "echo sorry >&2; exit 3"]});
    let execution = served.wait_closed(&served.invoke("queue", &event));
    assert_eq!(execution["Status"], "FAILED", "{execution:#}");
    assert_eq!(execution["Error"]["ErrorType"], "Longhaul.Failed");
    assert_eq!(execution["Error"]["ErrorMessage"], "sorry");
}

#[tokio::test]
async fn a_daemon_watches_and_ends_the_jobs_of_one_that_was_killed_and_starts_none_again() {
    let mut queue = Queue::new();
    let first = token(1);
    let execution = ExecutionId::from_arn("arn");
    let attempt = Job::new(queue.long_job(), execution.clone(), 1, &first);
    let handle = queue.backend.start(&attempt, &first).await.unwrap();
    wait_for("the job runs", || {
        (Queue::of_job(&attempt).len() == 1).then_some(())
    });
    queue.daemon.replace();
    // A later job shows that the new daemon has seen the earlier one.
    let second = token(2);
    let later = Job::new(queue.long_job(), execution.clone(), 1, &second);
    queue.backend.start(&later, &second).await.unwrap();
    wait_for("the later job runs", || {
        (Queue::of_job(&later).len() == 1).then_some(())
    });
    assert_eq!(Queue::of_job(&attempt).len(), 1, "it runs on, and once");
    assert_eq!(queue.backend.list(&execution).await.unwrap().len(), 2);

    queue.backend.cancel(&handle, "enough").await.unwrap();
    wait_for("the job is gone", || {
        Queue::of_job(&attempt).is_empty().then_some(())
    });
}
