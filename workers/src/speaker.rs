//! Who speaks for a job written in Rust: heartbeats, the word to stop, and the report.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use longhaul_core::{FailureClass, JobFailure};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::attempt::Attempt;
use crate::callback::CallbackApi;
use crate::delivery::{Report, deadline};
use crate::ending::{interrupted, signal_exit_code, timed_out};
use crate::heartbeat::Heartbeats;
use crate::outcome::{LastWord, Outcome};
use crate::payload::Payloads;
use crate::signals::Signals;
use crate::stop::Stop;
use crate::stopwatch::Stopwatch;

/// Speaks for one job.
pub(crate) struct Speaker {
    pub(crate) api: Arc<dyn CallbackApi>,
    pub(crate) attempt: Arc<Attempt>,
    /// How long the job may take to return when it is told to stop.
    pub(crate) grace: Duration,
    pub(crate) started: Instant,
    /// Tells the job to stop.
    pub(crate) cancelled: CancellationToken,
}

impl Speaker {
    /// Speaks from a thread of its own, and tells the outcome. When the job is given up, ends
    /// the process: a job that does not yield would keep its runtime from ever shutting down.
    pub(crate) fn start(self, returned: oneshot::Receiver<Report>) -> oneshot::Receiver<Outcome> {
        let (tell, told) = oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => {
                    tracing::error!("cannot set up the reporting of the job: {error}");
                    return;
                }
            };
            let (outcome, given_up) = runtime.block_on(async {
                let mut signals = Signals::install_or_none();
                self.speak(returned, &mut signals).await
            });
            if given_up {
                tracing::error!("the job did not stop in time: exiting without it");
                std::process::exit(outcome.exit_code().into());
            }
            let _ = tell.send(outcome);
            // A name lookup that hangs must not hold up the exit.
            runtime.shutdown_background();
        });
        told
    }

    /// Speaks until the outcome is known. Also says whether the job was given up.
    async fn speak(
        self,
        returned: oneshot::Receiver<Report>,
        signals: &mut Signals,
    ) -> (Outcome, bool) {
        // The sender goes without a report when the job's runtime is shut down.
        let dropped = || JobFailure::new(FailureClass::Failed).with_message("it was dropped");
        let returned = async { returned.await.unwrap_or_else(|_| dropped().into()) };
        tokio::pin!(returned);
        let heartbeats = Heartbeats::start(self.api.clone(), self.attempt.heartbeat);
        // It includes reading an input from the payload store, which a job does itself.
        let stopwatch = Stopwatch::start();
        let stop = tokio::select! {
            biased;
            report = &mut returned => return (self.report(report, 1, false, stopwatch, signals).await, false),
            stop = Stop::wait(&heartbeats, signals, self.started, self.attempt.timeout) => stop,
        };
        self.cancelled.cancel();
        let report = timeout(self.grace, returned).await.ok();
        let given_up = report.is_none();
        let outcome = match (stop, report) {
            (Stop::Closed, _) => Outcome::Closed,
            (Stop::Signal(_), Some(report @ Report::Success(_))) => {
                self.report(report, 1, true, stopwatch, signals).await
            }
            (Stop::Signal(number), report) => {
                let mut failure = interrupted(number);
                if let Some(Report::Failure(own)) = report {
                    failure = failure.with_reason(own.error_message());
                }
                let exit_code = signal_exit_code(number);
                self.report(failure.into(), exit_code, true, stopwatch, signals)
                    .await
            }
            (Stop::TimedOut(timeout), _) => {
                self.report(timed_out(timeout).into(), 1, false, stopwatch, signals)
                    .await
            }
        };
        (outcome, given_up)
    }

    async fn report(
        &self,
        report: Report,
        exit_code: u8,
        hurried: bool,
        stopwatch: Stopwatch,
        signals: &mut Signals,
    ) -> Outcome {
        let last_word = LastWord {
            report,
            exit_code,
            deadline: deadline(self.started, self.attempt.timeout),
            times: self.attempt.times.then(|| stopwatch.stop()),
            hurried,
        };
        // A store of its own: a client must not outlive the runtime that it was made in.
        let payloads = Payloads::of(&self.attempt);
        last_word.say(self.api.as_ref(), &payloads, signals).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callback::{CallbackError, CallbackErrorKind, MockCallbackApi};

    /// A speaker over `api`, with what it needs from the job and the platform.
    struct Scene {
        speaker: Speaker,
        verdict: oneshot::Sender<Report>,
        returned: oneshot::Receiver<Report>,
        signals: Signals,
        platform: tokio::sync::mpsc::Sender<i32>,
    }

    fn scene(api: MockCallbackApi) -> Scene {
        let (verdict, returned) = oneshot::channel();
        let (platform, signals) = Signals::channel();
        let speaker = Speaker {
            api: Arc::new(api),
            attempt: Arc::new(Attempt::unknown()),
            grace: Duration::from_secs(10),
            started: Instant::now(),
            cancelled: CancellationToken::new(),
        };
        Scene {
            speaker,
            verdict,
            returned,
            signals,
            platform,
        }
    }

    fn listening() -> MockCallbackApi {
        let mut api = MockCallbackApi::new();
        api.expect_heartbeat().returning(|| Ok(()));
        api
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_job_returns_is_reported() {
        let mut api = listening();
        api.expect_succeed()
            .withf(|result| result == b"7")
            .times(1)
            .returning(|_| Ok(()));
        let mut scene = scene(api);
        scene.verdict.send(Report::Success(b"7".to_vec())).unwrap();
        let spoken = scene.speaker.speak(scene.returned, &mut scene.signals);
        assert_eq!(spoken.await, (Outcome::Succeeded, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_cancels_the_job_and_its_error_is_the_reason_of_the_interruption() {
        let mut api = listening();
        api.expect_fail()
            .withf(|failure| {
                failure.class == FailureClass::Interrupted
                    && failure.signal == Some(15)
                    && failure.reason.as_deref() == Some("saved at frame 7")
            })
            .times(1)
            .returning(|_| Ok(()));
        let mut scene = scene(api);
        scene.platform.send(15).await.unwrap();
        let cancelled = scene.speaker.cancelled.clone();
        tokio::spawn(async move {
            cancelled.cancelled().await;
            let failure = JobFailure::new(FailureClass::Failed).with_message("saved at frame 7");
            scene.verdict.send(failure.into()).unwrap();
        });
        let spoken = scene.speaker.speak(scene.returned, &mut scene.signals);
        let (outcome, given_up) = spoken.await;
        assert_eq!((outcome.exit_code(), given_up), (143, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_that_comes_within_the_grace_is_delivered() {
        let mut api = listening();
        api.expect_succeed().times(1).returning(|_| Ok(()));
        let mut scene = scene(api);
        scene.platform.send(15).await.unwrap();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(9)).await;
            scene.verdict.send(Report::Success(b"7".to_vec())).unwrap();
        });
        let spoken = scene.speaker.speak(scene.returned, &mut scene.signals);
        assert_eq!(spoken.await, (Outcome::Succeeded, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_does_not_stop_is_given_up_after_the_grace() {
        let mut api = listening();
        api.expect_fail().times(1).returning(|_| Ok(()));
        let mut scene = scene(api);
        scene.platform.send(2).await.unwrap();
        let start = Instant::now();
        let spoken = scene.speaker.speak(scene.returned, &mut scene.signals);
        let (outcome, given_up) = spoken.await;
        assert_eq!((outcome.exit_code(), given_up), (130, true));
        assert_eq!(start.elapsed().as_secs(), 10);
        drop(scene.verdict);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_callback_cancels_the_job_and_nothing_is_reported() {
        let mut api = MockCallbackApi::new();
        api.expect_heartbeat()
            .returning(|| Err(CallbackError::new(CallbackErrorKind::Closed, "closed")));
        let mut scene = scene(api);
        let cancelled = scene.speaker.cancelled.clone();
        let job = tokio::spawn(async move {
            cancelled.cancelled().await;
            drop(scene.verdict);
        });
        let spoken = scene.speaker.speak(scene.returned, &mut scene.signals);
        assert_eq!(spoken.await, (Outcome::Closed, false));
        job.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_past_its_timeout_is_cancelled_and_reported_as_timed_out() {
        let mut api = listening();
        api.expect_fail()
            .withf(|failure| failure.class == FailureClass::TimedOut)
            .times(1)
            .returning(|_| Ok(()));
        let mut scene = scene(api);
        let mut attempt = Attempt::unknown();
        attempt.timeout = Some(Duration::from_secs(90));
        scene.speaker.attempt = Arc::new(attempt);
        let start = Instant::now();
        let spoken = scene.speaker.speak(scene.returned, &mut scene.signals);
        let (outcome, given_up) = spoken.await;
        assert_eq!((outcome.exit_code(), given_up), (1, true));
        assert_eq!(start.elapsed().as_secs(), 100);
        drop(scene.verdict);
    }
}
