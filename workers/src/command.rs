//! A command in a process group of its own: started, watched, signalled and cleared away.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
#[cfg(target_os = "linux")]
use rustix::process::{PidfdFlags, pidfd_open};
use tokio::io::{Interest, unix::AsyncFd};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::tail::Tail;

/// How long nothing may come out of the command's standard error, once the command has ended,
/// before the rest is given up: a process that got out of its group may hold the pipe open.
const QUIET: Duration = Duration::from_secs(1);

/// How long a killed process may take to be gone. One that waits for a broken disk or file server
/// can take for ever.
const UNKILLABLE: Duration = Duration::from_secs(3);

/// A running command. Dropping it kills its process group.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    group: Pid,
    watch: Watch,
    stderr: Stderr,
    over: bool,
    reaped: bool,
}

impl Running {
    /// Starts `command[0]` with the other parts as its arguments.
    ///
    /// Standard input is empty, standard output is the worker's own, and standard error is
    /// passed on to the worker's own while its end is kept. The environment is the worker's own
    /// with the changes of `environment`; `None` takes a variable away.
    pub(crate) fn start(
        command: &[OsString],
        environment: &[(&str, Option<OsString>)],
    ) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut builder = std::process::Command::new(program);
        builder
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::inherit())
            .stderr(Stdio::piped());
        for (name, value) in environment {
            match value {
                Some(value) => builder.env(name, value),
                None => builder.env_remove(name),
            };
        }
        let mut child = builder.spawn()?;
        // A process group has the number of its first process.
        let group = Pid::from_child(&child);
        let stderr = Stderr::pass_on(child.stderr.take());
        Ok(Self {
            child,
            group,
            watch: Watch::over(group),
            stderr,
            over: false,
            reaped: false,
        })
    }

    /// The number of the command's process, and of its group.
    pub(crate) fn id(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Waits until the command's first process has ended. It stays a zombie, so that the number
    /// of its group cannot be given to anybody else, until [`reap`](Self::reap).
    pub(crate) async fn ended(&mut self) {
        if !self.over {
            self.watch.ended().await;
            self.over = true;
        }
    }

    /// Asks the group to end, kills it after `grace`, and says whether the command has ended.
    /// Takes at most `grace` and a few seconds.
    pub(crate) async fn stop(&mut self, grace: Duration) -> bool {
        self.signal(Signal::TERM);
        if timeout(grace, self.ended()).await.is_ok() {
            return true;
        }
        tracing::warn!(
            "the command is still there {} s after SIGTERM: killing its process group",
            grace.as_secs_f64()
        );
        self.signal(Signal::KILL);
        timeout(UNKILLABLE, self.ended()).await.is_ok()
    }

    /// Sends a signal to the whole process group.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process_group(self.group, signal)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(
                "signal {} to process group {}: {error}",
                signal.as_raw(),
                self.id()
            );
        }
    }

    /// Kills what is left of the group, and returns how its first process ended, where that can
    /// be known, with the end of its standard error. For a command that has
    /// [`ended`](Self::ended); one that could not even be killed is left behind.
    pub(crate) async fn reap(mut self) -> (Option<ExitStatus>, Option<String>) {
        self.signal(Signal::KILL);
        self.reaped = true;
        if !self.over {
            tracing::error!("process {} cannot be killed and is left behind", self.id());
            return (None, lock(&self.stderr.tail).text());
        }
        // Fails where the worker was started with SIGCHLD ignored: then nobody can know.
        let status = self.child.wait();
        if let Err(error) = &status {
            tracing::error!("the exit code of process {}: {error}", self.id());
        }
        (status.ok(), self.stderr.end().await)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// What tells when a process has ended, without reaping it.
#[derive(Debug)]
enum Watch {
    #[cfg(target_os = "linux")]
    Descriptor(AsyncFd<OwnedFd>),
    Thread(oneshot::Receiver<()>),
}

impl Watch {
    fn over(process: Pid) -> Self {
        // Kernels before 5.3 and some sandboxes have no pidfds.
        #[cfg(target_os = "linux")]
        if let Ok(descriptor) = pidfd_open(process, PidfdFlags::empty())
            && let Ok(descriptor) = readable(descriptor)
        {
            return Self::Descriptor(descriptor);
        }
        Self::by_thread(process)
    }

    fn by_thread(process: Pid) -> Self {
        let (tell, ended) = oneshot::channel();
        // A thread, not a task: the wait blocks, and it must not keep a runtime from shutting down.
        thread::spawn(move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(process), options) {}
            let _ = tell.send(());
        });
        Self::Thread(ended)
    }

    async fn ended(&mut self) {
        match self {
            // An error means that the runtime is shutting down.
            #[cfg(target_os = "linux")]
            Self::Descriptor(descriptor) => drop(descriptor.readable().await),
            // An error means that the thread is gone, and with it the wait.
            Self::Thread(ended) => drop(ended.await),
        }
    }
}

/// The command's standard error on its way to the worker's.
#[derive(Debug)]
struct Stderr {
    tail: Arc<Mutex<Tail>>,
    finished: oneshot::Receiver<()>,
}

impl Stderr {
    fn pass_on(from: Option<ChildStderr>) -> Self {
        let tail = Arc::new(Mutex::new(Tail::default()));
        let (tell, finished) = oneshot::channel();
        let shared = tail.clone();
        tokio::spawn(async move {
            // Most commands have nothing to say: no thread is made before they do.
            match first_words(from).await {
                Ok(Some(from)) => drop(thread::spawn(move || {
                    pass_on(from, &shared);
                    let _ = tell.send(());
                })),
                Ok(None) => drop(tell.send(())),
                Err(error) => {
                    tracing::warn!("the command's standard error cannot be read: {error}");
                }
            }
        });
        Self { tail, finished }
    }

    /// Waits for the rest, as long as there is some, and returns the end.
    async fn end(&mut self) -> Option<String> {
        let mut seen = lock(&self.tail).seen();
        while timeout(QUIET, &mut self.finished).await.is_err() {
            let now = lock(&self.tail).seen();
            if now == seen {
                tracing::warn!("standard error is held open by a process that left its group");
                break;
            }
            seen = now;
        }
        lock(&self.tail).text()
    }
}

/// Waits until something comes, and returns what it comes from, with it; `None` where nothing ever does.
async fn first_words(from: Option<ChildStderr>) -> io::Result<Option<impl Read + Send + 'static>> {
    let Some(from) = from else {
        return Ok(None);
    };
    let mut from = readable(from)?;
    drop(from.readable().await?);
    let mut first = vec![0; 512];
    let n = loop {
        // Does not block: nobody else reads from the pipe, so what made it readable is still there.
        match from.get_mut().read(&mut first) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    first.truncate(n);
    // Passing on may block, and nothing else of the worker may wait for that.
    Ok((n > 0).then(|| io::Cursor::new(first).chain(from.into_inner())))
}

/// The descriptor, so that it can be awaited that there is something to read.
#[allow(
    deprecated,
    reason = "it is unsound for types that may change their descriptor, which ours do not"
)]
fn readable<T: AsRawFd>(descriptor: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

fn pass_on(mut from: impl Read, tail: &Mutex<Tail>) {
    let mut buffer = [0; 8192];
    let mut open = true;
    loop {
        let bytes = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => buffer.get(..n).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        // A worker whose own standard error is closed still reads, or the command would block.
        open = open && io::stderr().write_all(bytes).is_ok();
        lock(tail).push(bytes);
    }
}

fn lock(tail: &Mutex<Tail>) -> MutexGuard<'_, Tail> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use rustix::process::test_kill_process_group;

    use super::*;

    fn start(script: &str) -> Running {
        let command = ["sh", "-c", script].map(OsString::from);
        Running::start(&command, &[]).unwrap()
    }

    #[tokio::test]
    async fn the_end_of_a_command_and_of_its_standard_error_are_told() {
        let mut running = start("echo first >&2; echo last >&2; exit 3");
        running.ended().await;
        let (status, stderr) = running.reap().await;
        assert_eq!(status.unwrap().code(), Some(3));
        assert_eq!(stderr.as_deref(), Some("first\nlast"));
    }

    #[tokio::test]
    async fn the_number_of_the_group_is_kept_until_the_command_is_reaped() {
        let mut running = start("exit 0");
        running.ended().await;
        assert_eq!(test_kill_process_group(running.group), Ok(()));
        let group = running.group;
        running.reap().await;
        assert_eq!(test_kill_process_group(group), Err(rustix::io::Errno::SRCH));
    }

    #[tokio::test]
    async fn a_command_that_heeds_sigterm_ends_at_once() {
        let mut running = start("sleep 1000 & wait");
        assert!(running.stop(Duration::from_secs(60)).await);
        let (status, _) = running.reap().await;
        assert_eq!(status.unwrap().signal(), Some(15));
    }

    #[tokio::test]
    async fn a_command_that_ignores_sigterm_is_killed_after_the_grace() {
        let mut running = start("trap '' TERM; echo ready >&2; sleep 1000");
        while lock(&running.stderr.tail).text().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(running.stop(Duration::from_millis(50)).await);
        let (status, _) = running.reap().await;
        assert_eq!(status.unwrap().signal(), Some(9));
    }

    #[tokio::test]
    async fn a_command_that_is_dropped_is_killed() {
        let running = start("exec sleep 1000");
        let group = running.group;
        drop(running);
        assert_eq!(test_kill_process_group(group), Err(rustix::io::Errno::SRCH));
    }

    #[tokio::test]
    async fn the_end_of_a_command_is_told_without_a_pidfd_too() {
        let mut running = start("exit 3");
        running.watch = Watch::by_thread(running.group);
        running.ended().await;
        assert_eq!(running.reap().await.0.unwrap().code(), Some(3));
    }

    #[tokio::test]
    async fn nothing_of_a_long_standard_error_is_lost_on_its_way() {
        let mut running = start("i=0; while [ $i -lt 200 ]; do echo line $i >&2; i=$((i+1)); done");
        let seen = running.stderr.tail.clone();
        running.ended().await;
        let (_, stderr) = running.reap().await;
        assert!(stderr.unwrap().ends_with("line 199"));
        let bytes: usize = (0..200).map(|i| format!("line {i}\n").len()).sum();
        assert_eq!(lock(&seen).seen(), bytes as u64);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_not_found() {
        let command = [OsString::from("/nonexistent/program")];
        let error = Running::start(&command, &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn an_escaped_process_that_holds_standard_error_does_not_hold_the_worker() {
        let folder = tempfile::TempDir::new().unwrap();
        let mark = folder.path().join("mark");
        let mut running = start(&format!(
            "setsid sh -c 'echo $$ >&2; : > {mark}; exec sleep 1000' &
            until [ -e {mark} ]; do sleep 0.01; done",
            mark = mark.display()
        ));
        running.ended().await;
        let (status, stderr) = running.reap().await;
        assert!(status.unwrap().success());
        let escaped: i32 = stderr.unwrap().trim().parse().unwrap();
        let escaped = Pid::from_raw(escaped).unwrap();
        rustix::process::kill_process(escaped, Signal::KILL).unwrap();
    }
}
