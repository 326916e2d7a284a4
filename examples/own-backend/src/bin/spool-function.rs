//! A durable function whose jobs run in the queue: it runs the job that is its event.

use std::process::ExitCode;
use std::sync::Arc;

use longhaul_core::JobSpec;
use longhaul_lambda::{DurableContext, ExecutionError, JobRunner, function};
use own_backend::{Spool, SpoolBackend};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let folder = std::env::var("SPOOL").unwrap_or_else(|_| "/var/spool/longhaul".to_owned());
    let spool = match Spool::open(&folder) {
        Ok(spool) => spool,
        Err(error) => {
            eprintln!("error: there is no queue in {folder} (set SPOOL): {error}");
            return ExitCode::from(2);
        }
    };
    let mut backend = SpoolBackend::new(Arc::new(spool));
    // Where the workers are to report to, if it is not AWS.
    for name in ["AWS_ENDPOINT_URL_LAMBDA", "AWS_REGION"] {
        if let Ok(value) = std::env::var(name) {
            backend = backend.with_variable(name, value);
        }
    }
    function::main_with(JobRunner::new(Arc::new(backend)), run).await
}

async fn run(
    job: JobSpec,
    ctx: DurableContext,
    runner: JobRunner,
) -> Result<Value, ExecutionError> {
    Ok(runner.run::<Value>(&ctx, job).await?.result)
}
