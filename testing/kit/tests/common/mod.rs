//! What the tests share: a function that runs the job it is given.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]
#![allow(dead_code, reason = "every test binary uses a part of this")]

use std::sync::Arc;
use std::time::Duration;

use longhaul_core::{JobFailure, JobName, JobSpec, RetryPolicy};
use longhaul_lambda::{DurableContext, JobRunner, RunError};
use longhaul_testing::{Finished, Harness, InMemory};

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// One attempt of the job `render`.
pub(crate) fn spec() -> JobSpec {
    JobSpec::new(JobName::from_text("render")).with_retry(RetryPolicy::never())
}

/// Runs `spec` to the end of its execution.
pub(crate) async fn ran(backend: &InMemory, spec: JobSpec) -> Finished<u64, RunError> {
    let runner = JobRunner::new(Arc::new(backend.clone()));
    let handler = move |spec: JobSpec, ctx: DurableContext| {
        let runner = runner.clone();
        async move { Ok(runner.run::<u64>(&ctx, spec).await?.result) }
    };
    Harness::new(backend).run(handler, spec).await.unwrap()
}

/// The failure of the job, where it started and did not succeed.
pub(crate) fn failure(finished: Finished<u64, RunError>) -> JobFailure {
    let error = finished.error();
    error
        .job_failure()
        .unwrap_or_else(|| panic!("{error:?}"))
        .clone()
}
