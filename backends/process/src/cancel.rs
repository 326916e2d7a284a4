//! Cancelling a job: until nothing of it is left, and nothing else is touched.

use std::io;
use std::time::Duration;

use longhaul_core::{BackendError, BackendErrorKind, CancelOutcome, contract};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::ProcessBackend;
use crate::backend::{blocking, local};
use crate::directory::JobDirectory;
use crate::processes::{self, Identity};
use crate::record::{End, Exit, Stop, Worker};
use crate::stage::Stage;

/// How long a cancel waits beyond the job's grace.
const SLACK: Duration = Duration::from_secs(5);

/// How often it looks whether the job is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

impl ProcessBackend {
    pub(crate) async fn cancel_process(
        &self,
        directory: &JobDirectory,
        reason: &str,
    ) -> Result<CancelOutcome, BackendError> {
        let failed = |error| local(format!("cancel job {}", directory.key()), error);
        match directory.stage().map_err(failed)? {
            Stage::Unknown => return Ok(CancelOutcome::NotFound),
            Stage::Ended(exit, _) => {
                wait_for_shim(directory).await?;
                return clean(directory, &exit).map(|()| CancelOutcome::AlreadyEnded);
            }
            _ => {}
        }
        let (asked, text) = (directory.clone(), reason.to_owned());
        blocking("write down that a job is to end", move || {
            asked.request_cancel(&text)
        })
        .await?;
        let spec = directory.journal().map_err(failed)?.spec;
        let grace = spec.map_or(self.config.grace, |spec| spec.grace());
        let deadline = Instant::now() + grace + SLACK;
        let mut told = None;
        loop {
            let stage = directory.stage().map_err(failed)?;
            match stage {
                Stage::Unknown => return Ok(CancelOutcome::NotFound),
                Stage::Ended(exit, _) => {
                    wait_for_shim(directory).await?;
                    return clean(directory, &exit).map(|()| outcome(&exit));
                }
                _ if Instant::now() > deadline => return Err(stuck(directory, grace)),
                Stage::Unclaimed => forestall(directory, reason).map_err(failed)?,
                Stage::Starting(shim) | Stage::Running(shim, _) | Stage::Stopping(shim, ..) => {
                    // Once is enough: a shim handles the signal before it can be found here.
                    if told.as_ref() != Some(&shim) {
                        shim.signal(Signal::TERM).map_err(failed)?;
                        told = Some(shim);
                    }
                }
                Stage::Orphaned(worker) => {
                    end_without_shim(directory, reason, Some(worker), grace).await?;
                }
                Stage::Lost(..) => end_without_shim(directory, reason, None, grace).await?,
            }
            sleep(LOOK_INTERVAL).await;
        }
    }
}

fn stuck(directory: &JobDirectory, grace: Duration) -> BackendError {
    BackendError::new(
        BackendErrorKind::Unavailable,
        format!(
            "cancel job {}: it was told to end and is still there after {} s; try again",
            directory.key(),
            (grace + SLACK).as_secs()
        ),
    )
}

/// Ends a job that no shim has taken, if none takes it meanwhile.
fn forestall(directory: &JobDirectory, reason: &str) -> io::Result<()> {
    let Some(mut claim) = directory.try_claim()? else {
        return Ok(());
    };
    if claim.journal().is_decided() {
        return Ok(());
    }
    let stop = Stop::Cancelled(reason.to_owned());
    let exit = Exit::new(End::Forestalled).with_stop(Some(stop));
    directory.end(&mut claim, exit)
}

/// The last word is written a moment before its shim ends.
async fn wait_for_shim(directory: &JobDirectory) -> Result<(), BackendError> {
    let deadline = Instant::now() + SLACK;
    let shim = directory
        .journal()
        .map_err(|error| local(format!("cancel job {}", directory.key()), error))?
        .shim;
    while shim.as_ref().is_some_and(Identity::is_alive) && Instant::now() < deadline {
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

fn outcome(exit: &Exit) -> CancelOutcome {
    match exit.stop {
        Some(Stop::Cancelled(_)) => CancelOutcome::Cancelled,
        Some(Stop::Interrupted) | None => CancelOutcome::AlreadyEnded,
    }
}

/// Nothing is left of the job, or an error that says what.
fn clean(directory: &JobDirectory, exit: &Exit) -> Result<(), BackendError> {
    if exit.survivors.is_empty() {
        return Ok(());
    }
    Err(BackendError::new(
        BackendErrorKind::Denied,
        format!(
            "cancel job {}: processes {:?} could not be killed; they belong to another user or hang in the kernel: end them by hand",
            directory.key(),
            exit.survivors
        ),
    ))
}

/// Ends what a killed shim has left: the worker if it is still the same process, everything
/// that carries the job's start key in its environment, and everything below these.
async fn end_without_shim(
    directory: &JobDirectory,
    reason: &str,
    worker: Option<Worker>,
    grace: Duration,
) -> Result<(), BackendError> {
    let failed = |error| local(format!("cancel job {}", directory.key()), error);
    let Some(mut claim) = directory.try_claim().map_err(failed)? else {
        // Another cancel is at it.
        return Ok(());
    };
    if claim.journal().exit.is_some() {
        return Ok(());
    }
    let kill_at = Instant::now() + grace;
    let give_up_at = kill_at + SLACK;
    let mut told: Vec<Identity> = Vec::new();
    let mut was_empty = false;
    loop {
        let left = remains(directory, worker.as_ref()).await?;
        let killing = Instant::now() > kill_at;
        // One look may miss a process: one that is forked behind the look's back.
        let is_empty = was_empty && left.is_empty();
        was_empty = left.is_empty();
        if is_empty || Instant::now() > give_up_at {
            let stop = worker.map(|_| Stop::Cancelled(reason.to_owned()));
            let exit = Exit::new(End::Unseen)
                .with_stop(stop)
                .with_survivors(left.iter().map(Identity::pid).collect());
            return directory.end(&mut claim, exit).map_err(failed);
        }
        for process in left {
            // What may not be signalled is reported as a survivor.
            if killing {
                let _ = process.signal(Signal::KILL);
            } else if !told.contains(&process) {
                let _ = process.signal(Signal::TERM);
                told.push(process);
            }
        }
        sleep(LOOK_INTERVAL).await;
    }
}

async fn remains(
    directory: &JobDirectory,
    worker: Option<&Worker>,
) -> Result<Vec<Identity>, BackendError> {
    let key = directory.key().clone();
    let worker = worker
        .map(|worker| worker.identity.clone())
        .filter(Identity::is_alive);
    blocking("look for what is left of a job", move || {
        let mut found = processes::carrying(contract::START_KEY, key.as_str());
        found.extend(worker);
        let below: Vec<Identity> = found
            .iter()
            .flat_map(|process| processes::descendants(process.pid()))
            .collect();
        found.extend(below);
        let own = std::process::id();
        found.retain(|process| process.pid() != own);
        let mut seen = std::collections::HashSet::new();
        found.retain(|process| seen.insert(process.clone()));
        Ok(found)
    })
    .await
}
