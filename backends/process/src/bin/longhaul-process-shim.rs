//! The shim as a program of its own, for functions that are not the `longhaul` command.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(directory), None) => longhaul_process::shim::main(Path::new(&directory)),
        _ => {
            eprintln!(
                "usage: longhaul-process-shim DIRECTORY\n\
                 Watches one local job of longhaul. The process backend runs it; people do not."
            );
            ExitCode::from(2)
        }
    }
}
