//! Commands that are told to end: nobody listens, the machine goes away, time is up.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::service::{Answer, CLOSED, Call, Service};
use crate::worker::{finish, gone, line_in, run, script, signal, stderr};

/// A script that tells its process number in a file, and then waits for a long time; with what
/// it does on SIGTERM.
fn waiting(file: &Path, on_term: &str) -> String {
    format!(
        "trap '{on_term}' TERM; echo $$ >{}; while :; do sleep 1000 & wait; done",
        file.display()
    )
}

fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pid");
    (folder, file)
}

#[tokio::test]
async fn a_command_is_ended_when_the_callback_is_closed() {
    let (_folder, file) = place();
    let told = file.clone();
    // The callback is closed once the command runs.
    let service = Service::with(move |_, _| {
        if told.exists() {
            CLOSED
        } else {
            Answer::Accepted
        }
    });
    let mut worker = script(&service, &[], &waiting(&file, "echo ended; exit 0"));
    worker.env("LONGHAUL_HEARTBEAT_SECONDS", "1");
    let output = run(worker).await;
    assert_eq!(output.status.code(), Some(76), "{}", stderr(&output));
    assert_eq!(output.stdout, b"ended\n");
    assert_eq!(service.reports(), []);
    gone(&line_in(&file).await).await;
}

#[tokio::test]
async fn a_command_that_ignores_sigterm_is_killed_after_the_grace() {
    let (_folder, file) = place();
    let told = file.clone();
    let service = Service::with(move |_, _| {
        if told.exists() {
            CLOSED
        } else {
            Answer::Accepted
        }
    });
    let mut worker = script(&service, &["--grace", "100ms"], &waiting(&file, ""));
    worker.env("LONGHAUL_HEARTBEAT_SECONDS", "1");
    let start = Instant::now();
    let output = run(worker).await;
    assert_eq!(output.status.code(), Some(76), "{}", stderr(&output));
    assert!(start.elapsed() < Duration::from_secs(20));
    gone(&line_in(&file).await).await;
}

#[tokio::test]
async fn sigterm_and_sigint_reach_the_command_as_sigterm_and_are_an_interruption() {
    for (sent, number) in [(Signal::TERM, 15), (Signal::INT, 2)] {
        let (_folder, file) = place();
        let service = Service::up();
        let command = waiting(&file, "echo saved >&2; exit 9");
        let worker = script(&service, &[], &command).spawn().unwrap();
        line_in(&file).await;
        signal(&worker, sent);
        let output = finish(worker).await;
        assert_eq!(
            output.status.code(),
            Some(128 + number),
            "{}",
            stderr(&output)
        );
        let failure = service.failure();
        assert_eq!(failure.error_type(), "Longhaul.Interrupted");
        let data = json!({"signal": number, "exit_code": 9, "stderr": "saved"});
        assert_eq!(failure.data(), data);
        gone(&line_in(&file).await).await;
    }
}

#[tokio::test]
async fn an_interruption_is_reported_even_when_the_command_has_to_be_killed() {
    let (_folder, file) = place();
    let service = Service::up();
    let mut worker = script(&service, &[], &waiting(&file, ""));
    worker.env("LONGHAUL_GRACE_SECONDS", "0");
    let worker = worker.spawn().unwrap();
    line_in(&file).await;
    signal(&worker, Signal::TERM);
    let output = finish(worker).await;
    assert_eq!(output.status.code(), Some(143), "{}", stderr(&output));
    assert_eq!(service.failure().error_type(), "Longhaul.Interrupted");
    gone(&line_in(&file).await).await;
}

#[tokio::test]
async fn a_command_that_finishes_its_work_when_it_is_told_to_end_has_succeeded() {
    let (_folder, file) = place();
    let service = Service::up();
    let finish_work = "echo 7 >\"$LONGHAUL_RESULT_FILE\"; exit 0";
    let worker = script(&service, &[], &waiting(&file, finish_work))
        .spawn()
        .unwrap();
    line_in(&file).await;
    signal(&worker, Signal::TERM);
    let output = finish(worker).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(service.reports(), [Call::Success(b"7\n".to_vec())]);
}

#[tokio::test]
async fn a_signal_bounds_the_delivery_to_a_service_that_is_down() {
    let (_folder, file) = place();
    let service = Service::down(|_, _| Answer::Accepted);
    let worker = script(&service, &[], &waiting(&file, "exit 1"))
        .spawn()
        .unwrap();
    line_in(&file).await;
    let start = Instant::now();
    signal(&worker, Signal::TERM);
    let output = finish(worker).await;
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    // ECS kills a container 30 s after SIGTERM.
    assert!(
        start.elapsed() < Duration::from_secs(25),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_command_is_ended_when_its_timeout_has_passed() {
    let (_folder, file) = place();
    let service = Service::up();
    let mut worker = script(&service, &[], &waiting(&file, "exit 1"));
    worker.env("LONGHAUL_TIMEOUT_SECONDS", "4");
    let output = run(worker).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(service.failure().error_type(), "Longhaul.TimedOut");
    gone(&line_in(&file).await).await;
}

#[tokio::test]
async fn heartbeats_keep_coming_while_the_command_runs() {
    let (_folder, file) = place();
    let service = Service::up();
    let mut worker = script(&service, &[], &waiting(&file, "exit 1"));
    worker.env("LONGHAUL_HEARTBEAT_SECONDS", "1");
    let start = Instant::now();
    let worker = worker.spawn().unwrap();
    service.called(5).await;
    // The first at once, the other four a third of a second apart.
    assert!(start.elapsed() >= Duration::from_millis(1_300));
    assert_eq!(service.reports(), []);
    signal(&worker, Signal::TERM);
    finish(worker).await;
}
