//! Looks tasks up: one by its handle, all of an execution by who started them.

use longhaul_core::{BackendError, BackendErrorKind, ExecutionId, JobHandle, JobState, JobStatus};

use crate::NAME;
use crate::api::{DescribedTask, DesiredStatus, ListTasks};
use crate::backend::EcsBackend;
use crate::refusal::{self, Refusal};
use crate::status::{job_status, log_link};

impl EcsBackend {
    pub(crate) async fn look_up(&self, job: &JobHandle) -> Result<JobStatus, BackendError> {
        let Some(place) = self.place("describe", job)? else {
            return Ok(JobStatus::unknown());
        };
        let missing = || {
            let mut status = JobStatus::new(JobState::Unknown);
            status.logs = log_link(place.task, self.config());
            status
        };
        match self.api().describe_task(place.cluster, place.task).await {
            Ok(DescribedTask::Known(facts)) => {
                let mut status = job_status(&facts, self.config());
                status.logs = status.logs.or_else(|| log_link(place.task, self.config()));
                Ok(status)
            }
            Ok(DescribedTask::Missing) => Ok(missing()),
            Err(error) => match refusal::read(&error) {
                Refusal::UnknownTask | Refusal::UnknownCluster => Ok(missing()),
                meaning => Err(self.refused(
                    &format!("describe task {}", place.task),
                    "ecs:DescribeTasks",
                    meaning,
                    error,
                    BackendErrorKind::Unavailable,
                )),
            },
        }
    }

    /// All pages of the execution's tasks that ECS wants to run. Those that it has told to stop
    /// are not among them.
    pub(crate) async fn find(
        &self,
        execution: &ExecutionId,
    ) -> Result<Vec<JobHandle>, BackendError> {
        let tried = format!(
            "list the tasks of execution {execution} in cluster {:?}",
            self.config().cluster()
        );
        let mut found = Vec::new();
        let mut next = Some(self.first_page(execution, DesiredStatus::Running));
        while let Some(request) = next {
            let (tasks, after) = self.page(request, &tried).await?;
            found.extend(tasks.into_iter().map(|task| JobHandle::new(NAME, task)));
            next = after;
        }
        Ok(found)
    }

    /// The request for the first page of the execution's tasks.
    pub(crate) fn first_page(
        &self,
        execution: &ExecutionId,
        desired_status: DesiredStatus,
    ) -> ListTasks {
        ListTasks {
            cluster: self.config().cluster().to_owned(),
            started_by: execution.to_string(),
            desired_status,
            next_token: None,
        }
    }

    /// The tasks of a page, and the request for the page after it. `tried` says for what.
    pub(crate) async fn page(
        &self,
        request: ListTasks,
        tried: &str,
    ) -> Result<(Vec<String>, Option<ListTasks>), BackendError> {
        let page = self.api().list_tasks(&request).await.map_err(|error| {
            self.refused(
                tried,
                "ecs:ListTasks",
                refusal::read(&error),
                error,
                BackendErrorKind::Unavailable,
            )
        })?;
        let next_token = page.next_token.filter(|token| !token.is_empty());
        if next_token.is_some() && next_token == request.next_token {
            return Err(BackendError::new(
                BackendErrorKind::Unavailable,
                format!("{tried}: ECS gave the same page twice"),
            ));
        }
        let next = next_token.is_some().then_some(ListTasks {
            next_token,
            ..request
        });
        Ok((page.tasks, next))
    }
}

#[cfg(test)]
mod tests {
    use longhaul_core::{ComputeBackend, FailureClass};
    use mockall::Sequence;

    use super::*;
    use crate::api::{ApiError, ApiErrorKind, MockEcsApi, TaskPage};
    use crate::facts::{StopCode, TaskFacts};
    use crate::testing::{TASK, backend, config, execution};

    async fn describe(answer: Result<DescribedTask, ApiError>) -> Result<JobStatus, BackendError> {
        let mut api = MockEcsApi::new();
        api.expect_describe_task()
            .times(1)
            .withf(|cluster, task| (cluster, task) == ("jobs", TASK))
            .return_once(move |_, _| answer);
        let handle = JobHandle::new("ecs", TASK);
        backend(config(), api).describe(&handle).await
    }

    #[tokio::test]
    async fn a_description_is_the_tasks_facts_read() {
        let facts = TaskFacts {
            last_status: Some("STOPPED".to_owned()),
            stop_code: Some(StopCode::SpotInterruption),
            ..TaskFacts::default()
        };
        let status = describe(Ok(DescribedTask::Known(Box::new(facts))))
            .await
            .unwrap();
        assert_eq!(status.state, JobState::Ended);
        assert_eq!(status.failure.unwrap().class, FailureClass::Interrupted);
        assert!(status.logs.is_some());
    }

    #[tokio::test]
    async fn a_job_that_ecs_has_forgotten_is_unknown_and_its_logs_are_still_told() {
        for answer in [
            Ok(DescribedTask::Missing),
            Err(ApiError::refused(
                "ClusterNotFoundException",
                "Cluster not found.",
            )),
        ] {
            let status = describe(answer).await.unwrap();
            assert_eq!(status.state, JobState::Unknown);
            assert_eq!(status.failure, None);
            assert!(status.logs.unwrap().contains("0123456789abcdef"));
        }
        let handle = JobHandle::new("ecs", "never-started");
        let status = backend(config(), MockEcsApi::new()).describe(&handle).await;
        assert_eq!(status.unwrap(), JobStatus::unknown());
    }

    #[tokio::test]
    async fn a_description_that_failed_says_whether_to_try_again() {
        use BackendErrorKind::{Denied, Throttled, Unavailable};
        for (error, kind) in [
            (ApiError::refused("AccessDeniedException", "No."), Denied),
            (
                ApiError::refused("ThrottlingException", "Rate exceeded"),
                Throttled,
            ),
            (ApiError::refused("ServerException", "Broken."), Unavailable),
            (ApiError::new(ApiErrorKind::NoAnswer, "reset"), Unavailable),
        ] {
            let error = describe(Err(error)).await.unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(TASK), "{error}");
        }
    }

    #[tokio::test]
    async fn a_list_has_the_tasks_of_every_page() {
        let (mut api, mut order) = (MockEcsApi::new(), Sequence::new());
        for (token, tasks, next) in [
            (None, vec!["arn:1", "arn:2"], Some("p2")),
            (Some("p2"), vec![], Some("p3")),
            (Some("p3"), vec!["arn:3"], None),
        ] {
            api.expect_list_tasks()
                .times(1)
                .in_sequence(&mut order)
                .withf(move |request| {
                    *request
                        == ListTasks {
                            cluster: "jobs".to_owned(),
                            started_by: execution().to_string(),
                            desired_status: DesiredStatus::Running,
                            next_token: token.map(str::to_owned),
                        }
                })
                .return_once(move |_| {
                    Ok(TaskPage {
                        tasks: tasks.into_iter().map(str::to_owned).collect(),
                        next_token: next.map(str::to_owned),
                    })
                });
        }
        let found = backend(config(), api).list(&execution()).await.unwrap();
        let expected = ["arn:1", "arn:2", "arn:3"].map(|arn| JobHandle::new("ecs", arn));
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn a_page_that_names_itself_ends_the_list() {
        let mut api = MockEcsApi::new();
        api.expect_list_tasks().times(2).returning(|_| {
            Ok(TaskPage {
                tasks: vec![],
                next_token: Some("again".to_owned()),
            })
        });
        let error = backend(config(), api).list(&execution()).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn a_list_that_failed_says_of_what_and_why() {
        for (error, kind, part) in [
            (
                ApiError::refused("AccessDeniedException", "No."),
                BackendErrorKind::Denied,
                "lacks ecs:ListTasks",
            ),
            (
                ApiError::refused("ClusterNotFoundException", "Cluster not found."),
                BackendErrorKind::NotFound,
                "set ECS_CLUSTER",
            ),
        ] {
            let mut api = MockEcsApi::new();
            api.expect_list_tasks()
                .times(1)
                .return_once(move |_| Err(error));
            let error = backend(config(), api).list(&execution()).await.unwrap_err();
            assert_eq!(error.kind(), kind);
            let text = error.to_string();
            assert!(
                text.contains(part) && text.contains(execution().as_str()),
                "{text}"
            );
        }
    }
}
