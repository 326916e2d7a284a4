//! Heartbeats: at once, then at a steady rate, until the callback is closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Backoff;
use crate::callback::{CallbackApi, CallbackError, CallbackErrorKind};

/// The longest time between two heartbeats. They also ask whether anybody still listens: a job
/// whose execution was stopped ends within this time, whatever its heartbeat timeout.
const LONGEST: Duration = Duration::from_secs(60);

/// How long one heartbeat may take, as long as the rate leaves room for it.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);

/// The time between two heartbeats: a third of the timeout, and at most a minute.
fn interval(heartbeat_timeout: Option<Duration>) -> Duration {
    heartbeat_timeout.map_or(LONGEST, |timeout| (timeout / 3).min(LONGEST))
}

/// Heartbeats in the background, until dropped.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    closed: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl Heartbeats {
    /// Starts to send heartbeats. Must be called within a tokio runtime.
    pub(crate) fn start(api: Arc<dyn CallbackApi>, heartbeat_timeout: Option<Duration>) -> Self {
        let closed = CancellationToken::new();
        let tell = closed.clone();
        let every = interval(heartbeat_timeout);
        let task = tokio::spawn(async move {
            beat_until_closed(api.as_ref(), every).await;
            tell.cancel();
        });
        Self {
            closed,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Waits until the service says that the callback is closed.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

/// Sends heartbeats until the service says that the callback is closed, and then returns.
///
/// A heartbeat that did not get through is tried again before the next one is due.
async fn beat_until_closed(api: &dyn CallbackApi, every: Duration) {
    let limit = every.clamp(Duration::from_secs(1), TRY_TIMEOUT);
    let mut backoff = Backoff::new(every);
    let mut unheard = false;
    loop {
        let sent = Instant::now();
        let error = match timeout(limit, api.heartbeat()).await {
            Ok(Ok(())) => {
                if unheard {
                    tracing::warn!("the durable service answers again");
                }
                tracing::debug!("heartbeat sent");
                unheard = false;
                backoff = Backoff::new(every);
                sleep_until(sent + every).await;
                continue;
            }
            Ok(Err(error)) if error.kind() == CallbackErrorKind::Closed => {
                tracing::info!("the callback is closed: {error}");
                return;
            }
            Ok(Err(error)) => error,
            Err(_) => CallbackError::new(
                CallbackErrorKind::Passing,
                format!("no answer in {:.0} s", limit.as_secs_f64()),
            ),
        };
        if unheard {
            tracing::debug!("heartbeat not accepted: {error}");
        } else {
            tracing::warn!("heartbeat not accepted, trying on: {error}");
            unheard = true;
        }
        match error.kind() {
            // The same heartbeat will be refused again: it is only worth asking now and then
            // whether anybody still listens.
            CallbackErrorKind::Refused => sleep_until(sent + every).await,
            _ => sleep(backoff.wait()).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::callback::MockCallbackApi;

    /// An API that notes when it was called, and answers the n-th call as `answer` says.
    fn api(
        answer: impl Fn(usize) -> Option<CallbackErrorKind> + Send + 'static,
    ) -> (MockCallbackApi, Arc<Mutex<Vec<Duration>>>) {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let noted = calls.clone();
        let start = Instant::now();
        let mut api = MockCallbackApi::new();
        api.expect_heartbeat().returning(move || {
            let mut noted = noted.lock().unwrap();
            noted.push(start.elapsed());
            match answer(noted.len() - 1) {
                Some(kind) => Err(CallbackError::new(kind, "no")),
                None => Ok(()),
            }
        });
        (api, calls)
    }

    #[test]
    fn the_interval_is_a_third_of_the_timeout_and_at_most_a_minute() {
        let seconds = Duration::from_secs;
        assert_eq!(interval(Some(seconds(15))), seconds(5));
        assert_eq!(interval(Some(seconds(3600))), seconds(60));
        assert_eq!(interval(None), seconds(60));
    }

    #[tokio::test(start_paused = true)]
    async fn heartbeats_come_at_once_and_then_every_interval_until_the_callback_is_closed() {
        let (api, calls) = api(|n| (n == 4).then_some(CallbackErrorKind::Closed));
        beat_until_closed(&api, Duration::from_secs(5)).await;
        let seconds: Vec<u64> = calls
            .lock()
            .unwrap()
            .iter()
            .map(Duration::as_secs)
            .collect();
        assert_eq!(seconds, [0, 5, 10, 15, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_that_failed_is_tried_again_before_the_next_is_due() {
        let (api, calls) = api(|n| match n {
            0..=2 => Some(CallbackErrorKind::Passing),
            3..=4 => Some(CallbackErrorKind::Denied),
            5 => None,
            _ => Some(CallbackErrorKind::Closed),
        });
        beat_until_closed(&api, Duration::from_secs(60)).await;
        let calls = calls.lock().unwrap();
        assert!(calls[5] < Duration::from_secs(7), "{calls:?}");
        assert_eq!(calls[6], calls[5] + Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_heartbeat_is_not_repeated_before_the_next_is_due() {
        let (api, calls) = api(|n| {
            Some(match n {
                0 => CallbackErrorKind::Refused,
                _ => CallbackErrorKind::Closed,
            })
        });
        beat_until_closed(&api, Duration::from_secs(60)).await;
        assert_eq!(calls.lock().unwrap()[1].as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_gone_is_asked_at_least_every_interval() {
        let (api, calls) = api(|n| {
            Some(match n {
                0..=19 => CallbackErrorKind::Passing,
                _ => CallbackErrorKind::Closed,
            })
        });
        let every = Duration::from_millis(333);
        beat_until_closed(&api, every).await;
        let calls = calls.lock().unwrap();
        for pair in calls.windows(2) {
            assert!(
                pair[1] - pair[0] <= every + Duration::from_millis(1),
                "{calls:?}"
            );
        }
    }
}
