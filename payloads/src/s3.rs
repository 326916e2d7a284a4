//! The client of an S3 bucket, configured from the environment.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_core::{PayloadError, PayloadErrorKind};
use object_store::RetryConfig;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use url::{Host, Url};

use crate::error::failed;
use crate::http::{Http, honours};

/// The variables that name an endpoint, the first one first.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];

/// The client for `bucket`. Nothing is asked of it yet.
pub(crate) fn connect(
    tried: &str,
    bucket: &str,
    environment: &BTreeMap<String, String>,
) -> Result<AmazonS3, PayloadError> {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in environment {
        // Variables that are not the client's own are somebody else's, and an empty one is as
        // good as none.
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()
            && name.starts_with("AWS_")
            && !value.is_empty()
        {
            if let AmazonS3ConfigKey::Client(setting) = &key
                && !honours(setting)
            {
                let problem =
                    format!("{name} is set, and this store has no such setting: unset it");
                return Err(misconfigured(tried, &problem));
            }
            builder = builder.with_config(key, value);
        }
    }
    if let Some((name, endpoint)) = endpoint(environment)
        && plain_http(tried, name, endpoint, environment)?
    {
        builder = builder.with_allow_http(true);
    }
    let http = Http::new(|setting| builder.get_config_value(&AmazonS3ConfigKey::Client(setting)))
        .map_err(|problem| misconfigured(tried, &problem))?;
    builder
        .with_bucket_name(bucket)
        .with_http_connector(http)
        // Some ten seconds in all: a durable step is repeated anyway, and a worker delivers again.
        .with_retry(RetryConfig {
            max_retries: 4,
            retry_timeout: Duration::from_secs(30),
            ..RetryConfig::default()
        })
        .build()
        .map_err(|error| failed(tried, error.into()))
}

fn misconfigured(tried: &str, problem: &str) -> PayloadError {
    PayloadError::new(PayloadErrorKind::InvalidUri, format!("{tried}: {problem}"))
}

fn endpoint(environment: &BTreeMap<String, String>) -> Option<(&'static str, &str)> {
    ENDPOINTS.into_iter().find_map(|name| {
        let value = environment.get(name).filter(|value| !value.is_empty())?;
        Some((name, value.as_str()))
    })
}

/// Whether the endpoint is reached without TLS, which it may be on this machine only.
fn plain_http(
    tried: &str,
    name: &str,
    endpoint: &str,
    environment: &BTreeMap<String, String>,
) -> Result<bool, PayloadError> {
    let refused = |problem: String| {
        let problem = format!("{name} is {endpoint:?}: {problem}");
        Err(misconfigured(tried, &problem))
    };
    let url = match Url::parse(endpoint) {
        Ok(url) => url,
        Err(error) => return refused(format!("it is no URL ({error})")),
    };
    let here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    let allowed = environment
        .get("AWS_ALLOW_HTTP")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    match url.scheme() {
        "https" => Ok(false),
        "http" if here || allowed => Ok(true),
        "http" => refused(
            "it would send payloads in the clear: use https, or set AWS_ALLOW_HTTP=true".to_owned(),
        ),
        other => refused(format!("`{other}:` is no protocol of S3")),
    }
}
