//! The failures that a test can ask for.

use longhaul_core::BackendErrorKind;

/// A failure that happens to a job of an [`InMemory`](crate::InMemory) backend because a test wants it to.
///
/// Several may be injected into one job; [`CancelFails`](Self::CancelFails) means something only beside one that leads to a
/// cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The backend refuses the start with an error of this kind, every time that it is asked.
    StartFails(BackendErrorKind),
    /// The job is killed when it would have ended: no result, no further heartbeat. The platform knows that it is gone, and
    /// no exit code.
    DiesSilently,
    /// The worker hangs: it sends no heartbeat and no result, and the platform believes it to run.
    HeartbeatStops,
    /// The job runs for ever, and its heartbeats go on: only its timeout ends it.
    NeverEnds,
    /// The job is so quick that its result is with the durable service before the start returns, so before the function
    /// suspends.
    ResultBeforeSuspension,
    /// The worker reports twice, as one does that lost the answer to its first report.
    ResultTwice,
    /// The platform refuses to stop the job with an error of this kind, every time that it is asked.
    CancelFails(BackendErrorKind),
}
