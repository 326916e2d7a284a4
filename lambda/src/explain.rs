//! What is told of a failure: what the handler saw, corrected by what the platform knows.

use longhaul_core::{JobFailure, JobState, JobStatus, JobTimes};

/// What the handler saw (a timeout, silence), corrected by what the platform knows.
pub(crate) fn merge(seen: JobFailure, status: JobStatus) -> JobFailure {
    let ran = status.started_at.zip(status.ended_at);
    let times = ran.map(|(begun, ended)| JobTimes::new(begun, ended));
    if let Some(mut known) = status.failure {
        // The platform knows why: that is the reason, and what we saw is how we noticed.
        known.message = Some(match (known.message.take(), seen.message) {
            (Some(why), Some(noticed)) => format!("{why}; {noticed}"),
            (Some(text), None) | (None, Some(text)) => text,
            (None, None) => known.to_string(),
        });
        known.exit_code = known.exit_code.or(status.exit_code);
        known.signal = known.signal.or(status.signal);
        known.logs = known.logs.or(status.logs);
        known.times = known.times.or(times);
        return known;
    }
    let state = match status.state {
        JobState::Pending => "the platform says that it has not started yet",
        JobState::Running => "the platform says that it is still running",
        JobState::Stopping => "the platform says that it is stopping",
        JobState::Ended => "the platform says that it has ended",
        _ => "the platform does not know it",
    };
    let mut failure = seen;
    failure.exit_code = failure.exit_code.or(status.exit_code);
    failure.signal = failure.signal.or(status.signal);
    failure.logs = failure.logs.or(status.logs);
    failure.times = failure.times.or(times);
    add_reason(failure, status.reason.unwrap_or_else(|| state.to_owned()))
}

pub(crate) fn add_reason(mut failure: JobFailure, text: String) -> JobFailure {
    failure.reason = Some(match failure.reason.take() {
        Some(reason) => format!("{reason}; {text}"),
        None => text,
    });
    failure
}
