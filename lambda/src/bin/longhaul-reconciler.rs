//! The second binary that is deployed: the reconciler, configured by its environment.

use std::process::ExitCode;

fn main() -> ExitCode {
    // One invocation at a time, and most of it is waiting: one thread is enough.
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
    runtime.block_on(longhaul_lambda::reconciler::main())
}
