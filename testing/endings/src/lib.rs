//! A `longhaul serve` with a state folder of its own, for tests of functions that run in it.
//!
//! It is the program that `cargo build` leaves beside the tests, and plain HTTP is spoken with it,
//! so that a test links nothing of Longhaul.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests"
)]

mod processes;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub use processes::Process;

/// Nothing that is awaited takes longer on any machine; what does is a failure.
pub const LONGEST: Duration = Duration::from_secs(60);

/// A `longhaul serve` that is up. When it is dropped, everything that it started is killed.
#[derive(Debug)]
pub struct Served {
    child: Child,
    dir: TempDir,
    url: String,
}

impl Served {
    /// Starts `longhaul serve WORDS` and waits until it can be found.
    #[track_caller]
    #[must_use]
    pub fn start(words: &[&str]) -> Self {
        Self::start_with(words, &[])
    }

    /// The same with more variables, which its functions get as well.
    #[track_caller]
    #[must_use]
    pub fn start_with(words: &[&str], variables: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        let child = Command::new(longhaul())
            .arg("serve")
            .args(words)
            .env("LONGHAUL_STATE", dir.path().join("state"))
            .env_remove("LONGHAUL_LOG")
            .env_remove("LONGHAUL_PAYLOAD_STORE")
            .envs(variables.iter().copied())
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut served = Self {
            child,
            dir,
            url: String::new(),
        };
        let file = served.path().join("state/service.json");
        let pid = served.child.id();
        served.url = wait_for("longhaul serve is up", || {
            let found: Value = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
            let url = found["url"].as_str()?.to_owned();
            (found["pid"] == pid).then_some(url)
        });
        served
    }

    /// A folder for the test's own files. Jobs run in it.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Starts an execution of a function and returns its ARN.
    #[track_caller]
    #[must_use]
    pub fn invoke(&self, function: &str, event: &Value) -> String {
        let path = format!("/2015-03-31/functions/{function}/invocations?Qualifier=%24LATEST");
        let headers = "x-amz-invocation-type: Event\r\n";
        let (head, body) = self.request("POST", &path, headers, &event.to_string());
        let arn = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            (name.eq_ignore_ascii_case("x-amz-durable-execution-arn")).then(|| value.to_owned())
        });
        arn.unwrap_or_else(|| panic!("{head}\n{body}"))
    }

    /// What `GetDurableExecution` says once the execution is over.
    #[track_caller]
    #[must_use]
    pub fn wait_closed(&self, arn: &str) -> Value {
        wait_for("the execution is over", || {
            let execution = self.ask(&format!("/2025-12-01/durable-executions/{}", segment(arn)));
            (execution["Status"] != "RUNNING").then_some(execution)
        })
    }

    /// The execution's events, oldest first.
    #[track_caller]
    #[must_use]
    pub fn history(&self, arn: &str) -> Vec<Value> {
        let path = format!(
            "/2025-12-01/durable-executions/{}/history?MaxItems=1000",
            segment(arn)
        );
        let history = self.ask(&path);
        assert_eq!(history["NextMarker"], Value::Null, "more than one page");
        history["Events"].as_array().unwrap().clone()
    }

    /// Stops the execution.
    #[track_caller]
    pub fn stop(&self, arn: &str) {
        let path = format!("/2025-12-01/durable-executions/{}/stop", segment(arn));
        let (head, body) = self.request("POST", &path, "", "{}");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{body}");
    }

    /// What runs of the jobs that were started here: shims, supervisors, commands and what those
    /// started.
    #[must_use]
    pub fn jobs(&self) -> Vec<Process> {
        let mut jobs = processes::of(self.path());
        jobs.retain(Process::is_of_a_job);
        jobs
    }

    /// Waits until nothing of any job runs.
    #[track_caller]
    pub fn wait_for_no_jobs(&self) {
        let deadline = Instant::now() + LONGEST;
        loop {
            let left = self.jobs();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left running: {left:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the service, and waits until nothing at all is left of what was started here.
    #[track_caller]
    pub fn end(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
        assert!(self.child.wait().unwrap().success());
        let deadline = Instant::now() + LONGEST;
        loop {
            let left = processes::of(self.path());
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left running: {left:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn ask(&self, path: &str) -> Value {
        let (head, body) = self.request("GET", path, "", "");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Sends a request and returns the answer's head and body.
    fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> (String, String) {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        stream.write_all((head + body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A test that failed may have left jobs.
        for process in processes::of(self.path()) {
            process.kill();
        }
    }
}

/// Waits until there is something.
#[track_caller]
pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONGEST;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "it never came true that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The `longhaul` of this build: beside the `deps` folder that the test is in.
#[track_caller]
#[must_use]
pub fn longhaul() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("longhaul");
    assert!(
        program.is_file(),
        "{} is not there: run `cargo build -p longhaul` first (`cargo test --workspace` builds it)",
        program.display()
    );
    program
}

/// An ARN as one segment of a path.
fn segment(arn: &str) -> String {
    arn.replace('/', "%2F").replace('$', "%24")
}
