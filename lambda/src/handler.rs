//! The durable handler: one event, one job, its result.

use std::sync::Arc;

use longhaul_core::{ExecutionId, JobSpec};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::durable::serve::{self, ExecutionError};
use crate::durable::{BoxError, DurableContext};
use crate::error::full_message;
use crate::event::FanOut;
use crate::fan_out::read::{unkept, unwritten};
use crate::{
    ChainedOptions, Config, JobRunner, MAX_EXECUTION_RESULT, MAX_JOBS, RunError, StoredResult,
    event,
};

/// What the handler is made of.
#[derive(Debug, Clone)]
pub struct Handler {
    runner: JobRunner,
    default_job: Option<Arc<JobSpec>>,
}

impl Handler {
    /// A handler that runs jobs with `runner`. Events that are no job specs are inputs of
    /// `default_job`.
    #[must_use]
    pub fn new(runner: JobRunner, default_job: Option<JobSpec>) -> Self {
        Self {
            runner,
            default_job: default_job.map(Arc::new),
        }
    }

    /// The runner, for cancelling from outside.
    #[must_use]
    pub fn runner(&self) -> &JobRunner {
        &self.runner
    }

    /// Handles one event, as often as it is replayed.
    ///
    /// The result is passed on as the job wrote it: order of members, digits of numbers. One that
    /// is in the payload store and larger than
    /// [`MAX_EXECUTION_RESULT`](crate::MAX_EXECUTION_RESULT) stays there, and its place is
    /// returned: a [`StoredResult`].
    async fn handle(
        &self,
        event: Value,
        ctx: DurableContext,
    ) -> Result<Box<RawValue>, ExecutionError> {
        let invalid = |error| ExecutionError::new("Longhaul.InvalidEvent", full_message(&error));
        if let Some(answer) = self.runner.run_part(&ctx, &event).await? {
            return to_raw_value(&answer).map_err(unwritten);
        }
        if let Some(jobs) = event::fan_out_of(&event).map_err(invalid)? {
            return self.run_all(&ctx, jobs).await;
        }
        let job = event::job_of(event, self.default_job.as_deref()).map_err(invalid)?;
        self.run(&ctx, job).await.map_err(execution_error)
    }

    /// What became of many jobs, or where that is. More than fit into one execution are run in
    /// parts by this function itself.
    async fn run_all(
        &self,
        ctx: &DurableContext,
        jobs: FanOut,
    ) -> Result<Box<RawValue>, ExecutionError> {
        let (jobs, options) = jobs.jobs();
        let report = if jobs.len() > MAX_JOBS {
            let options = ChainedOptions::new(options);
            let chained = self.runner.run_all_chained_unread(ctx, jobs, options);
            chained.await?
        } else {
            self.runner.run_all_unread(ctx, jobs, options).await?
        };
        let report = to_raw_value(&report).map_err(unwritten)?;
        if report.get().len() <= MAX_EXECUTION_RESULT {
            return Ok(report);
        }
        let execution = ExecutionId::from_arn(ctx.execution_arn());
        let stored = self.runner.put_report(execution, report.get()).await;
        let stored = stored.map_err(|error| unkept(&error))?;
        to_raw_value(&stored).map_err(unwritten)
    }

    /// The result of `job`, or where it is: an execution cannot return as much as a payload store
    /// can keep, and what it cannot return need not be read.
    async fn run(&self, ctx: &DurableContext, job: JobSpec) -> Result<Box<RawValue>, RunError> {
        let name = job.name.clone();
        let report = self.runner.run_unread(ctx, job).await?;
        match StoredResult::of(&report.result) {
            Some(stored) => to_raw_value(&stored).map_err(|source| RunError::Decode {
                job: name,
                handle: report.handle,
                path: ".".to_owned(),
                source,
            }),
            None => Ok(self.runner.read(report).await?.result),
        }
    }
}

fn execution_error(error: RunError) -> ExecutionError {
    let error_type = error.error_type();
    tracing::error!(error_type, error = %full_message(&error), "the execution fails");
    error.into()
}

/// Serves invocations over the Lambda Runtime API until the process is ended.
///
/// The AWS client is built before the first invocation, but for its TLS, which the first request that is encrypted makes
/// ready.
///
/// # Errors
///
/// When the Runtime API cannot be reached, or a backend cannot be built.
pub async fn serve(config: Config) -> Result<(), BoxError> {
    let sdk_config = crate::aws::config().await;
    let client = aws_sdk_lambda::Client::new(&sdk_config);
    let handler = config.build(&sdk_config)?;
    serve::run(
        move |event, ctx| {
            let handler = handler.clone();
            async move { handler.handle(event, ctx).await }
        },
        client,
    )
    .await
}

/// The whole life of the handler's process: configuration, log, [`serve`]. Returns the exit code:
/// 2 for a wrong configuration, 1 when serving failed.
pub async fn main() -> std::process::ExitCode {
    crate::log::init();
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("error: {error}");
            return std::process::ExitCode::from(2);
        }
    };
    match serve(config).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: the handler cannot serve: {}", full_message(&*error));
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
#[path = "handler_tests.rs"]
mod tests;
