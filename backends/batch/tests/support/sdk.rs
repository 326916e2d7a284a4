//! The AWS SDK's client of a server on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_batch::config::retry::RetryConfig;
use aws_sdk_batch::config::{BehaviorVersion, Region};
use aws_sdk_batch::{Client, Config};

/// A client that asks the server at `url`, with retries that do not wait.
pub(crate) fn client(url: &str) -> Client {
    let retries = RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(1));
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::from_keys("AKIDTEST", "secret", None))
        .endpoint_url(url)
        .retry_config(retries);
    Client::from_conf(config.build())
}
