//! How a job stands: the records in its directory, held against the processes that live.

use std::io;

use crate::directory::JobDirectory;
use crate::processes::Identity;
use crate::record::{Cancel, Exit, Worker};

/// How a job stands.
#[derive(Debug)]
pub(crate) enum Stage {
    /// There is no directory.
    Unknown,
    /// There is a directory and no shim has taken the job: a start is under way, or was killed.
    Unclaimed,
    /// A shim has the job and has not started its worker yet.
    Starting(Identity),
    /// A shim watches the worker.
    Running(Identity, Worker),
    /// A shim has the job and somebody has asked to cancel it.
    Stopping(Identity, Cancel, Option<Worker>),
    /// The shim was killed; the worker still runs, and nobody will see how it ends.
    Orphaned(Worker),
    /// The shim was killed and so was the worker, or it was never started.
    Lost(Identity, Option<Worker>),
    /// The last word.
    Ended(Exit, Option<Worker>),
}

impl JobDirectory {
    /// How the job stands now.
    pub(crate) fn stage(&self) -> io::Result<Stage> {
        let before = self.journal()?;
        if let Some(exit) = before.exit {
            return Ok(Stage::Ended(exit, before.worker));
        }
        let Some(shim) = before.shim else {
            return Ok(if self.exists() {
                Stage::Unclaimed
            } else {
                Stage::Unknown
            });
        };
        if shim.is_alive() {
            return Ok(match (self.cancel()?, before.worker) {
                (Some(cancel), worker) => Stage::Stopping(shim, cancel, worker),
                (None, Some(worker)) => Stage::Running(shim, worker),
                (None, None) => Stage::Starting(shim),
            });
        }
        // A shim writes the last word before it ends: look again, now that it has ended.
        let after = self.journal()?;
        if let Some(exit) = after.exit {
            return Ok(Stage::Ended(exit, after.worker));
        }
        // Or it gave the job back.
        if after.shim.as_ref() != Some(&shim) {
            return self.stage();
        }
        Ok(match after.worker {
            Some(worker) if worker.identity.is_alive() => Stage::Orphaned(worker),
            worker => Stage::Lost(shim, worker),
        })
    }
}
