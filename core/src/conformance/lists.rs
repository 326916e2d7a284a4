//! What a list promises: the jobs that an execution would leave behind, and no others.

use std::collections::BTreeSet;

use super::bench::Bench;
use super::promise::Seen;
use super::{BrokenPromise, Promise, Subject};
use crate::{ExecutionId, JobHandle};

/// Checks that `list` finds two running jobs of an execution, not one of another execution, and
/// neither a cancelled nor a finished one.
///
/// # Errors
///
/// The promise, broken.
pub async fn list_finds_exactly_the_running_jobs_of_an_execution(
    subject: &dyn Subject,
) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::ListFindsExactlyTheRunningJobs);
    bench
        .run(async |bench| {
            let (ours, theirs) = (bench.fresh_execution(), bench.fresh_execution());
            let start = async |execution: &ExecutionId| {
                let attempt = bench.fresh_in(execution.clone(), bench.subject.long_job());
                bench.start(&attempt).await
            };
            let one = start(&ours).await?;
            let two = start(&ours).await?;
            let other = start(&theirs).await?;
            listed(bench, &ours, &[&one, &two]).await?;
            listed(bench, &theirs, &[&other]).await?;

            bench.cancel(&one).await?;
            bench.ended(&one).await?;
            listed(bench, &ours, &[&two]).await?;
            listed(bench, &theirs, &[&other]).await?;

            if let Some(spec) = bench.subject.job_that_exits(0) {
                let attempt = bench.fresh_in(ours.clone(), spec);
                let finished = bench.start(&attempt).await?;
                bench.ended(&finished).await?;
                listed(bench, &ours, &[&two]).await?;
            }
            Ok(())
        })
        .await
}

/// Checks that `list` of an execution that has no jobs is empty and no error.
///
/// # Errors
///
/// The promise, broken.
pub async fn list_of_an_unknown_execution_is_empty(
    subject: &dyn Subject,
) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::ListOfAnUnknownExecution);
    bench
        .run(async |bench| {
            bench.start_long().await?;
            let found = bench.list(&bench.fresh_execution()).await?;
            if found.is_empty() {
                Ok(())
            } else {
                Err(Seen::new(format!("it has {found:?}")))
            }
        })
        .await
}

/// Waits until the list is exactly `handles`.
async fn listed(
    bench: &Bench<'_>,
    execution: &ExecutionId,
    handles: &[&JobHandle],
) -> Result<(), Seen> {
    let wanted: BTreeSet<String> = handles.iter().map(ToString::to_string).collect();
    bench
        .eventually(async || {
            let found = bench.list(execution).await?;
            Ok(if found == wanted {
                Ok(())
            } else {
                Err(format!("list has {found:?}, and {wanted:?} run"))
            })
        })
        .await
}
