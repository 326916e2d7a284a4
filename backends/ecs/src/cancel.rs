//! Stops a task, and knows the tasks that it stopped.

use longhaul_core::{BackendError, BackendErrorKind, CancelOutcome, JobHandle};

use crate::backend::{EcsBackend, Place};
use crate::facts::{StopCode, TaskFacts};
use crate::refusal::{self, Refusal};

/// With what every reason begins that this backend gives for stopping a task.
pub const CANCEL_REASON_PREFIX: &str = "longhaul: ";

/// The longest reason that is passed on, in characters. ECS has cut longer ones in the past.
const MAX_REASON: usize = 255;

/// Whether a task that stopped for `reason` was stopped by a cancel.
pub(crate) fn is_our_reason(reason: &str) -> bool {
    reason.starts_with(CANCEL_REASON_PREFIX)
}

impl EcsBackend {
    pub(crate) async fn stop(
        &self,
        job: &JobHandle,
        reason: &str,
    ) -> Result<CancelOutcome, BackendError> {
        let Some(place) = self.place("cancel", job)? else {
            return Ok(CancelOutcome::NotFound);
        };
        let Place { cluster, task } = place;
        let reason = cancel_reason(reason);
        match self.api().stop_task(cluster, task, &reason).await {
            Ok(facts) => Ok(outcome(&facts)),
            Err(error) => match refusal::read(&error) {
                Refusal::UnknownTask | Refusal::UnknownCluster => Ok(CancelOutcome::NotFound),
                meaning => Err(self.refused(
                    &format!("cancel task {task}"),
                    "ecs:StopTask",
                    meaning,
                    error,
                    BackendErrorKind::Unavailable,
                )),
            },
        }
    }
}

/// `reason` marked as ours, once, and cut.
fn cancel_reason(reason: &str) -> String {
    let reason = reason.strip_prefix(CANCEL_REASON_PREFIX).unwrap_or(reason);
    let marked = CANCEL_REASON_PREFIX.chars().chain(reason.chars());
    marked.take(MAX_REASON).collect()
}

/// What the cancel did, by what ECS knows of the task after it. ECS answers the same for a task
/// that had ended before, so its reason tells who ended it.
fn outcome(facts: &TaskFacts) -> CancelOutcome {
    let ended = facts.last_status.as_deref() == Some("STOPPED");
    let by_us = matches!(facts.stop_code, None | Some(StopCode::UserInitiated))
        && facts.stopped_reason.as_deref().is_some_and(is_our_reason);
    if ended && !by_us {
        CancelOutcome::AlreadyEnded
    } else {
        CancelOutcome::Cancelled
    }
}

#[cfg(test)]
mod tests {
    use longhaul_core::ComputeBackend;

    use super::*;
    use crate::api::{ApiError, ApiErrorKind, MockEcsApi};
    use crate::testing::{TASK, backend, config};

    fn facts(last_status: &str, code: Option<StopCode>, reason: &str) -> TaskFacts {
        TaskFacts {
            last_status: Some(last_status.to_owned()),
            desired_status: Some("STOPPED".to_owned()),
            stop_code: code,
            stopped_reason: Some(reason.to_owned()),
            ..TaskFacts::default()
        }
    }

    async fn cancel(answer: Result<TaskFacts, ApiError>) -> Result<CancelOutcome, BackendError> {
        let mut api = MockEcsApi::new();
        api.expect_stop_task()
            .times(1)
            .return_once(move |_, _, _| answer);
        let handle = JobHandle::new("ecs", TASK);
        backend(config(), api).cancel(&handle, "timed out").await
    }

    #[tokio::test]
    async fn a_cancel_stops_the_task_in_its_own_cluster_and_says_who_and_why() {
        let task = "arn:aws:ecs:eu-west-1:1:task/elsewhere/0a1b";
        let mut api = MockEcsApi::new();
        api.expect_stop_task()
            .times(1)
            .withf(move |cluster, arn, reason| {
                (cluster, arn, reason) == ("elsewhere", task, "longhaul: timed out")
            })
            .returning(|_, _, _| Ok(facts("RUNNING", None, "")));
        let handle = JobHandle::new("ecs", task);
        let outcome = backend(config(), api).cancel(&handle, "timed out").await;
        assert_eq!(outcome.unwrap(), CancelOutcome::Cancelled);
    }

    #[test]
    fn a_reason_that_is_marked_as_ours_is_not_marked_twice() {
        let reason = "longhaul: the callback is closed";
        assert_eq!(cancel_reason(reason), reason);
        assert_eq!(cancel_reason("the callback is closed"), reason);
    }

    #[tokio::test]
    async fn an_arn_without_a_cluster_is_looked_for_in_the_configured_one() {
        let mut api = MockEcsApi::new();
        api.expect_stop_task()
            .times(1)
            .withf(|cluster, _, _| cluster == "jobs")
            .returning(|_, _, _| Ok(TaskFacts::default()));
        let handle = JobHandle::new("ecs", "arn:aws:ecs:eu-west-1:1:task/0a1b");
        backend(config(), api).cancel(&handle, "").await.unwrap();
    }

    #[tokio::test]
    async fn a_long_reason_is_cut_between_characters() {
        let mut api = MockEcsApi::new();
        api.expect_stop_task()
            .times(1)
            .withf(|_, _, reason| reason.chars().count() == 255 && reason.ends_with("üü"))
            .returning(|_, _, _| Ok(TaskFacts::default()));
        let handle = JobHandle::new("ecs", TASK);
        let reason = "ü".repeat(1000);
        backend(config(), api)
            .cancel(&handle, &reason)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn the_answer_tells_a_cancel_from_an_end_that_came_before() {
        use CancelOutcome::{AlreadyEnded, Cancelled};
        for (answer, outcome) in [
            (facts("RUNNING", None, ""), Cancelled),
            (
                facts(
                    "DEPROVISIONING",
                    Some(StopCode::EssentialContainerExited),
                    "x",
                ),
                Cancelled,
            ),
            (
                facts(
                    "STOPPED",
                    Some(StopCode::UserInitiated),
                    "longhaul: timed out",
                ),
                Cancelled,
            ),
            (facts("STOPPED", None, "longhaul: timed out"), Cancelled),
            (
                facts(
                    "STOPPED",
                    Some(StopCode::UserInitiated),
                    "Task stopped by user",
                ),
                AlreadyEnded,
            ),
            (
                facts(
                    "STOPPED",
                    Some(StopCode::EssentialContainerExited),
                    "Essential container in task exited",
                ),
                AlreadyEnded,
            ),
        ] {
            assert_eq!(cancel(Ok(answer)).await.unwrap(), outcome);
        }
    }

    #[tokio::test]
    async fn a_job_that_ecs_does_not_know_is_not_an_error() {
        for (code, message) in [
            (
                "InvalidParameterException",
                "The referenced task was not found.",
            ),
            ("ClusterNotFoundException", "Cluster not found."),
        ] {
            let outcome = cancel(Err(ApiError::refused(code, message))).await;
            assert_eq!(outcome.unwrap(), CancelOutcome::NotFound);
        }
        let handle = JobHandle::new("ecs", "never-started");
        let outcome = backend(config(), MockEcsApi::new())
            .cancel(&handle, "")
            .await;
        assert_eq!(outcome.unwrap(), CancelOutcome::NotFound);
    }

    #[tokio::test]
    async fn a_cancel_that_failed_says_whether_to_try_again() {
        use BackendErrorKind::{Denied, Throttled, Unavailable};
        for (error, kind, part) in [
            (
                ApiError::refused("AccessDeniedException", "No."),
                Denied,
                "lacks ecs:StopTask",
            ),
            (
                ApiError::refused("ThrottlingException", "Rate exceeded"),
                Throttled,
                "Rate exceeded",
            ),
            (
                ApiError::refused("ServerException", "Broken."),
                Unavailable,
                "Broken.",
            ),
            (
                ApiError::new(ApiErrorKind::NoAnswer, "reset"),
                Unavailable,
                "reset",
            ),
        ] {
            let error = cancel(Err(error)).await.unwrap_err();
            assert_eq!(error.kind(), kind);
            let text = error.full_message();
            assert!(text.contains(part) && text.contains(TASK), "{text}");
        }
    }

    #[tokio::test]
    async fn a_handle_of_another_backend_is_refused() {
        for handle in [
            JobHandle::new("batch", TASK),
            JobHandle::with_version("ecs", 2, TASK),
        ] {
            let backend = backend(config(), MockEcsApi::new());
            let error = backend.cancel(&handle, "").await.unwrap_err();
            assert_eq!(error.kind(), BackendErrorKind::Unsupported);
            assert!(backend.describe(&handle).await.is_err());
        }
    }
}
