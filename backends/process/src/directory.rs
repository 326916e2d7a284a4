//! A job's directory: what lies where, and how it is written so that nobody reads half of it.
//!
//! ```text
//! DIRECTORY/                                  0700
//!   <start key>/                              0700, made by the starter
//!     claim                                   locked by the shim for its life
//!     spec.json  shim.json  worker.json       what runs, who runs it
//!     cancel.json                             somebody wants it to end
//!     exit.json                               how it ended: the last word
//!     stdout.log  stderr.log                  0600, the worker's
//!     shim.log                                what the shim had to say, usually nothing
//!   executions/<execution id>/<start key>     marks the jobs that may still run
//! ```

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use longhaul_core::{ExecutionId, StartKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::processes::Identity;
use crate::record::{Cancel, Exit, Spec, Time, Worker};
use crate::tail::tail;

const CLAIM: &str = "claim";
const SPEC: &str = "spec.json";
const SHIM: &str = "shim.json";
const WORKER: &str = "worker.json";
const CANCEL: &str = "cancel.json";
const EXIT: &str = "exit.json";
const STDOUT: &str = "stdout.log";
const STDERR: &str = "stderr.log";
const SHIM_LOG: &str = "shim.log";
const EXECUTIONS: &str = "executions";
/// How the name of a directory begins that is being removed.
const DOOMED: &str = ".removed-";

/// The directory of all jobs.
#[derive(Debug, Clone)]
pub(crate) struct Root(PathBuf);

impl Root {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn job(&self, key: StartKey) -> JobDirectory {
        JobDirectory {
            path: self.0.join(key.as_str()),
            root: self.clone(),
            key,
        }
    }

    /// Every job that has a directory.
    pub(crate) fn jobs(&self) -> io::Result<Vec<JobDirectory>> {
        Ok(keys_in(&self.0)?
            .into_iter()
            .map(|key| self.job(key))
            .collect())
    }

    /// Removes what a [`JobDirectory::remove`] has left that was killed.
    pub(crate) fn remove_leftovers(&self) -> io::Result<()> {
        for name in names_in(&self.0)? {
            if name.as_bytes().starts_with(DOOMED.as_bytes()) {
                match fs::remove_dir_all(self.0.join(name)) {
                    // Another one is at it.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }

    fn execution(&self, execution: &ExecutionId) -> PathBuf {
        self.0.join(EXECUTIONS).join(execution.as_str())
    }

    /// The jobs of `execution` that are not known to have ended. The cost does not grow with
    /// the number of jobs that have.
    pub(crate) fn marked(&self, execution: &ExecutionId) -> io::Result<Vec<JobDirectory>> {
        Ok(keys_in(&self.execution(execution))?
            .into_iter()
            .map(|key| self.job(key))
            .collect())
    }

    /// Marks `key` as a job of `execution` that may run.
    pub(crate) fn mark(&self, execution: &ExecutionId, key: &StartKey) -> io::Result<()> {
        let folder = self.execution(execution);
        // A shim that ends removes the folder when it is empty, maybe just now.
        for _ in 0..100 {
            make_private_folders(&folder)?;
            match create_private(&folder.join(key.as_str()), true) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => return other.map(drop),
            }
        }
        Err(io::Error::other("the folder is removed again and again"))
    }

    /// Takes the mark away again. That it is not there is fine.
    pub(crate) fn unmark(&self, execution: &ExecutionId, key: &StartKey) {
        let folder = self.execution(execution);
        // A mark that stays costs a look at its job in `list`, nothing else.
        let _ = fs::remove_file(folder.join(key.as_str()));
        let _ = fs::remove_dir(folder);
    }
}

/// The directory of one job. It need not exist.
#[derive(Debug, Clone)]
pub(crate) struct JobDirectory {
    path: PathBuf,
    root: Root,
    key: StartKey,
}

/// Whether a record must survive a power failure. What describes running processes need not:
/// they do not survive it either.
#[derive(Clone, Copy)]
enum Sync {
    Yes,
    No,
}

/// The right to decide about a job, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim(File);

impl Drop for Claim {
    fn drop(&mut self) {
        // Closing would do, but for a child that is just being started and still has a copy.
        let _ = self.0.unlock();
    }
}

impl JobDirectory {
    /// The job whose directory is at `path`; `None` when its name is no start key.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let key = path.file_name()?.to_str()?.to_owned();
        let key = StartKey::try_from(key).ok()?;
        Some(Root::new(path.parent()?.to_owned()).job(key))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    pub(crate) fn key(&self) -> &StartKey {
        &self.key
    }

    pub(crate) fn stdout(&self) -> PathBuf {
        self.path.join(STDOUT)
    }

    pub(crate) fn stderr(&self) -> PathBuf {
        self.path.join(STDERR)
    }

    pub(crate) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Makes the directory; that it is there already is fine.
    pub(crate) fn create(&self) -> io::Result<()> {
        make_private_folders(self.root.path())?;
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    pub(crate) fn open_stdout(&self) -> io::Result<File> {
        create_private(&self.stdout(), true)
    }

    pub(crate) fn open_stderr(&self) -> io::Result<File> {
        create_private(&self.stderr(), true)
    }

    pub(crate) fn open_shim_log(&self) -> io::Result<File> {
        create_private(&self.path.join(SHIM_LOG), true)
    }

    /// The end of what the shim had to say, on one line.
    pub(crate) fn shim_log_tail(&self) -> Option<String> {
        tail(&self.path.join(SHIM_LOG), 1024).map(|text| text.trim().replace('\n', "; "))
    }

    /// The end of what the worker wrote to standard error, at most `len` bytes of it.
    pub(crate) fn stderr_tail(&self, len: u64) -> Option<String> {
        tail(&self.stderr(), len)
    }

    /// Takes the claim if nobody holds it. Holding it decides nothing yet: look whether
    /// [`is_decided`](Self::is_decided) first.
    pub(crate) fn try_claim(&self) -> io::Result<Option<Claim>> {
        let file = create_private(&self.path.join(CLAIM), false)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Claim(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether some shim has taken the job, or it is over.
    pub(crate) fn is_decided(&self) -> bool {
        self.path.join(SHIM).exists() || self.path.join(EXIT).exists()
    }

    pub(crate) fn spec(&self) -> io::Result<Option<Spec>> {
        self.read(SPEC)
    }

    pub(crate) fn write_spec(&self, spec: &Spec) -> io::Result<()> {
        self.write(SPEC, spec, Sync::No)
    }

    pub(crate) fn shim(&self) -> io::Result<Option<Identity>> {
        self.read(SHIM)
    }

    pub(crate) fn write_shim(&self, shim: &Identity) -> io::Result<()> {
        self.write(SHIM, shim, Sync::Yes)
    }

    /// Gives the job back, as if no shim had ever taken it.
    pub(crate) fn remove_shim(&self) -> io::Result<()> {
        fs::remove_file(self.path.join(SHIM))
    }

    pub(crate) fn worker(&self) -> io::Result<Option<Worker>> {
        self.read(WORKER)
    }

    pub(crate) fn write_worker(&self, worker: &Worker) -> io::Result<()> {
        self.write(WORKER, worker, Sync::No)
    }

    pub(crate) fn cancel(&self) -> io::Result<Option<Cancel>> {
        self.read(CANCEL)
    }

    /// Writes down that the job is to end, unless that is written down already.
    pub(crate) fn request_cancel(&self, reason: &str) -> io::Result<()> {
        if self.cancel()?.is_some() {
            return Ok(());
        }
        let cancel = Cancel {
            reason: reason.to_owned(),
            at: Time::now(),
        };
        self.write(CANCEL, &cancel, Sync::Yes)
    }

    pub(crate) fn exit(&self) -> io::Result<Option<Exit>> {
        self.read(EXIT)
    }

    /// Writes the last word about the job, and takes its mark away.
    pub(crate) fn write_exit(&self, exit: &Exit) -> io::Result<()> {
        self.write(EXIT, exit, Sync::Yes)?;
        if let Ok(Some(spec)) = self.spec() {
            self.root.unmark(&spec.execution, &self.key);
        }
        Ok(())
    }

    /// Removes the directory with everything in it. It disappears at once, not file by file.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let doomed = self.root.0.join(format!("{DOOMED}{}", self.key));
        fs::rename(&self.path, &doomed)?;
        fs::remove_dir_all(doomed)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let text = match fs::read(self.path.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if text.is_empty() {
            // What a power failure leaves of a record that was not yet on disk.
            return Ok(None);
        }
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            let message = format!("{name} of job {} cannot be read: {error}", self.key);
            io::Error::new(ErrorKind::InvalidData, message)
        })
    }

    /// The file appears whole, and readable by its owner only (the mode of a temporary file of
    /// the `tempfile` crate is 0600).
    fn write<T: Serialize>(&self, name: &str, record: &T, sync: Sync) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.path)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        if let Sync::Yes = sync {
            file.as_file().sync_data()?;
        }
        file.persist(self.path.join(name))?;
        Ok(())
    }
}

fn make_private_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn create_private(path: &Path, append: bool) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .append(append)
        .mode(0o600)
        .open(path)
}

/// The names in a folder; none where there is no folder.
fn names_in(folder: &Path) -> io::Result<Vec<OsString>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.file_name())).collect(),
    }
}

/// The start keys among the names in a folder, in order.
fn keys_in(folder: &Path) -> io::Result<Vec<StartKey>> {
    let mut keys: Vec<StartKey> = names_in(folder)?
        .into_iter()
        .filter_map(|name| StartKey::try_from(name.into_string().ok()?).ok())
        .collect();
    keys.sort();
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use longhaul_core::CallbackToken;

    use super::*;

    fn key(token: &str) -> StartKey {
        CallbackToken::new(token).unwrap().start_key()
    }

    #[test]
    fn a_claim_is_held_by_one_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let job = Root::new(folder.path().to_owned()).job(key("a"));
        job.create().unwrap();
        let held = job.try_claim().unwrap();
        assert!(held.is_some());
        assert!(job.try_claim().unwrap().is_none());
        drop(held);
        assert!(job.try_claim().unwrap().is_some());
    }

    #[test]
    fn marks_of_one_execution_are_found_and_their_folder_goes_with_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().join("jobs"));
        let (one, other) = (ExecutionId::from_arn("1"), ExecutionId::from_arn("2"));
        assert!(root.marked(&one).unwrap().is_empty());
        root.mark(&one, &key("a")).unwrap();
        root.mark(&one, &key("b")).unwrap();
        root.mark(&other, &key("c")).unwrap();
        assert_eq!(root.marked(&one).unwrap().len(), 2);
        root.unmark(&one, &key("a"));
        assert_eq!(root.marked(&one).unwrap().len(), 1);
        root.unmark(&one, &key("b"));
        assert!(!root.execution(&one).exists());
        assert_eq!(root.marked(&other).unwrap().len(), 1);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let job = Root::new(folder.path().to_owned()).job(key("a"));
        job.create().unwrap();
        assert!(job.exit().unwrap().is_none());
        fs::write(job.path().join(EXIT), "").unwrap();
        assert!(job.exit().unwrap().is_none());
        fs::write(job.path().join(EXIT), "{}").unwrap();
        let error = job.exit().unwrap_err().to_string();
        assert!(
            error.contains("exit.json") && error.contains(job.key().as_str()),
            "{error}"
        );
    }
}
