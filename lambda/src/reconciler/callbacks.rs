//! The two calls of the callback API that the reconciler makes.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::types::ErrorObject;
use longhaul_core::{CallbackToken, JobFailure};

use crate::error::full_message;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a call may take with all its tries.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a call is tried that was throttled or not answered.
const TRIES: u32 = 5;

/// What became of a failure that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The callback is failed, and the function goes on.
    Accepted,
    /// The callback had been completed before, or nobody waits for it any more.
    Closed,
}

/// The two calls of the callback API that the reconciler makes.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait CallbackApi: Debug + Send + Sync {
    /// Whether somebody still waits for the callback.
    ///
    /// The API has no such question, so this is a heartbeat
    /// (`SendDurableExecutionCallbackHeartbeat`): it is refused for a closed callback, and puts
    /// off the heartbeat timeout of an open one, which is about to be completed anyway.
    ///
    /// # Errors
    ///
    /// [`CallbackApiError`] when the answer does not tell.
    async fn is_open(&self, token: &CallbackToken) -> Result<bool, CallbackApiError>;

    /// Fails the callback (`SendDurableExecutionCallbackFailure`).
    ///
    /// # Errors
    ///
    /// [`CallbackApiError`] when the service did not take it.
    async fn fail(
        &self,
        token: &CallbackToken,
        failure: &JobFailure,
    ) -> Result<Delivery, CallbackApiError>;
}

/// An error of the callback API. It has no source: what lies below it may quote the callback
/// token, and the message has been cleaned of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallbackApiError {
    message: String,
}

impl CallbackApiError {
    /// What was tried and what came back. It must not hold the callback token.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// The callback API of AWS Lambda.
#[derive(Debug, Clone)]
pub struct LambdaCallbacks {
    client: Client,
}

impl LambdaCallbacks {
    /// Calls through `client`, with its settings for retries and timeouts.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Calls with the region, credentials and endpoint of `sdk`. What was throttled or not
    /// answered is tried 5 times within a minute.
    #[must_use]
    pub fn from_sdk(sdk: &SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(TRY_TIMEOUT)
            .operation_timeout(CALL_TIMEOUT)
            .build();
        let config = aws_sdk_lambda::config::Builder::from(sdk)
            .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
            .timeout_config(timeouts)
            .build();
        Self::new(Client::from_conf(config))
    }
}

#[async_trait]
impl CallbackApi for LambdaCallbacks {
    async fn is_open(&self, token: &CallbackToken) -> Result<bool, CallbackApiError> {
        let client = &self.client;
        let answer = client
            .send_durable_execution_callback_heartbeat()
            .callback_id(token.expose())
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if is_closed(&error) => Ok(false),
            Err(error) => Err(describe(
                "SendDurableExecutionCallbackHeartbeat",
                &error,
                token,
            )),
        }
    }

    async fn fail(
        &self,
        token: &CallbackToken,
        failure: &JobFailure,
    ) -> Result<Delivery, CallbackApiError> {
        let error = ErrorObject::builder()
            .error_type(failure.error_type())
            .error_message(failure.error_message())
            .error_data(failure.error_data())
            .build();
        let client = &self.client;
        let answer = client
            .send_durable_execution_callback_failure()
            .callback_id(token.expose())
            .error(error)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(Delivery::Accepted),
            Err(error) if is_closed(&error) => Ok(Delivery::Closed),
            Err(error) => Err(describe(
                "SendDurableExecutionCallbackFailure",
                &error,
                token,
            )),
        }
    }
}

/// Whether the service says that nobody listens: completed, timed out, or unknown because the
/// execution is gone.
fn is_closed<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(
        error.code(),
        Some("CallbackTimeoutException" | "ResourceNotFoundException")
    )
}

/// The error with what is known about it and without the token.
fn describe<E>(
    call: &str,
    error: &SdkError<E, HttpResponse>,
    token: &CallbackToken,
) -> CallbackApiError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let status = error
        .raw_response()
        .map(|answer| format!("HTTP status {}", answer.status().as_u16()));
    let cause = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => status.unwrap_or_else(|| full_message(error)),
    };
    let hint = match error.code() {
        Some("AccessDeniedException" | "AccessDenied") => format!(
            "; allow the reconciler's role lambda:{call} on the durable function's executions, arn:…:function:NAME:*"
        ),
        _ => String::new(),
    };
    CallbackApiError::new(redact(&format!("{call}: {cause}{hint}"), token))
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
        let text = redact("POST /x/ab%2Fc%2Bd%3D%3D/fail: ab/c+d== is unknown", &token);
        assert_eq!(text, "POST /x/[callback id]/fail: [callback id] is unknown");
    }
}
