//! What takes jobs from the folder and runs them, so many at once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longhaul_core::contract;
use rustix::process::{Pid, Signal, getpgid, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::queue::{End, Ticket, Why};
use crate::spool::{Spool, read, write};

/// How often the folder is looked at.
pub const INTERVAL: Duration = Duration::from_millis(50);

/// How jobs are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many at once.
    pub slots: usize,
    /// What stands before a job's command: the supervisor, as in `longhaul-worker run --`.
    pub worker: Vec<String>,
    /// How long a job that was told to end may take before it is killed.
    pub grace: Duration,
}

/// The daemon.
#[derive(Debug)]
pub struct Daemon {
    spool: Spool,
    settings: Settings,
    running: BTreeMap<String, Running>,
    _lock: File,
}

/// Who runs a job, as it is written down. A number alone may be another process's by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    pid: u32,
    /// When the process started, in the kernel's own count.
    since: u64,
}

/// A job that runs. It leads a process group.
#[derive(Debug)]
struct Running {
    taken: Taken,
    /// The process, unless an earlier daemon started it.
    child: Option<Child>,
    kill_at: Option<Instant>,
}

impl Daemon {
    /// The daemon of this queue. Jobs that an earlier one left running are watched on.
    ///
    /// # Errors
    ///
    /// When the queue has a daemon already, or cannot be read.
    pub fn new(spool: Spool, settings: Settings) -> io::Result<Self> {
        let lock = spool.lock()?;
        let mut running = BTreeMap::new();
        for ticket in spool.open_jobs()? {
            let Some(job) = spool.job(&ticket.key) else {
                continue;
            };
            let Some(taken) = read::<Option<Taken>>(&job.join("taken.json"))? else {
                continue;
            };
            // A daemon that ended between taking a job and writing its process down may have
            // started it. It is not to be started again.
            match taken.or_else(|| find(&ticket.key)) {
                Some(taken) => {
                    let left = Running {
                        taken,
                        child: None,
                        kill_at: None,
                    };
                    running.insert(ticket.key, left);
                }
                None => write(&job.join("end.json"), &End::of(Why::Unseen))?,
            }
        }
        Ok(Self {
            spool,
            settings,
            running,
            _lock: lock,
        })
    }

    /// Looks at the folder once: sees which jobs have ended, ends those that are told to, starts
    /// others in the slots that are free.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read or written.
    pub fn turn(&mut self) -> io::Result<()> {
        for ticket in self.spool.open_jobs()? {
            let Some(job) = self.spool.job(&ticket.key) else {
                continue;
            };
            let cancelled = read::<String>(&job.join("cancel"))?;
            if let Some(running) = self.running.get_mut(&ticket.key) {
                if let Some(end) = running.turn(cancelled, self.settings.grace)? {
                    self.running.remove(&ticket.key);
                    write(&job.join("end.json"), &end)?;
                }
            } else if let Some(reason) = cancelled {
                write(&job.join("end.json"), &End::of(Why::Cancelled(reason)))?;
            } else if self.running.len() < self.settings.slots {
                self.start(&ticket, &job)?;
            }
        }
        Ok(())
    }

    fn start(&mut self, ticket: &Ticket, job: &Path) -> io::Result<()> {
        // Before it is started: a daemon that dies in between must not make the next one start it
        // a second time.
        write(&job.join("taken.json"), &None::<Taken>)?;
        match self.spawn(ticket, job) {
            Ok(child) => {
                let pid = child.id();
                let since = started(pid).unwrap_or_default();
                let taken = Taken { pid, since };
                write(&job.join("taken.json"), &Some(&taken))?;
                let running = Running {
                    taken,
                    child: Some(child),
                    kill_at: None,
                };
                self.running.insert(ticket.key.clone(), running);
                Ok(())
            }
            Err(error) => write(
                &job.join("end.json"),
                &End::of(Why::NotStarted(error.to_string())),
            ),
        }
    }

    fn spawn(&self, ticket: &Ticket, job: &Path) -> io::Result<Child> {
        let mut words = self.settings.worker.iter().chain(&ticket.command);
        let program = words.next().ok_or(io::ErrorKind::InvalidInput)?;
        let own = ["PATH", "HOME", "LANG"].into_iter();
        Command::new(program)
            .args(words)
            .env_clear()
            .envs(own.filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(&ticket.environment)
            .current_dir(ticket.directory.as_deref().map_or(job, Path::new))
            .stdin(Stdio::null())
            .stdout(File::create(job.join("stdout.log"))?)
            .stderr(File::create(job.join("stderr.log"))?)
            .process_group(0)
            .spawn()
    }
}

impl Running {
    /// Looks at the job once. Returns how it ended, if it has.
    fn turn(&mut self, cancelled: Option<String>, grace: Duration) -> io::Result<Option<End>> {
        let ended = started(self.taken.pid) != Some(self.taken.since);
        if ended {
            let mut end = End::of(Why::Unseen);
            if let Some(child) = &mut self.child {
                // What it has left running ends with it. Before it is reaped: the number is its own
                // until then.
                signal(self.taken.pid, Signal::KILL);
                let status = child.wait()?;
                end = End {
                    why: Why::Itself,
                    exit_code: status.code(),
                    signal: status.signal(),
                };
            }
            if let Some(reason) = cancelled {
                end.why = Why::Cancelled(reason);
            }
            return Ok(Some(end));
        }
        match self.kill_at {
            None if cancelled.is_some() => {
                signal(self.taken.pid, Signal::TERM);
                self.kill_at = Instant::now().checked_add(grace);
            }
            Some(at) if Instant::now() >= at => signal(self.taken.pid, Signal::KILL),
            _ => {}
        }
        Ok(None)
    }
}

/// Sends a signal to all processes of a job. One that is gone needs none.
fn signal(job: u32, signal: Signal) {
    if let Some(group) = i32::try_from(job).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, signal);
    }
}

impl End {
    fn of(why: Why) -> Self {
        Self {
            why,
            exit_code: None,
            signal: None,
        }
    }
}

/// The process of a job, by its environment. It leads a process group, what it starts does not.
fn find(key: &str) -> Option<Taken> {
    let wanted = format!("{}={key}", contract::START_KEY);
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find_map(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let is_it = environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes());
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let leads = getpgid(raw).ok() == raw;
        let since = started(pid)?;
        (is_it && leads).then_some(Taken { pid, since })
    })
}

/// When a process started, in ticks since the machine did; `None` if it has ended
/// (proc_pid_stat(5), fields 3 and 22).
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit(") ").next()?.split(' ');
    let state = fields.next()?;
    (!matches!(state, "Z" | "X"))
        .then(|| fields.nth(18)?.parse().ok())
        .flatten()
}
