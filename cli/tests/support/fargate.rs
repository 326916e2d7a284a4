//! Plays Fargate: starts what ECS has accepted as a container would be, from the overrides of the
//! task and nothing else that `longhaul run` knows.
#![allow(dead_code, reason = "each test program uses some of it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{LONGEST, World, is_alive, kill, wait_until};

/// What a task's overrides say of the worker's container.
#[derive(Debug, Clone, PartialEq)]
pub struct Overrides {
    pub command: Vec<String>,
    pub environment: BTreeMap<String, String>,
}

impl Overrides {
    /// Reads them from a task's `overrides`, as `RunTask` takes and `DescribeTasks` gives them.
    pub fn of_worker(overrides: &Value) -> Option<Self> {
        let mut containers = overrides["containerOverrides"].as_array()?.iter();
        let worker = containers.find(|container| container["name"] == "worker")?;
        let text = |value: &Value| Some(value.as_str()?.to_owned());
        let pairs = worker["environment"].as_array()?.iter();
        Some(Self {
            command: worker["command"]
                .as_array()?
                .iter()
                .filter_map(text)
                .collect(),
            environment: pairs
                .map(|pair| Some((text(&pair["name"])?, text(&pair["value"])?)))
                .collect::<Option<_>>()?,
        })
    }
}

/// Where the durable service of a run answers, which on AWS every SDK knows from the region.
pub fn service_url(world: &World, execution: &str) -> String {
    let file = world
        .state()
        .join("runs")
        .join(execution)
        .join("service.json");
    wait_until("the service has said where it is", || file.exists());
    let endpoint: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    endpoint["url"].as_str().unwrap().to_owned()
}

/// A container that runs: the supervisor, its command, and whatever that starts. When it is
/// dropped, nothing of it is left.
#[derive(Debug)]
pub struct Container {
    supervisor: Child,
    start_key: String,
}

impl Container {
    /// Starts the image whose entrypoint is the supervisor. Beside the overrides it gets what
    /// Fargate and the task definition give every container: a region, credentials, and the way to
    /// the Lambda API, which is at `service`.
    pub fn start(overrides: &Overrides, service: &str, folder: &Path) -> Self {
        let log = |name: &str| std::fs::File::create(folder.join(name)).unwrap();
        let supervisor = Command::new(env!("CARGO_BIN_EXE_longhaul"))
            .args(["worker", "run", "--"])
            .args(&overrides.command)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "of-the-task-role")
            .env("AWS_SECRET_ACCESS_KEY", "of-the-task-role")
            .env("AWS_ENDPOINT_URL_LAMBDA", service)
            .envs(&overrides.environment)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log("container.stdout"))
            .stderr(log("container.stderr"))
            .spawn()
            .unwrap();
        Self {
            supervisor,
            start_key: overrides.environment["LONGHAUL_START_KEY"].clone(),
        }
    }

    /// Waits until the supervisor has ended, and with it the container.
    pub fn wait(mut self) -> ExitStatus {
        let deadline = Instant::now() + LONGEST;
        let status = loop {
            if let Some(status) = self.supervisor.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the supervisor does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        self.remove();
        status
    }

    /// Ends it as `StopTask` does: SIGTERM, and SIGKILL for what is left.
    pub fn stop(self) -> ExitStatus {
        kill("TERM", self.supervisor.id());
        self.wait()
    }

    /// Ends it as the kernel does when memory runs out: SIGKILL for the supervisor, and with the
    /// first process of a container goes all of it.
    pub fn kill(mut self) {
        self.supervisor.kill().unwrap();
        self.supervisor.wait().unwrap();
        self.remove();
    }

    /// Every running process of the container.
    pub fn processes(&self) -> Vec<u32> {
        let mark = format!("LONGHAUL_START_KEY={}", self.start_key).into_bytes();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| is_alive(*pid))
            .filter(|pid| {
                let environment = std::fs::read(format!("/proc/{pid}/environ"));
                environment.is_ok_and(|all| all.split(|b| *b == 0).any(|one| one == mark))
            })
            .collect()
    }

    fn remove(&self) {
        let deadline = Instant::now() + LONGEST;
        // Twice in a row: in the middle of an exec a process shows no environment.
        let mut empty = 0;
        while empty < 2 {
            let left = self.processes();
            empty = if left.is_empty() { empty + 1 } else { 0 };
            for pid in left {
                // It may have gone by itself meanwhile.
                let _ = Command::new("kill")
                    .args(["-KILL", &pid.to_string()])
                    .stderr(Stdio::null())
                    .status();
            }
            assert!(Instant::now() < deadline, "the container does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
        self.remove();
    }
}
