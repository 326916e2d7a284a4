//! The shim: the small process between the backend and a worker that always knows how the
//! worker ended.
//!
//! It outlives whoever started it, is the worker's parent, adopts what the worker leaves behind
//! (it is a child subreaper), and writes down the end.

mod launch;
mod watch;

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use longhaul_core::BackendErrorKind;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

use crate::directory::{Claim, JobDirectory};
use crate::processes::Identity;
use crate::record::{Answer, End, Exit, Launch, Spec, StartFailure, Stop, Time, Worker};

/// How long a shim waits for another one, or for a cancel, to decide about its job.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(10);

/// Plays the shim for the job in `directory`, until the job is over. Nobody calls this by hand:
/// the backend's `start` runs a program that calls it, and tells it the rest over its standard
/// input.
///
/// It makes the calling process a session leader and a child subreaper, waits for any child of
/// it, and handles SIGTERM, SIGINT and SIGHUP: call it in a process that does nothing else.
#[must_use]
pub fn main(directory: &Path) -> ExitCode {
    // First of all: from now on no terminal and no group of the starter's reaches this process.
    // It fails for a process that leads a group already, so has one of its own.
    let _ = rustix::process::setsid();
    // A thread of its own, so that a caller may have a runtime.
    let result = std::thread::scope(|scope| {
        scope
            .spawn(|| run(directory))
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the shim panicked")))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the job's `shim.log`.
            eprintln!("longhaul shim for {}: {error}", directory.display());
            answer(&Answer::Failed(StartFailure {
                kind: BackendErrorKind::Unavailable,
                message: format!("the shim for {} cannot work", directory.display()),
                cause: Some(error.to_string()),
            }));
            ExitCode::FAILURE
        }
    }
}

fn run(directory: &Path) -> io::Result<()> {
    let directory = JobDirectory::at(directory)
        .ok_or_else(|| io::Error::other("the directory's name is no start key"))?;
    let launch = read_launch()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(play(&directory, launch))
}

fn read_launch() -> io::Result<Launch> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    // The error of serde_json may quote what it read, which may be the token.
    serde_json::from_slice(&text).map_err(|error| {
        io::Error::other(format!(
            "standard input holds no launch (line {}, column {}): was the starter killed?",
            error.line(),
            error.column()
        ))
    })
}

/// The signals that a shim handles. A handler, unlike an ignored signal, is not handed on to
/// the worker.
struct Signals {
    child: Signal,
    terminate: Signal,
    /// Not acted upon: they mean a terminal's user, who has nothing to do with a detached job.
    _of_a_terminal: [Signal; 2],
}

impl Signals {
    fn handle() -> io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            terminate: signal(SignalKind::terminate())?,
            _of_a_terminal: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::hangup())?,
            ],
        })
    }
}

async fn play(directory: &JobDirectory, launch: Launch) -> io::Result<()> {
    // Before the shim can be found and be sent a signal.
    let mut signals = Signals::handle()?;
    let Some(_claim) = claim(directory).await? else {
        answer(&Answer::Taken);
        return Ok(());
    };
    directory.write_spec(&launch.spec)?;
    if let Some(cancel) = directory.cancel()? {
        let exit = Exit::new(End::Forestalled).with_stop(Some(Stop::Cancelled(cancel.reason)));
        directory.write_exit(&exit)?;
        answer(&Answer::Taken);
        return Ok(());
    }
    let own = Identity::of_self().ok_or_else(|| io::Error::other("/proc is not there"))?;
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // From here on nobody else will start this job, whatever becomes of this shim.
    directory.write_shim(&own)?;

    let Launch { spec, environment } = launch;
    let started = launch::worker(directory, &spec, environment);
    let pid = match started {
        Ok(pid) => pid,
        Err(refusal) => return give_up(directory, refusal),
    };
    record_worker(directory, pid);
    answer(&Answer::Started);
    let exit = watch::until_the_end(directory, &spec, pid, &mut signals).await?;
    directory.write_exit(&exit)
}

/// The right to run the job, or `None` when somebody else has decided about it.
async fn claim(directory: &JobDirectory) -> io::Result<Option<Claim>> {
    let deadline = Instant::now() + CLAIM_TIMEOUT;
    loop {
        let claim = directory.try_claim()?;
        if directory.is_decided() {
            return Ok(None);
        }
        if claim.is_some() {
            return Ok(claim);
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "another process holds the job's claim and does nothing with it",
            ));
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Ends a job whose worker cannot be started: for ever, or so that it may be tried again.
fn give_up(directory: &JobDirectory, refusal: launch::Refusal) -> io::Result<()> {
    if refusal.for_good {
        directory.write_exit(&Exit::new(End::NotStarted(refusal.failure.clone())))?;
    } else {
        directory.remove_shim()?;
    }
    answer(&Answer::Failed(refusal.failure));
    Ok(())
}

/// Without the record the worker runs all the same, and the shim watches it: only its pid and
/// its time of start stay unknown to others.
fn record_worker(directory: &JobDirectory, pid: u32) {
    let Some(identity) = Identity::of(pid) else {
        return;
    };
    let worker = Worker {
        identity,
        at: Time::now(),
    };
    if let Err(error) = directory.write_worker(&worker) {
        eprintln!("longhaul shim: the worker (pid {pid}) runs but cannot be recorded: {error}");
    }
}

/// Tells the starter, if it still listens, and hangs up.
fn answer(answer: &Answer) {
    let mut line = serde_json::to_string(answer).unwrap_or_default();
    line.push('\n');
    let mut stdout = io::stdout().lock();
    // A starter that is gone hears nothing; the job goes on.
    let _ = stdout.write_all(line.as_bytes());
    let _ = stdout.flush();
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stdin(&null);
    }
}

/// How long the worker of `spec` has between SIGTERM and SIGKILL.
fn grace(spec: &Spec) -> Duration {
    spec.grace().min(crate::ProcessConfig::MAX_GRACE)
}
