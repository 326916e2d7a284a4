//! The processes of this machine: who is alive, who descends from whom, and signals that never
//! reach a recycled pid.

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

#[cfg(target_os = "linux")]
pub(crate) use linux::{carrying, descendants};
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{carrying, descendants};

/// One process for all time: a pid alone may be somebody else's tomorrow.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The id of the boot (`/proc/sys/kernel/random/boot_id`).
    boot: String,
    pid: u32,
    /// When the process started, in clock ticks since the boot (`/proc/PID/stat`, field 22).
    started: u64,
}

impl Identity {
    /// The process that has `pid` now, dead but not yet waited for included; `None` if there is
    /// none.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let started = system::start_time(pid)?;
        Some(Self {
            boot: system::boot_id().to_owned(),
            pid,
            started,
        })
    }

    /// The caller's own process.
    pub(crate) fn of_self() -> Option<Self> {
        Self::of(std::process::id())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the process was started since the machine last booted.
    pub(crate) fn is_of_this_boot(&self) -> bool {
        self.boot == system::boot_id()
    }

    /// Whether the process still runs. One that is dead and not yet waited for does not.
    pub(crate) fn is_alive(&self) -> bool {
        self.is_of_this_boot() && system::running_since(self.pid) == Some(self.started)
    }

    /// Sends `signal` if the process still runs; says whether it was sent.
    ///
    /// The process is first held by a pidfd, then its start time is checked, then the signal
    /// goes through the pidfd: between the check and the signal the pid cannot change owners.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<bool> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(false);
        };
        let sent = self.send(pid, signal);
        match sent {
            Err(Errno::SRCH) => Ok(false),
            other => Ok(other?),
        }
    }

    #[cfg(target_os = "linux")]
    fn send(&self, pid: Pid, signal: Signal) -> Result<bool, Errno> {
        use rustix::process::{PidfdFlags, kill_process, pidfd_open, pidfd_send_signal};

        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(held) => {
                if !self.is_alive() {
                    return Ok(false);
                }
                match pidfd_send_signal(&held, signal) {
                    Err(Errno::NOSYS) => kill_process(pid, signal)?,
                    other => other?,
                }
                Ok(true)
            }
            // Kernels before 5.3 and some sandboxes have no pidfds.
            Err(Errno::NOSYS | Errno::PERM) if self.is_alive() => {
                kill_process(pid, signal).map(|()| true)
            }
            // Among others INVAL: the pid is a thread's now.
            Err(_) if !self.is_alive() => Ok(false),
            Err(error) => Err(error),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn send(&self, pid: Pid, signal: Signal) -> Result<bool, Errno> {
        if !self.is_alive() {
            return Ok(false);
        }
        rustix::process::kill_process(pid, signal).map(|()| true)
    }
}

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::fs;
    use std::sync::OnceLock;
    use std::time::Duration;

    use super::Identity;

    /// What `/proc/PID/stat` says.
    struct Stat {
        state: u8,
        parent: u32,
        flags: u32,
        started: u64,
    }

    /// In [`Stat::flags`]: a thread of the kernel (`PF_KTHREAD` in the kernel's `sched.h`).
    const KERNEL_THREAD: u32 = 0x0020_0000;

    impl Stat {
        fn read(pid: u32) -> Option<Self> {
            Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
        }

        /// The program's name, field 2, may hold spaces and brackets: the fields after it begin
        /// behind the last closing bracket.
        fn parse(line: &[u8]) -> Option<Self> {
            let name_ends = line.iter().rposition(|&b| b == b')')?;
            let mut fields = std::str::from_utf8(line.get(name_ends + 1..)?)
                .ok()?
                .split_ascii_whitespace();
            let state = *fields.next()?.as_bytes().first()?;
            let parent = fields.next()?.parse().ok()?;
            let flags = fields.nth(4)?.parse().ok()?;
            let started = fields.nth(12)?.parse().ok()?;
            Some(Self {
                state,
                parent,
                flags,
                started,
            })
        }

        fn is_running(&self) -> bool {
            !matches!(self.state, b'Z' | b'X' | b'x')
        }
    }

    pub(super) fn boot_id() -> &'static str {
        static BOOT: OnceLock<String> = OnceLock::new();
        BOOT.get_or_init(|| {
            fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .map(|text| text.trim().to_owned())
                .unwrap_or_default()
        })
    }

    pub(super) fn start_time(pid: u32) -> Option<u64> {
        Stat::read(pid).map(|stat| stat.started)
    }

    pub(super) fn running_since(pid: u32) -> Option<u64> {
        Stat::read(pid)
            .filter(Stat::is_running)
            .map(|stat| stat.started)
    }

    fn pids() -> Vec<u32> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// The processes that run below `root`, itself not included.
    pub(crate) fn descendants(root: u32) -> Vec<Identity> {
        let mut children: HashMap<u32, Vec<(u32, Stat)>> = HashMap::new();
        for pid in pids() {
            if let Some(stat) = Stat::read(pid) {
                children.entry(stat.parent).or_default().push((pid, stat));
            }
        }
        let mut found = Vec::new();
        let mut parents = vec![root];
        while let Some(parent) = parents.pop() {
            for (pid, stat) in children.remove(&parent).unwrap_or_default() {
                parents.push(pid);
                if stat.is_running() {
                    found.push(identity(pid, &stat));
                }
            }
        }
        found
    }

    /// The processes that were given the variable `name` with this value, the caller's not
    /// included.
    pub(crate) fn carrying(name: &str, value: &str) -> Vec<Identity> {
        let wanted = format!("{name}={value}");
        let own = std::process::id();
        pids()
            .into_iter()
            .filter(|pid| *pid != own)
            .filter_map(|pid| {
                // Taken before the environment is read, so that it is not a successor's.
                let stat = Stat::read(pid).filter(Stat::is_running)?;
                environment(pid, &stat)?
                    .split(|&b| b == 0)
                    .any(|variable| variable == wanted.as_bytes())
                    .then_some(identity(pid, &stat))
            })
            .filter(Identity::is_alive)
            .collect()
    }

    /// The variables that a process was given, each with a NUL behind it; `None` where they
    /// cannot be read.
    ///
    /// In the middle of an exec they are missing for some microseconds, and a process that is
    /// overlooked because of that may be left behind: what is empty is read again.
    fn environment(pid: u32, stat: &Stat) -> Option<Vec<u8>> {
        if stat.flags & KERNEL_THREAD != 0 {
            return None;
        }
        for _ in 0..5 {
            let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
            if !environment.is_empty() {
                return Some(environment);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    fn identity(pid: u32, stat: &Stat) -> Identity {
        Identity {
            boot: boot_id().to_owned(),
            pid,
            started: stat.started,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_program_name_with_brackets_and_spaces_does_not_shift_the_fields() {
            let line = b"7 (a) S 1 (b) R 42 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 10 11";
            let stat = Stat::parse(line).unwrap();
            assert_eq!((stat.state, stat.parent), (b'R', 42));
            assert_eq!((stat.flags, stat.started), (4_194_560, 98765));
            assert!(Stat::parse(b"7 (a) S 1").is_none());
            assert!(Stat::parse(b"").is_none());
        }
    }
}

/// Without `/proc`, a pid is all there is: good enough to work with, not to rely on.
#[cfg(not(target_os = "linux"))]
mod other {
    use rustix::process::{Pid, test_kill_process};

    use super::Identity;

    pub(super) fn boot_id() -> &'static str {
        ""
    }

    pub(super) fn start_time(pid: u32) -> Option<u64> {
        running_since(pid)
    }

    pub(super) fn running_since(pid: u32) -> Option<u64> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
        test_kill_process(pid).ok().map(|()| 0)
    }

    pub(crate) fn descendants(_root: u32) -> Vec<Identity> {
        Vec::new()
    }

    pub(crate) fn carrying(_name: &str, _value: &str) -> Vec<Identity> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// A process that is ended with its test.
    struct Sleeper(Child);

    impl Sleeper {
        fn new(name: &str, value: &str) -> Self {
            let child = Command::new("sleep").arg("60").env(name, value).spawn();
            Self(child.unwrap())
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_process_is_not_its_pids_next_owner() {
        let me = Identity::of_self().unwrap();
        assert!(me.is_alive());
        let before = Identity {
            started: me.started - 1,
            ..me.clone()
        };
        let other_boot = Identity {
            boot: "another".into(),
            ..me
        };
        for gone in [before, other_boot] {
            assert!(!gone.is_alive());
            // This would end the test.
            assert!(!gone.signal(Signal::KILL).unwrap());
        }
    }

    #[test]
    fn a_process_that_nobody_has_waited_for_is_known_and_not_alive() {
        let mut child = Sleeper::new("LONGHAUL_ZOMBIE", "soon");
        let identity = Identity::of(child.0.id()).unwrap();
        assert!(identity.is_alive());
        assert!(descendants(std::process::id()).contains(&identity));
        assert!(identity.signal(Signal::KILL).unwrap());
        while identity.is_alive() {
            std::thread::yield_now();
        }
        assert_eq!(Identity::of(child.0.id()), Some(identity.clone()));
        child.0.wait().unwrap();
        assert_ne!(Identity::of(identity.pid()), Some(identity.clone()));
        assert!(!identity.signal(Signal::KILL).unwrap());
    }

    #[test]
    fn processes_are_found_by_a_variable_that_they_carry() {
        let value = format!("value of {}", std::process::id());
        let child = Sleeper::new("LONGHAUL_CARRIED", &value);
        let found = carrying("LONGHAUL_CARRIED", &value);
        let pids: Vec<u32> = found.iter().map(Identity::pid).collect();
        assert_eq!(pids, [child.0.id()]);
        assert!(carrying("LONGHAUL_CARRIED", "value of nobody").is_empty());
    }
}
