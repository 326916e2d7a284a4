//! What the environment says of the attempt: the reading side of the worker contract.

use std::env::VarError;
use std::fmt;
use std::time::Duration;

use longhaul_core::contract;
use longhaul_core::{CallbackToken, InvalidToken};

/// Where the worker finds the callback token.
///
/// # Errors
///
/// [`NoCallback`] when the environment has none, or one that cannot be one.
pub fn callback_token() -> Result<CallbackToken, NoCallback> {
    token_from(std::env::var(contract::CALLBACK_ID))
}

fn token_from(value: Result<String, VarError>) -> Result<CallbackToken, NoCallback> {
    match value {
        Ok(text) => CallbackToken::new(text).map_err(NoCallback::Invalid),
        Err(VarError::NotPresent) => Err(NoCallback::Absent),
        Err(VarError::NotUnicode(_)) => Err(NoCallback::Invalid(InvalidToken::Character)),
    }
}

/// There is no callback to complete. Holds nothing of a rejected token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoCallback {
    /// The variable is not set.
    #[error(
        "CALLBACK_ID is not set: it is the durable callback that this worker completes, and \
         whoever starts the job (longhaul's function, through its compute backend) sets it. \
         To run a command as a job from here, use `longhaul run -- CMD…`"
    )]
    Absent,
    /// The variable is set to something that the service never minted.
    #[error("CALLBACK_ID is not a durable callback's id")]
    Invalid(#[source] InvalidToken),
}

/// One attempt of a job, as its environment tells of it. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The job's name, for logs.
    pub job_name: Option<String>,
    /// The execution's id, for logs.
    pub execution_id: Option<String>,
    /// The number of the attempt, from 1.
    pub number: Option<u32>,
    /// The hash of the token: tells one attempt from another without the secret.
    pub start_key: Option<String>,
    /// The heartbeat timeout. `None` means none.
    pub heartbeat: Option<Duration>,
    /// The attempt's timeout: nobody listens after it. It counts from before the worker's start.
    pub timeout: Option<Duration>,
    /// The job's input, or where it is.
    pub input: Input,
    /// The base of the payload store, for a result that does not travel with the callback.
    pub payload_store: Option<String>,
    /// Whether the reader of the report reads when the job ran.
    pub times: bool,
}

/// The input of a job.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// Inline, as JSON. `null` where the environment has none.
    Inline(String),
    /// In the payload store, under this URI.
    At(String),
}

/// A variable of the worker contract with a value that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value:?} {problem}")]
pub struct InvalidVariable {
    name: &'static str,
    value: String,
    problem: &'static str,
}

impl Attempt {
    /// The attempt that the process's environment tells of.
    ///
    /// # Errors
    ///
    /// [`InvalidVariable`] for the first variable that cannot be read.
    pub fn from_env() -> Result<Self, InvalidVariable> {
        Self::read(|name| std::env::var(name))
    }

    /// An attempt of which nothing is known.
    pub(crate) fn unknown() -> Self {
        Self {
            job_name: None,
            execution_id: None,
            number: None,
            start_key: None,
            heartbeat: None,
            timeout: None,
            input: Input::Inline("null".to_owned()),
            payload_store: None,
            times: false,
        }
    }

    /// The attempt that `lookup` tells of.
    ///
    /// # Errors
    ///
    /// [`InvalidVariable`] for the first variable that cannot be read.
    pub fn read(
        lookup: impl Fn(&str) -> Result<String, VarError>,
    ) -> Result<Self, InvalidVariable> {
        let text = |name| text(&lookup, name);
        let seconds = |name| -> Result<Option<Duration>, InvalidVariable> {
            Ok(
                number(text(name)?, name, "is not a whole number of seconds")?
                    .map(Duration::from_secs)
                    .filter(|duration| !duration.is_zero()),
            )
        };
        Ok(Self {
            job_name: text(contract::JOB_NAME)?,
            execution_id: text(contract::EXECUTION_ID)?,
            number: number(
                text(contract::ATTEMPT)?,
                contract::ATTEMPT,
                "is not a number",
            )?,
            start_key: text(contract::START_KEY)?,
            heartbeat: seconds(contract::HEARTBEAT_SECONDS)?,
            timeout: seconds(contract::TIMEOUT_SECONDS)?,
            input: match text(contract::INPUT_URI)? {
                Some(uri) => Input::At(uri),
                None => Input::Inline(text(contract::INPUT)?.unwrap_or_else(|| "null".to_owned())),
            },
            payload_store: text(contract::PAYLOAD_STORE)?,
            times: text(contract::TIMES)?.as_deref() == Some("1"),
        })
    }
}

/// `LONGHAUL_GRACE_SECONDS`: how long a job that is told to stop may take to end.
pub(crate) const GRACE_SECONDS: &str = "LONGHAUL_GRACE_SECONDS";

/// The grace when nothing says otherwise: well inside the 30 s that ECS and AWS Batch give a
/// container between SIGTERM and SIGKILL (`stopTimeout`).
pub(crate) const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// How long a job that is told to stop may take to end.
pub(crate) fn grace_from_env() -> Result<Duration, InvalidVariable> {
    grace_from(|name| std::env::var(name))
}

fn grace_from(
    lookup: impl Fn(&str) -> Result<String, VarError>,
) -> Result<Duration, InvalidVariable> {
    let value = text(&lookup, GRACE_SECONDS)?;
    let seconds = number(value, GRACE_SECONDS, "is not a whole number of seconds")?;
    Ok(seconds.map_or(DEFAULT_GRACE, Duration::from_secs))
}

/// The variable's value. An empty one counts as absent.
fn text(
    lookup: impl Fn(&str) -> Result<String, VarError>,
    name: &'static str,
) -> Result<Option<String>, InvalidVariable> {
    match lookup(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(value)) => Err(InvalidVariable {
            name,
            value: value.to_string_lossy().into_owned(),
            problem: "is not UTF-8",
        }),
    }
}

fn number<N: std::str::FromStr>(
    value: Option<String>,
    name: &'static str,
    problem: &'static str,
) -> Result<Option<N>, InvalidVariable> {
    value
        .map(|value| {
            value.parse().map_err(|_| InvalidVariable {
                name,
                value,
                problem,
            })
        })
        .transpose()
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The input is the job's business, and may be large.
            Self::Inline(text) => write!(f, "Inline({} bytes)", text.len()),
            Self::At(uri) => f.debug_tuple("At").field(uri).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use longhaul_core::{ExecutionId, Job, JobName, JobSpec};

    use super::*;

    fn lookup<const N: usize>(
        variables: [(&str, &str); N],
    ) -> impl Fn(&str) -> Result<String, VarError> {
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = HashMap::from(variables);
        move |name| variables.get(name).cloned().ok_or(VarError::NotPresent)
    }

    #[test]
    fn a_worker_reads_what_a_backend_writes() {
        let token = CallbackToken::new("dG9rZW4=").unwrap();
        let spec = JobSpec::new(JobName::new("hello").unwrap())
            .with_input(serde_json::json!({"a": 1}))
            .with_timeout(Duration::from_secs(600))
            .with_heartbeat(Duration::from_secs(15));
        let job = Job::new(spec, ExecutionId::from_arn("arn"), 2, &token)
            .with_payload_store("s3://bucket/prefix")
            .with_times();
        let environment = job.environment(&token);
        let get = |name: &str| {
            environment
                .get(name)
                .map(str::to_owned)
                .ok_or(VarError::NotPresent)
        };
        let attempt = Attempt::read(get).unwrap();
        assert_eq!(
            attempt,
            Attempt {
                job_name: Some("hello".to_owned()),
                execution_id: Some(job.execution().to_string()),
                number: Some(2),
                start_key: Some(token.start_key().to_string()),
                heartbeat: Some(Duration::from_secs(15)),
                timeout: Some(Duration::from_secs(600)),
                input: Input::Inline(r#"{"a":1}"#.to_owned()),
                payload_store: Some("s3://bucket/prefix".to_owned()),
                times: true,
            }
        );
        assert_eq!(token_from(get(contract::CALLBACK_ID)), Ok(token));
    }

    #[test]
    fn an_empty_environment_is_an_attempt_without_bounds() {
        let attempt = Attempt::read(lookup([("LONGHAUL_HEARTBEAT_SECONDS", "0")])).unwrap();
        assert_eq!(attempt.heartbeat, None);
        assert_eq!(attempt.timeout, None);
        assert_eq!(attempt.input, Input::Inline("null".to_owned()));
        assert_eq!(attempt.payload_store, None);
    }

    #[test]
    fn an_input_by_reference_is_told_by_its_uri() {
        let attempt = Attempt::read(lookup([("LONGHAUL_INPUT_URI", "s3://b/k")])).unwrap();
        assert_eq!(attempt.input, Input::At("s3://b/k".to_owned()));
    }

    #[test]
    fn a_variable_that_cannot_be_read_is_named() {
        let error = Attempt::read(lookup([("LONGHAUL_TIMEOUT_SECONDS", "1h")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "LONGHAUL_TIMEOUT_SECONDS=\"1h\" is not a whole number of seconds"
        );
        assert!(grace_from(lookup([("LONGHAUL_GRACE_SECONDS", "-1")])).is_err());
    }

    #[test]
    fn the_grace_is_ten_seconds_unless_the_environment_says_otherwise() {
        assert_eq!(grace_from(lookup([])), Ok(DEFAULT_GRACE));
        let grace = grace_from(lookup([("LONGHAUL_GRACE_SECONDS", "0")]));
        assert_eq!(grace, Ok(Duration::ZERO));
    }

    #[test]
    fn a_missing_token_says_who_sets_it_and_a_bad_one_is_not_repeated() {
        let absent = token_from(Err(VarError::NotPresent)).unwrap_err();
        assert!(absent.to_string().contains("sets it"), "{absent}");
        let invalid = token_from(Ok("not a token".to_owned())).unwrap_err();
        assert!(!format!("{invalid} {invalid:?}").contains("not a token"));
    }

    #[test]
    fn an_attempt_does_not_print_its_input() {
        let attempt = Attempt::read(lookup([("LONGHAUL_INPUT", "\"private\"")])).unwrap();
        assert!(!format!("{attempt:?}").contains("private"));
    }
}
