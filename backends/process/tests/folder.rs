//! The backend's folder: private, without secrets, listed by execution, and cleared of old jobs.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Folder, alive, ended, execution, gone, kill, recorded_pid, script, spec, start};
use longhaul_core::{ComputeBackend, ExecutionId, Job, JobState, JobStatus};
use rustix::process::Signal;

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.clone());
        if path.is_dir() {
            files_below(&path, found);
        }
    }
}

#[tokio::test]
async fn folders_and_files_are_their_owners_alone() {
    let folder = Folder::new();
    let backend = folder.backend();
    let handle = start(&backend, script("echo out; echo err >&2; sleep 1000"), "t").await;
    backend.cancel(&handle, "done").await.unwrap();
    let mut found = vec![folder.jobs()];
    files_below(&folder.jobs(), &mut found);
    for name in ["job.jsonl", "cancel.json", "stdout.log", "stderr.log"] {
        assert!(found.contains(&folder.job(&handle).join(name)), "{name}");
    }
    for path in found {
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{path:?}");
    }
}

#[tokio::test]
async fn neither_token_nor_variables_are_in_a_file_or_on_a_command_line() {
    const SECRET: &str = "c2VjcmV0LXRva2Vu";
    const VARIABLE: &str = "aHVzaA-password";
    let folder = Folder::new();
    let backend = folder.backend();
    let mut spec = script("echo ready > ready; sleep 1000");
    spec.environment.insert("PASSWORD".into(), VARIABLE.into());
    spec.input = serde_json::json!({"key": VARIABLE});
    let handle = start(&backend, spec, SECRET).await;
    folder.line("ready").await;
    let contains = |path: &Path, secret: &str| {
        let bytes = fs::read(path).unwrap();
        bytes
            .windows(secret.len())
            .any(|part| part == secret.as_bytes())
    };
    let worker = backend.pid(&handle).unwrap();
    let shim = recorded_pid(&folder.job(&handle), "shim");
    let of = |pid: u32, file: &str| PathBuf::from(format!("/proc/{pid}/{file}"));
    for secret in [SECRET, VARIABLE] {
        // The one place where it must be, which shows that the search finds it.
        assert!(contains(&of(worker, "environ"), secret));
        for elsewhere in [
            of(shim, "environ"),
            of(shim, "cmdline"),
            of(worker, "cmdline"),
        ] {
            assert!(!contains(&elsewhere, secret), "{elsewhere:?}");
        }
    }
    backend.cancel(&handle, "done").await.unwrap();
    let mut found = Vec::new();
    files_below(&folder.jobs(), &mut found);
    assert!(found.len() > 5);
    for path in found {
        for secret in [SECRET, VARIABLE] {
            assert!(!path.to_str().unwrap().contains(secret));
            assert!(path.is_dir() || !contains(&path, secret), "{path:?}");
        }
    }
    assert!(!format!("{backend:?}").contains(VARIABLE));
}

#[tokio::test]
async fn the_jobs_of_an_execution_are_listed_while_they_may_run() {
    let folder = Folder::new();
    let backend = folder.backend();
    assert!(backend.list(&execution()).await.unwrap().is_empty());
    let one = start(&backend, spec(["sleep", "1000"]), "one").await;
    let two = start(&backend, spec(["sleep", "1000"]), "two").await;
    let over = start(&backend, spec(["true"]), "over").await;
    ended(&backend, &over).await;
    let elsewhere = ExecutionId::from_arn("another");
    let other = folder.token("other");
    let job = Job::new(spec(["sleep", "1000"]), elsewhere.clone(), 1, &other);
    let other = backend.start(&job, &other).await.unwrap();

    let mut expected = vec![one.clone(), two.clone()];
    expected.sort_by(|a, b| a.id().cmp(b.id()));
    assert_eq!(backend.list(&execution()).await.unwrap(), expected);
    assert_eq!(backend.list(&elsewhere).await.unwrap(), [other]);
    backend.cancel(&one, "done").await.unwrap();
    assert_eq!(backend.list(&execution()).await.unwrap(), [two]);
}

#[tokio::test]
async fn a_list_reads_nothing_of_the_jobs_that_ended() {
    let folder = Folder::new();
    let backend = folder.backend();
    let running = start(&backend, spec(["sleep", "1000"]), "running").await;
    let over = start(&backend, spec(["true"]), "over").await;
    ended(&backend, &over).await;
    gone(recorded_pid(&folder.job(&over), "shim")).await;
    // It would be an error to read this.
    fs::write(common::journal(&folder.job(&over)), "not an entry\n").unwrap();
    assert!(backend.describe(&over).await.is_err());
    assert_eq!(backend.list(&execution()).await.unwrap(), [running]);
}

#[tokio::test]
async fn old_jobs_are_removed_and_young_and_running_ones_stay() {
    let folder = Folder::new();
    let backend = folder.backend();
    assert_eq!(backend.prune(Duration::ZERO).await.unwrap(), 0);
    let running = start(&backend, spec(["sleep", "1000"]), "running").await;
    let over = start(&backend, spec(["true"]), "over").await;
    ended(&backend, &over).await;
    gone(recorded_pid(&folder.job(&over), "shim")).await;
    let half_made = folder.handle("half");
    fs::create_dir(folder.job(&half_made)).unwrap();
    // What a prune leaves that is killed.
    fs::create_dir(folder.jobs().join(".removed-x")).unwrap();

    assert_eq!(backend.prune(Duration::from_secs(3600)).await.unwrap(), 0);
    assert!(folder.job(&over).exists() && folder.job(&half_made).exists());
    assert_eq!(backend.prune(Duration::ZERO).await.unwrap(), 2);
    assert_eq!(backend.describe(&over).await.unwrap(), JobStatus::unknown());
    assert!(!folder.job(&half_made).exists());
    let status = backend.describe(&running).await.unwrap();
    assert_eq!(status.state, JobState::Running);
    let mut left: Vec<_> = fs::read_dir(folder.jobs())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let mut expected = [running.id(), "executions"];
    expected.sort_unstable();
    assert_eq!(left, expected);
}

#[tokio::test]
async fn a_lost_job_is_removed_once_nothing_of_it_runs() {
    let folder = Folder::new();
    let backend = folder.backend();
    let text = "setsid sh -c 'echo $$ > stray; exec sleep 1000' & sleep 1000";
    let handle = start(&backend, script(text), "t").await;
    let stray = folder.pid("stray").await;
    for record in ["shim", "worker"] {
        let pid = recorded_pid(&folder.job(&handle), record);
        kill(pid, Signal::KILL);
        gone(pid).await;
    }
    assert_eq!(backend.prune(Duration::ZERO).await.unwrap(), 0);
    assert!(folder.job(&handle).exists());
    // What is killed is not gone at once, nor is what it forked just then.
    while backend.prune(Duration::ZERO).await.unwrap() == 0 {
        for pid in common::marked(folder.path()) {
            kill(pid, Signal::KILL);
        }
    }
    assert!(!alive(stray));
    assert!(!folder.job(&handle).exists());
    assert!(backend.list(&execution()).await.unwrap().is_empty());
}
