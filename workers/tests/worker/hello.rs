//! The examples, run as the jobs that they are.

use std::time::Duration;

use longhaul_core::{CallbackToken, ExecutionId, Job, JobSpec};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::service::{Call, Service, TOKEN};
use crate::worker::{finish, repository, run, rust_hello, signal, stderr, supervisor};

/// All that a message can hold and a variable can carry.
pub(crate) const MESSAGE: &str = "\"quotes\" 'single' \\back\\slash\\n $HOME `id` %s é 😀\nline\ttab\r\u{1}\u{1b}[0m\u{7f} end\n";

/// The job of a file in `workers/examples`, with another input.
pub(crate) fn job(file: &str, input: Value) -> Job {
    let path = repository().join("workers/examples").join(file);
    let spec: JobSpec = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    spec.validate().unwrap();
    let token = CallbackToken::new(TOKEN).unwrap();
    Job::new(
        spec.with_input(input),
        ExecutionId::from_arn("arn"),
        1,
        &token,
    )
}

/// Gives the worker the environment of the job.
pub(crate) fn with_environment(mut worker: Command, job: &Job) -> Command {
    let token = CallbackToken::new(TOKEN).unwrap();
    worker.envs(job.environment(&token).iter());
    worker
}

/// The supervisor, about to run the job.
pub(crate) fn supervised(service: &Service, job: &Job) -> Command {
    let command = job.spec().command.clone().unwrap();
    with_environment(supervisor(service, &[], command), job)
}

/// The result that was delivered.
pub(crate) fn delivered(service: &Service) -> Value {
    match &service.reports()[..] {
        [Call::Success(result)] => serde_json::from_slice(result).unwrap(),
        other => panic!("not one success: {other:?}"),
    }
}

#[tokio::test]
async fn the_shell_job_prints_what_it_does_and_returns_its_message() {
    let service = Service::up();
    let job = job(
        "hello.json",
        json!({"message": "Test ECS task", "processingTime": 0}),
    );
    let output = run(supervised(&service, &job)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "--- The hello job has started ---\n\
         Message: Test ECS task\n\
         Processing Time: 0 seconds\n\
         Simulating work...\n\
         Result: {\"status\":\"completed\",\"message\":\"Processed: Test ECS task\"}\n"
    );
    let result = json!({"status": "completed", "message": "Processed: Test ECS task"});
    assert_eq!(delivered(&service), result);
}

#[tokio::test]
async fn any_message_survives_the_shell_job_and_the_rust_job() {
    let job = job(
        "hello.json",
        json!({"message": MESSAGE, "processingTime": 0}),
    );
    let result = json!({"status": "completed", "message": format!("Processed: {MESSAGE}")});

    let service = Service::up();
    let output = run(supervised(&service, &job)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(delivered(&service), result);

    let service = Service::up();
    let output = run(with_environment(rust_hello(&service), &job)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(delivered(&service), result);
}

#[tokio::test]
async fn the_shell_job_without_input_has_the_defaults_of_the_sample() {
    let service = Service::up();
    let mut worker = supervised(&service, &job("hello.json", Value::Null));
    worker.env("PROCESSING_TIME", "0").env_remove("MESSAGE");
    run(worker).await;
    let result = delivered(&service);
    assert_eq!(
        result["message"],
        "Processed: Hello from Lambda Durable Function"
    );
}

#[tokio::test]
async fn a_message_with_a_nul_fails_the_shell_job_and_not_the_rust_job() {
    let job = job(
        "hello.json",
        json!({"message": "a\u{0}b", "processingTime": 0}),
    );

    let service = Service::up();
    let output = run(supervised(&service, &job)).await;
    assert_eq!(output.status.code(), Some(2));
    let failure = service.failure();
    assert!(failure.message().contains("holds a NUL"), "{failure:?}");

    let service = Service::up();
    let output = run(with_environment(rust_hello(&service), &job)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(delivered(&service)["message"], "Processed: a\u{0}b");
}

#[tokio::test]
async fn a_processing_time_that_is_no_number_is_a_failure_that_says_so() {
    let input = json!({"message": "m", "processingTime": "soon"});
    let job = job("hello.json", input);

    let service = Service::up();
    let output = run(supervised(&service, &job)).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        service
            .failure()
            .message()
            .ends_with("number of seconds: soon")
    );

    let service = Service::up();
    let output = run(with_environment(rust_hello(&service), &job)).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(service.failure().error_type(), "Longhaul.FailedToStart");
}

#[tokio::test]
async fn the_rust_job_fails_with_a_type_of_its_own() {
    let service = Service::up();
    let job = job("hello.json", json!({"processingTime": -1}));
    let output = run(with_environment(rust_hello(&service), &job)).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(service.failure().error_type(), "BadProcessingTime");
}

#[tokio::test]
async fn the_rust_job_sends_heartbeats_and_answers_sigterm() {
    let service = Service::up();
    let job = job("hello.json", json!({"processingTime": 1000}))
        .with_heartbeat(Some(Duration::from_secs(1)));
    let worker = with_environment(rust_hello(&service), &job)
        .spawn()
        .unwrap();
    service.called(3).await;
    signal(&worker, Signal::TERM);
    let output = finish(worker).await;
    assert_eq!(output.status.code(), Some(143), "{}", stderr(&output));
    let failure = service.failure();
    assert_eq!(failure.error_type(), "Longhaul.Interrupted");
    let data = json!({"signal": 15, "reason": "told to stop at work"});
    assert_eq!(failure.data(), data);
}

#[tokio::test]
async fn the_rust_job_without_a_callback_says_what_is_missing() {
    let service = Service::up();
    let mut worker = rust_hello(&service);
    worker.env_remove("CALLBACK_ID");
    let output = run(worker).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("CALLBACK_ID is not set"));
}
