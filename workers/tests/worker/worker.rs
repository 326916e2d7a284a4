//! Workers as processes: started with the environment of a job, and waited for.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::service::{PATIENCE, Service, TOKEN};

/// The repository, in which the paths of the examples are good.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The supervisor, about to run a command as a job of `service`.
pub(crate) fn supervisor<S: AsRef<OsStr>>(
    service: &Service,
    options: &[&str],
    command: impl IntoIterator<Item = S>,
) -> Command {
    let mut worker = worker(service, env!("CARGO_BIN_EXE_longhaul-worker"));
    worker.arg("run").args(options).arg("--").args(command);
    worker
}

/// The supervisor, about to run a shell script.
pub(crate) fn script(service: &Service, options: &[&str], script: &str) -> Command {
    supervisor(service, options, ["sh", "-c", script])
}

/// The hello job written in Rust.
pub(crate) fn rust_hello(service: &Service) -> Command {
    // Cargo tells tests where binaries are, but not where examples are.
    let test: PathBuf = std::env::current_exe().unwrap();
    let example = test.parent().unwrap().with_file_name("examples/hello");
    assert!(
        example.exists(),
        "{} is not built: run `cargo build -p longhaul-worker --examples`",
        example.display()
    );
    worker(service, example)
}

/// Any program, about to be run as a worker of `service`.
pub(crate) fn worker(service: &Service, program: impl AsRef<OsStr>) -> Command {
    let mut worker = Command::new(program);
    worker
        .current_dir(repository())
        .env("CALLBACK_ID", TOKEN)
        .env("AWS_REGION", "eu-west-1")
        .env(
            "AWS_ENDPOINT_URL_LAMBDA",
            format!("http://{}", service.address),
        )
        .env("LONGHAUL_TIMEOUT_SECONDS", "300")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    worker
}

/// Runs a worker to its end.
pub(crate) async fn run(mut worker: Command) -> Output {
    finish(worker.spawn().unwrap()).await
}

/// Waits for a worker's end.
pub(crate) async fn finish(worker: Child) -> Output {
    timeout(PATIENCE, worker.wait_with_output())
        .await
        .expect("the worker does not end")
        .unwrap()
}

/// Sends a worker a signal.
pub(crate) fn signal(worker: &Child, signal: Signal) {
    let id = i32::try_from(worker.id().unwrap()).unwrap();
    rustix::process::kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
}

/// Waits until something is there, which is looked for again and again.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, found)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Waits until the file has a whole line in it, and returns the line.
pub(crate) async fn line_in(file: &Path) -> String {
    until("a line in a file", || {
        let text = std::fs::read_to_string(file).ok()?;
        Some(text.strip_suffix('\n')?.to_owned())
    })
    .await
}

/// Waits until the process is gone, or is a zombie that nobody has reaped yet.
pub(crate) async fn gone(process: &str) {
    let process: i32 = process.trim().parse().unwrap();
    let process = Pid::from_raw(process).unwrap();
    until("the end of a process", || {
        if rustix::process::test_kill_process(process).is_err() {
            return Some(());
        }
        let stat = format!("/proc/{}/stat", process.as_raw_nonzero());
        let stat = std::fs::read_to_string(stat).ok()?;
        let (_, state) = stat.rsplit_once(") ")?;
        state.starts_with('Z').then_some(())
    })
    .await;
}

/// What was written to standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
