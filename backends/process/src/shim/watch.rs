//! Watching the worker: until it ends, or is told to, and nothing of it is left.

use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, wait,
};

use super::signals::Signals;
use crate::directory::JobDirectory;
use crate::processes;
use crate::record::{End, Exit, Spec, Stop};

/// How long the shim tries to kill what the worker left behind. What is still there then
/// belongs to another user or hangs in the kernel.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(4);

/// How often it looks for processes that were started while it killed the others.
const SWEEP_INTERVAL: Duration = Duration::from_millis(10);

/// Watches the worker `pid` to its end and clears up behind it.
pub(super) fn until_the_end(
    directory: &JobDirectory,
    spec: &Spec,
    pid: u32,
    signals: &mut Signals,
) -> io::Result<Exit> {
    let worker = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::other(format!("{pid} is no pid")))?;
    let mut stop = None;
    let mut kill_at = None;
    let end = loop {
        let reaped = reap(worker)?;
        if let Some(status) = reaped.worker {
            break end(status);
        }
        if !reaped.any_left {
            break End::Unseen;
        }
        if stop.is_none() && signals.terminate() {
            stop = Some(match directory.cancel() {
                Ok(Some(cancel)) => Stop::Cancelled(cancel.reason),
                _ => Stop::Interrupted,
            });
            // The worker has not been waited for, so the group is still its own.
            tolerate_gone(kill_process_group(worker, Signal::TERM))?;
            kill_at = Some(Instant::now() + super::grace(spec));
        }
        let left = kill_at.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            kill_at = None;
            tolerate_gone(kill_process_group(worker, Signal::KILL))?;
            // Should it have moved to another group.
            tolerate_gone(kill_process(worker, Signal::KILL))?;
            continue;
        }
        signals.wait(left)?;
    };
    let survivors = sweep(worker, signals)?;
    Ok(Exit::new(end).with_stop(stop).with_survivors(survivors))
}

/// What the children have come to.
struct Reaped {
    worker: Option<WaitStatus>,
    any_left: bool,
}

/// Waits, without blocking, for every child that has ended, adopted ones included.
fn reap(worker: Pid) -> io::Result<Reaped> {
    let mut reaped = Reaped {
        worker: None,
        any_left: true,
    };
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == worker => reaped.worker = Some(status),
            Ok(Some(_)) => {}
            Ok(None) => return Ok(reaped),
            Err(Errno::CHILD) => {
                reaped.any_left = false;
                return Ok(reaped);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Kills everything that descends from this process, as the end of a container's first process
/// does, and returns the pids of what cannot be killed.
///
/// A subreaper that has no child has no descendant: whoever loses its parent becomes its child.
fn sweep(worker: Pid, signals: &mut Signals) -> io::Result<Vec<u32>> {
    let deadline = Instant::now() + SWEEP_TIMEOUT;
    while reap(worker)?.any_left {
        let left = processes::descendants(std::process::id());
        for process in &left {
            // What may not be killed is reported as a survivor.
            let _ = process.signal(Signal::KILL);
        }
        if Instant::now() > deadline {
            return Ok(left.iter().map(processes::Identity::pid).collect());
        }
        signals.wait(Some(SWEEP_INTERVAL))?;
    }
    Ok(Vec::new())
}

fn tolerate_gone(sent: Result<(), Errno>) -> io::Result<()> {
    match sent {
        // What belongs to another user is reported by the sweep.
        Err(Errno::SRCH | Errno::PERM) => Ok(()),
        other => Ok(other?),
    }
}

fn end(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Exited(code),
        (None, Some(signal)) => End::Killed(signal),
        (None, None) => End::Unseen,
    }
}
