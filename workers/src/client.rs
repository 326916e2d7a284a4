//! The callback's calls through the AWS Lambda API.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::Credentials;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::config::{Builder, Region, StalledStreamProtectionConfig};
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::ErrorObject;
use longhaul_core::{CallbackToken, JobFailure};
use tokio::sync::OnceCell;

use crate::callback::{CallbackApi, CallbackError, CallbackErrorKind};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The callback of one token, reached with the standard environment of the AWS SDKs:
/// `AWS_ENDPOINT_URL_LAMBDA`, `AWS_REGION` and the usual sources of credentials.
///
/// The client is made at the first call, so that a command need not wait for it. For a service on
/// loopback the environment is all that is asked: without credentials in it they are placeholders,
/// without a region it is `us-east-1`. Where it names a profile or another source of credentials,
/// these are asked there too.
#[derive(Debug)]
pub struct LambdaCallbacks {
    token: CallbackToken,
    client: OnceCell<Client>,
}

impl LambdaCallbacks {
    /// The callback that `token` opens.
    #[must_use]
    pub fn new(token: CallbackToken) -> Self {
        Self {
            token,
            client: OnceCell::new(),
        }
    }

    async fn client(&self) -> &Client {
        self.client.get_or_init(connect).await
    }

    /// The error with everything that is known about it, and without the token.
    fn error<E>(&self, call: &str, error: &SdkError<E, HttpResponse>) -> CallbackError
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let kind = match error {
            // Nothing was sent: a region or an endpoint is missing.
            SdkError::ConstructionFailure(_) => CallbackErrorKind::Denied,
            _ => {
                let status = error.raw_response().map(|answer| answer.status().as_u16());
                CallbackErrorKind::of_answer(error.code(), status)
            }
        };
        let cause = match (error.code(), error.message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => match error.raw_response() {
                Some(answer) => format!("HTTP status {}", answer.status().as_u16()),
                None => causes(error),
            },
        };
        CallbackError::new(kind, redact(&format!("{call}: {cause}"), &self.token))
    }
}

#[async_trait]
impl CallbackApi for LambdaCallbacks {
    async fn succeed(&self, result: &[u8]) -> Result<(), CallbackError> {
        self.client()
            .await
            .send_durable_execution_callback_success()
            .callback_id(self.token.expose())
            .result(Blob::new(result))
            .send()
            .await
            .map(drop)
            .map_err(|e| self.error("SendDurableExecutionCallbackSuccess", &e))
    }

    async fn fail(&self, failure: &JobFailure) -> Result<(), CallbackError> {
        // A command that was given the token may have printed it.
        let clean = |text: &str| redact(text, &self.token);
        let error = ErrorObject::builder()
            .error_type(clean(failure.error_type()))
            .error_message(clean(&failure.error_message()))
            .error_data(clean(&failure.error_data()))
            .build();
        self.client()
            .await
            .send_durable_execution_callback_failure()
            .callback_id(self.token.expose())
            .error(error)
            .send()
            .await
            .map(drop)
            .map_err(|e| self.error("SendDurableExecutionCallbackFailure", &e))
    }

    async fn heartbeat(&self) -> Result<(), CallbackError> {
        self.client()
            .await
            .send_durable_execution_callback_heartbeat()
            .callback_id(self.token.expose())
            .send()
            .await
            .map(drop)
            .map_err(|e| self.error("SendDurableExecutionCallbackHeartbeat", &e))
    }
}

async fn connect() -> Client {
    let endpoint = std::env::var("AWS_ENDPOINT_URL_LAMBDA").ok();
    let local = endpoint.filter(|url| is_loopback(url));
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let keys = is_set("AWS_ACCESS_KEY_ID") && is_set("AWS_SECRET_ACCESS_KEY");
    // Without TLS its roots need not be read, which takes longer than everything else here.
    let plain = local
        .is_some()
        .then(|| aws_smithy_http_client::Builder::new().build_http());
    let mut config = match local {
        Some(endpoint) if keys || !names_credentials(is_set) => from_environment(endpoint, keys),
        _ => Builder::from(&aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await),
    };
    if let Some(plain) = plain {
        config = config.http_client(plain);
    }
    // Trying again is decided by the caller, who knows the deadline and how long a try may take.
    let config = config
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .build(),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    Client::from_conf(config.build())
}

/// For a service on this machine, with nothing that is not in the environment: configuration files and the instance are not asked.
fn from_environment(endpoint: String, keys: bool) -> Builder {
    let region = ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|region| !region.is_empty()))
        .unwrap_or_else(|| "us-east-1".to_owned());
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region))
        .endpoint_url(endpoint);
    if keys {
        config.credentials_provider(EnvironmentVariableCredentialsProvider::new())
    } else {
        config.credentials_provider(Credentials::from_keys("local", "local", None))
    }
}

/// Whether the endpoint is plain HTTP on this machine.
fn is_loopback(endpoint: &str) -> bool {
    let Some(authority) = endpoint
        .strip_prefix("http://")
        .map(|rest| rest.split(['/', '?']).next().unwrap_or(rest))
    else {
        return false;
    };
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => authority.split(':').next().unwrap_or(authority),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether the environment says where credentials come from.
fn names_credentials(is_set: impl Fn(&str) -> bool) -> bool {
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ]
    .into_iter()
    .any(is_set)
}

/// The error and its causes, in one line. Not the SDK's `DisplayErrorContext`, which ends in a
/// `Debug` of everything.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The text with the token taken out, as it is and as it stands in a request's path.
fn redact(text: &str, token: &CallbackToken) -> String {
    let plain = token.expose();
    let mut encoded = String::with_capacity(plain.len());
    for c in plain.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~') {
            encoded.push(c);
        } else {
            encoded.push_str(&format!("%{:02X}", u32::from(c)));
        }
    }
    text.replace(plain, "[callback id]")
        .replace(&encoded, "[callback id]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_taken_out_of_a_text_in_both_its_forms() {
        let token = CallbackToken::new("ab/c+d==").unwrap();
        let text = redact(
            "POST /x/ab%2Fc%2Bd%3D%3D/fail: callback ab/c+d== is unknown",
            &token,
        );
        assert_eq!(
            text,
            "POST /x/[callback id]/fail: callback [callback id] is unknown"
        );
    }

    #[test]
    fn the_callback_shows_nothing_of_its_token() {
        let callbacks = LambdaCallbacks::new(CallbackToken::new("c2VjcmV0").unwrap());
        assert!(!format!("{callbacks:?}").contains("c2VjcmV0"));
    }

    #[test]
    fn only_plain_http_on_this_machine_is_loopback() {
        for yes in [
            "http://127.0.0.1:4000",
            "http://localhost",
            "http://[::1]:1/x",
        ] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in [
            "https://127.0.0.1",
            "http://10.0.0.1:80",
            "http://127.0.0.1.evil.example",
            "http://localhost.example",
        ] {
            assert!(!is_loopback(no), "{no}");
        }
        assert!(!is_loopback(""));
    }

    #[test]
    fn credentials_that_the_environment_names_are_kept() {
        assert!(names_credentials(|name| name == "AWS_PROFILE"));
        assert!(!names_credentials(|_| false));
    }
}
