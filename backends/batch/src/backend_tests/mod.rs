//! Every answer of the Batch API, each request asserted field by field.

use aws_sdk_batch::operation::describe_jobs::DescribeJobsOutput;
use aws_sdk_batch::operation::list_jobs::ListJobsOutput;
use aws_sdk_batch::operation::submit_job::SubmitJobOutput;
use aws_sdk_batch::types::{JobDetail, JobStatus as State};
use longhaul_core::{FailureClass, JobSpec, JobState, Retry};
use mockall::Sequence;
use mockall::predicate::eq;

use super::*;
use crate::api::MockBatchApi;

mod locate;
mod start;
mod then;

const TOKEN: &str = "dG9rZW4tMQ==";

fn token() -> CallbackToken {
    CallbackToken::new(TOKEN).unwrap()
}

fn execution() -> ExecutionId {
    ExecutionId::from_arn("arn")
}

fn job() -> Job {
    let spec: JobSpec = serde_json::from_str(r#"{"name":"hello"}"#).unwrap();
    Job::new(spec, execution(), 1, &token())
}

fn name() -> String {
    job_name(&execution(), &token().start_key())
}

fn backend(api: MockBatchApi) -> BatchBackend {
    BatchBackend::over(BatchConfig::new("jobs", "worker:7"), Arc::new(api))
}

fn handle(id: &str) -> JobHandle {
    JobHandle::new("batch", id)
}

fn refused(code: &str, message: &str) -> CallError {
    CallError::Refused {
        status: 400,
        code: code.to_owned(),
        message: message.to_owned(),
    }
}

fn summary(id: &str, name: &str, created_at: i64, status: State) -> JobSummary {
    JobSummary::builder()
        .job_id(id)
        .job_name(name)
        .created_at(created_at)
        .status(status)
        .build()
}

fn page(jobs: Vec<JobSummary>) -> ListJobsOutput {
    ListJobsOutput::builder()
        .set_job_summary_list(Some(jobs))
        .build()
}

fn submitted(id: &str) -> SubmitJobOutput {
    SubmitJobOutput::builder()
        .job_id(id)
        .job_name(name())
        .build()
}

fn described(jobs: Vec<JobDetail>) -> DescribeJobsOutput {
    DescribeJobsOutput::builder().set_jobs(Some(jobs)).build()
}

fn detail(id: &str, status: State) -> JobDetail {
    JobDetail::builder().job_id(id).status(status).build()
}

/// The `ListJobs` that looks for `filter`, asserted whole: nothing else is set in it.
fn listing(
    filter: &str,
    page: Option<&str>,
) -> aws_sdk_batch::operation::list_jobs::builders::ListJobsInputBuilder {
    ListJobsInput::builder()
        .job_queue("jobs")
        .filters(
            KeyValuesPair::builder()
                .name("JOB_NAME")
                .values(filter)
                .build(),
        )
        .set_next_token(page.map(str::to_owned))
}
