//! How a worker's work ended, and the exit code that says so.

use longhaul_core::{JobFailure, JobTimes};
use tokio::time::Instant;

use crate::callback::{CallbackApi, CallbackError};
use crate::delivery::{Delivery, Report, deliver};
use crate::payload::Payloads;
use crate::signals::Signals;

/// How a worker's work ended.
///
/// | exit code | outcome |
/// | --- | --- |
/// | 0 | the result was delivered |
/// | the command's own, or 128 + signal | the command failed, and the failure was delivered; 1 when the command ended with 0 and its result was no good |
/// | 126, 127 | the command could not be run, or was not found, and that was delivered |
/// | 75 (`EX_TEMPFAIL`) | the report could not be delivered in time, or never will be |
/// | 76 | the callback was closed: nobody listens any more, and the command was stopped |
/// | 2 | nothing was run: bad usage, or no callback |
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The result was delivered.
    Succeeded,
    /// The failure was delivered.
    Failed {
        /// What was delivered.
        failure: Box<JobFailure>,
        /// The exit code for the worker, never 0.
        exit_code: u8,
    },
    /// The callback was closed: completed, timed out, or its execution stopped.
    Closed,
    /// The report could not be delivered, for this last reason.
    Undelivered(CallbackError),
}

impl Outcome {
    /// The exit code of a worker whose report was not delivered.
    pub const UNDELIVERED: u8 = 75;
    /// The exit code of a worker whose callback was closed.
    pub const CLOSED: u8 = 76;

    /// The exit code for the worker.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::Failed { exit_code, .. } => *exit_code,
            Self::Closed => Self::CLOSED,
            Self::Undelivered(_) => Self::UNDELIVERED,
        }
    }
}

/// How long a report may take once the worker was asked to stop. Together with the grace that the
/// job had, it stays below the 30 s after which ECS and AWS Batch kill a container.
const HURRY: std::time::Duration = std::time::Duration::from_secs(15);

/// A report and what goes with it: until when, and with which exit code for a failure.
#[derive(Debug)]
pub(crate) struct LastWord {
    pub(crate) report: Report,
    /// The exit code when the report is delivered; taken as 1 for a failure with 0.
    pub(crate) exit_code: u8,
    pub(crate) deadline: Instant,
    /// When the job ran, where somebody reads it.
    pub(crate) times: Option<JobTimes>,
    /// Whether the worker was asked to stop.
    pub(crate) hurried: bool,
}

impl LastWord {
    /// Delivers the report. Once the worker is asked to stop, it tries for 15 s more at most.
    pub(crate) async fn say(
        self,
        api: &dyn CallbackApi,
        payloads: &Payloads,
        signals: &mut Signals,
    ) -> Outcome {
        let soon = || Instant::now() + HURRY;
        let deadline = if self.hurried {
            self.deadline.min(soon())
        } else {
            self.deadline
        };
        let delivery = deliver(api, payloads, self.report, self.times, deadline);
        tokio::pin!(delivery);
        let delivery = tokio::select! {
            biased;
            delivery = &mut delivery => delivery,
            number = signals.next() => {
                tracing::warn!("signal {number} while the report is not delivered: trying on for {} s", HURRY.as_secs());
                match tokio::time::timeout_at(soon(), delivery).await {
                    Ok(delivery) => delivery,
                    Err(_) => Delivery::Undelivered(CallbackError::new(
                        crate::CallbackErrorKind::Passing,
                        format!("signal {number} before the report was delivered"),
                    )),
                }
            }
        };
        match delivery {
            Delivery::Accepted(Report::Success(_)) => Outcome::Succeeded,
            Delivery::Accepted(Report::Failure(failure)) => Outcome::Failed {
                failure,
                exit_code: self.exit_code.max(1),
            },
            Delivery::Closed => Outcome::Closed,
            Delivery::Undelivered(error) => {
                tracing::error!("the report could not be delivered: {error}");
                Outcome::Undelivered(error)
            }
        }
    }
}

/// Reports the failure of a job that was not started because its environment makes no sense.
#[cfg(feature = "cli")]
pub(crate) async fn refuse(
    failure: JobFailure,
    api: &dyn CallbackApi,
    signals: &mut Signals,
) -> Outcome {
    let last_word = LastWord {
        report: failure.into(),
        exit_code: crate::ending::CANNOT_RUN,
        deadline: crate::delivery::deadline(Instant::now(), None),
        times: None,
        hurried: false,
    };
    last_word.say(api, &Payloads::none(), signals).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use longhaul_core::FailureClass;

    use super::*;
    use crate::callback::{CallbackErrorKind, MockCallbackApi};

    fn broken() -> MockCallbackApi {
        let mut api = MockCallbackApi::new();
        api.expect_succeed()
            .returning(|_| Err(CallbackError::new(CallbackErrorKind::Passing, "down")));
        api
    }

    fn success(hurried: bool) -> LastWord {
        LastWord {
            report: Report::Success(b"1".to_vec()),
            exit_code: 0,
            deadline: Instant::now() + Duration::from_secs(3600),
            times: None,
            hurried,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_was_asked_to_stop_tries_for_a_quarter_of_a_minute() {
        let (_sender, mut signals) = Signals::channel();
        let start = Instant::now();
        let outcome = success(true)
            .say(&broken(), &Payloads::none(), &mut signals)
            .await;
        assert_eq!(outcome.exit_code(), 75);
        assert!(start.elapsed() <= HURRY, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_during_delivery_bounds_it() {
        let (sender, mut signals) = Signals::channel();
        let start = Instant::now();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            sender.send(15).await.unwrap();
        });
        let outcome = success(false)
            .say(&broken(), &Payloads::none(), &mut signals)
            .await;
        assert_eq!(outcome.exit_code(), 75);
        let waited = start.elapsed();
        assert!(waited >= Duration::from_secs(60), "{waited:?}");
        assert!(waited <= Duration::from_secs(60) + HURRY, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_delivered_failure_never_has_exit_code_0() {
        let mut api = MockCallbackApi::new();
        api.expect_fail().returning(|_| Ok(()));
        let (_sender, mut signals) = Signals::channel();
        let word = LastWord {
            report: JobFailure::new(FailureClass::Failed).into(),
            exit_code: 0,
            deadline: Instant::now(),
            times: None,
            hurried: false,
        };
        assert_eq!(
            word.say(&api, &Payloads::none(), &mut signals)
                .await
                .exit_code(),
            1
        );
    }
}
