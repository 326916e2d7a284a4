//! What a cancel promises: it stops what runs, and says what it found otherwise.

use super::bench::Bench;
use super::promise::Seen;
use super::{BrokenPromise, Promise, Subject};
use crate::{CancelOutcome, JobHandle};

/// Checks that a cancel of a running job says `Cancelled` and that the job then ends.
///
/// # Errors
///
/// The promise, broken.
pub async fn cancel_stops_a_running_job(subject: &dyn Subject) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::CancelStopsARunningJob);
    bench
        .run(async |bench| {
            let (attempt, handle) = bench.start_long().await?;
            expect(bench, &handle, &[CancelOutcome::Cancelled]).await?;
            bench
                .eventually(async || {
                    Ok(match bench.subject.census(&attempt.job).await {
                        Some(census) if census.running > 0 => {
                            Err(format!("{} jobs still run", census.running))
                        }
                        _ => Ok(()),
                    })
                })
                .await?;
            bench.ended(&handle).await.map(drop)
        })
        .await
}

/// Checks that a second cancel, at once and after the end, is no error.
///
/// # Errors
///
/// The promise, broken.
pub async fn a_second_cancel_is_no_error(subject: &dyn Subject) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::SecondCancelIsNoError);
    bench
        .run(async |bench| {
            let (_, handle) = bench.start_long().await?;
            bench.cancel(&handle).await?;
            let either = [CancelOutcome::Cancelled, CancelOutcome::AlreadyEnded];
            expect(bench, &handle, &either).await?;
            bench.ended(&handle).await?;
            expect(bench, &handle, &either).await
        })
        .await
}

/// Checks that a cancel of a job that ended by itself says `AlreadyEnded`.
///
/// # Errors
///
/// The promise, broken.
pub async fn cancel_of_a_finished_job_says_that_it_had_ended(
    subject: &dyn Subject,
) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::CancelOfAFinishedJob);
    bench
        .run(async |bench| {
            let attempt = bench.fresh(bench.exiting(0)?);
            let handle = bench.start(&attempt).await?;
            bench.ended(&handle).await?;
            expect(bench, &handle, &[CancelOutcome::AlreadyEnded]).await
        })
        .await
}

/// Checks that a cancel of a job that never was says `NotFound`.
///
/// # Errors
///
/// The promise, broken.
pub async fn cancel_of_an_unknown_job_says_that_it_is_not_found(
    subject: &dyn Subject,
) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::CancelOfAnUnknownJob);
    bench
        .run(async |bench| {
            let handle = bench.subject.unknown_handle();
            expect(bench, &handle, &[CancelOutcome::NotFound]).await
        })
        .await
}

async fn expect(
    bench: &Bench<'_>,
    handle: &JobHandle,
    outcomes: &[CancelOutcome],
) -> Result<(), Seen> {
    let outcome = bench.cancel(handle).await?;
    if outcomes.contains(&outcome) {
        Ok(())
    } else {
        Err(Seen::new(format!(
            "cancel of {handle} said {outcome:?}, not {outcomes:?}"
        )))
    }
}
