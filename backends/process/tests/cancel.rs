//! Cancelling: nothing of the job is left, and nothing else is touched.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::{
    Folder, alive, execution, gone, job, kill, marked, recorded_pid, script, spec, start,
};
use longhaul_core::{
    BackendErrorKind, CancelOutcome, ComputeBackend, FailureClass, JobHandle, JobState,
};
use longhaul_process::ProcessBackend;
use rustix::process::Signal;

/// A worker, a child of it, and a grandchild in a session of its own; none heeds SIGTERM.
const STUBBORN: &str = "trap '' TERM HUP; \
    (while :; do sleep 1; done) & echo $! > child; \
    setsid sh -c 'echo $$ > stray; while :; do sleep 1; done' & \
    while :; do sleep 1; done";

async fn cancel(backend: &ProcessBackend, handle: &JobHandle) -> CancelOutcome {
    backend.cancel(handle, "no longer needed").await.unwrap()
}

#[tokio::test]
async fn a_cancelled_job_is_gone_and_says_so() {
    let folder = Folder::new();
    let backend = folder.backend();
    let handle = start(&backend, spec(["sleep", "1000"]), "t").await;
    assert_eq!(cancel(&backend, &handle).await, CancelOutcome::Cancelled);
    assert!(marked(folder.path()).is_empty());
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Ended);
    assert_eq!(status.reason.as_deref(), Some("no longer needed"));
    assert_eq!(status.signal, Some(15));
    assert_eq!(status.failure.unwrap().class, FailureClass::Cancelled);
    assert_eq!(cancel(&backend, &handle).await, CancelOutcome::AlreadyEnded);
    assert!(backend.list(&execution()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_job_may_clean_up_within_its_grace() {
    let folder = Folder::new();
    let backend = folder.backend();
    let text = "trap 'echo cleaned > cleaned; exit 9' TERM; echo ready > ready; sleep 1000 & wait";
    let handle = start(&backend, script(text), "t").await;
    folder.line("ready").await;
    let before = Instant::now();
    assert_eq!(cancel(&backend, &handle).await, CancelOutcome::Cancelled);
    assert!(
        before.elapsed() < Duration::from_secs(5),
        "waited for the whole grace"
    );
    assert_eq!(folder.read("cleaned"), "cleaned\n");
    assert_eq!(backend.describe(&handle).await.unwrap().exit_code, Some(9));
    assert!(marked(folder.path()).is_empty());
}

#[tokio::test]
async fn processes_that_ignore_sigterm_or_left_the_session_are_killed() {
    let folder = Folder::new();
    let grace = Duration::from_millis(200);
    let backend = ProcessBackend::new(folder.config().with_grace(grace));
    let handle = start(&backend, script(STUBBORN), "t").await;
    let (child, stray) = (folder.pid("child").await, folder.pid("stray").await);
    let before = Instant::now();
    assert_eq!(cancel(&backend, &handle).await, CancelOutcome::Cancelled);
    assert!(before.elapsed() >= grace, "did not wait for the grace");
    assert!(!alive(child) && !alive(stray));
    assert!(marked(folder.path()).is_empty());
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.signal, Some(9));
    assert_eq!(status.failure.unwrap().class, FailureClass::Cancelled);
}

#[tokio::test]
async fn the_grace_is_the_one_that_the_job_was_started_with() {
    let folder = Folder::new();
    let starter = ProcessBackend::new(folder.config().with_grace(Duration::ZERO));
    let handle = start(&starter, script(STUBBORN), "t").await;
    folder.pid("stray").await;
    let other = ProcessBackend::new(folder.config().with_grace(Duration::from_secs(600)));
    let before = Instant::now();
    assert_eq!(cancel(&other, &handle).await, CancelOutcome::Cancelled);
    assert!(before.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_job_that_ended_is_no_error_and_keeps_its_end() {
    let folder = Folder::new();
    let backend = folder.backend();
    let handle = start(&backend, script("exit 3"), "t").await;
    common::ended(&backend, &handle).await;
    assert_eq!(cancel(&backend, &handle).await, CancelOutcome::AlreadyEnded);
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.failure.unwrap().class, FailureClass::Failed);
}

#[tokio::test]
async fn an_unknown_job_is_no_error_and_another_backends_is() {
    let folder = Folder::new();
    let backend = folder.backend();
    let unknown = folder.handle("t");
    for handle in [unknown, JobHandle::new("process", "../../..")] {
        assert_eq!(cancel(&backend, &handle).await, CancelOutcome::NotFound);
    }
    assert!(!folder.jobs().exists());
    for handle in [
        JobHandle::new("ecs", "x"),
        JobHandle::with_version("process", 2, "x"),
    ] {
        let error = backend.cancel(&handle, "r").await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Unsupported);
    }
}

#[tokio::test]
async fn concurrent_cancels_all_succeed() {
    let folder = Folder::new();
    let backend = folder.backend();
    let handle = start(&backend, spec(["sleep", "1000"]), "t").await;
    let cancels: Vec<_> = (0..8)
        .map(|_| {
            let (backend, handle) = (folder.backend(), handle.clone());
            tokio::spawn(async move { cancel(&backend, &handle).await })
        })
        .collect();
    for cancelled in cancels {
        assert_ne!(cancelled.await.unwrap(), CancelOutcome::NotFound);
    }
    assert!(marked(folder.path()).is_empty());
}

#[tokio::test]
async fn a_job_cancelled_before_it_started_never_starts() {
    let folder = Folder::new();
    let backend = folder.backend();
    let token = folder.token("t");
    let handle = folder.handle("t");
    fs::create_dir_all(folder.job(&handle)).unwrap();
    assert_eq!(cancel(&backend, &handle).await, CancelOutcome::Cancelled);
    let started = backend
        .start(&job(script("touch ran"), &token), &token)
        .await
        .unwrap();
    assert_eq!(started, handle);
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.failure.unwrap().class, FailureClass::Cancelled);
    assert_eq!(status.exit_code, None);
    assert!(!folder.path().join("ran").exists());
}

#[tokio::test]
async fn a_cancel_that_was_killed_once_it_was_written_down_still_forestalls_the_job() {
    let folder = Folder::new();
    let backend = folder.backend();
    let (token, handle) = (folder.token("t"), folder.handle("t"));
    fs::create_dir_all(folder.job(&handle)).unwrap();
    let record = r#"{"reason":"no longer needed","at":0}"#;
    fs::write(folder.job(&handle).join("cancel.json"), record).unwrap();
    let job = job(script("touch ran"), &token);
    assert_eq!(backend.start(&job, &token).await.unwrap(), handle);
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.failure.unwrap().class, FailureClass::Cancelled);
    assert_eq!(status.reason.as_deref(), Some("no longer needed"));
    assert!(!folder.path().join("ran").exists());
}

#[tokio::test]
async fn a_cancel_and_a_start_at_once_leave_nothing_running() {
    for _ in 0..10 {
        let folder = Folder::new();
        let (backend, token) = (folder.backend(), folder.token("t"));
        let handle = folder.handle("t");
        let job = job(spec(["sleep", "1000"]), &token);
        let starter = backend.clone();
        let starting = tokio::spawn(async move { starter.start(&job, &token).await });
        common::eventually("the directory", || {
            folder.job(&handle).exists().then_some(())
        })
        .await;
        assert_eq!(cancel(&backend, &handle).await, CancelOutcome::Cancelled);
        assert_eq!(starting.await.unwrap().unwrap(), handle);
        let status = backend.describe(&handle).await.unwrap();
        assert_eq!(status.failure.unwrap().class, FailureClass::Cancelled);
        common::eventually("the end of all processes", || {
            marked(folder.path()).is_empty().then_some(())
        })
        .await;
    }
}

/// A process that has nothing to do with any job, ended with its test.
struct Stranger(Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_recycled_pid_is_never_signalled() {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let mut stranger = Stranger(Command::new("sleep").arg("1000").spawn().unwrap());
    let pid = stranger.0.id();
    let started: u64 = common::stat(pid).unwrap()[19].parse().unwrap();
    for (boot, started) in [
        (boot.trim(), started - 1),
        (boot.trim(), started + 1),
        ("another boot", started),
    ] {
        let folder = Folder::new();
        let backend = folder.backend();
        let handle = start(&backend, spec(["sleep", "1000"]), "t").await;
        let directory = folder.job(&handle);
        for record in ["worker", "shim"] {
            kill(recorded_pid(&directory, record), Signal::KILL);
        }
        common::eventually("the end of the job", || {
            marked(folder.path()).is_empty().then_some(())
        })
        .await;
        common::rewrite(&directory, |name, mut entry| {
            if ["shim", "worker"].contains(&name) {
                entry["boot"] = boot.into();
                entry["pid"] = pid.into();
                entry["started"] = started.into();
            }
            // The shim may have seen its worker end before it was killed itself.
            (name != "exit").then_some(entry)
        });
        assert_eq!(backend.pid(&handle), None);
        assert_eq!(cancel(&backend, &handle).await, CancelOutcome::AlreadyEnded);
        assert!(
            stranger.0.try_wait().unwrap().is_none(),
            "the stranger was ended"
        );
    }
    // The same records with the right start time do name the process: the test can fail.
    let folder = Folder::new();
    let backend = folder.backend();
    let handle = folder.handle("t");
    fs::create_dir_all(folder.job(&handle)).unwrap();
    let record = serde_json::json!({"boot": boot.trim(), "pid": pid, "started": started, "at": 0});
    let entry = serde_json::json!({"worker": record});
    fs::write(common::journal(&folder.job(&handle)), format!("{entry}\n")).unwrap();
    assert_eq!(backend.pid(&handle), Some(pid));
}

#[tokio::test]
async fn what_a_killed_shim_left_is_found_and_ended() {
    let folder = Folder::new();
    let backend = ProcessBackend::new(folder.config().with_grace(Duration::from_millis(200)));
    // This one does not carry the start key; it is found below one that does.
    let bare = "(trap '' TERM HUP; exec env -i TEST_FOLDER=\"$TEST_FOLDER\" sleep 1000) & echo $! > bare; ";
    let handle = start(&backend, script(&format!("{bare}{STUBBORN}")), "t").await;
    let (child, stray) = (folder.pid("child").await, folder.pid("stray").await);
    let bare = folder.pid("bare").await;
    let worker = backend.pid(&handle).unwrap();
    let shim = recorded_pid(&folder.job(&handle), "shim");
    kill(shim, Signal::KILL);
    gone(shim).await;
    let listed = backend.list(&execution()).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&handle));
    assert_eq!(cancel(&backend, &handle).await, CancelOutcome::Cancelled);
    assert!([worker, child, stray, bare].iter().all(|pid| !alive(*pid)));
    assert!(marked(folder.path()).is_empty());
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.failure.unwrap().class, FailureClass::Cancelled);
    assert!(backend.list(&execution()).await.unwrap().is_empty());
    assert_eq!(cancel(&backend, &handle).await, CancelOutcome::AlreadyEnded);
}

#[tokio::test]
async fn what_a_lost_job_left_is_listed_until_a_cancel_has_ended_it() {
    let folder = Folder::new();
    let backend = ProcessBackend::new(folder.config().with_grace(Duration::from_millis(100)));
    let handle = start(&backend, script(STUBBORN), "t").await;
    let stray = folder.pid("stray").await;
    for record in ["shim", "worker"] {
        let pid = recorded_pid(&folder.job(&handle), record);
        kill(pid, Signal::KILL);
        gone(pid).await;
    }
    assert!(alive(stray));
    let listed = backend.list(&execution()).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&handle));
    cancel(&backend, &handle).await;
    assert!(marked(folder.path()).is_empty());
    assert!(backend.list(&execution()).await.unwrap().is_empty());
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.failure.unwrap().class, FailureClass::Lost);
}

#[tokio::test]
async fn a_job_that_does_not_end_in_time_is_an_error_that_may_be_tried_again() {
    let folder = Folder::new();
    let backend = ProcessBackend::new(folder.config().with_grace(Duration::ZERO));
    let handle = start(&backend, spec(["sleep", "1000"]), "t").await;
    let shim = recorded_pid(&folder.job(&handle), "shim");
    kill(shim, Signal::STOP);
    let error = backend.cancel(&handle, "r").await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unavailable);
    kill(shim, Signal::CONT);
    let outcome = cancel(&backend, &handle).await;
    assert!(matches!(
        outcome,
        CancelOutcome::Cancelled | CancelOutcome::AlreadyEnded
    ));
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.failure.unwrap().class, FailureClass::Cancelled);
    assert!(marked(folder.path()).is_empty());
}
