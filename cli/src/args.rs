//! What the command line can say.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::inspect::{CallbackCommand, LogsArgs, PsArgs, ShowArgs, StopArgs};
use crate::serve::ServeArgs;

/// Run long jobs from a durable function that sleeps while they run.
#[derive(Debug, Parser)]
#[command(name = "longhaul", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a job from a durable function on this machine, and print its result
    Run(RunArgs),
    Serve(ServeArgs),
    Ps(PsArgs),
    Show(ShowArgs),
    Logs(LogsArgs),
    Stop(StopArgs),
    #[command(subcommand)]
    Callback(CallbackCommand),
    /// Be the durable function: serve invocations over the Lambda Runtime API
    ///
    /// Configured by environment variables, LONGHAUL_BACKEND first. `longhaul run` starts it; so
    /// does Lambda, where it is the same program as `longhaul-handler`.
    Lambda,
    /// Be the worker: run a command and complete its callback
    #[command(subcommand)]
    Worker(longhaul_worker::cli::WorkerCommand),
    /// Stand between the process backend and its worker
    #[command(hide = true)]
    ProcessShim {
        /// The job's directory.
        directory: PathBuf,
    },
}

/// Run a job from a durable function on this machine, and print its result
///
/// The result goes to standard output, as JSON and nothing else. What happens on the way goes to
/// standard error.
///
/// Exit codes: 0 the job succeeded; 1 it failed; 2 bad usage or a bad job file; 130 stopped by
/// Ctrl-C, 143 by SIGTERM.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  longhaul run job.json\n  longhaul run --input '{\"frame\":7}' - < job.json\n  longhaul run -- make -j8 release\n  longhaul run --each frames.jsonl --jobs 8 --tolerate 5% render.json"
)]
pub(crate) struct RunArgs {
    /// The job file, JSON; `-` reads standard input
    #[arg(required_unless_present = "command", conflicts_with = "command")]
    pub(crate) file: Option<PathBuf>,

    /// The input, JSON, in place of the job file's
    #[arg(long, value_name = "JSON")]
    pub(crate) input: Option<String>,

    /// The job's name, in place of the job file's
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// How long one attempt may take, as in `90s` or `1h 30m`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// How long the worker may be silent, as in `15s`; `0s` is for ever
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) heartbeat: Option<Duration>,

    /// The backend to run on
    #[arg(long)]
    pub(crate) backend: Option<String>,

    /// The execution's name: the same name with the same job finds the execution that is there
    /// already, running or ended
    #[arg(long, value_name = "NAME")]
    pub(crate) execution: Option<String>,

    /// The folder for everything that is kept: executions, logs, results
    #[arg(long, value_name = "DIR", env = "LONGHAUL_STATE")]
    pub(crate) state: Option<PathBuf>,

    /// Where inputs and results go that are too large to travel inline, as in
    /// `s3://bucket/prefix`; `none` is nowhere, and then they are refused. By default jobs on
    /// this machine have a folder, which is kept as long as the execution
    #[arg(long, value_name = "URL", env = "LONGHAUL_PAYLOAD_STORE")]
    pub(crate) payload_store: Option<String>,

    /// Start a new function process for every invocation, to see that nothing is needed in between
    #[arg(long)]
    pub(crate) fresh: bool,

    #[command(flatten)]
    pub(crate) many: ManyArgs,

    /// Print nothing but the result, and errors
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) quiet: bool,

    /// Print what happens as JSON on standard error, one event a line
    #[arg(long)]
    pub(crate) json: bool,

    /// A command to run as the job, with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Many jobs in one execution.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many jobs")]
pub(crate) struct ManyArgs {
    /// Run the job once for every line of FILE, each a JSON input; `-` reads standard input.
    ///
    /// What became of each goes to standard output, a JSON object a line, in the order of the
    /// inputs. The exit code is 1 when the completion rule is not met: without one of the options
    /// below, when a job fails.
    #[arg(long, value_name = "FILE", conflicts_with = "input")]
    pub(crate) each: Option<PathBuf>,

    /// How many run at once; one for each processor by default
    #[arg(long, value_name = "N", requires = "each", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) jobs: Option<u16>,

    /// Stop at the first failure, and stop what still runs
    #[arg(long, requires = "each", group = "rule")]
    pub(crate) fail_fast: bool,

    /// Bear so many failures, as in `3` or `10%`; stop everything at one more
    #[arg(long, value_name = "N|N%", requires = "each", group = "rule")]
    pub(crate) tolerate: Option<String>,

    /// Stop everything once so many have succeeded
    #[arg(long, value_name = "N", requires = "each", group = "rule")]
    pub(crate) first: Option<usize>,
}

/// A duration as a person writes it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write it as 90s, 15m or '1h 30m'"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_file_or_a_command_and_not_both() {
        assert!(Cli::try_parse_from(["longhaul", "run"]).is_err());
        assert!(Cli::try_parse_from(["longhaul", "run", "job.json", "--", "x"]).is_err());
        assert!(Cli::try_parse_from(["longhaul", "run", "--", "x", "--flag"]).is_ok());
        assert!(Cli::try_parse_from(["longhaul", "run", "-"]).is_ok());
    }
}
