//! A job's directory: what lies where, and how it is written so that nobody reads half of it.
//!
//! ```text
//! DIRECTORY/                                  0700
//!   <start key>/                              0700, made by the starter
//!     job.jsonl                               the journal: what runs, who runs it, how it ended; locked by the shim for its life
//!     cancel.json                             somebody wants it to end
//!     stdout.log                              0600, the worker's
//!     stderr.log                              the worker's, and what the shim had to say, usually nothing
//!   executions/<execution id>/<start key>     marks the jobs that may still run: another name of the journal
//! ```
//!
//! Few files, because on some disks making one costs more than what is written into it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use longhaul_core::{ExecutionId, StartKey};

use crate::journal::{Claim, Entry, Journal, Sync};
use crate::record::{Cancel, Exit, Time};
use crate::tail::tail;

const JOURNAL: &str = "job.jsonl";
const CANCEL: &str = "cancel.json";
const STDOUT: &str = "stdout.log";
const STDERR: &str = "stderr.log";
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

    /// Marks `job` as one of `execution` that may run.
    pub(crate) fn mark(&self, execution: &ExecutionId, job: &JobDirectory) -> io::Result<()> {
        let folder = self.execution(execution);
        let mark = folder.join(job.key.as_str());
        // A shim that ends removes the folder when it is empty, maybe just now.
        for _ in 0..100 {
            make_private_folders(&folder)?;
            let made = match fs::hard_link(job.journal_path(), &mark) {
                // Not every file system has hard links.
                Err(error)
                    if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) =>
                {
                    create_private(&mark).map(drop)
                }
                other => other,
            };
            match made {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
                other => return other,
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

    /// Makes the directory, with an empty journal; that they are there already is fine.
    pub(crate) fn create(&self) -> io::Result<()> {
        make_private_folders(self.root.path())?;
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            other => other?,
        }
        create_private(&self.journal_path()).map(drop)
    }

    pub(crate) fn open_stdout(&self) -> io::Result<File> {
        create_private(&self.stdout())
    }

    pub(crate) fn open_stderr(&self) -> io::Result<File> {
        create_private(&self.stderr())
    }

    /// The end of what the worker, and its shim, wrote to standard error, at most `len` bytes of it.
    pub(crate) fn stderr_tail(&self, len: u64) -> Option<String> {
        tail(&self.stderr(), len)
    }

    fn journal_path(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// What is written down of the job by now.
    pub(crate) fn journal(&self) -> io::Result<Journal> {
        Journal::read(&self.journal_path()).map_err(|error| self.unreadable(JOURNAL, error))
    }

    /// Takes the claim if nobody holds it.
    pub(crate) fn try_claim(&self) -> io::Result<Option<Claim>> {
        Claim::take(&self.journal_path()).map_err(|error| self.unreadable(JOURNAL, error))
    }

    pub(crate) fn cancel(&self) -> io::Result<Option<Cancel>> {
        let text = match fs::read(self.path.join(CANCEL)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if text.is_empty() {
            // What a power failure leaves of a record that was not yet on disk.
            return Ok(None);
        }
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| self.unreadable(CANCEL, error.into()))
    }

    /// Writes down that the job is to end, unless that is written down already. The file appears whole, and readable by its owner
    /// only (the mode of a temporary file of the `tempfile` crate is 0600).
    pub(crate) fn request_cancel(&self, reason: &str) -> io::Result<()> {
        if self.cancel()?.is_some() {
            return Ok(());
        }
        let cancel = Cancel {
            reason: reason.to_owned(),
            at: Time::now(),
        };
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.path)?;
        file.write_all(&serde_json::to_vec(&cancel)?)?;
        file.as_file().sync_data()?;
        file.persist(self.path.join(CANCEL))?;
        Ok(())
    }

    /// Writes the last word about the job, and takes its mark away.
    pub(crate) fn end(&self, claim: &mut Claim, exit: Exit) -> io::Result<()> {
        claim.add([Entry::Exit(exit)], Sync::Yes)?;
        if let Some(spec) = &claim.journal().spec {
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

    fn unreadable(&self, name: &str, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{name} of job {}: {error}", self.key))
    }
}

fn make_private_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
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
    fn marks_of_one_execution_are_found_and_their_folder_goes_with_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().join("jobs"));
        let (one, other) = (ExecutionId::from_arn("1"), ExecutionId::from_arn("2"));
        assert!(root.marked(&one).unwrap().is_empty());
        let mark = |execution: &ExecutionId, token: &str| {
            let job = root.job(key(token));
            job.create().unwrap();
            root.mark(execution, &job).unwrap();
        };
        mark(&one, "a");
        mark(&one, "a");
        mark(&one, "b");
        mark(&other, "c");
        assert_eq!(root.marked(&one).unwrap().len(), 2);
        root.unmark(&one, &key("a"));
        assert_eq!(root.marked(&one).unwrap().len(), 1);
        root.unmark(&one, &key("b"));
        assert!(!root.execution(&one).exists());
        assert_eq!(root.marked(&other).unwrap().len(), 1);
    }

    #[test]
    fn where_there_are_no_hard_links_a_mark_is_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_owned());
        let (execution, job) = (ExecutionId::from_arn("1"), root.job(key("a")));
        // A folder has no second name on any file system.
        fs::create_dir_all(job.journal_path()).unwrap();
        root.mark(&execution, &job).unwrap();
        root.mark(&execution, &job).unwrap();
        assert_eq!(root.marked(&execution).unwrap().len(), 1);
        root.unmark(&execution, job.key());
        assert!(root.marked(&execution).unwrap().is_empty());
    }

    #[test]
    fn a_record_that_cannot_be_read_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let job = Root::new(folder.path().to_owned()).job(key("a"));
        job.create().unwrap();
        assert!(!job.journal().unwrap().is_decided());
        assert!(job.cancel().unwrap().is_none());
        fs::write(job.path().join(CANCEL), "").unwrap();
        assert!(job.cancel().unwrap().is_none());
        fs::write(job.path().join(CANCEL), "{}").unwrap();
        fs::write(job.journal_path(), "{}\n").unwrap();
        for (name, error) in [
            (CANCEL, job.cancel().err().unwrap()),
            (JOURNAL, job.journal().err().unwrap()),
        ] {
            let error = error.to_string();
            assert!(
                error.contains(name) && error.contains(job.key().as_str()),
                "{error}"
            );
        }
    }
}
