//! What the end of a command means: a result or a failure, and an exit code.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use longhaul_core::{FailureClass, JobFailure, format_duration};

use crate::delivery::Report;
use crate::payload::Room;
use crate::result;

/// The exit code of a command that could not be run, as shells have it.
pub(crate) const CANNOT_RUN: u8 = 126;
/// The exit code of a command that was not found, as shells have it.
const NOT_FOUND: u8 = 127;
/// What shells and platforms add to a signal's number to make an exit code.
const SIGNAL_BASE: i32 = 128;
/// SIGKILL, the signal of the kernel's out-of-memory killer.
const SIGKILL: i32 = 9;
/// The longest line of standard error that becomes a failure's message, in bytes.
const LONGEST_LINE: usize = 500;

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    /// How it ended, where that is known.
    pub(crate) status: Option<ExitStatus>,
    /// The end of its standard error.
    pub(crate) stderr: Option<String>,
    /// How many processes of the container the kernel killed meanwhile for want of memory.
    pub(crate) memory_kills: u64,
    /// Where it may have left its result.
    pub(crate) result_file: &'a Path,
    /// How large its result may be.
    pub(crate) room: Room,
}

impl Ended<'_> {
    /// What to report when nobody told the command to end, and the worker's exit code.
    pub(crate) fn report(self) -> (Report, u8) {
        let Some(status) = self.status else {
            let failure = JobFailure::new(FailureClass::Lost)
                .with_message("how the command ended is not known");
            return (with_stderr(failure, self.stderr).into(), 1);
        };
        if status.success() {
            return match result::read(self.result_file, self.room) {
                Ok(result) => (Report::Success(result), 0),
                Err(error) => {
                    let failure = error.into_failure().with_exit_code(0);
                    (with_stderr(failure, self.stderr).into(), 1)
                }
            };
        }
        // A shell that loses its child to the killer ends with 128 + 9 itself.
        let killed =
            status.signal() == Some(SIGKILL) || status.code() == Some(SIGNAL_BASE + SIGKILL);
        let class = if killed && self.memory_kills > 0 {
            FailureClass::OutOfMemory
        } else {
            FailureClass::Failed
        };
        let message = last_line(self.stderr.as_deref())
            .unwrap_or_else(|| "it wrote nothing to standard error".to_owned());
        let mut failure = JobFailure::new(class)
            .with_exit_code(status.code())
            .with_signal(status.signal())
            .with_message(message);
        if self.memory_kills > 0 {
            failure = failure.with_reason(format!(
                "the kernel killed {} process(es) of the container for want of memory",
                self.memory_kills
            ));
        }
        (with_stderr(failure, self.stderr).into(), exit_code(status))
    }

    /// What to report when the worker was sent signal `number` and told the command to end, and
    /// the worker's exit code. A command that ends with 0 all the same and leaves a result had
    /// done its work.
    pub(crate) fn report_after_signal(self, number: i32) -> (Report, u8) {
        if self.succeeded() && result::is_there(self.result_file) {
            return self.report();
        }
        let failure = interrupted(number).with_exit_code(self.status.and_then(|s| s.code()));
        (
            with_stderr(failure, self.stderr).into(),
            signal_exit_code(number),
        )
    }

    /// What to report when the command ran past its timeout, and the worker's exit code. Usually
    /// nobody listens any more.
    pub(crate) fn report_after_timeout(self, timeout: Duration) -> (Report, u8) {
        let failure = timed_out(timeout).with_exit_code(self.status.and_then(|s| s.code()));
        let exit_code = self.status.map_or(1, exit_code);
        (with_stderr(failure, self.stderr).into(), exit_code)
    }

    fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

/// The failure of a job whose worker was sent signal `number`.
pub(crate) fn interrupted(number: i32) -> JobFailure {
    JobFailure::new(FailureClass::Interrupted)
        .with_signal(number)
        .with_message("the worker was told to stop")
}

/// The failure of a job that ran past its timeout.
pub(crate) fn timed_out(timeout: Duration) -> JobFailure {
    JobFailure::new(FailureClass::TimedOut).with_message(format!(
        "it had not ended after its timeout of {}",
        format_duration(timeout)
    ))
}

/// The failure of a job whose command could not be started, and the worker's exit code.
pub(crate) fn not_started(program: &OsStr, error: &io::Error) -> (JobFailure, u8) {
    let (hint, exit_code) = match error.kind() {
        io::ErrorKind::NotFound => ("; is it in the image and on the PATH?", NOT_FOUND),
        io::ErrorKind::PermissionDenied => ("; is it executable?", CANNOT_RUN),
        io::ErrorKind::ArgumentListTooLong => (
            "; the input and the arguments do not fit into one process start",
            CANNOT_RUN,
        ),
        _ => ("", CANNOT_RUN),
    };
    let failure = JobFailure::new(FailureClass::FailedToStart)
        .with_message(format!("cannot run {program:?}: {error}{hint}"))
        .with_reason(error.to_string());
    (failure, exit_code)
}

/// The same failure with the end of the command's standard error, if there is any.
fn with_stderr(failure: JobFailure, stderr: Option<String>) -> JobFailure {
    match stderr {
        Some(text) => failure.with_stderr(text),
        None => failure,
    }
}

/// The worker's exit code after signal `number`.
pub(crate) fn signal_exit_code(number: i32) -> u8 {
    u8::try_from(SIGNAL_BASE + number).unwrap_or(1)
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|number| SIGNAL_BASE + number));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// The last line, which is where most programs say what went wrong.
fn last_line(stderr: Option<&str>) -> Option<String> {
    let line = stderr?
        .lines()
        .rev()
        .map(str::trim)
        .find(|l| !l.is_empty())?;
    line.get(..line.floor_char_boundary(LONGEST_LINE))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(wait_status: i32, stderr: Option<&str>, memory_kills: u64) -> (JobFailure, u8) {
        let ended = Ended {
            status: Some(ExitStatus::from_raw(wait_status)),
            stderr: stderr.map(str::to_owned),
            memory_kills,
            result_file: Path::new("/nonexistent"),
            room: Room::Callback,
        };
        match ended.report() {
            (Report::Failure(failure), exit_code) => (*failure, exit_code),
            (Report::Success(_), _) => panic!("not a failure"),
        }
    }

    #[test]
    fn an_exit_code_other_than_0_is_a_failure_with_the_last_line_as_its_message() {
        let (failure, exit_code) = ended(3 << 8, Some("Traceback:\nValueError: frame 7"), 0);
        assert_eq!(exit_code, 3);
        assert_eq!(
            failure.to_string(),
            "the job failed with exit code 3: ValueError: frame 7"
        );
        assert_eq!(
            failure.stderr.as_deref(),
            Some("Traceback:\nValueError: frame 7")
        );
    }

    #[test]
    fn a_signal_is_a_failure_without_an_exit_code() {
        let (failure, exit_code) = ended(9, None, 0);
        assert_eq!(exit_code, 137);
        assert_eq!(failure.class, FailureClass::Failed);
        assert_eq!((failure.exit_code, failure.signal), (None, Some(9)));
    }

    #[test]
    fn only_a_kill_while_the_kernel_killed_for_want_of_memory_is_out_of_memory() {
        assert_eq!(ended(9, None, 1).0.class, FailureClass::OutOfMemory);
        assert_eq!(ended(137 << 8, None, 1).0.class, FailureClass::OutOfMemory);
        assert_eq!(ended(137 << 8, None, 0).0.class, FailureClass::Failed);
        let (failure, _) = ended(1 << 8, Some("BrokenProcessPool"), 2);
        assert_eq!(failure.class, FailureClass::Failed);
        assert!(failure.reason.unwrap().contains("killed 2 process"));
    }

    #[test]
    fn a_command_that_cannot_be_run_has_the_exit_codes_of_shells() {
        let error = io::Error::from(io::ErrorKind::NotFound);
        let (failure, exit_code) = not_started(OsStr::new("render"), &error);
        assert_eq!(exit_code, 127);
        assert_eq!(failure.class, FailureClass::FailedToStart);
        assert!(failure.error_message().contains("\"render\""));
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(not_started(OsStr::new("render"), &error).1, 126);
    }
}
