//! The conformance suite on moto, as far as it can play Batch. What it cannot, and why, stands in
//! the subject's `cannot` and in the report that the test prints.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_batch::types::{JobDetail, JobStatus as State, KeyValuesPair};
use longhaul_batch::{BatchBackend, TWIN_REASON, job_name};
use longhaul_core::conformance::{self, Cannot, Promise};
use longhaul_core::{
    BackendError, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId, Job, JobHandle,
    JobStatus, Locate,
};

use crate::moto::{Jobs, Moto};
use crate::subject::{BatchSubject, Platform, SeenJob};

/// The backend, with a hand on moto's clock: jobs wait there until one of them is cancelled, and
/// then all of them go on to their end.
#[derive(Debug)]
struct ByHand<'a> {
    backend: BatchBackend,
    moto: &'a Moto,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ComputeBackend for ByHand<'_> {
    fn name(&self) -> &str {
        self.backend.name()
    }

    async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError> {
        self.backend.start(job, token).await
    }

    async fn cancel(&self, job: &JobHandle, reason: &str) -> Result<CancelOutcome, BackendError> {
        let outcome = self.backend.cancel(job, reason).await?;
        if outcome == CancelOutcome::Cancelled {
            self.moto.let_all_end().await;
        }
        Ok(outcome)
    }

    async fn describe(&self, job: &JobHandle) -> Result<JobStatus, BackendError> {
        self.backend.describe(job).await
    }

    async fn list(&self, execution: &ExecutionId) -> Result<Vec<JobHandle>, BackendError> {
        self.backend.list(execution).await
    }
}

#[async_trait]
impl Locate for ByHand<'_> {
    async fn locate(&self, job: &Job) -> Result<Option<JobHandle>, BackendError> {
        self.backend.locate(job).await
    }
}

fn seen(job: JobDetail) -> SeenJob {
    let container = job.container.unwrap();
    let pairs = container.environment.unwrap_or_default().into_iter();
    SeenJob {
        running: !matches!(job.status, Some(State::Succeeded | State::Failed)),
        command: container.command,
        environment: pairs
            .map(|pair| (pair.name.unwrap(), pair.value.unwrap()))
            .collect(),
        tags: job
            .tags
            .unwrap_or_default()
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    }
}

#[async_trait]
impl Platform for &Moto {
    async fn jobs(&self, job: &Job) -> Vec<SeenJob> {
        let name = job_name(job.execution(), job.start_key());
        let filter = KeyValuesPair::builder().name("JOB_NAME").values(name);
        let list = self.client.list_jobs().job_queue(&self.config.job_queue);
        let listed = list.filters(filter.build()).send().await.unwrap();
        let ids = listed.job_summary_list().iter();
        let ids: Vec<String> = ids.map(|job| job.job_id().unwrap().to_owned()).collect();
        if ids.is_empty() {
            return Vec::new();
        }
        let described = self.client.describe_jobs().set_jobs(Some(ids)).send().await;
        let jobs = described.unwrap().jobs.unwrap_or_default().into_iter();
        jobs.filter(|job| job.status_reason() != Some(TWIN_REASON))
            .map(seen)
            .collect()
    }

    fn lets_jobs_exit(&self) -> bool {
        false
    }

    fn cannot(&self) -> Vec<Cannot> {
        let together = "it moves all of its jobs on together";
        let no_exit = "its jobs wait or succeed all alike, and none has an exit code";
        [
            (Promise::ListFindsExactlyTheRunningJobs, together),
            (Promise::CancelOfAFinishedJob, no_exit),
            (Promise::FinishedJobHasItsExitCode, no_exit),
        ]
        .map(|(promise, reason)| Cannot::new(promise, reason))
        .into()
    }
}

#[tokio::test]
async fn the_backend_keeps_its_promises_on_moto() {
    let Some(moto) = Moto::with(Jobs::Wait).await else {
        return;
    };
    let backend = moto.backend();
    let subject = BatchSubject {
        backend: ByHand {
            backend,
            moto: &moto,
        },
        platform: &moto,
    };
    let report = conformance::run_all(&subject).await;
    println!("{report}");
    report.assert();
    let skipped = Platform::cannot(&&moto).len();
    assert_eq!(report.kept().count(), Promise::ALL.len() - skipped);
}
