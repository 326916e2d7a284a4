//! What each end of an ECS task comes to.

use super::*;

const LOGS: &str = "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Fjobs/log-events/ecs$252Fworker$252Fc13b4cb40f1f4fe4a2971f76ae5a47ad";

/// Asserts the exact callback of the event, and how many seconds after its arrival, which is 2 s
/// after the end.
async fn assert_failed(event: Value, after: u64, error_type: &str, message: &str, data: Value) {
    let (job, slept, sent) = failed(event).await;
    assert_eq!(job, TASK);
    assert_eq!(sent, (error_type.to_owned(), message.to_owned(), data));
    assert_eq!(slept, Duration::from_secs(after));
}

#[tokio::test]
async fn a_task_that_exited_with_0_and_said_nothing_is_lost_after_the_grace() {
    assert_failed(
        event!("ecs-exit-0"),
        28,
        "Longhaul.Lost",
        "the worker ended with exit code 0 and did not complete its callback",
        json!({"exit_code": 0, "reason": "Essential container in task exited", "logs": LOGS}),
    )
    .await;
}

#[tokio::test]
async fn a_task_that_exited_with_another_code_failed_with_it_after_a_moment() {
    assert_failed(
        event!("ecs-exit-3"),
        3,
        "Longhaul.Failed",
        "the job failed with exit code 3 (Essential container in task exited)",
        json!({"exit_code": 3, "reason": "Essential container in task exited", "logs": LOGS}),
    )
    .await;
}

#[tokio::test]
async fn a_task_that_ran_out_of_memory_is_told_at_once() {
    assert_failed(
        event!("ecs-out-of-memory"),
        0,
        "Longhaul.OutOfMemory",
        "the worker used more memory than it has: give the job more `resources.memory_mib`",
        json!({
            "exit_code": 137,
            "reason": "Essential container in task exited; OutOfMemoryError: Container killed due to memory usage",
            "logs": LOGS,
        }),
    )
    .await;
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_told_at_once() {
    assert_failed(
        event!("ecs-image-pull-failure"),
        0,
        "Longhaul.FailedToStart",
        "the image could not be pulled: check its name and tag, the execution role's access to the registry, and the subnets' way to it",
        json!({
            "reason": "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref 123456789012.dkr.ecr.eu-west-1.amazonaws.com/render:latest: not found",
            "logs": LOGS,
        }),
    )
    .await;
}

#[tokio::test]
async fn a_spot_interruption_is_told_at_once() {
    assert_failed(
        event!("ecs-spot-interruption"),
        0,
        "Longhaul.Interrupted",
        "Fargate Spot took the task's capacity back",
        json!({"exit_code": 143, "reason": "Your Spot Task was interrupted.", "logs": LOGS}),
    )
    .await;
}

#[tokio::test]
async fn a_stop_by_somebody_else_is_told_at_once() {
    assert_failed(
        event!("ecs-user-stop"),
        0,
        "Longhaul.Cancelled",
        "somebody other than longhaul stopped the task",
        json!({"exit_code": 143, "reason": "Task stopped by user", "logs": LOGS}),
    )
    .await;
}

#[tokio::test]
async fn our_own_cancel_is_no_interruption() {
    assert_failed(
        event!("ecs-own-cancel"),
        0,
        "Longhaul.Cancelled",
        "the job was cancelled with exit code 143 (longhaul: not needed any more)",
        json!({"exit_code": 143, "reason": "longhaul: not needed any more", "logs": LOGS}),
    )
    .await;
}

#[tokio::test]
async fn a_missing_exit_code_is_never_0() {
    assert_failed(
        event!("ecs-no-exit-code"),
        28,
        "Longhaul.Lost",
        "the worker is gone and left no exit code",
        json!({"reason": "Essential container in task exited", "logs": LOGS}),
    )
    .await;
}

#[tokio::test]
async fn tasks_of_others_are_ignored() {
    for (event, why) in [
        (event!("ecs-foreign"), "it has no start key"),
        (
            event!("ecs-other-token"),
            "its start key is not that of its CALLBACK_ID",
        ),
    ] {
        let said = ignored(event).await;
        assert_eq!(said, format!("task {TASK} is not ours: {why}"));
    }
    let said = ignored(event!("ecs-other-cluster")).await;
    assert_eq!(said, format!("task {TASK} is in another cluster"));
    let said = ignored(event!("ecs-other-definition")).await;
    assert_eq!(said, format!("task {TASK} is of another task definition"));
}

#[tokio::test]
async fn a_task_that_has_not_stopped_is_ignored() {
    let said = ignored(event!("ecs-not-stopped")).await;
    assert_eq!(said, format!("task {TASK} has not stopped yet"));
}

#[tokio::test]
async fn other_events_of_ecs_are_ignored() {
    let said = ignored(event!("ecs-service-action")).await;
    assert!(said.contains("\"ECS Service Action\""), "{said}");
}

#[test]
fn a_task_tells_the_execution_that_started_it() {
    let detail = event!("ecs-exit-3")["detail"].take();
    let told = EcsEvents::new(ecs_config()).read(detail).unwrap();
    let Told::Ended(ended) = told else {
        panic!("{told:?}");
    };
    assert_eq!(ended.execution, Some(ExecutionId::from_arn(EXECUTION)));
    assert_eq!(ended.ended_at, Some(UNIX_EPOCH + END));
}
