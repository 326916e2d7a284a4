//! The command `longhaul-worker`: the supervisor as a program of its own.

use std::process::ExitCode;

use clap::Parser;
use longhaul_worker::cli::{self, WorkerCommand};

/// Runs a command as a job of a durable function: sends heartbeats while it runs, and reports its
/// result or why there is none.
#[derive(Debug, Parser)]
#[command(name = "longhaul-worker", version)]
struct Arguments {
    #[command(subcommand)]
    command: WorkerCommand,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // One thread is enough: the work is done by another process.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let exit_code = runtime.block_on(cli::main(arguments.command));
            // A name lookup that hangs must not hold up the exit.
            runtime.shutdown_background();
            exit_code
        }
        Err(error) => {
            eprintln!("longhaul-worker: error: cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}
