//! What a description promises: the job's true state, or that nobody knows.

use super::bench::Bench;
use super::promise::Seen;
use super::{BrokenPromise, Promise, Subject};
use crate::{FailureClass, JobState};

/// Checks that a job that runs is described as pending or running, with no exit code.
///
/// # Errors
///
/// The promise, broken.
pub async fn a_running_job_is_described_as_alive(
    subject: &dyn Subject,
) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::RunningJobIsAlive);
    bench
        .run(async |bench| {
            let (_, handle) = bench.start_long().await?;
            bench
                .eventually(async || {
                    let status = bench.describe(&handle).await?;
                    Ok(match status.state {
                        // Some platforms need a moment to know what they have accepted.
                        JobState::Unknown => Err(format!("{handle} is Unknown")),
                        JobState::Pending | JobState::Running if status.exit_code.is_none() => {
                            Ok(())
                        }
                        _ => return Err(Seen::new(format!("{handle} is {status:?}"))),
                    })
                })
                .await
        })
        .await
}

/// Checks that a cancelled job is described as ended, in the end, and its failure is of the class
/// `Cancelled`.
///
/// # Errors
///
/// The promise, broken.
pub async fn describe_after_cancel_says_cancelled(
    subject: &dyn Subject,
) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::DescribeAfterCancel);
    bench
        .run(async |bench| {
            let (_, handle) = bench.start_long().await?;
            bench.cancel(&handle).await?;
            bench
                .eventually(async || {
                    let status = bench.describe(&handle).await?;
                    let class = status.failure.as_ref().map(|failure| failure.class);
                    Ok(match (status.state, class) {
                        (JobState::Ended, Some(FailureClass::Cancelled)) => Ok(()),
                        _ => Err(format!("{handle} is {status:?}")),
                    })
                })
                .await
        })
        .await
}

/// Checks that a job that exited with 3 is described as ended with 3 and as `Failed`; and one
/// that exited with 0 as ended with 0, and with no failure but `Lost`: the platform cannot know
/// whether it completed its callback.
///
/// # Errors
///
/// The promise, broken.
pub async fn a_finished_job_is_described_with_its_exit_code(
    subject: &dyn Subject,
) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::FinishedJobHasItsExitCode);
    bench
        .run(async |bench| {
            for (code, classes) in [
                (3, &[Some(FailureClass::Failed)][..]),
                (0, &[None, Some(FailureClass::Lost)]),
            ] {
                let attempt = bench.fresh(bench.exiting(code)?);
                let handle = bench.start(&attempt).await?;
                let status = bench.ended(&handle).await?;
                let class = status.failure.as_ref().map(|failure| failure.class);
                if status.exit_code != Some(code) || !classes.contains(&class) {
                    return Err(Seen::new(format!(
                        "a job that exits with {code} is {status:?}"
                    )));
                }
            }
            Ok(())
        })
        .await
}

/// Checks that a job that never was is described as `Unknown`, with no exit code and no failure,
/// and that asking is no error.
///
/// # Errors
///
/// The promise, broken.
pub async fn describe_of_an_unknown_job_is_unknown(
    subject: &dyn Subject,
) -> Result<(), BrokenPromise> {
    let bench = Bench::new(subject, Promise::DescribeOfAnUnknownJob);
    bench
        .run(async |bench| {
            let handle = bench.subject.unknown_handle();
            let status = bench.describe(&handle).await?;
            if status.state != JobState::Unknown || status.exit_code.is_some() {
                return Err(Seen::new(format!("{handle} is {status:?}")));
            }
            Ok(())
        })
        .await
}
