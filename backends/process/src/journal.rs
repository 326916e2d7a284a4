//! A job's journal: what is known of the job, in one file that only grows, a line of JSON for each entry.
//!
//! Only who holds the file's lock adds to it: the job's shim, or a cancel where there is no shim. Anybody reads it at any time: an
//! entry counts once its line is whole, so nobody takes half of one for a whole.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::processes::Identity;
use crate::record::{Exit, Spec, Worker};

/// One thing that became known.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// What is run.
    Spec(Spec),
    /// This shim has taken the job.
    Shim(Identity),
    /// The shim has given the job back, as if none had ever taken it.
    Released,
    /// The shim has started the worker.
    Worker(Worker),
    /// The last word.
    Exit(Exit),
}

/// Whether an entry must survive a power failure. What describes running processes need not:
/// they do not survive it either.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sync {
    Yes,
    No,
}

/// All entries together.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) spec: Option<Spec>,
    pub(crate) shim: Option<Identity>,
    pub(crate) worker: Option<Worker>,
    pub(crate) exit: Option<Exit>,
}

impl Journal {
    /// What is written down by now; nothing where there is no file.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        match std::fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            text => Self::parse(&text?).map(|(journal, _)| journal),
        }
    }

    /// The entries in `text`, and how many bytes of it are whole lines. What follows the last line feed is an entry that is being
    /// written, or what a full disk or a power failure left of one.
    fn parse(text: &[u8]) -> io::Result<(Self, usize)> {
        let whole = text
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        let mut journal = Self::default();
        let lines = text.get(..whole).unwrap_or_default();
        for (number, line) in lines.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let entry = serde_json::from_slice(line).map_err(|error| {
                let message = format!("line {} cannot be read: {error}", number + 1);
                io::Error::new(ErrorKind::InvalidData, message)
            })?;
            journal.add(entry);
        }
        Ok((journal, whole))
    }

    fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Spec(spec) => self.spec = Some(spec),
            Entry::Shim(shim) => self.shim = Some(shim),
            Entry::Released => (self.shim, self.worker) = (None, None),
            Entry::Worker(worker) => self.worker = Some(worker),
            Entry::Exit(exit) => self.exit = Some(exit),
        }
    }

    /// Whether some shim has taken the job, or it is over.
    pub(crate) fn is_decided(&self) -> bool {
        self.shim.is_some() || self.exit.is_some()
    }
}

/// The right to decide about a job and to write it down, held until it is dropped.
pub(crate) struct Claim {
    file: File,
    /// How long the file is.
    len: u64,
    journal: Journal,
}

impl Claim {
    /// Takes the claim if nobody holds it. Holding it decides nothing yet: look at the
    /// [`journal`](Self::journal) first.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let (journal, whole) = Journal::parse(&text)?;
        let claim = Self {
            file,
            len: whole as u64,
            journal,
        };
        if whole < text.len() {
            claim.cut()?;
        }
        Ok(Some(claim))
    }

    /// What was written down before this claim, and with it.
    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Writes the entries down: all of them or, with an error, none.
    pub(crate) fn add(
        &mut self,
        entries: impl IntoIterator<Item = Entry>,
        sync: Sync,
    ) -> io::Result<()> {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let mut text = Vec::new();
        for entry in &entries {
            serde_json::to_writer(&mut text, entry)?;
            text.push(b'\n');
        }
        let written = self.file.write_all(&text).and_then(|()| match sync {
            Sync::Yes => self.file.sync_data(),
            Sync::No => Ok(()),
        });
        if let Err(error) = written {
            // Should this fail too, what is left is either whole lines or the end of none.
            let _ = self.cut();
            return Err(error);
        }
        self.len += text.len() as u64;
        for entry in entries {
            self.journal.add(entry);
        }
        Ok(())
    }

    /// Takes away what is behind the last entry.
    fn cut(&self) -> io::Result<()> {
        self.file.set_len(self.len)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Closing would do, but for a child that is just being started and still has a copy.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::record::End;

    fn exit(code: i32) -> Entry {
        Entry::Exit(Exit::new(End::Exited(code)))
    }

    fn code(journal: &Journal) -> Option<i32> {
        match journal.exit.as_ref()?.end {
            End::Exited(code) => Some(code),
            _ => None,
        }
    }

    #[test]
    fn a_claim_is_held_by_one_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let held = Claim::take(&path).unwrap();
        assert!(held.is_some());
        assert!(Claim::take(&path).unwrap().is_none());
        drop(held);
        assert!(Claim::take(&path).unwrap().is_some());
    }

    #[test]
    fn what_is_added_is_read_by_anybody_and_by_the_next_claim() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        assert!(!Journal::read(&path).unwrap().is_decided());
        let mut claim = Claim::take(&path).unwrap().unwrap();
        let shim = Identity::of_self().unwrap();
        claim.add([Entry::Shim(shim.clone())], Sync::Yes).unwrap();
        assert_eq!(Journal::read(&path).unwrap().shim, Some(shim));
        claim.add([Entry::Released], Sync::No).unwrap();
        assert!(!claim.journal().is_decided());
        assert!(!Journal::read(&path).unwrap().is_decided());
        claim.add([exit(3)], Sync::No).unwrap();
        drop(claim);
        let claim = Claim::take(&path).unwrap().unwrap();
        assert_eq!(code(claim.journal()), Some(3));
    }

    #[test]
    fn half_an_entry_is_none_and_the_next_claim_takes_it_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut claim = Claim::take(&path).unwrap().unwrap();
        claim.add([exit(3)], Sync::No).unwrap();
        drop(claim);
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(Journal::read(&path).unwrap().exit.is_none(), "{cut}");
            let mut claim = Claim::take(&path).unwrap().unwrap();
            claim.add([exit(4)], Sync::No).unwrap();
            assert_eq!(code(&Journal::read(&path).unwrap()), Some(4), "{cut}");
        }
        // As a power failure can leave the end of a file.
        fs::write(&path, [&whole[..], &[0; 100]].concat()).unwrap();
        assert_eq!(code(&Journal::read(&path).unwrap()), Some(3));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        fs::write(&path, "\"released\"\nnot an entry\n").unwrap();
        let error = Journal::read(&path).err().unwrap().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert!(Claim::take(&path).is_err());
        assert!(fs::read_to_string(&path).unwrap().contains("not an entry"));
    }
}
