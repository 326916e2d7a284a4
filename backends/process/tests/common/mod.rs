//! What the tests of the backend share: a folder for jobs, jobs in it, and a guard that leaves
//! no process behind.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests; each test file uses its part of them"
)]

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use longhaul_core::{
    CallbackToken, ComputeBackend, ExecutionId, Job, JobHandle, JobName, JobSpec, JobState,
    JobStatus,
};
use longhaul_process::{ProcessBackend, ProcessConfig};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// The program that plays the shim.
pub(crate) const SHIM: &str = env!("CARGO_BIN_EXE_longhaul-process-shim");

/// Marks every process that a test starts, so that its guard finds it. The value is the folder.
pub(crate) const MARK: &str = "TEST_FOLDER";

/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder for one test's jobs. When it is dropped, no process of theirs is left.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("longhaul-test-")
            .tempdir()
            .unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The directory of the backend.
    pub(crate) fn jobs(&self) -> PathBuf {
        self.path().join("jobs")
    }

    /// The directory of one job.
    pub(crate) fn job(&self, handle: &JobHandle) -> PathBuf {
        self.jobs().join(handle.id())
    }

    pub(crate) fn token(&self, text: &str) -> CallbackToken {
        token_in(&self.jobs(), text)
    }

    /// The handle of the job that is started with the token of this text.
    pub(crate) fn handle(&self, text: &str) -> JobHandle {
        JobHandle::new("process", self.token(text).start_key().as_str())
    }

    /// Commands are their own workers and run in this folder.
    pub(crate) fn config(&self) -> ProcessConfig {
        ProcessConfig::new(self.jobs())
            .with_shim([SHIM])
            .with_worker(Vec::<OsString>::new())
            .with_working_directory(self.path())
            .with_variable(MARK, self.path())
            .with_grace(Duration::from_secs(5))
    }

    pub(crate) fn backend(&self) -> ProcessBackend {
        ProcessBackend::new(self.config())
    }

    /// What a job has written to a file of this folder; nothing where there is no file.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    /// Waits until a job has written a line to a file of this folder, and returns the file.
    pub(crate) async fn line(&self, name: &str) -> String {
        eventually(&format!("a line in {name}"), || {
            Some(self.read(name)).filter(|text| text.ends_with('\n'))
        })
        .await
    }

    /// Waits until a job has written a pid to a file of this folder.
    pub(crate) async fn pid(&self, name: &str) -> u32 {
        self.line(name).await.trim().parse().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        // Twice in a row: in the middle of an exec a process shows no mark.
        let mut empty = 0;
        while empty < 2 {
            let left = marked(self.path());
            empty = if left.is_empty() { empty + 1 } else { 0 };
            for pid in left {
                kill_marked(self.path(), pid);
            }
            assert!(Instant::now() < deadline, "processes of the test stay");
            std::thread::yield_now();
        }
    }
}

/// The running processes of the jobs and starters in `folder`: they carry its [`MARK`] or the
/// start key of one of its jobs.
pub(crate) fn marked(folder: &Path) -> Vec<u32> {
    let marks = marks(folder);
    let own = std::process::id();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own && alive(*pid) && carries(*pid, &marks))
        .collect()
}

fn marks(folder: &Path) -> Vec<Vec<u8>> {
    let mark = [MARK.as_bytes(), b"=", folder.as_os_str().as_bytes()].concat();
    let keys = fs::read_dir(folder.join("jobs"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| [b"LONGHAUL_START_KEY=", entry.file_name().as_bytes()].concat());
    keys.chain([mark]).collect()
}

/// Whole variables are compared: that a process names the folder does not make it the test's.
fn carries(pid: u32, marks: &[Vec<u8>]) -> bool {
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
        environment
            .split(|b| *b == 0)
            .any(|variable| marks.iter().any(|mark| mark == variable))
    })
}

/// Kills a marked process; looks at the mark again when the pid can no longer change owners.
fn kill_marked(folder: &Path, pid: u32) {
    let raw = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    if let Ok(held) = pidfd_open(raw, PidfdFlags::empty())
        && carries(pid, &marks(folder))
    {
        let _ = pidfd_send_signal(held, Signal::KILL);
    }
}

/// The fields of `/proc/PID/stat` from the third on: state, parent, group, session, …
pub(crate) fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

/// Whether a process runs: it is there and no zombie.
pub(crate) fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| !matches!(fields[0].as_str(), "Z" | "X"))
}

pub(crate) fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, signal);
}

/// Waits until `look` sees what it looks for.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn gone(pid: u32) {
    eventually(&format!("the end of process {pid}"), || {
        (!alive(pid)).then_some(())
    })
    .await;
}

/// A token of this folder's jobs alone. What is left of a job is found by its start key, so two
/// tests that run at once must not share one.
pub(crate) fn token_in(jobs: &Path, text: &str) -> CallbackToken {
    let folder = jobs.parent().unwrap().file_name().unwrap();
    CallbackToken::new(format!("{text}-{}", folder.to_str().unwrap())).unwrap()
}

pub(crate) fn execution() -> ExecutionId {
    ExecutionId::from_arn(
        "arn:aws:lambda:eu-west-1:123456789012:function:f:1/durable-execution/a/b",
    )
}

pub(crate) fn spec<const N: usize>(command: [&str; N]) -> JobSpec {
    JobSpec::new(JobName::new("test").unwrap()).with_command(command)
}

/// A spec that runs a shell script; its arguments are `$1`, `$2`, ….
pub(crate) fn script(text: &str) -> JobSpec {
    spec(["sh", "-c", text])
}

pub(crate) fn job(spec: JobSpec, token: &CallbackToken) -> Job {
    Job::new(spec, execution(), 1, token)
}

/// Starts `spec` with a token made of `text`.
pub(crate) async fn start(backend: &ProcessBackend, spec: JobSpec, text: &str) -> JobHandle {
    let token = token_in(&backend.config().directory, text);
    backend.start(&job(spec, &token), &token).await.unwrap()
}

/// Waits until the job is over, and returns what is known of it.
pub(crate) async fn ended(backend: &ProcessBackend, handle: &JobHandle) -> JobStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = backend.describe(handle).await.unwrap();
        if status.state == JobState::Ended {
            return status;
        }
        assert!(
            Instant::now() < deadline,
            "the job does not end: {status:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The journal of the job in `directory`.
pub(crate) fn journal(directory: &Path) -> PathBuf {
    directory.join("job.jsonl")
}

/// The entry of the journal with this name, `shim` or `worker`.
pub(crate) fn recorded(directory: &Path, entry: &str) -> Option<serde_json::Value> {
    let text = fs::read_to_string(journal(directory)).ok()?;
    // The last line may not be whole yet.
    let mut entries = text
        .lines()
        .map_while(|line| serde_json::from_str(line).ok());
    entries.find_map(|line: serde_json::Value| line.get(entry).cloned())
}

/// The pid in such an entry.
pub(crate) fn recorded_pid(directory: &Path, entry: &str) -> u32 {
    let entry = recorded(directory, entry).unwrap();
    u32::try_from(entry["pid"].as_u64().unwrap()).unwrap()
}

/// Writes the journal anew, with what `change` makes of each entry.
pub(crate) fn rewrite(
    directory: &Path,
    change: impl Fn(&str, serde_json::Value) -> Option<serde_json::Value>,
) {
    let text = fs::read_to_string(journal(directory)).unwrap();
    let mut changed = String::new();
    for line in text.lines() {
        let entry: serde_json::Map<_, _> = serde_json::from_str(line).unwrap();
        for (name, value) in entry {
            if let Some(value) = change(&name, value) {
                changed += &format!("{}\n", serde_json::json!({name: value}));
            }
        }
    }
    fs::write(journal(directory), changed).unwrap();
}
