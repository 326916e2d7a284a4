//! The service as a process of its own, to be killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::example;

/// A running `durable-service`.
pub(crate) struct ServiceProcess {
    child: Child,
    pub(crate) url: String,
}

impl ServiceProcess {
    /// Starts it on `state` with the function `job`; `last_commit` is the durable write after which it kills itself.
    ///
    /// `None` when it died before it was up, which only a service with a last commit may.
    pub(crate) fn try_start(state: &Path, last_commit: Option<u64>) -> Option<Self> {
        let function = example("durable-function");
        let mut command = Command::new(example("durable-service"));
        command
            .arg(state)
            .arg(format!("job={}", function.display()))
            .arg(format!("other={}", function.display()));
        command.stdout(Stdio::piped());
        if let Some(last) = last_commit {
            command
                .env("DIE_AFTER_COMMIT", last.to_string())
                .stderr(Stdio::null());
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        if line.is_empty() {
            let status = child.wait().unwrap();
            assert!(last_commit.is_some(), "the service did not start: {status}");
            return None;
        }
        Some(Self {
            child,
            url: line.trim().to_owned(),
        })
    }

    pub(crate) fn start(state: &Path) -> Self {
        Self::try_start(state, None).unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with SIGKILL, as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// True once it has ended by itself.
    pub(crate) fn is_dead(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for ServiceProcess {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
