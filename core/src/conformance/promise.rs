//! What is promised, and what it looks like when a promise is broken.

use std::error::Error;
use std::fmt;

use crate::BackendError;

/// A promise of [`ComputeBackend`](crate::ComputeBackend), as the suite checks it. `Display` is
/// the promise in a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Promise {
    /// Checked by [`a_second_start_with_the_same_token_returns_the_first_handle`](super::a_second_start_with_the_same_token_returns_the_first_handle).
    SecondStartReturnsTheFirstHandle,
    /// Checked by [`concurrent_starts_with_one_token_start_one_job`](super::concurrent_starts_with_one_token_start_one_job).
    ConcurrentStartsStartOneJob,
    /// Checked by [`two_tokens_start_two_jobs`](super::two_tokens_start_two_jobs).
    TwoTokensStartTwoJobs,
    /// Checked by [`a_start_repeated_after_the_job_ended_starts_nothing`](super::a_start_repeated_after_the_job_ended_starts_nothing).
    StartAfterTheEndStartsNothing,
    /// Checked by [`a_started_job_is_located_by_its_start_key`](super::a_started_job_is_located_by_its_start_key).
    StartedJobIsLocated,
    /// Checked by [`the_name_is_stable_and_stands_in_every_handle`](super::the_name_is_stable_and_stands_in_every_handle).
    NameStandsInEveryHandle,
    /// Checked by [`a_handle_survives_json`](super::a_handle_survives_json).
    HandleSurvivesJson,
    /// Checked by [`the_token_shows_nowhere`](super::the_token_shows_nowhere).
    TokenShowsNowhere,
    /// Checked by [`cancel_stops_a_running_job`](super::cancel_stops_a_running_job).
    CancelStopsARunningJob,
    /// Checked by [`a_second_cancel_is_no_error`](super::a_second_cancel_is_no_error).
    SecondCancelIsNoError,
    /// Checked by [`cancel_of_a_finished_job_says_that_it_had_ended`](super::cancel_of_a_finished_job_says_that_it_had_ended).
    CancelOfAFinishedJob,
    /// Checked by [`cancel_of_an_unknown_job_says_that_it_is_not_found`](super::cancel_of_an_unknown_job_says_that_it_is_not_found).
    CancelOfAnUnknownJob,
    /// Checked by [`a_running_job_is_described_as_alive`](super::a_running_job_is_described_as_alive).
    RunningJobIsAlive,
    /// Checked by [`describe_after_cancel_says_cancelled`](super::describe_after_cancel_says_cancelled).
    DescribeAfterCancel,
    /// Checked by [`a_finished_job_is_described_with_its_exit_code`](super::a_finished_job_is_described_with_its_exit_code).
    FinishedJobHasItsExitCode,
    /// Checked by [`describe_of_an_unknown_job_is_unknown`](super::describe_of_an_unknown_job_is_unknown).
    DescribeOfAnUnknownJob,
    /// Checked by [`list_finds_exactly_the_running_jobs_of_an_execution`](super::list_finds_exactly_the_running_jobs_of_an_execution).
    ListFindsExactlyTheRunningJobs,
    /// Checked by [`list_of_an_unknown_execution_is_empty`](super::list_of_an_unknown_execution_is_empty).
    ListOfAnUnknownExecution,
    /// Checked by [`a_spec_at_the_limit_starts`](super::a_spec_at_the_limit_starts).
    SpecAtTheLimitStarts,
    /// Checked by [`a_spec_beyond_the_limit_starts_nothing`](super::a_spec_beyond_the_limit_starts_nothing).
    SpecBeyondTheLimitStartsNothing,
    /// Checked by [`unicode_arrives_unchanged`](super::unicode_arrives_unchanged).
    UnicodeArrivesUnchanged,
}

impl Promise {
    /// Every promise, in the order in which [`run_all`](super::run_all) checks them.
    pub const ALL: [Self; 21] = [
        Self::SecondStartReturnsTheFirstHandle,
        Self::ConcurrentStartsStartOneJob,
        Self::TwoTokensStartTwoJobs,
        Self::StartAfterTheEndStartsNothing,
        Self::StartedJobIsLocated,
        Self::NameStandsInEveryHandle,
        Self::HandleSurvivesJson,
        Self::TokenShowsNowhere,
        Self::CancelStopsARunningJob,
        Self::SecondCancelIsNoError,
        Self::CancelOfAFinishedJob,
        Self::CancelOfAnUnknownJob,
        Self::RunningJobIsAlive,
        Self::DescribeAfterCancel,
        Self::FinishedJobHasItsExitCode,
        Self::DescribeOfAnUnknownJob,
        Self::ListFindsExactlyTheRunningJobs,
        Self::ListOfAnUnknownExecution,
        Self::SpecAtTheLimitStarts,
        Self::SpecBeyondTheLimitStartsNothing,
        Self::UnicodeArrivesUnchanged,
    ];

    /// The promise in a sentence.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SecondStartReturnsTheFirstHandle => {
                "a second start with the same token returns the first handle"
            }
            Self::ConcurrentStartsStartOneJob => "concurrent starts with one token start one job",
            Self::TwoTokensStartTwoJobs => "two tokens start two jobs",
            Self::StartAfterTheEndStartsNothing => {
                "a start repeated after the job ended starts nothing"
            }
            Self::StartedJobIsLocated => "a started job is located by its start key",
            Self::NameStandsInEveryHandle => "the name is stable and stands in every handle",
            Self::HandleSurvivesJson => "a handle survives JSON",
            Self::TokenShowsNowhere => "the token shows nowhere",
            Self::CancelStopsARunningJob => "cancel stops a running job",
            Self::SecondCancelIsNoError => "a second cancel is no error",
            Self::CancelOfAFinishedJob => "cancel of a finished job says that it had ended",
            Self::CancelOfAnUnknownJob => "cancel of an unknown job says that it is not found",
            Self::RunningJobIsAlive => "a running job is described as alive",
            Self::DescribeAfterCancel => "describe after cancel says cancelled",
            Self::FinishedJobHasItsExitCode => "a finished job is described with its exit code",
            Self::DescribeOfAnUnknownJob => "describe of an unknown job is Unknown",
            Self::ListFindsExactlyTheRunningJobs => {
                "list finds exactly the running jobs of an execution"
            }
            Self::ListOfAnUnknownExecution => "list of an unknown execution is empty",
            Self::SpecAtTheLimitStarts => "a spec at the limit starts",
            Self::SpecBeyondTheLimitStartsNothing => "a spec beyond the limit starts nothing",
            Self::UnicodeArrivesUnchanged => "Unicode arrives unchanged",
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A promise that was not kept. `Display` names it and says what was seen.
#[derive(Debug)]
#[non_exhaustive]
pub struct BrokenPromise {
    /// The promise.
    pub promise: Promise,
    /// What was seen in its place.
    pub seen: String,
    source: Option<BackendError>,
}

impl fmt::Display for BrokenPromise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken promise: {}: {}", self.promise, self.seen)
    }
}

impl Error for BrokenPromise {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_ref()
            .map(|error| error as &(dyn Error + 'static))
    }
}

/// What a check saw that it should not have. Its promise is added by the bench.
#[derive(Debug)]
pub(super) struct Seen {
    text: String,
    source: Option<BackendError>,
}

impl Seen {
    /// What was seen.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            source: None,
        }
    }

    /// A call that should have worked did not.
    pub(super) fn error(call: &str, error: BackendError) -> Self {
        Self {
            text: format!(
                "{call} answered {} ({})",
                error.kind(),
                error.full_message()
            ),
            source: Some(error),
        }
    }

    /// The same, seen somewhere.
    pub(super) fn at(mut self, place: &str) -> Self {
        self.text = format!("{place}, {}", self.text);
        self
    }

    /// As the breach of `promise`.
    pub(super) fn breaks(self, promise: Promise) -> BrokenPromise {
        BrokenPromise {
            promise,
            seen: self.text,
            source: self.source,
        }
    }
}
