//! Removing the directories of jobs that ended long ago.

use std::io;
use std::time::{Duration, SystemTime};

use longhaul_core::{BackendError, contract};

use crate::ProcessBackend;
use crate::backend::blocking;
use crate::directory::JobDirectory;
use crate::processes;
use crate::stage::Stage;

impl ProcessBackend {
    /// Removes the directories of the jobs that ended at least `older_than` ago, with their
    /// logs, and returns how many. A job that may still run is never touched.
    ///
    /// With its directory, a job's start key is forgotten: the same token would start it again,
    /// and `describe` no longer knows it. `older_than` should be longer than a durable step may
    /// be repeated and a result be asked for; a day is plenty.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read or something in it cannot be removed. What was removed
    /// before stays removed.
    pub async fn prune(&self, older_than: Duration) -> Result<usize, BackendError> {
        let root = self.root.clone();
        blocking("remove the directories of old jobs", move || {
            root.remove_leftovers()?;
            let mut removed = 0;
            for directory in root.jobs()? {
                if remove_if_old(&directory, older_than)? {
                    removed += 1;
                }
            }
            Ok(removed)
        })
        .await
    }
}

fn remove_if_old(directory: &JobDirectory, older_than: Duration) -> io::Result<bool> {
    let Some(ended) = ended_at(directory)? else {
        return Ok(false);
    };
    let age = SystemTime::now().duration_since(ended).unwrap_or_default();
    if age < older_than {
        return Ok(false);
    }
    // A shim that has written the last word still holds its claim for a moment.
    let Some(claim) = directory.try_claim()? else {
        return Ok(false);
    };
    // Only the claim's holder can change how a job stands: look again.
    if ended_at(directory)?.is_none() {
        return Ok(false);
    }
    if let Some(spec) = &claim.journal().spec {
        directory.root().unmark(&spec.execution, directory.key());
    }
    directory.remove()?;
    Ok(true)
}

/// When the job ended; `None` if it may still run. Of a job whose end nobody saw, and of one
/// that was never started, it is when its directory last changed.
fn ended_at(directory: &JobDirectory) -> io::Result<Option<SystemTime>> {
    let changed = || directory.path().metadata()?.modified();
    Ok(match directory.stage()? {
        Stage::Ended(exit, _) => Some(exit.at.into()),
        Stage::Unclaimed => Some(changed()?),
        Stage::Lost(..)
            if processes::carrying(contract::START_KEY, directory.key().as_str()).is_empty() =>
        {
            Some(changed()?)
        }
        _ => None,
    })
}
