//! The four calls of the Batch API that the backend makes, as a trait narrow enough to mock.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_batch::Client;
use aws_sdk_batch::config::interceptors::InterceptorContext;
use aws_sdk_batch::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_batch::config::timeout::TimeoutConfig;
use aws_sdk_batch::error::ProvideErrorMetadata;
use aws_sdk_batch::operation::describe_jobs::DescribeJobsOutput;
use aws_sdk_batch::operation::describe_jobs::builders::DescribeJobsInputBuilder;
use aws_sdk_batch::operation::list_jobs::ListJobsOutput;
use aws_sdk_batch::operation::list_jobs::builders::ListJobsInputBuilder;
use aws_sdk_batch::operation::submit_job::builders::SubmitJobInputBuilder;
use aws_sdk_batch::operation::submit_job::{SubmitJobError, SubmitJobOutput};
use aws_sdk_batch::operation::terminate_job::builders::TerminateJobInputBuilder;
use aws_types::SdkConfig;

use crate::error::{CallError, says_throttled};

/// How long one try of a call may take, unless the `SdkConfig` says otherwise. A `SubmitJob` that
/// Batch is still working on is found again by its name.
const TRY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a call may take with all its tries, unless the `SdkConfig` says otherwise.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

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

    pub(crate) fn from_sdk(sdk: &SdkConfig) -> Self {
        let mut builder = aws_sdk_batch::config::Builder::from(sdk);
        let given = sdk.timeout_config();
        if given.is_none_or(|timeouts| {
            timeouts.operation_timeout().is_none() && timeouts.operation_attempt_timeout().is_none()
        }) {
            let mut timeouts = given.map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
            timeouts
                .set_operation_attempt_timeout(Some(TRY_TIMEOUT))
                .set_operation_timeout(Some(CALL_TIMEOUT));
            builder = builder.timeout_config(timeouts.build());
        }
        Self::new(Client::from_conf(builder.build()))
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

#[cfg(test)]
mod tests {
    use aws_sdk_batch::config::{BehaviorVersion, Region};

    use super::*;

    fn timeouts(given: Option<TimeoutConfig>) -> (Option<Duration>, Option<Duration>) {
        let mut sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"));
        sdk.set_timeout_config(given);
        let api = SdkApi::from_sdk(&sdk.build());
        let one = |client: &Client| {
            let timeouts = client.config().timeout_config().unwrap().clone();
            (
                timeouts.operation_attempt_timeout(),
                timeouts.operation_timeout(),
            )
        };
        assert_eq!(one(&api.client), one(&api.submitting));
        one(&api.client)
    }

    #[test]
    fn a_call_is_bounded_unless_the_configuration_says_otherwise() {
        assert_eq!(timeouts(None), (Some(TRY_TIMEOUT), Some(CALL_TIMEOUT)));
        let connect = TimeoutConfig::builder().connect_timeout(Duration::from_secs(1));
        assert_eq!(
            timeouts(Some(connect.build())),
            (Some(TRY_TIMEOUT), Some(CALL_TIMEOUT))
        );
        let own = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(1));
        assert_eq!(
            timeouts(Some(own.build())),
            (Some(Duration::from_secs(1)), None)
        );
    }
}
