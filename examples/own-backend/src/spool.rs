//! The queue as a folder: a folder a job, and a file in it for everything that happens to the job.
//!
//! ```text
//! SPOOL/jobs/KEY/ticket.json    the job; readable for the owner only, for it holds the token
//!                cancel         why it is to end
//!                taken.json     who runs it
//!                end.json       how it ended
//!                stdout.log, stderr.log
//! SPOOL/new/                    jobs that are being written
//! SPOOL/lock                    held by the daemon
//! ```
//!
//! A file is written under another name and renamed: it is there as a whole or not at all.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::{NamedTempFile, TempDir};

use crate::queue::{Queue, Seen, Stage, Ticket};

/// A queue in a folder.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// The queue in `folder`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        for part in ["new", "jobs"] {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(folder.join(part))?;
        }
        Ok(Self { folder })
    }

    /// Becomes the one that runs the jobs, until the file is closed.
    ///
    /// # Errors
    ///
    /// When somebody else is.
    pub(crate) fn lock(&self) -> io::Result<File> {
        let file = File::create(self.folder.join("lock"))?;
        file.try_lock()?;
        Ok(file)
    }

    /// The folder of a job. Only a key becomes part of a path: hexadecimal digits.
    pub(crate) fn job(&self, key: &str) -> Option<PathBuf> {
        let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_hexdigit());
        is_key.then(|| self.folder.join("jobs").join(key))
    }

    /// The jobs that have not ended, oldest first.
    pub(crate) fn open_jobs(&self) -> io::Result<Vec<Ticket>> {
        let mut jobs = Vec::new();
        for entry in fs::read_dir(self.folder.join("jobs"))? {
            let path = entry?.path();
            if !path.join("end.json").exists()
                && let Some(ticket) = read::<Ticket>(&path.join("ticket.json"))?
            {
                let queued = fs::metadata(path.join("ticket.json"))?.modified()?;
                jobs.push((queued, ticket));
            }
        }
        jobs.sort_by_key(|(queued, _)| *queued);
        Ok(jobs.into_iter().map(|(_, ticket)| ticket).collect())
    }
}

impl Queue for Spool {
    fn submit(&self, ticket: &Ticket) -> io::Result<()> {
        let job = self.job(&ticket.key).ok_or(io::ErrorKind::InvalidInput)?;
        let made = TempDir::new_in(self.folder.join("new"))?;
        write(&made.path().join("ticket.json"), ticket)?;
        // A folder takes the place of another one only if that is empty, which a job's never is: of
        // all who try, one succeeds.
        match fs::rename(made.path(), &job) {
            Ok(()) => {
                // It is no longer ours to remove.
                let _ = made.keep();
                File::open(self.folder.join("jobs"))?.sync_all()
            }
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn cancel(&self, key: &str, reason: &str) -> io::Result<()> {
        let job = self.job(key).ok_or(io::ErrorKind::NotFound)?;
        write(&job.join("cancel"), reason)
    }

    fn look(&self, key: &str) -> io::Result<Option<Seen>> {
        let Some(job) = self.job(key).filter(|job| job.exists()) else {
            return Ok(None);
        };
        let told_to_end = job.join("cancel").exists();
        // The last thing first: what happens in between cannot make it less.
        let stage = match read(&job.join("end.json"))? {
            Some(end) => Stage::Ended(end),
            None if job.join("taken.json").exists() => Stage::Running,
            None => Stage::Waiting,
        };
        Ok(Some(Seen { stage, told_to_end }))
    }

    fn of_execution(&self, execution: &str) -> io::Result<Vec<String>> {
        let jobs = self.open_jobs()?.into_iter();
        Ok(jobs
            .filter(|ticket| ticket.execution == execution)
            .map(|ticket| ticket.key)
            .collect())
    }
}

/// Reads a file; `None` where there is none.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file that only its owner can read, and that is there as a whole or not at all.
pub(crate) fn write<T: Serialize + ?Sized>(path: &Path, content: &T) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec(content)?)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
