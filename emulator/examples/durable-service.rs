//! The service as a program of its own: `durable-service STATE FUNCTION=PROGRAM…`. Prints its URL and runs until it is killed.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use longhaul_emulator::{FunctionConfig, InvocationRetry, Service, ServiceConfig, WriterPlace};
use rustix::process::{Signal, getpid, kill_process};

// Some per cent more executions a second than with glibc's: see benches/README.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// One thread, as `longhaul serve` has: with more, calls wander from one to the other and take longer.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let state = arguments
        .next()
        .ok_or("usage: durable-service STATE FUNCTION=PROGRAM...")?;
    let retry = InvocationRetry::new(5, Duration::from_millis(200), Duration::from_secs(1));
    let mut config = ServiceConfig::new(state)
        .invocation_retry(retry)
        .writer(WriterPlace::Runtime);
    for argument in arguments {
        let (name, program) = argument
            .split_once('=')
            .ok_or("a function is NAME=PROGRAM")?;
        config = config.function(FunctionConfig::process(
            name,
            program,
            std::iter::empty::<&str>(),
        ));
    }
    if let Ok(last) = std::env::var("DIE_AFTER_COMMIT") {
        let last: u64 = last.parse()?;
        // The writer calls this after a write is on disk and before anybody hears of it.
        config = config.on_commit(Arc::new(move |commit| {
            if commit >= last {
                let refused = kill_process(getpid(), Signal::KILL);
                // Not reached. Were it, the writer should not go on.
                eprintln!("this process could not kill itself: {refused:?}");
                std::process::abort();
            }
        }));
    }
    let service = Service::start(config).await?;
    println!("{}", service.url());
    std::io::stdout().flush()?;
    std::future::pending::<()>().await;
    Ok(())
}
