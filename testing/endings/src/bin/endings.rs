//! A durable function that ends in the way that its event asks for: while jobs of it are running, or
//! with the report of jobs that the event brings.

use std::path::Path;
use std::process::ExitCode;

use longhaul_core::{JobName, JobSpec};
use longhaul_lambda::durable::BoxError;
use longhaul_lambda::{DurableContext, ExecutionError, JobRunner, RunAllOptions, function};
use serde::Deserialize;
use serde_json::Value;

/// How it ends, once its jobs are running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Then {
    /// The handler returns an error.
    Fail,
    /// The handler panics.
    Panic,
    /// A step never ends, in whatever invocation.
    Hang,
    /// A step does not end the first time; then it waits for its jobs.
    HangOnce,
    /// The process of the function is gone the first time; then it waits for its jobs.
    DieOnce,
    /// It waits for its jobs.
    Wait,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Event {
    /// Jobs of its own are running, and then this.
    Ending { then: Then },
    /// These are run, and their report is returned.
    Jobs {
        jobs: Vec<JobSpec>,
        options: RunAllOptions,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    function::main(run).await
}

async fn run(
    event: Event,
    ctx: DurableContext,
    runner: JobRunner,
) -> Result<Value, ExecutionError> {
    let result = match event {
        Event::Ending { then } => serde_json::to_value(ending(then, ctx, runner).await?),
        Event::Jobs { jobs, options } => {
            serde_json::to_value(runner.run_all_unread(&ctx, jobs, options).await?)
        }
    };
    result.map_err(|error| ExecutionError::new("Ending.Json", error.to_string()))
}

async fn ending(
    then: Then,
    ctx: DurableContext,
    runner: JobRunner,
) -> Result<usize, ExecutionError> {
    // Each with a child, which must be gone with it.
    let script =
        "sleep 600 & echo $LONGHAUL_START_KEY >> started; while [ ! -e go ]; do sleep 0.05; done";
    let jobs = (0..3).map(|_| job("lasting", script)).collect();
    let all = runner.clone();
    let lasting = ctx
        .run_in_child_context(move |ctx| async move {
            let report = all.run_all::<()>(&ctx, jobs, RunAllOptions::new()).await?;
            Ok(report.succeeded())
        })
        .name("lasting");
    let script = "while [ \"$(cat started 2>&- | wc -l)\" -lt 3 ]; do sleep 0.05; done";
    let brief = ctx
        .run_in_child_context(move |ctx| async move {
            runner.run::<()>(&ctx, job("brief", script)).await?;
            ctx.step(move |_| linger(then)).name("linger").await?;
            match then {
                Then::Fail | Then::Panic => Err("it is to end".into()),
                _ => Ok(0),
            }
        })
        .name("brief");
    // The first error ends the wait for the others, as in any handler with `?`.
    match ctx.try_join_all([lasting.future(), brief.future()]).await {
        Ok(succeeded) => Ok(succeeded.into_iter().sum()),
        #[expect(clippy::panic, reason = "this is what is to be shown")]
        Err(_) if then == Then::Panic => panic!("the handler panics"),
        Err(error) => Err(ExecutionError::new("Ending.Error", error.to_string())),
    }
}

/// A step that does not end, where that is asked for: the invocation goes on as long as it does.
async fn linger(then: Then) -> Result<(), BoxError> {
    match then {
        Then::Hang => std::future::pending().await,
        Then::HangOnce if is_first() => std::future::pending().await,
        Then::DieOnce if is_first() => std::process::abort(),
        _ => Ok(()),
    }
}

/// Whether this is the first time, by a file in the working directory.
fn is_first() -> bool {
    let mark = Path::new("been-here");
    let is_first = !mark.exists();
    let _ = std::fs::write(mark, "");
    is_first
}

fn job(name: &str, script: &str) -> JobSpec {
    JobSpec::new(JobName::from_text(name)).with_command(["sh", "-c", script])
}
