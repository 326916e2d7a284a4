//! Describing a job: what its records and its processes say, in the words of the trait.

use std::io;

use longhaul_core::{FailureClass, JobFailure, JobState, JobStatus};

use crate::directory::JobDirectory;
use crate::processes::Identity;
use crate::record::{End, Exit, Stop, Worker};
use crate::stage::Stage;

/// How much of the end of standard error a failure carries, in bytes.
const STDERR_TAIL: u64 = 4096;

const SIGKILL: i32 = rustix::process::Signal::KILL.as_raw();
const SIGTERM: i32 = rustix::process::Signal::TERM.as_raw();

impl JobDirectory {
    /// What is known of the job now.
    pub(crate) fn status(&self) -> io::Result<JobStatus> {
        let stage = self.stage()?;
        if matches!(stage, Stage::Unknown) {
            return Ok(JobStatus::unknown());
        }
        let mut status = JobStatus::new(state(&stage));
        status.logs = Some(self.stderr().display().to_string());
        status.started_at = worker(&stage).map(|worker| worker.at.into());
        match &stage {
            Stage::Unknown => {}
            Stage::Unclaimed => {
                status.reason = Some("its directory is there and no shim has taken it yet".into());
            }
            Stage::Starting(_) => status.reason = Some("its shim is starting the worker".into()),
            Stage::Running(..) => {}
            Stage::Stopping(_, cancel, _) => status.reason = Some(cancel.reason.clone()),
            Stage::Orphaned(worker) => {
                status.reason = Some(format!(
                    "its shim was killed; the worker (pid {}) still runs, but its exit code will not be known",
                    worker.identity.pid()
                ));
            }
            Stage::Lost(shim, worker) => {
                let failure = JobFailure::new(FailureClass::Lost)
                    .with_reason(how_it_was_lost(shim, worker.as_ref()));
                self.explain(&mut status, failure);
            }
            Stage::Ended(exit, _) => {
                status.ended_at = Some(exit.at.into());
                self.explain(&mut status, failure(exit));
            }
        }
        Ok(status)
    }

    fn explain(&self, status: &mut JobStatus, mut failure: JobFailure) {
        failure.logs.clone_from(&status.logs);
        failure.stderr = self.stderr_tail(STDERR_TAIL);
        status.exit_code = failure.exit_code;
        status.signal = failure.signal;
        status.reason.clone_from(&failure.reason);
        status.failure = Some(failure);
    }
}

fn state(stage: &Stage) -> JobState {
    match stage {
        Stage::Unknown => JobState::Unknown,
        Stage::Unclaimed | Stage::Starting(_) => JobState::Pending,
        Stage::Running(..) | Stage::Orphaned(_) => JobState::Running,
        Stage::Stopping(..) => JobState::Stopping,
        Stage::Lost(..) | Stage::Ended(..) => JobState::Ended,
    }
}

fn worker(stage: &Stage) -> Option<&Worker> {
    match stage {
        Stage::Unknown | Stage::Unclaimed | Stage::Starting(_) => None,
        Stage::Running(_, worker) | Stage::Orphaned(worker) => Some(worker),
        Stage::Stopping(_, _, worker) | Stage::Lost(_, worker) | Stage::Ended(_, worker) => {
            worker.as_ref()
        }
    }
}

fn how_it_was_lost(shim: &Identity, worker: Option<&Worker>) -> String {
    let how = if shim.is_of_this_boot() {
        format!("its shim (pid {}) was killed", shim.pid())
    } else {
        "the machine was restarted".to_owned()
    };
    match worker {
        Some(_) => format!("{how}, and the worker is gone: nobody saw how it ended"),
        None => format!("{how} before it had recorded a worker"),
    }
}

/// The failure of a job that ended like this and whose callback never came.
fn failure(exit: &Exit) -> JobFailure {
    let class = match (&exit.stop, &exit.end) {
        (Some(Stop::Cancelled(_)), _) | (None, End::Forestalled) => FailureClass::Cancelled,
        (Some(Stop::Interrupted), _) | (None, End::Killed(SIGTERM)) => FailureClass::Interrupted,
        (None, End::NotStarted(_)) => FailureClass::FailedToStart,
        (None, End::Exited(0) | End::Killed(_) | End::Unseen) => FailureClass::Lost,
        (None, End::Exited(_)) => FailureClass::Failed,
    };
    let failure = JobFailure::new(class).with_reason(reason(exit));
    match exit.end {
        End::Exited(code) => failure.with_exit_code(code),
        End::Killed(signal) => failure.with_signal(signal),
        End::NotStarted(_) | End::Forestalled | End::Unseen => failure,
    }
}

fn reason(exit: &Exit) -> String {
    let mut reason = match (&exit.stop, &exit.end) {
        (Some(Stop::Cancelled(reason)), _) => reason.clone(),
        (Some(Stop::Interrupted), _) => {
            "its shim was sent SIGTERM, as at the machine's shutdown".into()
        }
        (None, End::NotStarted(failure)) => match &failure.cause {
            Some(cause) => format!("{}: {cause}", failure.message),
            None => failure.message.clone(),
        },
        (None, End::Forestalled) => "it was cancelled before it started".into(),
        (None, End::Exited(0)) => "the worker ended without completing its callback".into(),
        (None, End::Exited(code)) => format!("the worker ended with exit code {code}"),
        (None, End::Killed(SIGTERM)) => "somebody sent the worker SIGTERM".into(),
        (None, End::Killed(SIGKILL)) => {
            "somebody killed the worker, or the system did because memory ran out".into()
        }
        (None, End::Killed(signal)) => format!("the worker was ended by signal {signal}"),
        (None, End::Unseen) => "its shim was killed: nobody saw how the worker ended".into(),
    };
    if !exit.survivors.is_empty() {
        reason = format!(
            "{reason}; processes {:?} could not be killed",
            exit.survivors
        );
    }
    reason
}

#[cfg(test)]
mod tests {
    use longhaul_core::BackendErrorKind;

    use super::*;
    use crate::record::StartFailure;

    #[test]
    fn every_end_has_its_class_and_keeps_its_exit_code_or_signal() {
        let not_started = End::NotStarted(StartFailure {
            kind: BackendErrorKind::NotFound,
            message: "no program".into(),
            cause: None,
        });
        let cancelled = || Some(Stop::Cancelled("stopped by hand".into()));
        for (end, stop, class, code, signal) in [
            (End::Exited(3), None, FailureClass::Failed, Some(3), None),
            (End::Exited(0), None, FailureClass::Lost, Some(0), None),
            (End::Killed(9), None, FailureClass::Lost, None, Some(9)),
            (End::Killed(11), None, FailureClass::Lost, None, Some(11)),
            (
                End::Killed(15),
                None,
                FailureClass::Interrupted,
                None,
                Some(15),
            ),
            (End::Unseen, None, FailureClass::Lost, None, None),
            (not_started, None, FailureClass::FailedToStart, None, None),
            (
                End::Exited(0),
                Some(Stop::Interrupted),
                FailureClass::Interrupted,
                Some(0),
                None,
            ),
            (
                End::Killed(9),
                cancelled(),
                FailureClass::Cancelled,
                None,
                Some(9),
            ),
            (
                End::Exited(0),
                cancelled(),
                FailureClass::Cancelled,
                Some(0),
                None,
            ),
            (
                End::Forestalled,
                cancelled(),
                FailureClass::Cancelled,
                None,
                None,
            ),
            (
                End::Unseen,
                cancelled(),
                FailureClass::Cancelled,
                None,
                None,
            ),
        ] {
            let exit = Exit::new(end).with_stop(stop);
            let failure = failure(&exit);
            assert_eq!(failure.class, class, "{exit:?}");
            assert_eq!(
                (failure.exit_code, failure.signal),
                (code, signal),
                "{exit:?}"
            );
            assert!(
                failure.reason.is_some_and(|reason| !reason.is_empty()),
                "{exit:?}"
            );
        }
    }

    #[test]
    fn what_could_not_be_killed_is_named() {
        let exit = Exit::new(End::Exited(1)).with_survivors(vec![7, 8]);
        assert!(reason(&exit).contains("[7, 8]"), "{}", reason(&exit));
    }
}
