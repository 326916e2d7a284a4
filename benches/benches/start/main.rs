//! What a start costs: on each backend, and for local processes from the call to the running command and from its end to the
//! function that goes on.
//!
//! `cargo bench -p longhaul-benches --bench start` prints Markdown. This program plays every part: it is the shim, the
//! supervisor and the job's command too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot go on has nothing to say"
)]

mod apis;
mod figures;
mod processes;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use longhaul_worker::cli::WorkerCommand;

#[derive(Parser)]
enum Part {
    #[command(subcommand)]
    Worker(WorkerCommand),
    Shim {
        directory: std::path::PathBuf,
    },
    Stamp,
}

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let part = std::env::args()
        .nth(1)
        .filter(|first| !first.starts_with('-'));
    if part.is_none() {
        measure();
        return ExitCode::SUCCESS;
    }
    match Part::parse() {
        Part::Shim { directory } => longhaul_process::shim::main(Path::new(&directory)),
        Part::Stamp => {
            processes::stamp();
            ExitCode::SUCCESS
        }
        Part::Worker(command) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(longhaul_worker::cli::main(command)),
    }
}

fn measure() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    println!("{}\n", longhaul_benches::machine::facts());
    runtime.block_on(apis::measure());
    println!();
    runtime.block_on(processes::measure());
}
