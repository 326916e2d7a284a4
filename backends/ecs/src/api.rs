//! The six calls of the ECS API that the backend makes, and what it says and hears in them.
//!
//! The trait is narrow so that a test can play ECS, and its types are our own so that they can
//! be compared, and shown without the callback token.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use async_trait::async_trait;

use crate::{CapacityOption, TaskFacts, TaskOverrides};

/// The calls of the ECS API that the backend makes. [`SdkEcs`](crate::SdkEcs) makes them over the
/// AWS SDK.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait EcsApi: fmt::Debug + Send + Sync {
    /// `RunTask`: starts one task.
    ///
    /// May repeat the request by itself: the client token makes that harmless.
    async fn run_task(&self, request: &RunTask) -> Result<RunTaskAnswer, ApiError>;

    /// `StopTask`: asks a task of `cluster` to stop. Returns what ECS knows of it then.
    async fn stop_task(
        &self,
        cluster: &str,
        task: &str,
        reason: &str,
    ) -> Result<TaskFacts, ApiError>;

    /// `DescribeTasks` for one task of `cluster`.
    async fn describe_task(&self, cluster: &str, task: &str) -> Result<DescribedTask, ApiError>;

    /// `DescribeTasks` for some tasks of `cluster`, at most 100; those that ECS does not know are
    /// left out.
    async fn describe_tasks(
        &self,
        cluster: &str,
        tasks: &[String],
    ) -> Result<Vec<TaskFacts>, ApiError>;

    /// `ListTasks`: one page of the tasks of `cluster` that `started_by` started.
    async fn list_tasks(&self, request: &ListTasks) -> Result<TaskPage, ApiError>;

    /// `DescribeTaskDefinition`: the names of its containers.
    async fn container_names(&self, task_definition: &str) -> Result<Vec<String>, ApiError>;
}

/// A `RunTask` request for one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunTask {
    /// The idempotency key, at most 64 characters.
    pub client_token: String,
    /// The cluster's name or ARN.
    pub cluster: String,
    /// Family, `family:revision` or ARN.
    pub task_definition: String,
    /// By what the task can be listed: the execution id.
    pub started_by: String,
    /// The kind of capacity.
    pub capacity: CapacityOption,
    /// The Fargate platform version.
    pub platform_version: Option<String>,
    /// The subnets.
    pub subnets: Vec<String>,
    /// The security groups.
    pub security_groups: Vec<String>,
    /// Whether the task gets a public address.
    pub assign_public_ip: bool,
    /// What the task changes of its task definition.
    pub overrides: TaskOverrides,
    /// The task's tags.
    pub tags: BTreeMap<String, String>,
    /// Whether the task also gets the task definition's tags.
    pub propagate_tags: bool,
    /// Whether the task also gets ECS's own tags.
    pub managed_tags: bool,
}

/// The answer to a [`RunTask`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunTaskAnswer {
    /// The task, if it was started.
    pub tasks: Vec<TaskFacts>,
    /// Why it was not.
    pub failures: Vec<Failure>,
}

/// Why ECS did not do its part of a request that it answered with 200.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// The resource that the failure is about.
    pub arn: Option<String>,
    /// Such as `RESOURCE:MEMORY` or `MISSING`.
    pub reason: Option<String>,
    /// More words.
    pub detail: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.as_deref().unwrap_or("no reason given"))?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        if let Some(arn) = &self.arn {
            write!(f, " on {arn}")?;
        }
        Ok(())
    }
}

/// The answer to a `DescribeTasks` for one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DescribedTask {
    /// What ECS knows.
    Known(Box<TaskFacts>),
    /// ECS does not know the task, or no longer.
    Missing,
}

/// A request for one page of an execution's tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListTasks {
    /// The cluster's name or ARN.
    pub cluster: String,
    /// The execution id.
    pub started_by: String,
    /// Which of them.
    pub desired_status: DesiredStatus,
    /// Where the page before ended.
    pub next_token: Option<String>,
}

/// What ECS wants a task to be (ECS API, `ListTasks`, `desiredStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesiredStatus {
    /// Running, or about to.
    Running,
    /// Stopped, or about to. ECS shows such a task for about an hour.
    Stopped,
}

/// One page of tasks, at most 100.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskPage {
    /// The tasks' ARNs.
    pub tasks: Vec<String>,
    /// Where the next page begins, unless this is the last.
    pub next_token: Option<String>,
}

/// How a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiErrorKind {
    /// ECS answered that it will not.
    Refused,
    /// No request was sent: no credentials, no region, a value that cannot be written.
    NotSent,
    /// No answer came, or none that can be read: ECS may have done what it was asked.
    NoAnswer,
}

/// A call of the ECS API that failed. Holds nothing of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// How it failed.
    pub kind: ApiErrorKind,
    /// The error's name, such as `ClusterNotFoundException`.
    pub code: Option<String>,
    /// The words of ECS, or of what failed on the way.
    pub message: String,
    /// The HTTP status, if an answer came.
    pub status: Option<u16>,
    /// The request's id, for AWS support.
    pub request_id: Option<String>,
    /// The tasks that a `ConflictException` names.
    pub resource_ids: Vec<String>,
}

impl ApiError {
    /// An error of `kind` with `message`, of which nothing else is known.
    pub fn new(kind: ApiErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: None,
            message: message.into(),
            status: None,
            request_id: None,
            resource_ids: Vec::new(),
        }
    }

    /// The answer `code` of ECS, with HTTP status 400.
    pub fn refused(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: Some(code.into()),
            status: Some(400),
            ..Self::new(ApiErrorKind::Refused, message)
        }
    }

    /// The same error without `secret` in its words.
    pub(crate) fn without(mut self, secret: &str) -> Self {
        self.message = self.message.replace(secret, "(redacted)");
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ApiErrorKind::Refused => f.write_str("ECS answered ")?,
            ApiErrorKind::NotSent => f.write_str("the request could not be sent")?,
            ApiErrorKind::NoAnswer => f.write_str("no answer of ECS could be read")?,
        }
        match (&self.code, self.kind, self.status) {
            (Some(code), ..) => f.write_str(code)?,
            (None, ApiErrorKind::Refused, Some(status)) => write!(f, "HTTP {status}")?,
            (None, ApiErrorKind::Refused, None) => f.write_str("an error")?,
            (None, ..) => {}
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl Error for ApiError {}
