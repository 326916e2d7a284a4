//! The state folder: private, and held by one service at a time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::ServiceError;

/// A state folder that this process holds. The lock ends with the process, however it ends.
#[derive(Debug)]
pub(crate) struct StateFolder {
    path: PathBuf,
    _lock: File,
}

impl StateFolder {
    /// Makes the folder if need be, takes away other users' access to it, and locks it.
    pub(crate) fn hold(path: &Path) -> Result<Self, ServiceError> {
        let unusable = |source: io::Error| ServiceError::StateDir {
            path: path.to_path_buf(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(unusable)?;
        let metadata = fs::metadata(path).map_err(unusable)?;
        if metadata.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(unusable)?;
        }
        let lock = private()
            .truncate(false)
            .open(path.join("lock"))
            .map_err(unusable)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                path: path.to_path_buf(),
                _lock: lock,
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(ServiceError::InUse(path.to_path_buf())),
            Err(error) => Err(unusable(error.into())),
        }
    }

    /// The database file, made empty and private when it is not there. Its companions inherit its mode from SQLite.
    pub(crate) fn database(&self) -> Result<PathBuf, ServiceError> {
        let path = self.path.join("durable.sqlite3");
        private()
            .truncate(false)
            .open(&path)
            .map_err(|source| ServiceError::StateDir {
                path: self.path.clone(),
                source,
            })?;
        Ok(path)
    }

    /// A log file of a function, opened for appending.
    pub(crate) fn log(&self, function: &str) -> io::Result<File> {
        let folder = self.logs();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(folder.join(format!("{function}.log")))
    }

    /// Where the processes that run are written down.
    pub(crate) fn environments(&self) -> PathBuf {
        self.path.join("environments")
    }

    /// Where the functions' logs are.
    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).read(true).write(true).mode(0o600);
    options
}
