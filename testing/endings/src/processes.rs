//! The processes that a test's service has started, by the folder that stands in their environment.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A process that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    of_a_job: bool,
}

impl Process {
    /// Whether it is a job's: its shim, its supervisor, its command or what that started.
    #[must_use]
    pub fn is_of_a_job(&self) -> bool {
        self.of_a_job
    }

    /// Kills it, if it is still the same.
    pub(crate) fn kill(&self) {
        if command(self.pid).as_ref() == Some(&self.command) {
            let _ = Command::new("kill")
                .args(["-KILL", &self.pid.to_string()])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// The processes of the service with its state folder under `folder`, of its functions and of its
/// jobs, without this one.
///
/// A function has the service's environment, and what belongs to a job has its start key.
pub(crate) fn of(folder: &Path) -> Vec<Process> {
    let state = folder.join("state");
    let services = [b"LONGHAUL_STATE=", state.as_os_str().as_bytes()].concat();
    let jobs = std::fs::read_dir(state.join("jobs"));
    let keys: Vec<Vec<u8>> = jobs
        .into_iter()
        .flatten()
        .flatten()
        .map(|job| [b"LONGHAUL_START_KEY=", job.file_name().as_bytes()].concat())
        .collect();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        // Whole variables are compared: that a process names the folder does not make it ours.
        let has = |wanted: &Vec<u8>| environment.split(|b| *b == 0).any(|one| one == wanted);
        let of_a_job = keys.iter().any(has);
        let ours = of_a_job || has(&services);
        (ours && pid != std::process::id() && is_alive(pid)).then_some(Process {
            pid,
            command: command(pid)?,
            of_a_job,
        })
    })
    .collect()
}

/// The command line, with spaces between its words.
fn command(pid: u32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&line).replace('\0', " "))
}

/// Whether it is there, and not only waiting to be reaped.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}
