//! Starts, stops, describes and lists jobs on AWS Batch.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_batch::Client;
use aws_sdk_batch::operation::describe_jobs::DescribeJobsInput;
use aws_sdk_batch::operation::list_jobs::ListJobsInput;
use aws_sdk_batch::operation::terminate_job::TerminateJobInput;
use aws_sdk_batch::types::{JobSummary, KeyValuesPair};
use aws_types::SdkConfig;
use longhaul_core::{
    BackendError, BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId, Job,
    JobHandle, JobStatus,
};

use crate::api::{BatchApi, SdkApi};
use crate::error::{Call, CallError};
use crate::facts::{BatchState, JobFacts};
use crate::name::{execution_prefix, parse_job_name};
use crate::status::CANCEL_REASON_PREFIX;
use crate::{BatchConfig, NAME, job_name, job_status, request};

/// The longest reason of a `TerminateJob`, in characters (Batch API).
const MAX_REASON: usize = 1024;

/// The reason that the second job of one start is stopped with. Its end says nothing of the start:
/// the first job has the same callback token and runs on.
pub const TWIN_REASON: &str = "longhaul: another job was submitted for the same start";

/// Runs jobs on AWS Batch. See the [crate's documentation](crate) for what it needs and what it
/// promises.
#[derive(Debug, Clone)]
pub struct BatchBackend {
    config: BatchConfig,
    api: Arc<dyn BatchApi>,
}

/// A job as `ListJobs` shows it, in the order in which the first of several is chosen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    /// Milliseconds since 1970.
    created_at: i64,
    pub(crate) id: String,
    name: String,
    over: bool,
}

impl BatchBackend {
    /// A backend that asks Batch through `client`. The client's retry settings stay, except that
    /// `SubmitJob` is sent again only after an answer that says it was throttled.
    #[must_use]
    pub fn new(config: BatchConfig, client: Client) -> Self {
        Self::over(config, Arc::new(SdkApi::new(client)))
    }

    /// A backend that reaches Batch with the region, credentials and endpoint of `sdk`, and with
    /// bounds on how long a call may take where `sdk` has none: 20 s a try, 60 s in all.
    #[must_use]
    pub fn from_sdk(config: BatchConfig, sdk: &SdkConfig) -> Self {
        Self::over(config, Arc::new(SdkApi::from_sdk(sdk)))
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &BatchConfig {
        &self.config
    }

    pub(crate) fn over(config: BatchConfig, api: Arc<dyn BatchApi>) -> Self {
        Self { config, api }
    }

    /// Every job of the queue whose name Batch matches with `filter`, in order of creation.
    async fn jobs_named(&self, filter: &str) -> Result<Vec<Listed>, CallError> {
        let filter = KeyValuesPair::builder().name("JOB_NAME").values(filter);
        let mut input = ListJobsInput::builder()
            .job_queue(&self.config.job_queue)
            .filters(filter.build());
        let mut jobs = Vec::new();
        loop {
            let page = self.api.list_jobs(input.clone()).await?;
            let summaries = page.job_summary_list.unwrap_or_default();
            jobs.extend(summaries.into_iter().filter_map(Listed::read));
            match page.next_token {
                None => break,
                Some(token) if token.is_empty() => break,
                Some(token) if input.get_next_token().as_ref() == Some(&token) => {
                    return Err(CallError::NoAnswer(
                        "ListJobs gave the same page token twice".to_owned(),
                    ));
                }
                Some(token) => input = input.next_token(token),
            }
        }
        jobs.sort();
        Ok(jobs)
    }

    /// What Batch knows of the job with this id.
    async fn facts(&self, id: &str) -> Result<Option<JobFacts>, CallError> {
        let input = DescribeJobsInput::builder().jobs(id);
        let output = self.api.describe_jobs(input).await?;
        Ok(output
            .jobs
            .unwrap_or_default()
            .into_iter()
            .map(JobFacts::from)
            .find(|facts| facts.job_id.as_deref() == Some(id)))
    }

    async fn terminate(&self, id: &str, reason: &str) -> Result<(), CallError> {
        let input = TerminateJobInput::builder().job_id(id).reason(reason);
        self.api.terminate_job(input).await
    }

    /// The jobs that were submitted for the start called `name`, the one to keep first. Batch
    /// compares names without regard to case, so the exact name is checked here.
    pub(crate) async fn jobs_of_start(&self, name: &str) -> Result<Vec<Listed>, CallError> {
        let mut jobs = self.jobs_named(name).await?;
        jobs.retain(|job| job.name == name);
        Ok(jobs)
    }

    /// Keeps the first of `jobs`, stops the others, and returns the first's id. Whoever looks at
    /// the same jobs chooses the same one. `None` when there are no jobs.
    async fn keep_first(&self, jobs: Vec<Listed>) -> Result<Option<String>, (Call, CallError)> {
        let mut jobs = jobs.into_iter();
        let first = jobs.next();
        for twin in jobs.filter(|job| !job.over) {
            tracing::warn!(job_id = %twin.id, name = %twin.name, "stopping the second job of one start");
            self.terminate(&twin.id, TWIN_REASON)
                .await
                .map_err(|error| (Call::Terminate, error))?;
        }
        Ok(first.map(|job| job.id))
    }

    /// The id of the job that stays for the start called `name`, whose own `SubmitJob` gave the
    /// job `own`: another start with the same token may have submitted one in between.
    async fn settle(&self, name: &str, own: &str) -> Result<String, (Call, CallError)> {
        let mut jobs = self
            .jobs_of_start(name)
            .await
            .map_err(|error| (Call::List, error))?;
        if jobs.iter().all(|job| job.id == own) {
            return Ok(own.to_owned());
        }
        if jobs.iter().all(|job| job.id != own) {
            // The list is behind. To choose as the other start does, the age is needed.
            let describe = |error| (Call::Describe, error);
            let facts = self.facts(own).await.map_err(describe)?;
            let created_at = facts.and_then(|facts| facts.created_at).ok_or_else(|| {
                let text = "Batch does not show the job that it has just accepted";
                describe(CallError::NoAnswer(text.to_owned()))
            })?;
            jobs.push(Listed {
                created_at,
                id: own.to_owned(),
                name: name.to_owned(),
                over: false,
            });
            jobs.sort();
        }
        let first = self.keep_first(jobs).await?;
        Ok(first.unwrap_or_else(|| own.to_owned()))
    }

    /// The id of a job that this backend started.
    fn id<'a>(&self, job: &'a JobHandle, what: &str) -> Result<&'a str, BackendError> {
        if job.backend() == NAME && job.version() == 1 {
            Ok(job.id())
        } else {
            Err(BackendError::new(
                BackendErrorKind::Unsupported,
                format!(
                    "{what} {job}: it is a handle of backend `{}`, version {}; this is `{NAME}`, version 1",
                    job.backend(),
                    job.version()
                ),
            ))
        }
    }
}

impl Listed {
    fn read(job: JobSummary) -> Option<Self> {
        Some(Self {
            created_at: job.created_at.unwrap_or(i64::MAX),
            id: job.job_id.filter(|id| !id.is_empty())?,
            name: job.job_name?,
            over: BatchState::from(job.status).is_over(),
        })
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ComputeBackend for BatchBackend {
    fn name(&self) -> &str {
        NAME
    }

    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
        let input = request::submit(&self.config, job, token)?;
        let name = job_name(job.execution(), job.start_key());
        let what = format!(
            "start job `{}` on AWS Batch queue `{}` as `{name}`",
            job.name(),
            self.config.job_queue
        );
        let failed = |(call, error): (Call, CallError)| {
            error
                .without(token.expose())
                .into_backend_error(call, &what)
        };

        let earlier = self.jobs_of_start(&name).await;
        let earlier = earlier.map_err(|error| failed((Call::List, error)))?;
        if let Some(id) = self.keep_first(earlier).await.map_err(failed)? {
            tracing::info!(job_id = %id, name, "the job was submitted before");
            return Ok(JobHandle::new(NAME, id));
        }

        let output = self.api.submit_job(input).await;
        let output = output.map_err(|error| failed((Call::Submit, error)))?;
        let Some(own) = output.job_id.filter(|id| !id.is_empty()) else {
            let error = CallError::NoAnswer("the answer names no job".to_owned());
            return Err(failed((Call::Submit, error)));
        };

        let id = self.settle(&name, &own).await.map_err(|(call, error)| {
            // The job is there; only the next start can say which one stays.
            let cause = failed((call, error));
            BackendError::new(
                BackendErrorKind::Ambiguous,
                format!("{what}: submitted, but not known to be the only one; start it again with the same token"),
            )
            .with_source(cause)
        })?;
        tracing::debug!(job_id = %id, name, "submitted");
        Ok(JobHandle::new(NAME, id))
    }

    async fn cancel(&self, job: &JobHandle, reason: &str) -> Result<CancelOutcome, BackendError> {
        let id = self.id(job, "cancel")?;
        let what = format!("cancel AWS Batch job {id}");
        let facts = self.facts(id).await;
        let facts = facts.map_err(|error| error.into_backend_error(Call::Describe, &what))?;
        let outcome = match facts {
            Some(facts) if facts.status.is_over() => return Ok(CancelOutcome::AlreadyEnded),
            Some(_) => CancelOutcome::Cancelled,
            None => CancelOutcome::NotFound,
        };
        // Sent for an unknown job too: Batch answers 200 for any id, and may not yet show a job
        // that it has just accepted.
        match self.terminate(id, &cancel_reason(reason)).await {
            Ok(()) => Ok(outcome),
            Err(CallError::Refused {
                code, status: 400, ..
            }) if outcome == CancelOutcome::NotFound && code == "ClientException" => Ok(outcome),
            Err(error) => Err(error.into_backend_error(Call::Terminate, &what)),
        }
    }

    async fn describe(&self, job: &JobHandle) -> Result<JobStatus, BackendError> {
        let id = self.id(job, "describe")?;
        let facts = self.facts(id).await.map_err(|error| {
            error.into_backend_error(Call::Describe, &format!("describe AWS Batch job {id}"))
        })?;
        Ok(facts.map_or_else(JobStatus::unknown, |facts| {
            job_status(&facts, &self.config.log_group)
        }))
    }

    async fn list(&self, execution: &ExecutionId) -> Result<Vec<JobHandle>, BackendError> {
        let filter = format!("{}*", execution_prefix(execution));
        let jobs = self.jobs_named(&filter).await.map_err(|error| {
            let queue = &self.config.job_queue;
            let what =
                format!("list the jobs of execution {execution} on AWS Batch queue `{queue}`");
            error.into_backend_error(Call::List, &what)
        })?;
        Ok(jobs
            .into_iter()
            .filter(|job| !job.over)
            .filter(|job| parse_job_name(&job.name).is_some_and(|(own, _)| own == *execution))
            .map(|job| JobHandle::new(NAME, job.id))
            .collect())
    }
}

/// `reason` as Batch takes it: marked as ours, so that `describe` can tell, never empty, at most
/// 1,024 bytes, which are never fewer than characters.
fn cancel_reason(reason: &str) -> String {
    let reason = reason
        .strip_prefix(CANCEL_REASON_PREFIX)
        .unwrap_or(reason)
        .trim();
    let reason = if reason.is_empty() {
        "cancelled"
    } else {
        reason
    };
    let mut text = format!("{CANCEL_REASON_PREFIX}{reason}");
    text.truncate(text.floor_char_boundary(MAX_REASON));
    text
}

#[cfg(test)]
#[path = "backend_tests/mod.rs"]
mod tests;
