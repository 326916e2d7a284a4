//! The shim: the small process between the backend and a worker that always knows how the
//! worker ended.
//!
//! It outlives whoever started it, is the worker's parent, adopts what the worker leaves behind
//! (it is a child subreaper), and writes down the end.

mod launch;
mod signals;
mod watch;

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use longhaul_core::BackendErrorKind;

use crate::directory::JobDirectory;
use crate::journal::{Claim, Entry, Sync};
use crate::processes::Identity;
use crate::record::{Answer, End, Exit, Launch, Spec, StartFailure, Stop, Time, Worker};
use signals::Signals;

/// How long a shim waits for another one, or for a cancel, to decide about its job.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(10);

/// Plays the shim for the job in `directory`, until the job is over. Nobody calls this by hand:
/// the backend's `start` runs a program that calls it, and tells it the rest over its standard
/// input.
///
/// It makes the calling process a session leader and a child subreaper, waits for any child of
/// it, and handles SIGCHLD, SIGTERM, SIGINT and SIGHUP: call it in a process that does nothing else.
#[must_use]
pub fn main(directory: &Path) -> ExitCode {
    // First of all: from now on no terminal and no group of the starter's reaches this process.
    // It fails for a process that leads a group already, so has one of its own.
    let _ = rustix::process::setsid();
    let result = catch_unwind(AssertUnwindSafe(|| run(directory)))
        .unwrap_or_else(|_| Err(io::Error::other("the shim panicked")));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the job's `stderr.log`.
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
    play(&directory, read_launch()?)
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

fn play(directory: &JobDirectory, launch: Launch) -> io::Result<()> {
    // Before the shim can be found and be sent a signal.
    let mut signals = Signals::handle()?;
    let Some(mut claim) = claim(directory)? else {
        answer(&Answer::Taken);
        return Ok(());
    };
    let Launch { spec, environment } = launch;
    let known = Entry::Spec(spec.clone());
    if let Some(cancel) = directory.cancel()? {
        claim.add([known], Sync::No)?;
        let exit = Exit::new(End::Forestalled).with_stop(Some(Stop::Cancelled(cancel.reason)));
        directory.end(&mut claim, exit)?;
        answer(&Answer::Taken);
        return Ok(());
    }
    let own = Identity::of_self().ok_or_else(|| io::Error::other("/proc is not there"))?;
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // From here on nobody else will start this job, whatever becomes of this shim.
    claim.add([known, Entry::Shim(own)], Sync::Yes)?;

    let started = launch::worker(directory, &spec, environment);
    let pid = match started {
        Ok(pid) => pid,
        Err(refusal) => return give_up(directory, &mut claim, refusal),
    };
    record_worker(&mut claim, pid);
    answer(&Answer::Started);
    let exit = watch::until_the_end(directory, &spec, pid, &mut signals)?;
    directory.end(&mut claim, exit)
}

/// The right to run the job, or `None` when somebody else has decided about it.
fn claim(directory: &JobDirectory) -> io::Result<Option<Claim>> {
    let deadline = Instant::now() + CLAIM_TIMEOUT;
    loop {
        let claim = directory.try_claim()?;
        let decided = match &claim {
            Some(claim) => claim.journal().is_decided(),
            None => directory.journal()?.is_decided(),
        };
        if decided {
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
        sleep(Duration::from_millis(5));
    }
}

/// Ends a job whose worker cannot be started: for ever, or so that it may be tried again.
fn give_up(
    directory: &JobDirectory,
    claim: &mut Claim,
    refusal: launch::Refusal,
) -> io::Result<()> {
    if refusal.for_good {
        directory.end(claim, Exit::new(End::NotStarted(refusal.failure.clone())))?;
    } else {
        claim.add([Entry::Released], Sync::No)?;
    }
    answer(&Answer::Failed(refusal.failure));
    Ok(())
}

/// Without the record the worker runs all the same, and the shim watches it: only its pid and
/// its time of start stay unknown to others.
fn record_worker(claim: &mut Claim, pid: u32) {
    let Some(identity) = Identity::of(pid) else {
        return;
    };
    let worker = Worker {
        identity,
        at: Time::now(),
    };
    if let Err(error) = claim.add([Entry::Worker(worker)], Sync::No) {
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
