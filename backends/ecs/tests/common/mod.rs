//! A backend over the AWS SDK that reaches a server on loopback, and jobs for it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by several test programs, none of which uses all of it; a test may panic"
)]

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_ecs::config::retry::RetryConfig;
use aws_sdk_ecs::config::timeout::TimeoutConfig;
use aws_sdk_ecs::config::{BehaviorVersion, Region};
use aws_types::SdkConfig;
use aws_types::sdk_config::Builder;
use longhaul_core::{CallbackToken, ExecutionId, Job, JobSpec};
use longhaul_ecs::{EcsBackend, EcsConfig, EcsConfigBuilder};

/// What an SDK needs to reach `url`; repeats a call up to three times, without long waits.
pub fn sdk(url: &str) -> Builder {
    let credentials = Credentials::from_keys("test", "test", None);
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(
            RetryConfig::standard()
                .with_initial_backoff(Duration::from_millis(1))
                .with_max_backoff(Duration::from_millis(5)),
        )
}

/// The same without repeats: what a process is left with that dies after its first try.
pub fn sdk_that_tries_once(url: &str) -> Builder {
    sdk(url).retry_config(RetryConfig::disabled())
}

/// Bounds on how long one try and the whole call may take.
pub fn timeouts(attempt: Duration, call: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(attempt)
        .operation_timeout(call)
        .build()
}

pub fn config() -> EcsConfigBuilder {
    EcsConfig::builder("jobs", "render:7")
        .subnets(["subnet-1"])
        .security_groups(["sg-1"])
}

pub fn backend(sdk: Builder) -> EcsBackend {
    EcsBackend::from_sdk(config().build().unwrap(), &sdk.build())
}

pub fn token(text: &str) -> CallbackToken {
    CallbackToken::new(text).unwrap()
}

pub fn execution() -> ExecutionId {
    ExecutionId::from_arn("arn:aws:lambda:eu-west-1:123456789012:function:f:1/durable/e")
}

/// The first attempt of the job that `json` describes.
pub fn job(json: &str, token: &CallbackToken) -> Job {
    let spec: JobSpec = serde_json::from_str(json).unwrap();
    Job::new(spec, execution(), 1, token)
}

pub fn hello(token: &CallbackToken) -> Job {
    job(r#"{"name":"hello"}"#, token)
}
