//! Other capacity and other parameters: how a start ends at one task all the same.

use longhaul_core::Retry;
use mockall::Sequence;

use super::*;
use crate::CapacityOption;
use crate::api::ApiErrorKind;
use crate::testing::{TASK, failed, spot_first, started, task_with_key};

#[tokio::test]
async fn without_capacity_the_next_option_is_asked_with_its_own_token() {
    for lacking in [
        Ok(failed(
            "Capacity is unavailable at this time. Please try again later or in a different availability zone",
            None,
        )),
        Ok(failed("RESOURCE:MEMORY", None)),
        Ok(failed("AGENT", None)),
        refused(
            "ClientException",
            "You've reached the limit on the number of vCPUs you can run concurrently",
        ),
    ] {
        let (mut api, mut order) = (MockEcsApi::new(), Sequence::new());
        api.expect_run_task()
            .times(1)
            .in_sequence(&mut order)
            .withf(|request| {
                request.capacity == CapacityOption::FargateSpot
                    && request.client_token == token().start_key().as_str()
            })
            .return_once(move |_| lacking);
        api.expect_run_task()
            .times(1)
            .in_sequence(&mut order)
            .withf(|request| {
                request.capacity == CapacityOption::Fargate
                    && request.client_token == token().start_key().for_capacity_option(1).as_str()
            })
            .returning(|_| Ok(started(TASK)));
        let handle = backend(spot_first(), api).start(&hello(), &token()).await;
        assert_eq!(handle.unwrap().id(), TASK);
    }
}

#[tokio::test]
async fn when_every_option_is_out_the_error_names_each_ones_reason() {
    let mut api = MockEcsApi::new();
    api.expect_run_task().times(2).returning(|request| {
        Ok(match request.capacity {
            CapacityOption::FargateSpot => failed("Capacity is unavailable at this time", None),
            CapacityOption::Fargate => failed("RESOURCE:CPU", Some("256 of 0")),
        })
    });
    let error = backend(spot_first(), api)
        .start(&hello(), &token())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Capacity);
    assert_eq!(error.retry(), Retry::OtherCapacity);
    let text = error.to_string();
    assert!(
        text.contains(
            "(FARGATE_SPOT: Capacity is unavailable at this time; FARGATE: RESOURCE:CPU (256 of 0))"
        ),
        "{text}"
    );
    assert!(text.contains("new attempt"), "{text}");
}

#[tokio::test]
async fn only_capacity_moves_on_to_the_next_option() {
    for answer in [
        refused("ThrottlingException", "Rate exceeded"),
        refused("AccessDeniedException", "No."),
        Err(ApiError::new(ApiErrorKind::NoAnswer, "timed out")),
        Ok(RunTaskAnswer::default()),
    ] {
        // `answering` fails the test on a second call.
        let started = backend(spot_first(), answering(answer));
        started.start(&hello(), &token()).await.unwrap_err();
    }
}

fn conflict(tasks: &[&str]) -> Result<RunTaskAnswer, ApiError> {
    Err(ApiError {
        resource_ids: tasks.iter().map(|&task| task.to_owned()).collect(),
        ..ApiError::refused("ConflictException", "The client token is in use.")
    })
}

#[tokio::test]
async fn a_conflict_adopts_the_task_that_carries_the_start_key() {
    let mut api = answering(conflict(&[TASK]));
    api.expect_describe_task()
        .times(1)
        .withf(|cluster, task| cluster == "jobs" && task == TASK)
        .returning(|_, _| {
            let key = token().start_key().to_string();
            Ok(DescribedTask::Known(Box::new(task_with_key(&key))))
        });
    assert_eq!(start(api).await.unwrap(), JobHandle::new("ecs", TASK));
}

#[tokio::test]
async fn a_conflict_with_a_task_that_ecs_has_forgotten_still_starts_no_second_one() {
    let mut api = answering(conflict(&[TASK]));
    api.expect_describe_task()
        .returning(|_, _| Ok(DescribedTask::Missing));
    assert_eq!(start(api).await.unwrap().id(), TASK);
}

#[tokio::test]
async fn a_conflict_with_a_task_of_another_start_is_an_error() {
    let mut api = answering(conflict(&[TASK]));
    api.expect_describe_task()
        .returning(|_, _| Ok(DescribedTask::Known(Box::new(task_with_key("other")))));
    let error = start(api).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (BackendErrorKind::InvalidSpec, Retry::Never)
    );
    assert!(error.to_string().contains(TASK), "{error}");

    let error = start(answering(conflict(&[]))).await.unwrap_err();
    assert!(error.to_string().contains("names no task"), "{error}");
}

#[tokio::test]
async fn a_conflict_that_cannot_be_looked_into_keeps_the_token() {
    let mut api = answering(conflict(&[TASK]));
    api.expect_describe_task()
        .returning(|_, _| Err(ApiError::new(ApiErrorKind::NoAnswer, "reset")));
    let error = start(api).await.unwrap_err();
    assert_eq!(error.retry(), Retry::SameToken);

    let mut api = answering(conflict(&[TASK]));
    api.expect_describe_task()
        .returning(|_, _| Err(ApiError::refused("AccessDeniedException", "No.")));
    let error = start(api).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Denied);
    assert!(error.to_string().contains("ecs:DescribeTasks"), "{error}");
}
