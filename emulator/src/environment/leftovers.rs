//! Processes of a service that was killed: written down while they run, and ended at the next start.
//!
//! A process group dies with its environment, and environments die with the service, unless the service is ended by SIGKILL.
//! A handler that survives it could still act on the world while its invocation is done again.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process_group};

/// The folder with one file for each process that runs: its name is the process id, its content what tells the process from
/// a later one with the same number.
#[derive(Debug, Clone)]
pub(crate) struct Leftovers {
    folder: PathBuf,
}

/// A process that is written down until this is dropped.
#[derive(Debug)]
pub(super) struct Noted {
    file: PathBuf,
}

impl Drop for Noted {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.file) {
            tracing::debug!(%error, "a note of an ended process could not be removed");
        }
    }
}

impl Leftovers {
    /// Ends what an earlier service left running, and makes the folder for this one's notes.
    pub(crate) fn clear(folder: &Path) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let id: Option<u32> = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.parse().ok());
            let noted = fs::read_to_string(&path).unwrap_or_default();
            if let Some(id) = id
                && !noted.is_empty()
                && identity(id).is_some_and(|now| now == noted)
                && let Some(group) = i32::try_from(id).ok().and_then(Pid::from_raw)
            {
                tracing::info!(
                    pid = id,
                    "ending a function process that an earlier service left running"
                );
                if let Err(error) = kill_process_group(group, Signal::KILL) {
                    tracing::debug!(%error, "it had ended already");
                }
            }
            fs::remove_file(&path)?;
        }
        Ok(Self {
            folder: folder.to_path_buf(),
        })
    }

    /// Writes a process down. Without a note it is only not found after a crash, so nothing fails for the lack of one.
    pub(super) fn note(&self, id: u32) -> Option<Noted> {
        let file = self.folder.join(id.to_string());
        match fs::write(&file, identity(id)?) {
            Ok(()) => Some(Noted { file }),
            Err(error) => {
                tracing::debug!(%error, "a function process could not be written down");
                None
            }
        }
    }
}

/// What tells a process from a later one with the same number: when it started, in ticks since boot, and which boot.
fn identity(id: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in brackets, may contain anything; the fields after it are plain. The start time is the 22nd of all.
    let start = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.to_owned();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some(format!("{start} {}", boot.trim()))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep")
            .arg("600")
            .process_group(0)
            .spawn()
            .unwrap()
    }

    #[test]
    fn a_process_of_a_killed_service_is_ended_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Leftovers::clear(folder.path()).unwrap();
        let mut child = sleeper();
        // As SIGKILL would: the note is never taken back.
        std::mem::forget(notes.note(child.id()).unwrap());
        Leftovers::clear(folder.path()).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn another_process_with_the_same_number_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Leftovers::clear(folder.path()).unwrap();
        let mut child = sleeper();
        std::mem::forget(notes.note(child.id()).unwrap());
        fs::write(folder.path().join(child.id().to_string()), "1 another-boot").unwrap();
        fs::write(folder.path().join("not-a-number"), "x").unwrap();
        Leftovers::clear(folder.path()).unwrap();
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_note_of_a_process_that_ended_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Leftovers::clear(folder.path()).unwrap();
        let mut child = sleeper();
        let note = notes.note(child.id()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(note);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
