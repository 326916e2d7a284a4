//! Every promise of a backend, with real processes. None is skipped.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;
use std::fs;

use async_trait::async_trait;
use common::{Folder, execution, script, spec};
use longhaul_core::conformance::{self, Census, Limit, Received, Subject};
use longhaul_core::{
    BackendErrorKind, CallbackToken, ComputeBackend, ExecutionId, Job, JobHandle, JobSpec, Locate,
    contract,
};
use longhaul_process::ProcessBackend;

/// Writes its start key down, and runs until it is killed.
const LONG: &str = "echo \"$LONGHAUL_START_KEY\" >> ran; while :; do sleep 600; done";

/// The longest string that Linux hands to a program, its final NUL included.
const MAX_STRING: usize = 128 * 1024;

/// The backend on this machine, looked at through `/proc` and what jobs write down.
struct Machine {
    folder: Folder,
    backend: ProcessBackend,
}

impl Machine {
    fn new() -> Self {
        let folder = Folder::new();
        let backend = folder.backend();
        Self { folder, backend }
    }

    /// The running shells of the job: command line and environment. What a shell has forked
    /// looks like it until it executes its own program, and is not counted.
    fn shells(&self, job: &Job) -> Vec<Shell> {
        let read = |pid: u32, file: &str| -> Option<Vec<String>> {
            let text = String::from_utf8(fs::read(format!("/proc/{pid}/{file}")).ok()?).ok()?;
            let text = text.strip_suffix('\0')?;
            Some(text.split('\0').map(str::to_owned).collect())
        };
        let shell = |pid: u32| {
            let pairs = read(pid, "environ")?.into_iter().filter_map(|variable| {
                let (name, value) = variable.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            });
            let environment: BTreeMap<_, _> = pairs.collect();
            let command = read(pid, "cmdline")?;
            let key = environment.get(contract::START_KEY).map(String::as_str);
            let ours = command[0] == "sh" && key == Some(job.start_key().as_str());
            ours.then_some((
                pid,
                Shell {
                    command,
                    environment,
                },
            ))
        };
        let marked = common::marked(self.folder.path()).into_iter();
        let found: BTreeMap<u32, Shell> = marked.filter_map(shell).collect();
        let forked: Vec<u32> = (found.keys().copied())
            .filter(|pid| {
                let parent = common::stat(*pid).and_then(|fields| fields[1].parse().ok());
                parent.is_none_or(|parent: u32| found.contains_key(&parent))
            })
            .collect();
        let all = found.into_iter();
        all.filter(|(pid, _)| !forked.contains(pid))
            .map(|(_, shell)| shell)
            .collect()
    }
}

/// A running shell.
struct Shell {
    command: Vec<String>,
    environment: BTreeMap<String, String>,
}

/// A long job with one more word on its command line, of this many bytes.
fn with_word(len: usize) -> JobSpec {
    spec(["sh", "-c", LONG, "sh", &"x".repeat(len)])
}

/// A long job with a variable that is this many bytes as `NAME=value` and a NUL.
fn with_variable(len: usize) -> JobSpec {
    let mut spec = script(LONG);
    let value = "x".repeat(len - "PAD=\0".len());
    spec.environment.insert("PAD".to_owned(), value);
    spec
}

#[async_trait]
impl Subject for Machine {
    fn backend(&self) -> &dyn ComputeBackend {
        &self.backend
    }

    fn long_job(&self) -> JobSpec {
        spec(["sh", "-c", LONG, "sh"])
    }

    fn job_that_exits(&self, code: i32) -> Option<JobSpec> {
        Some(script(&format!("exit {code}")))
    }

    fn unknown_handle(&self) -> JobHandle {
        JobHandle::new("process", "f".repeat(64))
    }

    fn locate(&self) -> Option<&dyn Locate> {
        Some(&self.backend)
    }

    fn limits(&self, _: &ExecutionId, _: &CallbackToken) -> Vec<Limit> {
        let limit = |name: &str, at, beyond| Limit {
            name: name.to_owned(),
            at,
            beyond,
        };
        vec![
            limit(
                "word of a command line",
                with_word(MAX_STRING - 1),
                with_word(MAX_STRING),
            ),
            limit(
                "variable",
                with_variable(MAX_STRING),
                with_variable(MAX_STRING + 1),
            ),
        ]
    }

    async fn census(&self, job: &Job) -> Option<Census> {
        let running = self.shells(job).len();
        let key = job.start_key().as_str();
        let ran = self.folder.read("ran");
        // One that was killed at once may not have come to write.
        let directory = self.folder.jobs().join(key);
        let recorded = common::recorded(&directory, "worker").is_some();
        let written = ran.lines().filter(|line| *line == key).count();
        let started = written.max(running).max(usize::from(recorded));
        Some(Census { started, running })
    }

    async fn received(&self, job: &Job) -> Option<Received> {
        let shell = self.shells(job).into_iter().next()?;
        Some(Received {
            command: Some(shell.command),
            environment: Some(shell.environment),
            // A process has none.
            tags: None,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_keeps_every_promise() {
    let machine = Machine::new();
    let report = conformance::run_all(&machine).await;
    println!("{report}");
    report.assert();
    assert_eq!(report.skipped().count(), 0);
}

/// The suite asks for jobs that were started; this is one that was not, for all that it has a
/// directory.
#[tokio::test]
async fn a_start_that_failed_has_no_job_to_locate() {
    let machine = Machine::new();
    let token = machine.folder.token("token");
    let job = Job::new(spec(["no-such-program"]), execution(), 1, &token);
    let error = machine.backend.start(&job, &token).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::NotFound);
    assert!(
        machine
            .folder
            .jobs()
            .join(job.start_key().as_str())
            .is_dir()
    );
    assert_eq!(machine.backend.locate(&job).await.unwrap(), None);
}
