//! `longhaul ps`, `show`, `logs`, `stop` and `callback`: executions from outside, on this machine and on AWS.

mod callback;
mod history;
mod logs;
mod place;
mod ps;
mod show;
mod stop;
mod text;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::error::{CliError, full_message};

pub(crate) use callback::CallbackCommand;
pub(crate) use logs::LogsArgs;
pub(crate) use ps::PsArgs;
pub(crate) use show::ShowArgs;
pub(crate) use stop::StopArgs;

/// Where to look: a local service, unless `--aws` says otherwise.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where")]
pub(crate) struct Where {
    /// The state folder of the local service, and of the runs that are under way
    #[arg(long, value_name = "DIR", env = "LONGHAUL_STATE")]
    state: Option<PathBuf>,

    /// The address of a local service, in place of the one that the state folder tells
    #[arg(long, value_name = "URL", conflicts_with = "aws")]
    endpoint: Option<String>,

    /// Ask AWS, with the region and credentials that the AWS CLI would use
    #[arg(long)]
    aws: bool,

    /// Only this function. With --aws or --endpoint it is needed, unless an execution is named by its ARN
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
}

/// Runs `longhaul ps`.
pub(crate) async fn ps(args: PsArgs) -> ExitCode {
    ended(ps::run(&args).await)
}

/// Runs `longhaul show`.
pub(crate) async fn show(args: ShowArgs) -> ExitCode {
    ended(show::run(&args).await)
}

/// Runs `longhaul logs`.
pub(crate) async fn logs(args: LogsArgs) -> ExitCode {
    ended(logs::run(&args).await)
}

/// Runs `longhaul stop`.
pub(crate) async fn stop(args: StopArgs) -> ExitCode {
    ended(stop::run(&args).await)
}

/// Runs `longhaul callback`.
pub(crate) async fn callback(command: CallbackCommand) -> ExitCode {
    ended(callback::run(&command).await)
}

fn ended(result: Result<(), CliError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {}", full_message(&error)));
            error.exit_code()
        }
    }
}

/// A line on standard error.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints to standard output. A reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::broken("the answer cannot be written", error))
        }
        _ => Ok(()),
    }
}
