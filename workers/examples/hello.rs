//! The hello job in Rust: its own worker, without the supervisor.

use std::process::ExitCode;
use std::time::Duration;

use longhaul_worker::{JobInfo, WorkerError};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Input {
    message: String,
    processing_time: f64,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            message: "Hello from Lambda Durable Function".to_owned(),
            processing_time: 10.0,
        }
    }
}

#[derive(Serialize)]
struct Output {
    status: &'static str,
    message: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    longhaul_worker::run(hello).await
}

async fn hello(input: Input, job: JobInfo) -> Result<Output, WorkerError> {
    println!("--- The hello job has started ---");
    println!("Message: {}", input.message);
    println!("Processing Time: {} seconds", input.processing_time);
    println!("Simulating work...");
    let work = Duration::try_from_secs_f64(input.processing_time)
        .map_err(|e| WorkerError::with_type("BadProcessingTime", e.to_string()))?;
    tokio::select! {
        () = tokio::time::sleep(work) => {}
        () = job.cancelled() => return Err(WorkerError::new("told to stop at work")),
    }
    let output = Output {
        status: "completed",
        message: format!("Processed: {}", input.message),
    };
    println!("Result: {}", serde_json::to_string(&output)?);
    Ok(output)
}
