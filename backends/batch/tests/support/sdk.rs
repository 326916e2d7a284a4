//! The AWS SDK's configuration for a server on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "shared by several test programs; a test that cannot go on says so"
)]

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_batch::config::retry::RetryConfig;
use aws_sdk_batch::config::timeout::TimeoutConfig;
use aws_sdk_batch::config::{BehaviorVersion, Region, SharedCredentialsProvider};
use aws_types::SdkConfig;

/// The configuration with which the server at `url` is asked: retries that do not wait, and a
/// second for a try.
pub(crate) fn shared(url: &str) -> SdkConfig {
    with_timeout(url, Duration::from_secs(1))
}

/// The same for a server that may take its time.
pub(crate) fn patient(url: &str) -> SdkConfig {
    with_timeout(url, Duration::from_secs(30))
}

fn with_timeout(url: &str, timeout: Duration) -> SdkConfig {
    let retries = RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(1));
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(timeout);
    let keys = Credentials::from_keys("AKIDTEST", "secret", None);
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .endpoint_url(url)
        .retry_config(retries)
        .timeout_config(timeouts.build())
        .build()
}
