//! Where the command keeps what must outlive it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy as _;

use crate::error::CliError;

/// How long executions and jobs are kept: as long as AWS keeps them by default in our template.
pub(crate) const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The folder for everything that is kept.
#[derive(Debug, Clone)]
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    /// `chosen`, or the user's own folder for state.
    pub(crate) fn find(chosen: Option<&Path>) -> Result<Self, CliError> {
        if let Some(path) = chosen {
            let path = std::path::absolute(path)
                .map_err(|error| CliError::Usage(format!("--state {}: {error}", path.display())))?;
            return Ok(Self(path));
        }
        let dirs = etcetera::choose_base_strategy().map_err(|_| {
            CliError::Usage("this user has no home folder: choose one with --state DIR".to_owned())
        })?;
        let base = dirs.state_dir().unwrap_or_else(|| dirs.data_dir());
        Ok(Self(base.join("longhaul")))
    }

    /// The folder of the durable service that carries one execution. Each `run` has its own, so
    /// that several can run at once, each with its caller's environment.
    pub(crate) fn run(&self, execution: &str) -> PathBuf {
        self.runs().join(execution)
    }

    /// The payload store of one execution's jobs. It is pruned with the execution, and as that is
    /// never while it is in use.
    pub(crate) fn payloads(&self, execution: &str) -> PathBuf {
        self.run(execution).join("payloads")
    }

    /// The folders of [`run`](Self::run).
    pub(crate) fn runs(&self) -> PathBuf {
        self.0.join("runs")
    }

    /// The folder of the durable service that `longhaul serve` runs.
    pub(crate) fn service(&self) -> PathBuf {
        self.0.join("service")
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes what was last touched longer than [`KEPT`] ago and is not in use. What cannot be
    /// removed now is tried again by the next run.
    pub(crate) fn prune(&self) {
        let Ok(runs) = std::fs::read_dir(self.runs()) else {
            return;
        };
        for run in runs.flatten() {
            let old = run
                .metadata()
                .and_then(|data| data.modified())
                .ok()
                .and_then(|time| time.elapsed().ok())
                .is_some_and(|age| age > KEPT);
            if old && !is_in_use(&run.path()) {
                let _ = std::fs::remove_dir_all(run.path());
            }
        }
    }

    /// The local jobs' folder.
    pub(crate) fn jobs(&self) -> PathBuf {
        self.0.join("jobs")
    }
}

/// Whether a service holds the folder.
pub(crate) fn is_in_use(folder: &Path) -> bool {
    let Ok(lock) = std::fs::File::open(folder.join("lock")) else {
        return false;
    };
    lock.try_lock().is_err()
}

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes};
    use std::time::SystemTime;

    use super::*;

    fn old_run(state: &StateDir, name: &str) -> PathBuf {
        let path = state.run(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("lock"), "").unwrap();
        std::fs::create_dir_all(state.payloads(name).join("execution")).unwrap();
        let then = SystemTime::now() - KEPT - Duration::from_secs(60);
        File::open(&path)
            .unwrap()
            .set_times(FileTimes::new().set_modified(then))
            .unwrap();
        path
    }

    #[test]
    fn only_runs_that_are_old_and_not_in_use_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::find(Some(dir.path())).unwrap();
        let old = old_run(&state, "old");
        let used = old_run(&state, "used");
        let lock = File::open(used.join("lock")).unwrap();
        lock.lock().unwrap();
        let new = state.run("new");
        std::fs::create_dir_all(&new).unwrap();
        state.prune();
        assert!(!old.exists() && used.exists() && new.exists());
    }
}
