//! The ways in which the backend in memory can be broken, and the promise that each one breaks.

use crate::conformance::{Promise, Received};
use crate::{CallbackToken, FailureClass, JobFailure, JobState, JobStatus};

macro_rules! flaws {
    ($($flaw:ident breaks $($promise:ident),+;)+) => {
        /// A way to be broken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Flaw { $($flaw),+ }

        impl Flaw {
            /// Every flaw.
            pub(super) const ALL: &[Self] = &[$(Self::$flaw),+];

            /// The promises that the flaw breaks.
            pub(super) fn breaks(self) -> &'static [Promise] {
                match self { $(Self::$flaw => &[$(Promise::$promise),+]),+ }
            }
        }
    };
}

flaws! {
    NewJobEveryStart breaks SecondStartReturnsTheFirstHandle, ConcurrentStartsStartOneJob, StartAfterTheEndStartsNothing;
    AttemptInSecondHandle breaks SecondStartReturnsTheFirstHandle, ConcurrentStartsStartOneJob;
    LooksThenStarts breaks ConcurrentStartsStartOneJob;
    OneJobPerExecution breaks TwoTokensStartTwoJobs;
    ForgetsToStart breaks SecondStartReturnsTheFirstHandle, ConcurrentStartsStartOneJob, TwoTokensStartTwoJobs;
    RefusesStarts breaks SecondStartReturnsTheFirstHandle, ConcurrentStartsStartOneJob, TwoTokensStartTwoJobs;
    ForgetsWhatEnded breaks StartAfterTheEndStartsNothing;
    RestartsWhatEnded breaks StartAfterTheEndStartsNothing;
    SecondJobShowsLate breaks SecondStartReturnsTheFirstHandle, ConcurrentStartsStartOneJob;
    LocatesNothing breaks StartedJobIsLocated;
    LocatesByExecution breaks StartedJobIsLocated;
    LocatesOnlyRunning breaks StartedJobIsLocated;
    LocateOfUnknownFails breaks StartedJobIsLocated;
    NameChanges breaks NameStandsInEveryHandle;
    OtherNameInHandles breaks NameStandsInEveryHandle;
    HandleKnownByAddress breaks HandleSurvivesJson;
    TokenInHandle breaks TokenShowsNowhere;
    TokenInDebug breaks TokenShowsNowhere;
    TokenInStatus breaks TokenShowsNowhere;
    TokenInTags breaks TokenShowsNowhere;
    TokenInCommand breaks TokenShowsNowhere;
    TokenInError breaks TokenShowsNowhere;
    TokenInCauseOfError breaks TokenShowsNowhere;
    CancelDoesNothing breaks CancelStopsARunningJob;
    CancelFails breaks CancelStopsARunningJob;
    CancelSaysAlreadyEnded breaks CancelStopsARunningJob;
    SecondCancelFails breaks SecondCancelIsNoError;
    SecondCancelSaysNotFound breaks SecondCancelIsNoError;
    CancelOfFinishedFails breaks CancelOfAFinishedJob;
    CancelOfFinishedSaysCancelled breaks CancelOfAFinishedJob;
    CancelOfUnknownFails breaks CancelOfAnUnknownJob;
    CancelOfUnknownSaysCancelled breaks CancelOfAnUnknownJob;
    RunningIsEnded breaks RunningJobIsAlive;
    RunningHasExitCode breaks RunningJobIsAlive;
    CancelledIsFailed breaks DescribeAfterCancel;
    CancelledHasNoClass breaks DescribeAfterCancel;
    CancelledNeverEnds breaks DescribeAfterCancel, CancelStopsARunningJob;
    MissingExitCodeIsZero breaks FinishedJobHasItsExitCode;
    ExitCodeIsMissing breaks FinishedJobHasItsExitCode;
    ZeroIsFailed breaks FinishedJobHasItsExitCode;
    ThreeIsNoFailure breaks FinishedJobHasItsExitCode;
    DescribeOfUnknownFails breaks DescribeOfAnUnknownJob;
    DescribeOfUnknownSaysEnded breaks DescribeOfAnUnknownJob;
    ListHasOthers breaks ListFindsExactlyTheRunningJobs, ListOfAnUnknownExecution;
    ListHasEnded breaks ListFindsExactlyTheRunningJobs;
    ListHasFinished breaks ListFindsExactlyTheRunningJobs;
    ListMissesOne breaks ListFindsExactlyTheRunningJobs;
    ListHasTwice breaks ListFindsExactlyTheRunningJobs;
    ListOfUnknownFails breaks ListOfAnUnknownExecution;
    LimitLowerThanItSays breaks SpecAtTheLimitStarts;
    NoLimit breaks SpecBeyondTheLimitStartsNothing;
    StartsWhatItRefuses breaks SpecBeyondTheLimitStartsNothing;
    LimitSaysUnavailable breaks SpecBeyondTheLimitStartsNothing;
    LimitIsRetried breaks SpecBeyondTheLimitStartsNothing;
    CommandLosesUnicode breaks UnicodeArrivesUnchanged;
    EnvironmentLosesLines breaks UnicodeArrivesUnchanged;
    InputLosesQuotes breaks UnicodeArrivesUnchanged;
    ScalarLosesUnicode breaks UnicodeArrivesUnchanged;
    TagsLoseUnicode breaks UnicodeArrivesUnchanged;
    Hangs breaks SecondStartReturnsTheFirstHandle, ConcurrentStartsStartOneJob, TwoTokensStartTwoJobs;
}

impl Flaw {
    /// What reaches the platform when it is handled like this.
    pub(super) fn mangle(self, received: &mut Received, token: &CallbackToken) {
        let ascii = |text: &mut String| text.retain(|c| c.is_ascii());
        match self {
            Self::CommandLosesUnicode => received.command.iter_mut().flatten().for_each(ascii),
            Self::EnvironmentLosesLines => {
                variable(received, "LH_TEXT", |v| v.retain(|c| c != '\n'))
            }
            Self::InputLosesQuotes => {
                variable(received, "LONGHAUL_INPUT", |v| v.retain(|c| c != '\''))
            }
            Self::ScalarLosesUnicode => variable(received, "TEXT", ascii),
            Self::TagsLoseUnicode => received
                .tags
                .iter_mut()
                .flat_map(|tags| tags.values_mut())
                .for_each(ascii),
            Self::TokenInTags => {
                let tags = received.tags.get_or_insert_default();
                tags.insert("token".to_owned(), token.expose().to_owned());
            }
            Self::TokenInCommand => {
                let command = received.command.get_or_insert_default();
                command.push(format!("--token={}", token.expose()));
            }
            _ => {}
        }
    }

    /// What is told of a job when it is described like this.
    pub(super) fn distort(self, status: &mut JobStatus, token: &str) {
        let running = status.state == JobState::Running;
        let cancelled = !running && status.exit_code.is_none();
        let mut class = |class| status.failure = Some(JobFailure::new(class));
        match self {
            Self::RunningIsEnded if running => status.state = JobState::Ended,
            Self::RunningHasExitCode if running => status.exit_code = Some(0),
            Self::CancelledIsFailed if cancelled => class(FailureClass::Failed),
            Self::CancelledHasNoClass if cancelled => status.failure = None,
            Self::CancelledNeverEnds if cancelled => status.state = JobState::Stopping,
            Self::MissingExitCodeIsZero => status.exit_code = status.exit_code.map(|_| 0),
            Self::ExitCodeIsMissing => status.exit_code = None,
            Self::ZeroIsFailed if status.exit_code == Some(0) => class(FailureClass::Failed),
            Self::ThreeIsNoFailure if status.exit_code == Some(3) => status.failure = None,
            Self::TokenInStatus => status.reason = Some(format!("started with {token}")),
            _ => {}
        }
    }
}

/// Changes a variable of the environment.
fn variable(received: &mut Received, name: &str, change: impl Fn(&mut String)) {
    let environment = received.environment.get_or_insert_default();
    environment.entry(name.to_owned()).and_modify(change);
}
