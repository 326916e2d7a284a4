//! `longhaul stop`: an execution and its jobs.

use std::sync::Arc;

use aws_sdk_lambda::types::{ErrorObject, ExecutionStatus};
use clap::Args;
use longhaul_core::ExecutionId;
use longhaul_lambda::JobRunner;

use super::place::Found;
use super::show::{get, status};
use super::{Where, say};
use crate::error::CliError;
use crate::run::LOCAL;
use crate::run::local::FunctionEnvironment;

/// Stop an execution and its jobs
///
/// Nothing is invoked any more, its callbacks close, and its local jobs are cancelled.
///
/// On AWS the jobs are cancelled by the reconciler, which is a part of the deployment. An execution that has ended
/// already stays as it is.
///
/// Exit codes: 0 it has ended; 1 it is not there, or could not be stopped; 2 bad usage, or no service runs.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Its name or its ARN
    execution: String,

    /// Why, for its history
    #[arg(long, default_value = "stopped by longhaul stop")]
    reason: String,

    #[command(flatten)]
    place: Where,
}

pub(super) async fn run(args: &StopArgs) -> Result<(), CliError> {
    let found = args.place.find(&args.execution).await?;
    let name = found.arn.name();
    let before = get(&found).await?;
    let was_open = before.end_timestamp.is_none();
    if was_open {
        let error = ErrorObject::builder()
            .error_type("Longhaul.Stopped")
            .error_message(&args.reason)
            .build();
        found
            .place
            .client
            .stop_durable_execution()
            .durable_execution_arn(found.arn.as_str())
            .error(error)
            .send()
            .await
            .map_err(|error| found.place.error(&format!("stopping {name}"), error))?;
    }
    // Also of one that has ended: somebody wants nothing of it to run.
    let cancelled = if found.place.is_local() {
        cancel(args, &found).await?
    } else {
        0
    };
    // It may have ended by itself just before. A run that is stopped ends, and cannot be asked any more.
    let after = if was_open {
        get(&found).await.ok()
    } else {
        Some(before)
    };
    match after.filter(|after| !was_open || after.status != ExecutionStatus::Stopped) {
        None => say(&format!("{name} is stopped")),
        Some(after) => say(&format!("{name} had ended already: {}", status(&after))),
    }
    match cancelled {
        0 => {}
        1 => say("its job is cancelled"),
        n => say(&format!("its {n} jobs are cancelled")),
    }
    Ok(())
}

/// Cancels every local job of the execution that may still run; says how many.
async fn cancel(args: &StopArgs, found: &Found) -> Result<usize, CliError> {
    let state = args.place.state_dir()?;
    let jobs = FunctionEnvironment::new(LOCAL, &state)?.local_jobs()?;
    let execution = ExecutionId::from_arn(found.arn.as_str());
    let outcomes = JobRunner::new(Arc::new(jobs))
        .cancel_all(&execution, &args.reason)
        .await
        .map_err(|error| CliError::broken("the jobs could not be listed", error))?;
    let mut cancelled = 0;
    for (job, outcome) in outcomes {
        outcome.map_err(|error| {
            CliError::broken(format!("job {job} could not be cancelled"), error)
        })?;
        cancelled += 1;
    }
    Ok(cancelled)
}
