//! The supervisor: runs a command and speaks for it.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use longhaul_core::{FailureClass, JobFailure, contract};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::attempt::{Attempt, DEFAULT_GRACE, Input};
use crate::callback::CallbackApi;
use crate::command::Running;
use crate::delivery::{Report, deadline};
use crate::ending::{self, CANNOT_RUN, Ended};
use crate::heartbeat::Heartbeats;
use crate::memory::OutOfMemoryKills;
use crate::outcome::{LastWord, Outcome};
use crate::payload::PayloadError;
use crate::signals::Signals;
use crate::stop::Stop;

/// What to run, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The program and its arguments. No shell is involved.
    pub command: Vec<OsString>,
    /// How long the command may take to end when it is told to, before it is killed.
    pub grace: Duration,
    /// Whether the command gets `CALLBACK_ID`. The worker reports for it, so it need not hold
    /// the secret.
    pub pass_callback: bool,
    /// Where the command writes its result. By default a file in a private folder, which is
    /// deleted afterwards. A file that is there already is deleted before the command starts.
    pub result_file: Option<PathBuf>,
}

impl Options {
    /// A command with the defaults: 10 s of grace, no secret, a private result file.
    #[must_use]
    pub fn new<S: Into<OsString>>(command: impl IntoIterator<Item = S>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            grace: DEFAULT_GRACE,
            pass_callback: false,
            result_file: None,
        }
    }
}

/// Runs the command as this attempt, and completes the callback with its result or its failure.
///
/// The command runs in a process group of its own. While it runs, heartbeats are sent; when the
/// service says that the callback is closed, when `signals` ask to stop, or when the attempt's
/// timeout has passed, the group gets SIGTERM and, after the grace, SIGKILL. When the command
/// has ended, the rest of its group is killed, and the report is delivered: tried until it is
/// accepted, the callback is closed, or the attempt's timeout has passed; once the worker was
/// asked to stop, for 15 s at most.
///
/// The command is started before the first heartbeat is answered, so that a service that is down
/// for a moment holds up no job.
pub async fn supervise(
    options: &Options,
    attempt: &Attempt,
    api: Arc<dyn CallbackApi>,
    signals: &mut Signals,
) -> Outcome {
    let started = Instant::now();
    let memory = OutOfMemoryKills::watch();
    let (mut running, place) = match start(options, attempt) {
        Ok(started) => started,
        Err(NotStarted { failure, exit_code }) => {
            tracing::error!("{failure}");
            let last_word = LastWord {
                report: Report::Failure(failure),
                exit_code,
                deadline: deadline(started, attempt.timeout),
                hurried: false,
            };
            return last_word.say(api.as_ref(), signals).await;
        }
    };
    tracing::info!("process {} started", running.id());
    let heartbeats = Heartbeats::start(api.clone(), attempt.heartbeat);

    let stop = tokio::select! {
        biased;
        () = running.ended() => None,
        stop = Stop::wait(&heartbeats, signals, started, attempt.timeout) => Some(stop),
    };
    if stop.is_some() {
        running.stop(options.grace).await;
    }
    let (status, stderr) = running.reap().await;
    let ended = Ended {
        status,
        stderr,
        memory_kills: memory.since(),
        result_file: &place.result_file,
    };
    let (report, exit_code) = match stop {
        Some(Stop::Closed) => return Outcome::Closed,
        Some(Stop::Signal(number)) => ended.report_after_signal(number),
        Some(Stop::TimedOut(timeout)) => ended.report_after_timeout(timeout),
        None => ended.report(),
    };
    let last_word = LastWord {
        report,
        exit_code,
        deadline: deadline(started, attempt.timeout),
        hurried: matches!(stop, Some(Stop::Signal(_))),
    };
    last_word.say(api.as_ref(), signals).await
}

/// Where a command leaves its result.
#[derive(Debug)]
struct Place {
    result_file: PathBuf,
    /// Deleted when dropped.
    _folder: Option<TempDir>,
}

/// A command that did not get to run.
struct NotStarted {
    failure: Box<JobFailure>,
    /// The worker's exit code.
    exit_code: u8,
}

/// Starts the command.
fn start(options: &Options, attempt: &Attempt) -> Result<(Running, Place), NotStarted> {
    let cannot = |message: String| NotStarted {
        failure: Box::new(JobFailure::new(FailureClass::FailedToStart).with_message(message)),
        exit_code: CANNOT_RUN,
    };
    if let Input::At(uri) = &attempt.input {
        return Err(cannot(PayloadError::no_store(uri).to_string()));
    }
    let place = prepare(options.result_file.as_deref()).map_err(cannot)?;
    let mut environment = vec![(
        contract::RESULT_FILE,
        Some(place.result_file.clone().into_os_string()),
    )];
    if !options.pass_callback {
        environment.push((contract::CALLBACK_ID, None));
    }
    let program = options.command.first().cloned().unwrap_or_default();
    let running = Running::start(&options.command, &environment).map_err(|error| {
        let (failure, exit_code) = ending::not_started(&program, &error);
        NotStarted {
            failure: Box::new(failure),
            exit_code,
        }
    })?;
    Ok((running, place))
}

/// Makes room for the result, or says why that cannot be.
fn prepare(result_file: Option<&Path>) -> Result<Place, String> {
    let Some(path) = result_file else {
        // Only the worker's user can enter the folder.
        let folder = tempfile::Builder::new()
            .prefix("longhaul-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|error| {
                format!(
                    "cannot make a folder for the result in {}: {error};                      set TMPDIR or --result-file to a place that can be written to",
                    std::env::temp_dir().display()
                )
            })?;
        return Ok(Place {
            result_file: folder.path().join("result.json"),
            _folder: Some(folder),
        });
    };
    let problem = |what: &str, error: io::Error| format!("{what} {}: {error}", path.display());
    // The command may change its directory.
    let result_file = std::path::absolute(path).map_err(|e| problem("cannot find", e))?;
    match std::fs::remove_file(&result_file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(problem("cannot delete the earlier result", error))
        }
        _ => Ok(Place {
            result_file,
            _folder: None,
        }),
    }
}
