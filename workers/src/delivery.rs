//! Delivering a report: try until it is accepted, nobody listens, or time is up.

use std::time::Duration;

use longhaul_core::contract::MAX_INLINE_RESULT;
use longhaul_core::{CallbackResult, FailureClass, JobFailure, JobTimes};
use tokio::time::{Instant, sleep, timeout};

use crate::backoff::{Backoff, CAP};
use crate::callback::{CallbackApi, CallbackError, CallbackErrorKind};
use crate::keep::{Kept, keep};
use crate::payload::Payloads;

/// How long one try may take: 256 KiB over a slow line.
pub(crate) const TRY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the service may deny the call before it is believed: a change to a role takes its
/// time to spread, and a result may be the work of hours.
pub(crate) const DENIAL_PATIENCE: Duration = Duration::from_secs(60);

/// How long delivery is tried when the attempt has no timeout.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The longest message of a shortened failure, in bytes.
const SHORT_MESSAGE: usize = 1024;

/// What a worker has to say at the end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// The job's result, JSON; once it is kept in the payload store, the reference to it.
    Success(Vec<u8>),
    /// Why there is none.
    Failure(Box<JobFailure>),
}

impl Report {
    /// The report with when the job ran. A result that would not fit any more goes without.
    fn with_times(self, times: Option<JobTimes>) -> Self {
        let Some(times) = times else { return self };
        match self {
            Self::Success(result) => {
                let timed = std::str::from_utf8(&result)
                    .map(|text| CallbackResult::timed(times, text).into_bytes());
                match timed {
                    Ok(timed) if timed.len() <= MAX_INLINE_RESULT => Self::Success(timed),
                    _ => Self::Success(result),
                }
            }
            Self::Failure(mut failure) => {
                failure.times = Some(times);
                Self::Failure(failure)
            }
        }
    }
}

impl From<JobFailure> for Report {
    fn from(failure: JobFailure) -> Self {
        Self::Failure(Box::new(failure))
    }
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The service took it: this report, which is a failure when the result was refused.
    Accepted(Report),
    /// The callback is closed: nobody listens any more.
    Closed,
    /// The service did not take it in time, or never will.
    Undelivered(CallbackError),
}

/// When delivery is given up: at the attempt's timeout, counted from the worker's start, or a
/// day from now.
pub(crate) fn deadline(started: Instant, attempt_timeout: Option<Duration>) -> Instant {
    let day = Instant::now() + DEFAULT_PATIENCE;
    match attempt_timeout {
        Some(timeout) => started.checked_add(timeout).unwrap_or(day),
        None => day,
    }
}

/// Delivers the report: at least one try, then more until `deadline`. A result that does not
/// travel with the callback is put into the payload store first. `times` go with it.
pub(crate) async fn deliver(
    api: &dyn CallbackApi,
    payloads: &Payloads,
    report: Report,
    times: Option<JobTimes>,
    deadline: Instant,
) -> Delivery {
    let mut report = match report {
        Report::Success(result) if result.len() > MAX_INLINE_RESULT => {
            match keep(api, payloads, &result, deadline).await {
                Kept::At(reference) => Report::Success(reference),
                Kept::Not(failure) => Report::Failure(failure),
                Kept::Unwanted => return Delivery::Closed,
            }
        }
        report => report,
    }
    .with_times(times);
    let mut shortened = false;
    let mut backoff = Backoff::new(CAP);
    let mut denied_since = None;
    loop {
        let error = match try_once(api, &report, deadline).await {
            Ok(()) => {
                tracing::info!("the report is delivered");
                return Delivery::Accepted(report);
            }
            Err(error) => error,
        };
        match error.kind() {
            CallbackErrorKind::Closed => {
                tracing::warn!("the report is not wanted any more: {error}");
                return Delivery::Closed;
            }
            CallbackErrorKind::Refused => {
                tracing::warn!("the report is refused: {error}");
                match instead_of(&report, shortened, &error) {
                    Some(other) => {
                        shortened = matches!(report, Report::Failure(_));
                        report = other;
                        continue;
                    }
                    None => return Delivery::Undelivered(error),
                }
            }
            CallbackErrorKind::Denied => {
                let since = *denied_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= DENIAL_PATIENCE {
                    return Delivery::Undelivered(error);
                }
            }
            CallbackErrorKind::Passing => denied_since = None,
        }
        let wait = backoff.wait();
        if Instant::now() + wait >= deadline {
            return Delivery::Undelivered(error);
        }
        tracing::warn!(
            "the report is not delivered yet, trying again in {:.1} s: {error}",
            wait.as_secs_f64()
        );
        sleep(wait).await;
    }
}

async fn try_once(
    api: &dyn CallbackApi,
    report: &Report,
    deadline: Instant,
) -> Result<(), CallbackError> {
    // The first try gets its time even when the deadline has passed: the service decides what
    // is too late.
    let left = deadline.saturating_duration_since(Instant::now());
    let limit = TRY_TIMEOUT.min(left.max(Duration::from_secs(1)));
    let call = async {
        match report {
            Report::Success(result) => api.succeed(result).await,
            Report::Failure(failure) => api.fail(failure).await,
        }
    };
    timeout(limit, call).await.unwrap_or_else(|_| {
        Err(CallbackError::new(
            CallbackErrorKind::Passing,
            format!("no answer in {:.0} s", limit.as_secs_f64()),
        ))
    })
}

/// What to say when the service refuses `report`: of a result, that it was refused; of a
/// failure, less.
fn instead_of(report: &Report, shortened: bool, error: &CallbackError) -> Option<Report> {
    match report {
        Report::Success(result) => Some(
            JobFailure::new(FailureClass::Failed)
                .with_message(format!(
                    "the durable service refused the job's result of {} bytes: {error}",
                    result.len()
                ))
                .into(),
        ),
        Report::Failure(failure) if !shortened => {
            let mut short = JobFailure::new(failure.class)
                .with_exit_code(failure.exit_code)
                .with_signal(failure.signal)
                .with_message(cut(&failure.error_message(), SHORT_MESSAGE));
            short.own_type = failure.own_type.as_deref().map(|t| cut(t, SHORT_MESSAGE));
            Some(short.into())
        }
        Report::Failure(_) => None,
    }
}

/// The first `len` bytes of the text, or a little less, to end with a whole character.
fn cut(text: &str, len: usize) -> String {
    text.get(..text.floor_char_boundary(len))
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use mockall::Sequence;

    use super::*;
    use crate::callback::MockCallbackApi;

    fn error(kind: CallbackErrorKind) -> CallbackError {
        CallbackError::new(kind, format!("{kind:?}"))
    }

    fn failing(kind: CallbackErrorKind) -> MockCallbackApi {
        let mut api = MockCallbackApi::new();
        api.expect_succeed().returning(move |_| Err(error(kind)));
        api
    }

    fn success() -> Report {
        Report::Success(b"1".to_vec())
    }

    fn in_seconds(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_is_tried_until_it_is_accepted() {
        let mut api = MockCallbackApi::new();
        let mut order = Sequence::new();
        api.expect_succeed()
            .times(5)
            .in_sequence(&mut order)
            .returning(|_| Err(error(CallbackErrorKind::Passing)));
        api.expect_succeed()
            .times(1)
            .withf(|result| result == b"1")
            .in_sequence(&mut order)
            .returning(|_| Ok(()));
        let start = Instant::now();
        let delivery = deliver(&api, &Payloads::none(), success(), None, in_seconds(600)).await;
        assert_eq!(delivery, Delivery::Accepted(success()));
        // 200 + 400 + 800 + 1,600 + 3,200 ms, each between half and all of it.
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(3_100), "{waited:?}");
        assert!(waited <= Duration::from_millis(6_300), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn delivery_is_given_up_at_the_deadline_and_not_much_before() {
        let api = failing(CallbackErrorKind::Passing);
        let start = Instant::now();
        let delivery = deliver(&api, &Payloads::none(), success(), None, in_seconds(120)).await;
        assert_eq!(
            delivery,
            Delivery::Undelivered(error(CallbackErrorKind::Passing))
        );
        let waited = start.elapsed();
        assert!(waited <= Duration::from_secs(120), "{waited:?}");
        assert!(waited >= Duration::from_secs(109), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_callback_is_not_tried_again() {
        let mut api = MockCallbackApi::new();
        api.expect_succeed()
            .times(1)
            .returning(|_| Err(error(CallbackErrorKind::Closed)));
        let delivery = deliver(&api, &Payloads::none(), success(), None, in_seconds(600)).await;
        assert_eq!(delivery, Delivery::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_result_becomes_a_failure_that_says_so() {
        let mut api = failing(CallbackErrorKind::Refused);
        api.expect_fail().times(1).returning(|_| Ok(()));
        let delivery = deliver(&api, &Payloads::none(), success(), None, in_seconds(600)).await;
        let Delivery::Accepted(Report::Failure(failure)) = delivery else {
            panic!("{delivery:?}");
        };
        assert_eq!(failure.class, FailureClass::Failed);
        let message = failure.error_message();
        assert!(message.contains("refused the job's result"), "{message}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_failure_is_said_once_more_in_short() {
        let long = JobFailure::new(FailureClass::OutOfMemory)
            .with_exit_code(137)
            .with_message("€".repeat(5_000))
            .with_stderr("x".repeat(5_000));
        let mut api = MockCallbackApi::new();
        api.expect_fail()
            .withf(|failure| failure.stderr.is_some())
            .times(1)
            .returning(|_| Err(error(CallbackErrorKind::Refused)));
        api.expect_fail()
            .withf(|failure| failure.stderr.is_none() && failure.error_message().len() <= 1024)
            .times(1)
            .returning(|_| Err(error(CallbackErrorKind::Refused)));
        let delivery = deliver(&api, &Payloads::none(), long.into(), None, in_seconds(600)).await;
        assert_eq!(
            delivery,
            Delivery::Undelivered(error(CallbackErrorKind::Refused))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_denial_is_believed_after_a_minute() {
        let api = failing(CallbackErrorKind::Denied);
        let start = Instant::now();
        let delivery = deliver(&api, &Payloads::none(), success(), None, in_seconds(3600)).await;
        assert!(matches!(delivery, Delivery::Undelivered(_)), "{delivery:?}");
        let waited = start.elapsed();
        assert!(waited >= DENIAL_PATIENCE, "{waited:?}");
        assert!(waited <= DENIAL_PATIENCE + CAP, "{waited:?}");
    }

    /// A service that takes calls and never answers.
    struct Silent;

    #[async_trait::async_trait]
    impl CallbackApi for Silent {
        async fn succeed(&self, _result: &[u8]) -> Result<(), CallbackError> {
            std::future::pending().await
        }
        async fn fail(&self, _failure: &JobFailure) -> Result<(), CallbackError> {
            std::future::pending().await
        }
        async fn heartbeat(&self) -> Result<(), CallbackError> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_never_answers_does_not_hold_the_worker_past_the_deadline() {
        let start = Instant::now();
        let delivery = deliver(&Silent, &Payloads::none(), success(), None, in_seconds(45)).await;
        assert!(matches!(delivery, Delivery::Undelivered(_)), "{delivery:?}");
        let waited = start.elapsed();
        assert!(waited <= Duration::from_secs(46), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_after_the_deadline_is_still_tried_once() {
        let mut api = MockCallbackApi::new();
        api.expect_succeed().times(1).returning(|_| Ok(()));
        let delivery = deliver(&api, &Payloads::none(), success(), None, Instant::now()).await;
        assert_eq!(delivery, Delivery::Accepted(success()));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_timeout_delivery_is_tried_for_a_day() {
        let started = Instant::now();
        tokio::time::advance(Duration::from_secs(3600)).await;
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(deadline(started, None), Instant::now() + day);
        assert_eq!(deadline(started, Some(day)), started + day);
    }

    fn times() -> JobTimes {
        let begun = std::time::UNIX_EPOCH + Duration::from_secs(7);
        JobTimes::new(begun, begun + Duration::from_secs(2))
    }

    #[test]
    fn a_result_carries_when_the_job_ran_unless_it_would_not_fit_any_more() {
        let with = |result: Vec<u8>| match Report::Success(result).with_times(Some(times())) {
            Report::Success(text) => String::from_utf8(text).unwrap(),
            Report::Failure(failure) => panic!("{failure}"),
        };
        let text = with(b"{\"a\":1}".to_vec());
        let read = CallbackResult::split_times(&text);
        assert_eq!(read, (Some(times()), "{\"a\":1}"));
        let largest = vec![b'1'; MAX_INLINE_RESULT];
        assert_eq!(with(largest).len(), MAX_INLINE_RESULT);
    }

    #[test]
    fn a_failure_carries_when_the_job_ran() {
        let report: Report = JobFailure::new(FailureClass::Failed).into();
        let Report::Failure(failure) = report.with_times(Some(times())) else {
            panic!("it failed");
        };
        assert!(
            failure
                .error_data()
                .contains(r#""times":{"begun":7000,"ended":9000}"#)
        );
    }
}
