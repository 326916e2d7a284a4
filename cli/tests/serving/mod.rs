//! A running `longhaul serve`, the commands that ask it, and plain HTTP to it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, each test uses some"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{LONGEST, World, kill};

/// A `longhaul serve` that is up.
pub struct Serve {
    child: Option<Child>,
    state: PathBuf,
    pub url: String,
}

impl Serve {
    /// Starts it with these options and waits until it can be found.
    #[track_caller]
    pub fn start(world: &World, words: &[&str]) -> Self {
        let mut all = vec!["serve"];
        all.extend(words);
        let mut child = world.command(&all).spawn().unwrap();
        let file = world.state().join("service.json");
        let deadline = Instant::now() + LONGEST;
        loop {
            let found: Option<Value> = std::fs::read(&file)
                .ok()
                .and_then(|content| serde_json::from_slice(&content).ok());
            if let Some(found) = found
                && found["pid"] == child.id()
            {
                let url = found["url"].as_str().unwrap().to_owned();
                return Self {
                    child: Some(child),
                    state: world.state(),
                    url,
                };
            }
            if let Some(status) = child.try_wait().unwrap() {
                let mut text = String::new();
                child.stderr.unwrap().read_to_string(&mut text).unwrap();
                panic!("longhaul serve ended: {status}: {text}");
            }
            assert!(Instant::now() < deadline, "longhaul serve is not up");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends a signal and waits for the end. Returns the exit code and what was printed on both streams.
    pub fn end(mut self, signal: &str) -> (Option<i32>, String, String) {
        let child = self.child.take().unwrap();
        kill(signal, child.id());
        let output = child.wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    /// Sends a request and returns the status and the body.
    pub fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// A page, as text.
    #[track_caller]
    pub fn page(&self, path: &str) -> String {
        let (status, body) = self.request("GET", path, "", "");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The id of the first callback of an execution, which only the API tells.
    #[track_caller]
    pub fn callback_id(&self, arn: &str) -> String {
        let arn = arn.replace('/', "%2F").replace('$', "%24");
        let path = format!("/2025-12-01/durable-executions/{arn}/history");
        let (status, body) = self.request("GET", &path, "", "");
        assert_eq!(status, 200, "{body}");
        let history: Value = serde_json::from_str(&body).unwrap();
        let events = history["Events"].as_array().unwrap();
        let id = |event: &Value| {
            let id = event["CallbackStartedDetails"]["CallbackId"].as_str()?;
            Some(id.to_owned())
        };
        events.iter().find_map(id).unwrap()
    }

    /// Starts an execution of a function.
    #[track_caller]
    pub fn invoke(&self, function: &str, name: &str, event: &Value) {
        let headers =
            format!("x-amz-invocation-type: Event\r\nx-amz-durable-execution-name: {name}\r\n");
        let path = format!("/2015-03-31/functions/{function}/invocations?Qualifier=%24LATEST");
        let (status, body) = self.request("POST", &path, &headers, &event.to_string());
        assert_eq!(status, 202, "{body}");
    }

    /// Starts an execution of the function that runs jobs.
    #[track_caller]
    pub fn job(&self, name: &str, script: &str) {
        let job = json!({"name": name, "command": ["sh", "-c", script]});
        self.invoke("longhaul", name, &job);
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        // Jobs outlive the service, so they are stopped first: those of executions that were completed from outside, too.
        let ask = |words: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
            command.args(words).env("LONGHAUL_STATE", &self.state);
            command.output().map(|output| output.stdout)
        };
        let list = ask(&["ps", "--all", "--json"]).unwrap_or_default();
        for line in String::from_utf8_lossy(&list).lines() {
            let execution: Value = serde_json::from_str(line).unwrap_or_default();
            if let Some(arn) = execution["arn"].as_str() {
                let _ = ask(&["stop", arn]);
            }
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A command that ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// Standard output of a command that succeeded.
    #[track_caller]
    pub fn out(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:#?}");
        &self.stdout
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.out()).unwrap()
    }

    /// The values on the lines of standard output.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let values = self.out().lines().map(serde_json::from_str);
        values.collect::<Result<_, _>>().unwrap()
    }
}

/// Runs `longhaul WORDS` to its end.
pub fn longhaul(world: &World, words: &[&str]) -> Said {
    longhaul_with(world, words, &[], "")
}

/// Runs `longhaul WORDS` with more variables and with something on standard input.
pub fn longhaul_with(
    world: &World,
    words: &[&str],
    variables: &[(&str, &str)],
    input: &str,
) -> Said {
    let mut child = world
        .command(words)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // One that reads nothing may have ended already.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Waits until `longhaul show` of an execution says this status, and returns what it said.
#[track_caller]
pub fn wait_status(world: &World, execution: &str, status: &str) -> Value {
    wait_shown(world, execution, status, |shown| shown["status"] == status)
}

/// Waits until what `longhaul show` says is as wanted.
#[track_caller]
pub fn wait_shown(
    world: &World,
    execution: &str,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let deadline = Instant::now() + LONGEST;
    loop {
        let said = longhaul(world, &["show", execution, "--json"]);
        if said.code == Some(0) {
            let shown = said.json();
            if wanted(&shown) {
                return shown;
            }
        }
        assert!(
            Instant::now() < deadline,
            "{execution} is not {what}: {said:#?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until an execution's job has started and its function has returned.
#[track_caller]
pub fn wait_suspended(world: &World, execution: &str) -> Value {
    wait_shown(world, execution, "suspended", |shown| {
        shown["invocations"].as_u64() > Some(0)
    })
}

/// Waits until a file that a job writes has a whole line, and returns it.
#[track_caller]
pub fn wait_line(path: &std::path::Path) -> String {
    let deadline = Instant::now() + LONGEST;
    loop {
        if let Ok(text) = std::fs::read_to_string(path)
            && let Some((line, _)) = text.split_once('\n')
        {
            return line.to_owned();
        }
        assert!(Instant::now() < deadline, "nothing in {}", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}
