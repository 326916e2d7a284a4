//! What a start promises: one token, one job.

use futures::future::join_all;

use super::bench::Bench;
use super::promise::Seen;
use super::{BrokenPromise, Promise, Subject};
use crate::JobState;

/// Checks that a second start with the same token returns the first handle and starts no job.
///
/// # Errors
///
/// The promise, broken.
pub async fn a_second_start_with_the_same_token_returns_the_first_handle(
    subject: &dyn Subject,
) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::SecondStartReturnsTheFirstHandle);
    bench
        .run(async |bench| {
            let (attempt, first) = bench.start_long().await?;
            let second = bench.start(&attempt).await?;
            if first != second {
                return Err(Seen::new(format!(
                    "the first is {first}, the second {second}"
                )));
            }
            bench.started_once(&attempt).await?;
            bench.was_the_only_one(&attempt, &first).await
        })
        .await
}

/// Checks that of eight starts at once with one token, those that succeed return one handle, at
/// least one succeeds, and one job runs.
///
/// # Errors
///
/// The promise, broken.
pub async fn concurrent_starts_with_one_token_start_one_job(
    subject: &dyn Subject,
) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::ConcurrentStartsStartOneJob);
    bench
        .run(async |bench| {
            let attempt = bench.fresh(bench.subject.long_job());
            let starts = join_all((0..8).map(|_| bench.start(&attempt))).await;
            let mut handles = Vec::new();
            let mut failure = None;
            for start in starts {
                match start {
                    Ok(handle) => handles.push(handle),
                    Err(error) => failure = Some(error),
                }
            }
            let Some(first) = handles.first() else {
                return Err(failure.unwrap_or_else(|| Seen::new("no start succeeded")));
            };
            if let Some(other) = handles.iter().find(|handle| *handle != first) {
                return Err(Seen::new(format!(
                    "one start returned {first}, another {other}"
                )));
            }
            bench.started_once(&attempt).await?;
            bench.was_the_only_one(&attempt, first).await
        })
        .await
}

/// Checks that the same spec, started in one execution with two tokens, is two jobs.
///
/// # Errors
///
/// The promise, broken.
pub async fn two_tokens_start_two_jobs(subject: &dyn Subject) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::TwoTokensStartTwoJobs);
    bench
        .run(async |bench| {
            let execution = bench.fresh_execution();
            let one = bench.fresh_in(execution.clone(), bench.subject.long_job());
            let two = bench.fresh_in(execution, bench.subject.long_job());
            let first = bench.start(&one).await?;
            let second = bench.start(&two).await?;
            if first == second {
                return Err(Seen::new(format!("both are {first}")));
            }
            for (attempt, handle) in [(&one, &first), (&two, &second)] {
                bench
                    .eventually(async || {
                        Ok(match bench.subject.census(&attempt.job).await {
                            Some(census) if census.started != 1 => {
                                Err(format!("{} jobs were started for {handle}", census.started))
                            }
                            _ => Ok(()),
                        })
                    })
                    .await?;
            }
            Ok(())
        })
        .await
}

/// Checks that a start repeated with the token of a job that has ended returns its handle and
/// starts nothing: the durable function may be repeated long after the job is over.
///
/// # Errors
///
/// The promise, broken.
pub async fn a_start_repeated_after_the_job_ended_starts_nothing(
    subject: &dyn Subject,
) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::StartAfterTheEndStartsNothing);
    bench
        .run(async |bench| {
            let (attempt, first) = bench.start_long().await?;
            bench.started_once(&attempt).await?;
            bench.cancel(&first).await?;
            bench.ended(&first).await?;
            let second = bench.start(&attempt).await?;
            if first != second {
                return Err(Seen::new(format!(
                    "the first is {first}, the second {second}"
                )));
            }
            let state = bench.describe(&second).await?.state;
            if state != JobState::Ended {
                return Err(Seen::new(format!("{second} is {state:?} again")));
            }
            bench.was_the_only_one(&attempt, &second).await
        })
        .await
}

/// Checks that a started job is located by its start key, running and ended, and that nothing is
/// located where nothing was started.
///
/// # Errors
///
/// The promise, broken.
pub async fn a_started_job_is_located_by_its_start_key(
    subject: &dyn Subject,
) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::StartedJobIsLocated);
    bench
        .run(async |bench| {
            let Some(backend) = bench.subject.locate() else {
                return Err(bench.undeclared("the subject has no `locate`"));
            };
            let (attempt, handle) = bench.start_long().await?;
            let found = async || {
                let located = backend.locate(&attempt.job).await;
                let located = located.map_err(|error| Seen::error("locate", error))?;
                Ok(match located {
                    Some(found) if found == handle => Ok(()),
                    Some(other) => Err(format!("{other} was located for {handle}")),
                    None => Err(format!("{handle} was not located")),
                })
            };
            bench.eventually(found).await?;

            let never = bench.fresh_in(attempt.job.execution().clone(), bench.subject.long_job());
            match backend.locate(&never.job).await {
                Ok(None) => {}
                Ok(Some(other)) => {
                    return Err(Seen::new(format!(
                        "{other} was located for a job that was never started"
                    )));
                }
                Err(error) => {
                    return Err(Seen::error("locate of a job that was never started", error));
                }
            }

            bench.cancel(&handle).await?;
            bench.ended(&handle).await?;
            bench.eventually(found).await
        })
        .await
}
