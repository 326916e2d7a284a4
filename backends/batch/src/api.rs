//! The four calls of the Batch API that the backend makes, as a trait narrow enough to mock.

use std::fmt::Debug;

use async_trait::async_trait;
use aws_sdk_batch::Client;
use aws_sdk_batch::config::interceptors::InterceptorContext;
use aws_sdk_batch::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_batch::error::ProvideErrorMetadata;
use aws_sdk_batch::operation::describe_jobs::DescribeJobsOutput;
use aws_sdk_batch::operation::describe_jobs::builders::DescribeJobsInputBuilder;
use aws_sdk_batch::operation::list_jobs::ListJobsOutput;
use aws_sdk_batch::operation::list_jobs::builders::ListJobsInputBuilder;
use aws_sdk_batch::operation::submit_job::builders::SubmitJobInputBuilder;
use aws_sdk_batch::operation::submit_job::{SubmitJobError, SubmitJobOutput};
use aws_sdk_batch::operation::terminate_job::builders::TerminateJobInputBuilder;

use crate::error::{CallError, says_throttled};

/// What the backend asks of AWS Batch.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub(crate) trait BatchApi: Debug + Send + Sync {
    /// Submits a job. Sends the request once, or again only after an answer that says that
    /// nothing was done.
    async fn submit_job(&self, input: SubmitJobInputBuilder) -> Result<SubmitJobOutput, CallError>;

    /// One page of jobs.
    async fn list_jobs(&self, input: ListJobsInputBuilder) -> Result<ListJobsOutput, CallError>;

    /// What Batch knows of some jobs; those that it does not know are left out.
    async fn describe_jobs(
        &self,
        input: DescribeJobsInputBuilder,
    ) -> Result<DescribeJobsOutput, CallError>;

    /// Stops a job. Batch answers alike for jobs that are finished or unknown.
    async fn terminate_job(&self, input: TerminateJobInputBuilder) -> Result<(), CallError>;
}

/// The API over the AWS SDK.
#[derive(Debug)]
pub(crate) struct SdkApi {
    client: Client,
    /// For `SubmitJob`, which has no client token: the SDK would send it again after a
    /// connection that was cut, and so start a second job.
    submitting: Client,
}

impl SdkApi {
    pub(crate) fn new(client: Client) -> Self {
        let config = client
            .config()
            .to_builder()
            .retry_classifier(OnlyWhenThrottled)
            .build();
        Self {
            submitting: Client::from_conf(config),
            client,
        }
    }
}

#[async_trait]
impl BatchApi for SdkApi {
    async fn submit_job(&self, input: SubmitJobInputBuilder) -> Result<SubmitJobOutput, CallError> {
        Ok(input.send_with(&self.submitting).await?)
    }

    async fn list_jobs(&self, input: ListJobsInputBuilder) -> Result<ListJobsOutput, CallError> {
        Ok(input.send_with(&self.client).await?)
    }

    async fn describe_jobs(
        &self,
        input: DescribeJobsInputBuilder,
    ) -> Result<DescribeJobsOutput, CallError> {
        Ok(input.send_with(&self.client).await?)
    }

    async fn terminate_job(&self, input: TerminateJobInputBuilder) -> Result<(), CallError> {
        input.send_with(&self.client).await?;
        Ok(())
    }
}

/// Forbids the SDK to repeat a `SubmitJob`, unless Batch said that it was throttled: then
/// nothing was done.
#[derive(Debug)]
struct OnlyWhenThrottled;

impl ClassifyRetry for OnlyWhenThrottled {
    fn classify_retry(&self, ctx: &InterceptorContext) -> RetryAction {
        let throttled = ctx
            .output_or_error()
            .and_then(Result::err)
            .and_then(|error| error.as_operation_error())
            .and_then(|error| error.downcast_ref::<SubmitJobError>())
            .is_some_and(|e| {
                says_throttled(
                    e.code().unwrap_or_default(),
                    e.message().unwrap_or_default(),
                )
            });
        if throttled {
            RetryAction::throttling_error()
        } else {
            RetryAction::RetryForbidden
        }
    }

    fn name(&self) -> &'static str {
        "only when throttled"
    }
}
