//! Where the command keeps what must outlive it.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use crate::error::CliError;

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

    /// The durable service's folder.
    pub(crate) fn service(&self) -> PathBuf {
        self.0.join("service")
    }

    /// The local jobs' folder.
    pub(crate) fn jobs(&self) -> PathBuf {
        self.0.join("jobs")
    }
}
