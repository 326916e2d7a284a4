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
use crate::input;
use crate::memory::OutOfMemoryKills;
use crate::outcome::{LastWord, Outcome};
use crate::payload::Payloads;
use crate::signals::Signals;
use crate::stop::Stop;
use crate::stopwatch::Stopwatch;

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
/// An input by reference is read from the payload store first, and while that lasts heartbeats are
/// sent. With an inline one the command is started before the first heartbeat is answered, so that
/// a service that is down for a moment holds up no job.
pub async fn supervise(
    options: &Options,
    attempt: &Attempt,
    api: Arc<dyn CallbackApi>,
    signals: &mut Signals,
) -> Outcome {
    let started = Instant::now();
    let deadline = || deadline(started, attempt.timeout);
    let payloads = Payloads::of(attempt);
    let memory = OutOfMemoryKills::watch();
    let heartbeats = Heartbeats::start(api.clone(), attempt.heartbeat);

    let input = match &attempt.input {
        Input::Inline(_) => Ok(None),
        Input::At(uri) => tokio::select! {
            biased;
            read = payloads.input(uri) => read
                .map(Some)
                .map_err(|error| NotStarted::because(error.full_message()).into()),
            stop = Stop::wait(&heartbeats, signals, started, attempt.timeout) => Err(stop.into()),
        },
    };
    let begun = input.and_then(|input| Ok(start(options, input)?));
    let (mut running, place) = match begun {
        Ok(begun) => begun,
        Err(not_run) => {
            let hurried = matches!(not_run, NotRun::Stopped(Stop::Signal(_)));
            let Some(NotStarted { failure, exit_code }) = not_run.report() else {
                return Outcome::Closed;
            };
            tracing::error!("{failure}");
            let last_word = LastWord {
                report: Report::Failure(failure),
                exit_code,
                deadline: deadline(),
                times: None,
                hurried,
            };
            return last_word.say(api.as_ref(), &payloads, signals).await;
        }
    };
    let stopwatch = Stopwatch::start();
    tracing::info!("process {} started", running.id());

    let stop = tokio::select! {
        biased;
        () = running.ended() => None,
        stop = Stop::wait(&heartbeats, signals, started, attempt.timeout) => Some(stop),
    };
    if stop.is_some() {
        running.stop(options.grace).await;
    }
    let (status, stderr) = running.reap().await;
    let times = attempt.times.then(|| stopwatch.stop());
    let ended = Ended {
        status,
        stderr,
        memory_kills: memory.since(),
        result_file: &place.result_file,
        room: payloads.room(),
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
        deadline: deadline(),
        times,
        hurried: matches!(stop, Some(Stop::Signal(_))),
    };
    last_word.say(api.as_ref(), &payloads, signals).await
}

/// Why a command was not run.
enum NotRun {
    /// It cannot be.
    NotStarted(NotStarted),
    /// The worker was told to stop before.
    Stopped(Stop),
}

impl NotRun {
    /// What to report, unless nobody listens.
    fn report(self) -> Option<NotStarted> {
        let (failure, exit_code) = match self {
            Self::NotStarted(not_started) => return Some(not_started),
            Self::Stopped(Stop::Closed) => return None,
            Self::Stopped(Stop::Signal(number)) => (
                ending::interrupted(number),
                ending::signal_exit_code(number),
            ),
            Self::Stopped(Stop::TimedOut(timeout)) => (ending::timed_out(timeout), 1),
        };
        Some(NotStarted {
            failure: Box::new(failure),
            exit_code,
        })
    }
}

impl From<NotStarted> for NotRun {
    fn from(not_started: NotStarted) -> Self {
        Self::NotStarted(not_started)
    }
}

impl From<Stop> for NotRun {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

/// Where a command finds its input, when it is in a file, and leaves its result.
#[derive(Debug)]
struct Place {
    input_file: Option<PathBuf>,
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

impl NotStarted {
    fn because(message: String) -> Self {
        let failure = JobFailure::new(FailureClass::FailedToStart).with_message(message);
        Self {
            failure: Box::new(failure),
            exit_code: CANNOT_RUN,
        }
    }
}

/// Starts the command. `input` is what came by reference.
fn start(options: &Options, input: Option<Vec<u8>>) -> Result<(Running, Place), NotStarted> {
    let place =
        prepare(options.result_file.as_deref(), input.as_deref()).map_err(NotStarted::because)?;
    let variables =
        input.map(|content| input::variables(&content, |name| std::env::var_os(name).is_some()));
    let mut environment = vec![(
        contract::RESULT_FILE,
        Some(place.result_file.clone().into_os_string()),
    )];
    if let Some(file) = &place.input_file {
        environment.push((contract::INPUT_FILE, Some(file.clone().into_os_string())));
    }
    for (name, value) in variables.iter().flatten() {
        environment.push((name, Some(value.into())));
    }
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

/// Makes room for the result and lays out the input, or says why that cannot be.
fn prepare(result_file: Option<&Path>, input: Option<&[u8]>) -> Result<Place, String> {
    let (result_file, mut folder) = match result_file {
        Some(path) => (empty(path)?, None),
        None => {
            let folder = private_folder()?;
            (folder.path().join("result.json"), Some(folder))
        }
    };
    let mut input_file = None;
    if let Some(content) = input {
        let private = match folder.take() {
            Some(folder) => folder,
            None => private_folder()?,
        };
        let path = private.path().join("input.json");
        input::write(&path, content).map_err(|error| {
            format!(
                "cannot write the input of {} bytes to {}: {error}; set TMPDIR to a place that has room for it",
                content.len(),
                path.display()
            )
        })?;
        input_file = Some(path);
        folder = Some(private);
    }
    Ok(Place {
        input_file,
        result_file,
        _folder: folder,
    })
}

/// A folder that only the worker's user can enter.
fn private_folder() -> Result<TempDir, String> {
    tempfile::Builder::new()
        .prefix("longhaul-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .map_err(|error| {
            format!(
                "cannot make a private folder in {}: {error}; set TMPDIR to a place that can be written to, or \
                 --result-file",
                std::env::temp_dir().display()
            )
        })
}

/// The absolute path of the result file, at which nothing is left of an earlier result.
fn empty(path: &Path) -> Result<PathBuf, String> {
    let problem = |what: &str, error: io::Error| format!("{what} {}: {error}", path.display());
    // The command may change its directory.
    let result_file = std::path::absolute(path).map_err(|e| problem("cannot find", e))?;
    match std::fs::remove_file(&result_file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(problem("cannot delete the earlier result", error))
        }
        _ => Ok(result_file),
    }
}
