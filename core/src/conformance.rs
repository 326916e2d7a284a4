//! The suite that every backend passes: one async function per promise of the trait.
//!
//! A backend's tests describe it once, as a [`Subject`], and run everything:
//!
//! ```no_run
//! # use async_trait::async_trait;
//! use longhaul_core::conformance::{self, Cannot, Promise, Subject};
//! # use longhaul_core::{BackendError, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId, Job, JobHandle, JobName, JobSpec};
//! # #[derive(Debug)] struct MyBackend;
//! # #[async_trait] impl ComputeBackend for MyBackend {
//! #     fn name(&self) -> &str { "mine" }
//! #     async fn start(&self, job: &Job, _: &CallbackToken) -> Result<JobHandle, BackendError> { Ok(JobHandle::new("mine", job.start_key().as_str())) }
//! #     async fn cancel(&self, _: &JobHandle, _: &str) -> Result<CancelOutcome, BackendError> { Ok(CancelOutcome::NotFound) }
//! # }
//! struct MySubject {
//!     backend: MyBackend,
//! }
//!
//! #[async_trait]
//! impl Subject for MySubject {
//!     fn backend(&self) -> &dyn ComputeBackend {
//!         &self.backend
//!     }
//!     fn long_job(&self) -> JobSpec {
//!         JobSpec::new(JobName::from_text("long")).with_command(["sh", "-c", "sleep 600", "sh"])
//!     }
//!     fn job_that_exits(&self, code: i32) -> Option<JobSpec> {
//!         let script = format!("exit {code}");
//!         Some(JobSpec::new(JobName::from_text("short")).with_command(["sh", "-c", &script]))
//!     }
//!     fn unknown_handle(&self) -> JobHandle {
//!         JobHandle::new(self.backend.name(), "of-a-job-that-never-was")
//!     }
//!     fn cannot(&self) -> Vec<Cannot> {
//!         vec![Cannot::new(Promise::UnicodeArrivesUnchanged, "the platform tells nobody what it was given")]
//!     }
//! }
//!
//! #[tokio::test]
//! async fn my_backend_keeps_its_promises() {
//!     let subject = MySubject { backend: MyBackend };
//!     conformance::run_all(&subject).await.assert();
//! }
//! ```
//!
//! A failure names the broken promise and says what was seen. Nothing is skipped in silence:
//! what a backend or its platform cannot show is declared in [`Subject::cannot`], with a reason,
//! and stands in the [`Report`]. Every check uses execution ids and tokens of its own, so the
//! suite may run many times, and concurrently, against one platform; it cancels what it started.
//!
//! The checks wait on tokio's clock: run them in a tokio runtime with time enabled and not
//! paused.

mod bench;
mod cancels;
mod describes;
mod identities;
mod lists;
mod promise;
mod report;
mod specs;
mod starts;
mod subject;
#[cfg(test)]
mod tests;

pub use cancels::{
    a_second_cancel_is_no_error, cancel_of_a_finished_job_says_that_it_had_ended,
    cancel_of_an_unknown_job_says_that_it_is_not_found, cancel_stops_a_running_job,
};
pub use describes::{
    a_finished_job_is_described_with_its_exit_code, a_running_job_is_described_as_alive,
    describe_after_cancel_says_cancelled, describe_of_an_unknown_job_is_unknown,
};
pub use identities::{
    a_handle_survives_json, the_name_is_stable_and_stands_in_every_handle, the_token_shows_nowhere,
};
pub use lists::{
    list_finds_exactly_the_running_jobs_of_an_execution, list_of_an_unknown_execution_is_empty,
};
pub use promise::{BrokenPromise, Promise};
pub use report::{Report, Verdict};
pub use specs::{
    a_spec_at_the_limit_starts, a_spec_beyond_the_limit_starts_nothing, unicode_arrives_unchanged,
};
pub use starts::{
    a_second_start_with_the_same_token_returns_the_first_handle,
    a_start_repeated_after_the_job_ended_starts_nothing, a_started_job_is_located_by_its_start_key,
    concurrent_starts_with_one_token_start_one_job, two_tokens_start_two_jobs,
};
pub use subject::{Cannot, Census, Limit, Patience, Received, Subject};

/// Checks one promise.
///
/// # Errors
///
/// The promise, broken, and what was seen.
pub async fn check(subject: &dyn Subject, promise: Promise) -> Result<(), BrokenPromise> {
    match promise {
        Promise::SecondStartReturnsTheFirstHandle => {
            a_second_start_with_the_same_token_returns_the_first_handle(subject).await
        }
        Promise::ConcurrentStartsStartOneJob => {
            concurrent_starts_with_one_token_start_one_job(subject).await
        }
        Promise::TwoTokensStartTwoJobs => two_tokens_start_two_jobs(subject).await,
        Promise::StartAfterTheEndStartsNothing => {
            a_start_repeated_after_the_job_ended_starts_nothing(subject).await
        }
        Promise::StartedJobIsLocated => a_started_job_is_located_by_its_start_key(subject).await,
        Promise::NameStandsInEveryHandle => {
            the_name_is_stable_and_stands_in_every_handle(subject).await
        }
        Promise::HandleSurvivesJson => a_handle_survives_json(subject).await,
        Promise::TokenShowsNowhere => the_token_shows_nowhere(subject).await,
        Promise::CancelStopsARunningJob => cancel_stops_a_running_job(subject).await,
        Promise::SecondCancelIsNoError => a_second_cancel_is_no_error(subject).await,
        Promise::CancelOfAFinishedJob => {
            cancel_of_a_finished_job_says_that_it_had_ended(subject).await
        }
        Promise::CancelOfAnUnknownJob => {
            cancel_of_an_unknown_job_says_that_it_is_not_found(subject).await
        }
        Promise::RunningJobIsAlive => a_running_job_is_described_as_alive(subject).await,
        Promise::DescribeAfterCancel => describe_after_cancel_says_cancelled(subject).await,
        Promise::FinishedJobHasItsExitCode => {
            a_finished_job_is_described_with_its_exit_code(subject).await
        }
        Promise::DescribeOfAnUnknownJob => describe_of_an_unknown_job_is_unknown(subject).await,
        Promise::ListFindsExactlyTheRunningJobs => {
            list_finds_exactly_the_running_jobs_of_an_execution(subject).await
        }
        Promise::ListOfAnUnknownExecution => list_of_an_unknown_execution_is_empty(subject).await,
        Promise::SpecAtTheLimitStarts => a_spec_at_the_limit_starts(subject).await,
        Promise::SpecBeyondTheLimitStartsNothing => {
            a_spec_beyond_the_limit_starts_nothing(subject).await
        }
        Promise::UnicodeArrivesUnchanged => unicode_arrives_unchanged(subject).await,
    }
}

/// Checks every promise that the subject does not say it cannot show, one after the other.
pub async fn run_all(subject: &dyn Subject) -> Report {
    let mut report = Report::new(subject.backend().name());
    let cannot = subject.cannot();
    for promise in Promise::ALL {
        let verdict = match cannot.iter().find(|cannot| cannot.promise == promise) {
            Some(cannot) => Verdict::Skipped(cannot.reason.clone()),
            None => match check(subject, promise).await {
                Ok(()) => Verdict::Kept,
                Err(broken) => Verdict::Broken(broken),
            },
        };
        report.add(promise, verdict);
    }
    report
}
