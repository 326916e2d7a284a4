//! What the tests of the command share: a private state folder, and a running `longhaul`.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, each test uses some"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Nothing that is awaited takes longer on any machine; what does is a failure.
pub const LONGEST: Duration = Duration::from_secs(60);

/// A state folder of its own, and the jobs in it.
pub struct World {
    dir: TempDir,
}

impl World {
    pub fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
        }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command
            .args(words)
            .env("LONGHAUL_STATE", self.state())
            .env_remove("LONGHAUL_LOG")
            .env_remove("LONGHAUL_PAYLOAD_STORE")
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `longhaul run WORDS` to its end.
    pub fn run(&self, words: &[&str]) -> Finished {
        self.start(words).finish()
    }

    /// Starts `longhaul run --json WORDS`.
    pub fn start(&self, words: &[&str]) -> Running {
        self.start_with(words, &[])
    }

    /// Starts `longhaul run --json WORDS` with more variables.
    pub fn start_with(&self, words: &[&str], variables: &[(&str, String)]) -> Running {
        let mut all = vec!["run", "--json"];
        all.extend(words);
        let mut command = self.command(&all);
        for (name, value) in variables {
            command.env(name, value);
        }
        Running::new(command.spawn().unwrap())
    }
}

/// A `longhaul run --json` under way.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    pub seen: Vec<Value>,
    pub plain: Vec<String>,
    stdout: Option<JoinHandle<String>>,
}

/// One that ended.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub events: Vec<Value>,
    /// Lines of standard error that are no events.
    pub plain: String,
}

impl Running {
    fn new(mut child: Child) -> Self {
        let mut stdout = child.stdout.take().unwrap();
        // At once: a large result fills the pipe, and the command would wait for a reader.
        let stdout = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        let stderr = child.stderr.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
            plain: Vec::new(),
            stdout: Some(stdout),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn take(&mut self, line: String) {
        match serde_json::from_str::<Value>(&line) {
            Ok(event) if event.get("event").is_some() => self.seen.push(event),
            _ => self.plain.push(line),
        }
    }

    /// Waits for the first event for which `wanted` is true, among those that came already too.
    pub fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(event) = self.seen.iter().find(|event| wanted(event)) {
            return event.clone();
        }
        let deadline = Instant::now() + LONGEST;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let known = self.seen.len();
                    self.take(line);
                    if let Some(event) = self.seen.get(known)
                        && wanted(event)
                    {
                        return event.clone();
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("it did not happen: {:#?} {:#?}", self.seen, self.plain)
                }
            }
        }
    }

    /// Waits for the event of this name.
    pub fn event(&mut self, name: &str) -> Value {
        self.wait_for(|event| event["event"] == name)
    }

    /// Waits for a line of the job's output that starts with `prefix`; returns what follows it.
    pub fn output(&mut self, prefix: &str) -> String {
        let event = self.wait_for(|event| {
            event["event"] == "output" && event["line"].as_str().unwrap().starts_with(prefix)
        });
        event["line"].as_str().unwrap()[prefix.len()..].to_owned()
    }

    pub fn signal(&self, signal: &str) {
        kill(signal, self.pid());
    }

    pub fn finish(mut self) -> Finished {
        // Standard error ends when the last process that holds it does, so read it to its end. From line to line: a run
        // of a thousand jobs takes as long as the machine is busy.
        loop {
            match self.lines.recv_timeout(LONGEST) {
                Ok(line) => self.take(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it neither ended nor said anything: {:#?}", self.seen)
                }
            }
        }
        Finished {
            status: self.child.wait().unwrap(),
            stdout: self.stdout.take().unwrap().join().unwrap(),
            events: std::mem::take(&mut self.seen),
            plain: self.plain.join("\n"),
        }
    }

    /// Kills it with SIGKILL and waits for it, not for what it started.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Finished {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The result on standard output.
    #[track_caller]
    pub fn result(&self) -> Value {
        assert_eq!(self.code(), Some(0), "{self:#?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The event that says why there is no result.
    #[track_caller]
    pub fn failure(&self) -> &Value {
        assert_eq!(self.code(), Some(1), "{self:#?}");
        assert_eq!(self.stdout, "");
        self.events
            .iter()
            .find(|event| event["event"] == "failed")
            .unwrap_or_else(|| panic!("no failure: {self:#?}"))
    }
}

/// Sends a signal by name.
pub fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "kill -{signal} {pid}");
}

/// Whether the process is there, and not only waiting to be reaped.
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state != Some('Z')
}

/// Waits until the process is gone.
#[track_caller]
pub fn wait_gone(pid: u32) {
    wait_until(&format!("process {pid} is gone"), || !is_alive(pid));
}

/// Waits until `condition` holds.
#[track_caller]
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LONGEST;
    while !condition() {
        assert!(Instant::now() < deadline, "it never came true that {what}");
        std::thread::yield_now();
        std::thread::sleep(Duration::from_millis(10));
    }
}
