//! What can make a worker end its job before the job ends by itself.

use std::time::Duration;

use longhaul_core::format_duration;
use tokio::time::{Instant, sleep_until};

use crate::heartbeat::Heartbeats;
use crate::signals::Signals;

/// Why a running job is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nobody listens any more.
    Closed,
    /// The worker was sent this signal.
    Signal(i32),
    /// The attempt's timeout, this one, has passed.
    TimedOut(Duration),
}

impl Stop {
    /// Waits until the job has to be told to end.
    pub(crate) async fn wait(
        heartbeats: &Heartbeats,
        signals: &mut Signals,
        started: Instant,
        timeout: Option<Duration>,
    ) -> Self {
        let end = timeout.and_then(|timeout| Some((started.checked_add(timeout)?, timeout)));
        let run_out = async {
            match end {
                Some((end, timeout)) => {
                    sleep_until(end).await;
                    timeout
                }
                None => std::future::pending().await,
            }
        };
        let stop = tokio::select! {
            () = heartbeats.closed() => Self::Closed,
            number = signals.next() => Self::Signal(number),
            timeout = run_out => Self::TimedOut(timeout),
        };
        match stop {
            Self::Closed => {
                tracing::warn!("stopping the job: its callback is closed, nobody listens any more");
            }
            Self::Signal(number) => tracing::warn!("stopping the job on signal {number}"),
            Self::TimedOut(timeout) => tracing::warn!(
                "stopping the job: its timeout of {} has passed",
                format_duration(timeout)
            ),
        }
        stop
    }
}
