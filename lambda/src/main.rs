//! The binary that is deployed: the durable handler, configured by its environment.

use std::process::ExitCode;

fn main() -> ExitCode {
    // One thread is enough for a function that serves one invocation at a time, and the quickest
    // to start.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the async runtime did not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(longhaul_lambda::handler::main())
}
