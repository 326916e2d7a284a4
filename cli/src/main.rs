//! The `longhaul` command: one binary that can play every local part.

mod args;
mod endpoint;
mod error;
mod inspect;
mod run;
mod serve;
mod state;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own exit codes: 0 for --help and --version, 2 for bad usage.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match cli.command {
        // The shim must leave the caller's session before anything else runs.
        Command::ProcessShim { directory } => longhaul_process::shim::main(&directory),
        Command::Run(args) => block_on(true, run::main(args)),
        Command::Serve(args) => block_on(false, serve::main(args)),
        Command::Ps(args) => block_on(false, inspect::ps(args)),
        Command::Show(args) => block_on(false, inspect::show(args)),
        Command::Logs(args) => block_on(false, inspect::logs(args)),
        Command::Stop(args) => block_on(false, inspect::stop(args)),
        Command::Callback(command) => block_on(false, inspect::callback(command)),
        Command::Lambda => block_on(false, longhaul_lambda::handler::main()),
        Command::Worker(args) => block_on(false, longhaul_worker::cli::main(args)),
    }
}

/// Runs `future` to its end. Most parts need one thread; the durable service has another for its writes, and is quicker
/// when its calls do not wander between threads.
fn block_on(threads: bool, future: impl Future<Output = ExitCode>) -> ExitCode {
    let mut builder = if threads {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => {
            eprintln!("error: the async runtime did not start: {error}");
            ExitCode::FAILURE
        }
    }
}
