//! The backend: an ECS API and what must be known to use it.

use std::sync::Arc;

use async_trait::async_trait;
use aws_types::SdkConfig;
use longhaul_core::{
    BackendError, BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId, Job,
    JobHandle, JobStatus,
};

use crate::api::{ApiError, EcsApi};
use crate::arn::TaskArn;
use crate::refusal::Refusal;
use crate::sdk::SdkEcs;
use crate::{EcsConfig, NAME};

/// Runs jobs as tasks of Amazon ECS on Fargate.
///
/// A job's handle is its task's ARN.
#[derive(Debug, Clone)]
pub struct EcsBackend {
    config: EcsConfig,
    api: Arc<dyn EcsApi>,
}

/// Where the task of a handle is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) task: &'a str,
}

impl EcsBackend {
    /// A backend that reaches ECS through `api`.
    #[must_use]
    pub fn new(config: EcsConfig, api: Arc<dyn EcsApi>) -> Self {
        Self { config, api }
    }

    /// A backend that reaches ECS with the region, credentials and endpoint of `sdk`.
    #[must_use]
    pub fn from_sdk(config: EcsConfig, sdk: &SdkConfig) -> Self {
        Self::new(config, Arc::new(SdkEcs::from_sdk(sdk)))
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &EcsConfig {
        &self.config
    }

    pub(crate) fn api(&self) -> &dyn EcsApi {
        self.api.as_ref()
    }

    /// Where the task of `job` is; `None` if the handle's id cannot be that of a task, so that
    /// ECS cannot know it. `verb` is what is being tried.
    ///
    /// The ARN's own cluster wins over the configured one, which may have changed since the start.
    pub(crate) fn place<'a>(
        &'a self,
        verb: &str,
        job: &'a JobHandle,
    ) -> Result<Option<Place<'a>>, BackendError> {
        if job.backend() != NAME || job.version() != 1 {
            return Err(BackendError::new(
                BackendErrorKind::Unsupported,
                format!(
                    "{verb} job {job}: its handle is of backend `{}`, version {}, and this is `{NAME}`, version 1",
                    job.backend(),
                    job.version()
                ),
            ));
        }
        Ok(TaskArn::parse(job.id()).map(|arn| Place {
            cluster: arn.cluster.unwrap_or(self.config.cluster()),
            task: job.id(),
        }))
    }

    /// The error for a call that failed: `tried` says what was tried on what, `action` is the
    /// IAM action that it needs, `unanswered` the kind for a call that may have been carried out.
    pub(crate) fn refused(
        &self,
        tried: &str,
        action: &str,
        meaning: Refusal,
        error: ApiError,
        unanswered: BackendErrorKind,
    ) -> BackendError {
        use BackendErrorKind::{Capacity, Denied, NotFound};
        let cluster = self.config.cluster();
        let definition = self.config.task_definition();
        let (kind, message) = match meaning {
            Refusal::NoCapacity => (Capacity, format!("{tried}: no capacity")),
            Refusal::Conflict(_) => (
                BackendErrorKind::InvalidSpec,
                format!("{tried}: ECS knows the start key from another request"),
            ),
            Refusal::UnknownContainer => (
                NotFound,
                format!(
                    "{tried}: task definition {definition:?} has no container {:?}; set ECS_CONTAINER",
                    self.config.container()
                ),
            ),
            Refusal::UnknownCluster => (
                NotFound,
                format!(
                    "{tried}: cluster {cluster:?} does not exist in this region and account; set ECS_CLUSTER"
                ),
            ),
            Refusal::UnknownTaskDefinition => (
                NotFound,
                format!(
                    "{tried}: task definition {definition:?} does not exist or is inactive; set ECS_TASK_DEFINITION"
                ),
            ),
            Refusal::UnknownTask => (NotFound, format!("{tried}: ECS does not know it")),
            Refusal::NoSuchCapacity => (
                NotFound,
                format!(
                    "{tried}: cluster {cluster:?} does not have the capacity provider; add it to the cluster or change ECS_CAPACITY"
                ),
            ),
            Refusal::Denied(named) => {
                let (action, resource) = named.unwrap_or_else(|| (action.to_owned(), None));
                let on = resource.map_or_else(String::new, |resource| format!(" on {resource}"));
                (
                    Denied,
                    format!(
                        "{tried}: the caller's role lacks {action}{on}; allow it in the role's policy"
                    ),
                )
            }
            Refusal::RoleNotPassed => (
                Denied,
                format!(
                    "{tried}: ECS could not assume a role of the task; allow the caller iam:PassRole on the roles of {definition:?} and let ecs-tasks.amazonaws.com assume them"
                ),
            ),
            Refusal::BadCredentials => (
                Denied,
                format!("{tried}: the caller's credentials were not accepted"),
            ),
            Refusal::Other(BackendErrorKind::Ambiguous)
                if unanswered == BackendErrorKind::Ambiguous =>
            {
                (
                    unanswered,
                    format!(
                        "{tried}: it is not known whether it worked; repeat it with the same token"
                    ),
                )
            }
            Refusal::Other(BackendErrorKind::Ambiguous) => (unanswered, tried.to_owned()),
            Refusal::Other(kind) => (kind, tried.to_owned()),
        };
        BackendError::new(kind, message).with_source(error)
    }
}

#[async_trait]
impl ComputeBackend for EcsBackend {
    fn name(&self) -> &str {
        NAME
    }

    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
        self.run(job, token).await
    }

    async fn cancel(&self, job: &JobHandle, reason: &str) -> Result<CancelOutcome, BackendError> {
        self.stop(job, reason).await
    }

    async fn describe(&self, job: &JobHandle) -> Result<JobStatus, BackendError> {
        self.look_up(job).await
    }

    async fn list(&self, execution: &ExecutionId) -> Result<Vec<JobHandle>, BackendError> {
        self.find(execution).await
    }
}
