//! The Python examples. They need an interpreter with boto3, which `LONGHAUL_TEST_PYTHON` names;
//! without it each test says so on standard error and passes.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::process::Command;

use crate::hello::{MESSAGE, delivered, job, with_environment};
use crate::service::{Answer, CLOSED, Call, Service};
use crate::worker::{finish, run, signal, stderr, supervisor, worker};

const HELLO: &str = "workers/examples/hello.py";
const SELF_WORKER: &str = "workers/examples/self_worker.py";

/// The interpreter to test with.
pub(crate) fn python() -> Option<String> {
    let python = std::env::var("LONGHAUL_TEST_PYTHON").ok();
    if python.is_none() {
        eprintln!("not run: set LONGHAUL_TEST_PYTHON to a python that has boto3");
    }
    python
}

/// `self_worker.py` as a worker of `service`.
pub(crate) fn self_worker(python: &str, service: &Service) -> Command {
    let mut worker = worker(service, python);
    worker
        .arg(SELF_WORKER)
        // boto3 has no placeholder for a service on loopback.
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local");
    worker
}

#[tokio::test]
async fn any_message_survives_both_python_jobs() {
    let Some(python) = python() else { return };
    // A NUL cannot be in a variable of its own, but in the JSON of the input it can.
    let message = format!("{MESSAGE}\u{0}");
    let job = job(
        "hello-python.json",
        json!({"message": message, "processingTime": 0}),
    );
    let result = json!({"status": "completed", "message": format!("Processed: {message}")});

    let service = Service::up();
    let hello = supervisor(&service, &[], [&python, HELLO]);
    let output = run(with_environment(hello, &job)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(delivered(&service), result);

    let service = Service::up();
    let output = run(with_environment(self_worker(&python, &service), &job)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(delivered(&service), result);
}

#[tokio::test]
async fn an_exception_is_a_failure_with_its_last_line() {
    let Some(python) = python() else { return };
    let job = job("hello-python.json", json!({"processingTime": -1}));

    let service = Service::up();
    let hello = supervisor(&service, &[], [&python, HELLO]);
    let output = run(with_environment(hello, &job)).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let failure = service.failure();
    assert_eq!(failure.error_type(), "Longhaul.Failed");
    assert!(failure.message().starts_with("ValueError: "), "{failure:?}");

    let service = Service::up();
    let output = run(with_environment(self_worker(&python, &service), &job)).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(service.failure().error_type(), "ValueError");
}

#[tokio::test]
async fn the_self_worker_tries_on_when_the_service_is_broken() {
    let Some(python) = python() else { return };
    let service = Service::with(|call, before| match call {
        Call::Success(_) if before.iter().filter(|c| *c == call).count() < 2 => {
            Answer::Error(500, "ServiceException")
        }
        _ => Answer::Accepted,
    });
    let job = job("hello-python.json", json!({"processingTime": 0}));
    let output = run(with_environment(self_worker(&python, &service), &job)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(service.reports().len(), 3);
}

#[tokio::test]
async fn the_self_worker_sends_heartbeats_and_answers_sigterm() {
    let Some(python) = python() else { return };
    let service = Service::up();
    let job = job("hello-python.json", json!({"processingTime": 1000}))
        .with_heartbeat(Some(Duration::from_secs(1)));
    let worker = with_environment(self_worker(&python, &service), &job).spawn();
    let worker = worker.unwrap();
    service.called(3).await;
    signal(&worker, Signal::TERM);
    let output = finish(worker).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let failure = service.failure();
    assert_eq!(failure.error_type(), "Longhaul.Interrupted");
    assert_eq!(failure.data(), json!({"signal": 15}));
}

#[tokio::test]
async fn the_self_worker_ends_when_the_callback_is_closed() {
    let Some(python) = python() else { return };
    let service = Service::with(|_, before| {
        if before.len() < 2 {
            Answer::Accepted
        } else {
            CLOSED
        }
    });
    let job = job("hello-python.json", json!({"processingTime": 1000}))
        .with_heartbeat(Some(Duration::from_secs(1)));
    let output = run(with_environment(self_worker(&python, &service), &job)).await;
    assert_eq!(output.status.code(), Some(76), "{}", stderr(&output));
    assert_eq!(service.reports(), []);
}

#[cfg(feature = "payload")]
#[tokio::test]
async fn both_python_jobs_take_a_large_input_from_the_payload_store() {
    let Some(python) = python() else { return };
    let store = crate::payload::Store::new();
    let input = json!({"message": "m", "processingTime": 0, "frames": "x".repeat(300 * 1024)});
    let job = store.with_input(input).await;
    let result = json!({"status": "completed", "message": "Processed: m"});

    let service = Service::up();
    let hello = supervisor(&service, &[], [&python, HELLO]);
    let output = run(with_environment(hello, &job)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(delivered(&service), result);

    let service = Service::up();
    let output = run(with_environment(self_worker(&python, &service), &job)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(delivered(&service), result);

    for (change, part) in [(true, "not what was put"), (false, "No such file")] {
        let file = store.input_file(&job);
        if change {
            std::fs::write(file, "{}").unwrap();
        } else {
            std::fs::remove_file(file).unwrap();
        }
        let service = Service::up();
        let output = run(with_environment(self_worker(&python, &service), &job)).await;
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let failure = service.failure();
        assert_eq!(failure.error_type(), "Longhaul.FailedToStart");
        assert!(failure.message().contains(part), "{failure:?}");
    }
}
