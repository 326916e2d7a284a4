//! The command line of the supervisor, also for commands that embed it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use longhaul_core::{FailureClass, JobFailure};

use crate::attempt::{self, Attempt};
use crate::client::LambdaCallbacks;
use crate::signals::Signals;
use crate::supervise::{Options, supervise};
use crate::{log, outcome};

/// The exit code of bad usage.
const USAGE: u8 = 2;

/// What a worker can be told to do. `longhaul-worker` and `longhaul worker` take it as their
/// subcommand.
#[derive(Debug, Clone, clap::Subcommand)]
#[non_exhaustive]
pub enum WorkerCommand {
    /// Run a command as a job and report how it ended.
    Run(RunArgs),
}

/// The arguments of `run`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_long_help = RUN_HELP)]
pub struct RunArgs {
    /// How long the command may take to end when it is told to, such as 10s or 1m, before it is
    /// killed [default: LONGHAUL_GRACE_SECONDS, or 10s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    grace: Option<Duration>,

    /// Leave CALLBACK_ID in the command's environment. It can then complete the callback itself
    #[arg(long)]
    pass_callback: bool,

    /// Where the command writes its result [default: a private file, deleted afterwards]
    #[arg(long, value_name = "PATH")]
    result_file: Option<PathBuf>,

    /// The command and its arguments. No shell is involved
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

const RUN_HELP: &str = "\
Environment, set by whoever starts the job:
  CALLBACK_ID                 the durable callback to complete
  LONGHAUL_HEARTBEAT_SECONDS  the callback's heartbeat timeout; 0 or absent is none
  LONGHAUL_TIMEOUT_SECONDS    the attempt's timeout
  LONGHAUL_INPUT, LONGHAUL_INPUT_URI
                              the job's input, JSON, or where it is in the payload store
  LONGHAUL_PAYLOAD_STORE      where a result of more than 256 KiB goes
  AWS_REGION, credentials, AWS_ENDPOINT_URL_LAMBDA
                              as for every AWS SDK
  LONGHAUL_LOG                off, error, warn, info, debug or trace [default: warn]

The command finds the job's input in LONGHAUL_INPUT, or, when that is too large for a variable,
in the file that LONGHAUL_INPUT_FILE names. It writes its result, JSON, to the file that
LONGHAUL_RESULT_FILE names. No file, or an empty one, is the result null.

Exit codes:
  0         the result was delivered
  N, 128+S  the command failed with exit code N or by signal S, and that was delivered
  126, 127  the command could not be run, or was not found, and that was delivered
  75        the report could not be delivered
  76        nobody listens any more; the command was stopped
  2         bad usage, or no callback: nothing was run";

/// Does what the command line says, and returns the exit code of [`Outcome`](crate::Outcome). Sets up the log,
/// unless a `tracing` subscriber is set already.
pub async fn main(command: WorkerCommand) -> ExitCode {
    log::init();
    let WorkerCommand::Run(args) = command;
    ExitCode::from(run(args).await)
}

async fn run(args: RunArgs) -> u8 {
    let token = match attempt::callback_token() {
        Ok(token) => token,
        Err(error) => {
            eprintln!("longhaul-worker: error: {error}");
            return USAGE;
        }
    };
    let mut signals = Signals::install_or_none();
    let api = Arc::new(LambdaCallbacks::new(token));
    let grace = match args.grace {
        Some(grace) => Ok(grace),
        None => attempt::grace_from_env(),
    };
    let outcome = match grace.and_then(|grace| Ok((grace, Attempt::from_env()?))) {
        Ok((grace, attempt)) => {
            let mut options = Options::new(args.command);
            options.grace = grace;
            options.pass_callback = args.pass_callback;
            options.result_file = args.result_file;
            supervise(&options, &attempt, api, &mut signals).await
        }
        // Somebody waits for the job and should hear why it does not run.
        Err(error) => {
            tracing::error!("{error}");
            let failure =
                JobFailure::new(FailureClass::FailedToStart).with_message(error.to_string());
            outcome::refuse(failure, api.as_ref(), &mut signals).await
        }
    };
    outcome.exit_code()
}
