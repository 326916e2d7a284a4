//! Finds the task of a start without starting anything.

use async_trait::async_trait;
use longhaul_core::{BackendError, BackendErrorKind, Job, JobHandle, Locate, contract};

use crate::NAME;
use crate::api::DesiredStatus;
use crate::backend::EcsBackend;
use crate::refusal;
use crate::status::log_link;

/// Costs one `ListTasks` for those that run and one for those that are stopping or have stopped,
/// each with one `DescribeTasks` where there are any, for every 100 tasks of the execution. ECS
/// shows a stopped task for about an hour.
#[async_trait]
impl Locate for EcsBackend {
    async fn locate(&self, job: &Job) -> Result<Option<JobHandle>, BackendError> {
        let tried = format!(
            "look for the task of job `{}` in cluster {:?}",
            job.name(),
            self.config().cluster()
        );
        // In this order: a task that stops meanwhile is in one of them.
        for desired_status in [DesiredStatus::Running, DesiredStatus::Stopped] {
            let mut next = Some(self.first_page(job.execution(), desired_status));
            while let Some(request) = next {
                let (tasks, after) = self.page(request, &tried).await?;
                if let Some(task) = self.task_of(job, &tasks, &tried).await? {
                    let logs = log_link(&task, self.config());
                    return Ok(Some(JobHandle::new(NAME, task).with_logs(logs)));
                }
                next = after;
            }
        }
        Ok(None)
    }
}

impl EcsBackend {
    /// That of `tasks` which carries the start key of `job`.
    async fn task_of(
        &self,
        job: &Job,
        tasks: &[String],
        tried: &str,
    ) -> Result<Option<String>, BackendError> {
        if tasks.is_empty() {
            return Ok(None);
        }
        let shown = self
            .api()
            .describe_tasks(self.config().cluster(), tasks)
            .await
            .map_err(|error| {
                self.refused(
                    tried,
                    "ecs:DescribeTasks",
                    refusal::read(&error),
                    error,
                    BackendErrorKind::Unavailable,
                )
            })?;
        let count = shown.len();
        let key = Some(job.start_key().as_str());
        let mut ours = shown
            .into_iter()
            .filter(|facts| facts.overrides.variable(contract::START_KEY) == key);
        match ours.next().and_then(|facts| facts.task_arn) {
            Some(task) => Ok(Some(task)),
            None if count >= tasks.len() => Ok(None),
            // The one that is missing may be it.
            None => Err(BackendError::new(
                BackendErrorKind::Unavailable,
                format!(
                    "{tried}: ECS lists {} tasks and shows {count} of them; ask again",
                    tasks.len()
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use longhaul_core::Retry;
    use mockall::Sequence;

    use super::*;
    use crate::TaskFacts;
    use crate::api::{ApiError, MockEcsApi, TaskPage};
    use crate::testing::{TASK, backend, config, execution, hello, task_with_key};

    /// Expects the page of these tasks, and then a look at them.
    fn lists(
        api: &mut MockEcsApi,
        order: &mut Sequence,
        status: DesiredStatus,
        page: (Option<&'static str>, Option<&'static str>),
        shown: Vec<TaskFacts>,
    ) {
        let arns: Vec<String> = shown.iter().filter_map(|t| t.task_arn.clone()).collect();
        let tasks = arns.clone();
        let (token, next) = page;
        api.expect_list_tasks()
            .times(1)
            .in_sequence(order)
            .withf(move |request| {
                (request.cluster.as_str(), request.desired_status) == ("jobs", status)
                    && request.started_by == execution().as_str()
                    && request.next_token.as_deref() == token
            })
            .return_once(move |_| {
                Ok(TaskPage {
                    tasks,
                    next_token: next.map(str::to_owned),
                })
            });
        if !arns.is_empty() {
            api.expect_describe_tasks()
                .times(1)
                .in_sequence(order)
                .withf(move |cluster, asked| cluster == "jobs" && asked == arns)
                .return_once(move |_, _| Ok(shown));
        }
    }

    fn theirs(arn: &str) -> TaskFacts {
        TaskFacts {
            task_arn: Some(arn.to_owned()),
            ..task_with_key("another")
        }
    }

    #[tokio::test]
    async fn the_task_with_the_start_key_is_found_on_any_page_running_or_stopped() {
        let (mut api, mut order) = (MockEcsApi::new(), Sequence::new());
        let ours = task_with_key(hello().start_key().as_str());
        let (running, stopped) = (DesiredStatus::Running, DesiredStatus::Stopped);
        let first = (None, Some("p2"));
        lists(&mut api, &mut order, running, first, vec![theirs("arn:1")]);
        lists(&mut api, &mut order, running, (Some("p2"), None), vec![]);
        let both = vec![theirs("arn:2"), ours];
        lists(&mut api, &mut order, stopped, (None, None), both);
        let found = backend(config(), api).locate(&hello()).await.unwrap();
        assert_eq!(found, Some(JobHandle::new("ecs", TASK)));
    }

    #[tokio::test]
    async fn where_no_task_has_the_start_key_nothing_is_found() {
        let (mut api, mut order) = (MockEcsApi::new(), Sequence::new());
        for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
            let shown = vec![theirs("arn:1"), theirs("arn:2")];
            lists(&mut api, &mut order, status, (None, None), shown);
        }
        let found = backend(config(), api).locate(&hello()).await.unwrap();
        assert_eq!(found, None);
    }

    #[tokio::test]
    async fn a_task_that_is_listed_and_not_shown_may_be_the_one() {
        let mut api = MockEcsApi::new();
        api.expect_list_tasks().times(1).returning(|_| {
            Ok(TaskPage {
                tasks: vec!["arn:1".to_owned(), "arn:2".to_owned()],
                next_token: None,
            })
        });
        api.expect_describe_tasks()
            .times(1)
            .returning(|_, _| Ok(vec![theirs("arn:1")]));
        let error = backend(config(), api).locate(&hello()).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Unavailable);
        assert_eq!(error.retry(), Retry::Backoff);
    }

    #[tokio::test]
    async fn a_look_that_failed_says_of_what_and_why() {
        for (listed, part) in [
            (false, "lacks ecs:ListTasks"),
            (true, "lacks ecs:DescribeTasks"),
        ] {
            let denied = || ApiError::refused("AccessDeniedException", "No.");
            let mut api = MockEcsApi::new();
            api.expect_list_tasks().returning(move |_| match listed {
                false => Err(denied()),
                true => Ok(TaskPage {
                    tasks: vec!["arn:1".to_owned()],
                    next_token: None,
                }),
            });
            api.expect_describe_tasks()
                .returning(move |_, _| Err(denied()));
            let error = backend(config(), api).locate(&hello()).await.unwrap_err();
            assert_eq!(error.kind(), BackendErrorKind::Denied);
            let text = error.to_string();
            assert!(text.contains(part) && text.contains("`hello`"), "{text}");
        }
    }
}
