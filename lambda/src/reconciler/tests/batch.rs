//! What each end of a Batch job comes to.

use super::*;

const LOGS: &str = "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Faws$252Fbatch$252Fjob/log-events/render$252Fdefault$252F0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// Asserts the exact callback of the event, and how many seconds after its arrival, which is 2 s
/// after the end.
async fn assert_failed(event: Value, after: u64, error_type: &str, message: &str, data: Value) {
    let (job, slept, sent) = failed(event).await;
    assert_eq!(job, JOB);
    assert_eq!(sent, (error_type.to_owned(), message.to_owned(), data));
    assert_eq!(slept, Duration::from_secs(after));
}

#[tokio::test]
async fn a_job_that_succeeded_and_said_nothing_is_lost_after_the_grace() {
    assert_failed(
        event!("batch-succeeded"),
        28,
        "Longhaul.Lost",
        "the container ended with exit code 0 and never completed its callback",
        json!({"exit_code": 0, "reason": "Essential container in task exited", "logs": LOGS}),
    )
    .await;
}

#[tokio::test]
async fn a_job_that_exited_with_another_code_failed_with_it_after_a_moment() {
    assert_failed(
        event!("batch-exit-1"),
        3,
        "Longhaul.Failed",
        "the container ended with an exit code other than 0",
        json!({"exit_code": 1, "reason": "Essential container in task exited", "logs": LOGS}),
    )
    .await;
}

#[tokio::test]
async fn a_job_that_ran_out_of_memory_is_told_at_once() {
    assert_failed(
        event!("batch-out-of-memory"),
        0,
        "Longhaul.OutOfMemory",
        "the container used more memory than it was given: ask for more in resources.memory_mib",
        json!({
            "exit_code": 137,
            "reason": "Essential container in task exited; OutOfMemoryError: Container killed due to memory usage",
            "logs": LOGS,
        }),
    )
    .await;
}

#[tokio::test]
async fn a_machine_that_was_taken_away_is_told_at_once() {
    assert_failed(
        event!("batch-host-terminated"),
        0,
        "Longhaul.Interrupted",
        "the machine that the container ran on was taken away",
        json!({"reason": "Host EC2 (instance i-0a1b2c3d4e5f60718) terminated.", "logs": LOGS}),
    )
    .await;
}

#[tokio::test]
async fn a_timeout_of_batch_is_told_at_once() {
    assert_failed(
        event!("batch-timeout"),
        0,
        "Longhaul.TimedOut",
        "Batch ended the container after the job's timeout",
        json!({"exit_code": 137, "reason": "Job attempt duration exceeded timeout", "logs": LOGS}),
    )
    .await;
}

#[tokio::test]
async fn the_end_of_a_starts_second_job_does_not_fail_the_callback_of_the_first() {
    let said = ignored(event!("batch-twin")).await;
    assert_eq!(
        said,
        format!("job {JOB} was the second of one start, and the first runs on")
    );
}

#[tokio::test]
async fn jobs_of_others_are_ignored() {
    for (event, why) in [
        (event!("batch-foreign"), "its name says so"),
        (
            event!("batch-other-token"),
            "its start key is not that of its CALLBACK_ID",
        ),
    ] {
        let said = ignored(event).await;
        assert_eq!(said, format!("job {JOB} is not ours: {why}"));
    }
    let said = ignored(event!("batch-other-queue")).await;
    assert_eq!(said, format!("job {JOB} is in another queue"));
    let said = ignored(event!("batch-other-definition")).await;
    assert_eq!(said, format!("job {JOB} is of another job definition"));
}

#[tokio::test]
async fn a_job_that_runs_is_ignored() {
    let said = ignored(event!("batch-running")).await;
    assert_eq!(said, format!("job {JOB} has not ended yet"));
}

#[tokio::test]
async fn events_of_a_backend_that_is_not_enabled_are_ignored() {
    let runner = JobRunner::new(Arc::new(backend("ecs")));
    let only_ecs = Reconciler::new(runner, Arc::new(MockCallbackApi::new()))
        .with_events(Arc::new(EcsEvents::new(ecs_config())));
    let done = only_ecs.handle(event!("batch-exit-1")).await.unwrap();
    assert!(matches!(done, Reconciled::Ignored { .. }), "{done:?}");
}
