//! What the backend knows of a job: how it runs, and exactly how it ended.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::time::{Duration, SystemTime};

use common::{Folder, alive, ended, gone, kill, recorded_pid, script, spec, start};
use longhaul_core::{ComputeBackend, FailureClass, JobHandle, JobState, JobStatus};
use rustix::process::Signal;

fn class(status: &JobStatus) -> FailureClass {
    status.failure.as_ref().unwrap().class
}

#[tokio::test]
async fn a_running_job_has_a_pid_a_start_time_and_logs() {
    let folder = Folder::new();
    let backend = folder.backend();
    let before = SystemTime::now() - Duration::from_millis(1);
    let handle = start(
        &backend,
        script("echo $$ > pid; echo out; exec sleep 1000"),
        "t",
    )
    .await;
    let pid = folder.pid("pid").await;
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Running);
    assert_eq!(status.failure, None);
    assert_eq!(backend.pid(&handle), Some(pid));
    let started = status.started_at.unwrap();
    assert!(before <= started && started <= SystemTime::now());
    assert_eq!(status.ended_at, None);
    let logs = backend.logs(&handle).unwrap();
    assert_eq!(status.logs, Some(logs.stderr.display().to_string()));
    common::eventually("the output", || {
        (fs::read_to_string(&logs.stdout).ok()? == "out\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_exit_code_other_than_0_is_a_failure_with_the_end_of_standard_error() {
    let folder = Folder::new();
    let backend = folder.backend();
    let text = "yes 0123456789 | head -n 1000 >&2; echo 'the end 😀' >&2; exit 3";
    let handle = start(&backend, script(text), "t").await;
    let status = ended(&backend, &handle).await;
    assert_eq!(class(&status), FailureClass::Failed);
    assert_eq!((status.exit_code, status.signal), (Some(3), None));
    let failure = status.failure.unwrap();
    assert_eq!(failure.exit_code, Some(3));
    let stderr = failure.stderr.unwrap();
    assert!(stderr.ends_with("the end 😀\n"), "{stderr}");
    assert!((4000..=4096).contains(&stderr.len()), "{}", stderr.len());
    assert_eq!(failure.logs, status.logs);
    assert!(status.started_at.unwrap() <= status.ended_at.unwrap());
    assert_eq!(backend.pid(&handle), None);
}

#[tokio::test]
async fn exit_code_0_without_a_callback_is_a_lost_job() {
    let folder = Folder::new();
    let backend = folder.backend();
    let handle = start(&backend, spec(["true"]), "t").await;
    let status = ended(&backend, &handle).await;
    assert_eq!(class(&status), FailureClass::Lost);
    assert_eq!(status.exit_code, Some(0));
    assert!(status.reason.unwrap().contains("callback"));
}

#[tokio::test]
async fn a_killed_worker_is_a_lost_job_and_its_children_are_gone() {
    let folder = Folder::new();
    let backend = folder.backend();
    let text = "(trap '' TERM; echo $$ > /dev/null; sleep 1000 & echo $! > child; wait) & \
                setsid sh -c 'trap \"\" TERM HUP; echo $$ > stray; sleep 1000 & wait' & \
                wait";
    let handle = start(&backend, script(text), "t").await;
    let (child, stray) = (folder.pid("child").await, folder.pid("stray").await);
    let worker = backend.pid(&handle).unwrap();
    assert!(alive(child) && alive(stray));
    kill(worker, Signal::KILL);
    let status = ended(&backend, &handle).await;
    assert_eq!(class(&status), FailureClass::Lost);
    assert_eq!((status.exit_code, status.signal), (None, Some(9)));
    assert!(!alive(child) && !alive(stray));
    let shim = recorded_pid(&folder.job(&handle), "shim");
    gone(shim).await;
    assert!(common::marked(folder.path()).is_empty());
}

#[tokio::test]
async fn a_worker_that_leaves_a_daemon_behind_ends_with_it() {
    let folder = Folder::new();
    let backend = folder.backend();
    let text = "setsid sh -c 'echo $$ > daemon; exec sleep 1000' & \
                while [ ! -s daemon ]; do :; done; exit 0";
    let handle = start(&backend, script(text), "t").await;
    let status = ended(&backend, &handle).await;
    assert_eq!(status.exit_code, Some(0));
    assert!(!alive(folder.pid("daemon").await));
}

#[tokio::test]
async fn sigterm_from_outside_is_an_interruption() {
    let folder = Folder::new();
    let backend = folder.backend();
    let worker = start(&backend, spec(["sleep", "1000"]), "worker").await;
    kill(backend.pid(&worker).unwrap(), Signal::TERM);
    let status = ended(&backend, &worker).await;
    assert_eq!(class(&status), FailureClass::Interrupted);
    assert_eq!(status.signal, Some(15));

    // As at a shutdown, where every process gets it.
    let text = "trap 'echo told > told; exit 0' TERM; echo ready > ready; sleep 1000 & wait";
    let shim = start(&backend, script(text), "shim").await;
    folder.line("ready").await;
    kill(recorded_pid(&folder.job(&shim), "shim"), Signal::TERM);
    let status = ended(&backend, &shim).await;
    assert_eq!(class(&status), FailureClass::Interrupted);
    assert_eq!(status.exit_code, Some(0));
    assert_eq!(folder.read("told"), "told\n");
}

#[tokio::test]
async fn signals_of_a_terminal_do_not_reach_a_job() {
    let folder = Folder::new();
    let backend = folder.backend();
    let text = "echo ready > ready; while [ ! -e go ]; do sleep 0.01; done; exit 7";
    let handle = start(&backend, script(text), "t").await;
    folder.line("ready").await;
    let shim = recorded_pid(&folder.job(&handle), "shim");
    kill(shim, Signal::INT);
    kill(shim, Signal::HUP);
    fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(ended(&backend, &handle).await.exit_code, Some(7));
}

#[tokio::test]
async fn a_job_is_detached_from_its_starter() {
    let folder = Folder::new();
    let backend = folder.backend();
    let handle = start(&backend, spec(["sleep", "1000"]), "t").await;
    let shim = recorded_pid(&folder.job(&handle), "shim");
    let worker = backend.pid(&handle).unwrap();
    let session = |pid| common::stat(pid).unwrap()[3].clone();
    assert_eq!(session(shim), shim.to_string());
    assert_eq!(session(worker), shim.to_string());
    let group = common::stat(worker).unwrap()[2].clone();
    assert_eq!(group, worker.to_string());
}

#[tokio::test]
async fn a_shim_that_ended_is_no_zombie_of_its_starter() {
    let folder = Folder::new();
    let backend = folder.backend();
    let handle = start(&backend, spec(["true"]), "t").await;
    ended(&backend, &handle).await;
    let shim = recorded_pid(&folder.job(&handle), "shim");
    common::eventually("the end of the zombie", || {
        common::stat(shim).is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_job_whose_shim_was_killed_runs_until_it_is_lost() {
    let folder = Folder::new();
    let backend = folder.backend();
    let handle = start(&backend, spec(["sleep", "1000"]), "t").await;
    let shim = recorded_pid(&folder.job(&handle), "shim");
    let worker = backend.pid(&handle).unwrap();
    kill(shim, Signal::KILL);
    gone(shim).await;
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Running);
    assert!(
        status
            .reason
            .unwrap()
            .contains("exit code will not be known")
    );
    kill(worker, Signal::KILL);
    gone(worker).await;
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Ended);
    assert_eq!(class(&status), FailureClass::Lost);
    assert_eq!((status.exit_code, status.signal), (None, None));
    assert!(status.reason.unwrap().contains("its shim"));
}

#[tokio::test]
async fn a_job_from_before_the_machines_restart_is_lost() {
    let folder = Folder::new();
    let backend = folder.backend();
    let handle = start(&backend, spec(["sleep", "1000"]), "t").await;
    let shim = recorded_pid(&folder.job(&handle), "shim");
    kill(shim, Signal::KILL);
    gone(shim).await;
    common::rewrite(&folder.job(&handle), |name, mut entry| {
        if ["shim", "worker"].contains(&name) {
            entry["boot"] = "another boot".into();
        }
        Some(entry)
    });
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(class(&status), FailureClass::Lost);
    assert!(status.reason.unwrap().contains("restarted"));
    assert_eq!(backend.list(&common::execution()).await.unwrap(), []);
    assert_eq!(backend.pid(&handle), None);
}

#[tokio::test]
async fn a_job_that_is_being_cancelled_is_stopping() {
    let folder = Folder::new();
    let backend = folder.backend();
    let text = "trap 'echo told > told' TERM; echo ready > ready; while :; do sleep 0.05; done";
    let handle = start(&backend, script(text), "t").await;
    folder.line("ready").await;
    let (canceller, job) = (backend.clone(), handle.clone());
    let cancel = tokio::spawn(async move { canceller.cancel(&job, "no longer needed").await });
    folder.line("told").await;
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Stopping);
    assert_eq!(status.reason.as_deref(), Some("no longer needed"));
    kill(backend.pid(&handle).unwrap(), Signal::KILL);
    cancel.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_job_that_was_never_started_is_unknown_and_a_half_made_one_pending() {
    let folder = Folder::new();
    let backend = folder.backend();
    let handle = folder.handle("t");
    assert_eq!(
        backend.describe(&handle).await.unwrap(),
        JobStatus::unknown()
    );
    assert_eq!(backend.logs(&handle), None);
    fs::create_dir_all(folder.job(&handle)).unwrap();
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Pending);
}

#[tokio::test]
async fn a_handle_that_is_no_start_key_leads_nowhere() {
    let folder = Folder::new();
    let backend = folder.backend();
    for id in ["", "..", "../../etc", "ABC", "x/y"] {
        let handle = JobHandle::new("process", id);
        assert_eq!(
            backend.describe(&handle).await.unwrap(),
            JobStatus::unknown()
        );
        assert_eq!(backend.logs(&handle), None);
        assert_eq!(backend.pid(&handle), None);
    }
}
