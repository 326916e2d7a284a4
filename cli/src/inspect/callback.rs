//! `longhaul callback`: completes a callback by hand, or from a script.

use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::ErrorObject;
use clap::{Args, Subcommand};

use super::place::Place;
use super::{Where, history, say};
use crate::error::{CliError, full_message};

/// Complete a callback, fail it, or send its heartbeat
///
/// A callback's id is a secret: whoever has it can complete the callback. Every user of the machine can see the
/// arguments of a command, so give the id on standard input (`-`) or in the variable CALLBACK_ID, where a worker
/// finds it anyway; or name the execution, and the id is looked up.
///
/// Exit codes: 0 the service has accepted it; 1 it has not, because the callback is closed or not there; 2 bad usage.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  printf %s \"$id\" | longhaul callback succeed - --result '{\"approved\":true}'\n  longhaul callback fail --execution night-1 --type Rejected --message 'not today'\n  longhaul callback heartbeat    # in a worker, by CALLBACK_ID and AWS_ENDPOINT_URL_LAMBDA"
)]
pub(crate) enum CallbackCommand {
    /// Complete it with a result
    Succeed {
        /// The result, JSON; none when absent
        #[arg(long, value_name = "JSON", conflicts_with = "result_file")]
        result: Option<String>,

        /// A file with the result, JSON
        #[arg(long, value_name = "FILE")]
        result_file: Option<PathBuf>,

        #[command(flatten)]
        which: Which,
    },
    /// Fail it with an error
    Fail {
        /// The error's class, for a program
        #[arg(long = "type", value_name = "TYPE")]
        error_type: Option<String>,

        /// What went wrong, for a person
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,

        /// Anything more, JSON by custom
        #[arg(long, value_name = "TEXT")]
        data: Option<String>,

        #[command(flatten)]
        which: Which,
    },
    /// Restart its heartbeat timeout
    Heartbeat {
        #[command(flatten)]
        which: Which,
    },
}

/// Which callback.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Its id; `-` reads it from standard input
    #[arg(value_name = "ID", env = "CALLBACK_ID", hide_env_values = true)]
    id: Option<SecretId>,

    /// In place of the id: the open callback of this execution, by its name or ARN
    #[arg(long, value_name = "NAME")]
    execution: Option<String>,

    /// With --execution: the callback's name, where several are open
    #[arg(long, value_name = "NAME", requires = "execution")]
    callback: Option<String>,

    #[command(flatten)]
    place: Where,
}

/// The id of a callback, hidden from `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretId(String);

impl SecretId {
    pub(super) fn new(id: &str) -> Self {
        Self(id.trim().to_owned())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretId(redacted)")
    }
}

impl From<&str> for SecretId {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl Which {
    async fn find(&self) -> Result<(Place, SecretId), CliError> {
        if let Some(execution) = &self.execution {
            return self.open_of(execution).await;
        }
        let id = match &self.id {
            None => {
                return Err(CliError::Usage(
                    "which callback? Give its id on standard input with `-`, or name its execution with --execution"
                        .to_owned(),
                ));
            }
            Some(id) if id.reveal() == "-" => read_id()?,
            Some(id) => id.clone(),
        };
        if id.reveal().is_empty() {
            return Err(CliError::Usage("the callback's id is empty".to_owned()));
        }
        // A worker is told where its service is by this variable.
        let endpoint = std::env::var("AWS_ENDPOINT_URL_LAMBDA").ok();
        let place = self.place.any(endpoint.as_deref()).await?;
        Ok((place, id))
    }

    async fn open_of(&self, execution: &str) -> Result<(Place, SecretId), CliError> {
        let found = self.place.find(execution).await?;
        let mut open = history::open_callbacks(&history::read(&found).await?);
        if let Some(name) = &self.callback {
            open.retain(|callback| callback.name == *name);
        }
        match open.as_slice() {
            [one] => Ok((found.place, one.id.clone())),
            [] => Err(CliError::broken(
                format!("{} waits for no such callback", found.arn.name()),
                "none is open: `longhaul show` tells where it stands",
            )),
            several => {
                let names: Vec<_> = several.iter().map(|it| it.name.as_str()).collect();
                Err(CliError::Usage(format!(
                    "{} waits for several callbacks: choose one with --callback ({})",
                    found.arn.name(),
                    names.join(", ")
                )))
            }
        }
    }
}

fn read_id() -> Result<SecretId, CliError> {
    let mut text = String::new();
    std::io::stdin()
        .take(4_096)
        .read_to_string(&mut text)
        .map_err(|error| CliError::Usage(format!("standard input cannot be read: {error}")))?;
    Ok(SecretId::new(&text))
}

pub(super) async fn run(command: &CallbackCommand) -> Result<(), CliError> {
    match command {
        CallbackCommand::Succeed {
            which,
            result,
            result_file,
        } => {
            let result = match (result, result_file) {
                (Some(result), _) => Some(result.clone()),
                (None, Some(path)) => Some(std::fs::read_to_string(path).map_err(|error| {
                    CliError::Usage(format!("{} cannot be read: {error}", path.display()))
                })?),
                (None, None) => None,
            };
            if let Some(result) = &result {
                serde_json::from_str::<serde::de::IgnoredAny>(result).map_err(|error| {
                    CliError::Usage(format!(
                        "the result is not JSON ({error}): put text in double quotes"
                    ))
                })?;
            }
            let (place, id) = which.find().await?;
            place
                .client
                .send_durable_execution_callback_success()
                .callback_id(id.reveal())
                .set_result(result.map(Blob::new))
                .send()
                .await
                .map_err(|error| refused(&place, &id, "completing the callback", error))?;
            say("the callback is completed");
        }
        CallbackCommand::Fail {
            which,
            error_type,
            message,
            data,
        } => {
            let (place, id) = which.find().await?;
            let error = ErrorObject::builder()
                .set_error_type(error_type.clone())
                .set_error_message(message.clone())
                .set_error_data(data.clone())
                .build();
            place
                .client
                .send_durable_execution_callback_failure()
                .callback_id(id.reveal())
                .error(error)
                .send()
                .await
                .map_err(|error| refused(&place, &id, "failing the callback", error))?;
            say("the callback has failed");
        }
        CallbackCommand::Heartbeat { which } => {
            let (place, id) = which.find().await?;
            place
                .client
                .send_durable_execution_callback_heartbeat()
                .callback_id(id.reveal())
                .send()
                .await
                .map_err(|error| refused(&place, &id, "sending the heartbeat", error))?;
            say("the heartbeat is noted");
        }
    }
    Ok(())
}

/// The error of a call, without the id, which the path of the request and perhaps the answer have.
fn refused<E, R>(
    place: &Place,
    id: &SecretId,
    what: &str,
    error: aws_sdk_lambda::error::SdkError<E, R>,
) -> CliError
where
    E: std::error::Error + Send + Sync + 'static,
    R: fmt::Debug + Send + Sync + 'static,
{
    let error = place.error(what, error);
    CliError::broken(
        what,
        full_message(&error)
            .trim_start_matches(what)
            .trim_start_matches(": ")
            .replace(id.reveal(), "[callback id]"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_trimmed_and_hidden() {
        let id = SecretId::new(" c2VjcmV0\n");
        assert_eq!(id.reveal(), "c2VjcmV0");
        assert!(!format!("{id:?}").contains("c2VjcmV0"));
    }
}
