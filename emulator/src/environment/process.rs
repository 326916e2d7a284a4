//! An environment that is a process: a program speaking the Runtime API, in its own process group.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{FunctionConfig, Lifetime, Program};
use crate::model::Timestamp;

use super::leftovers::{Leftovers, Noted};
use super::log::FunctionLog;
use super::runtime_api::{Report, RuntimeApi};
use super::{Invocation, InvocationError};

/// What of this process's environment functions get too: what programs need to find things, and nothing that is a secret.
const INHERITED: [&str; 12] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "TMP",
    "TEMP",
    "LANG",
    "LC_ALL",
    "TZ",
    "USER",
    "LOGNAME",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
];

/// What every environment of a function has in common.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) region: String,
    pub(super) endpoint: String,
    pub(super) access_key_id: String,
    pub(super) log: FunctionLog,
    pub(super) leftovers: Leftovers,
}

/// One process. Dropping it kills its process group.
#[derive(Debug)]
pub(super) struct Process {
    api: RuntimeApi,
    child: Child,
    group: Option<Pid>,
    exit: Option<ExitSignal>,
    _note: Option<Noted>,
    lifetime: Lifetime,
    ready: bool,
    frozen: bool,
}

/// How an invocation in an environment ended, and whether the environment can take another one.
pub(super) struct Ended {
    pub(super) result: Result<bytes::Bytes, InvocationError>,
    pub(super) reusable: bool,
}

impl Process {
    /// Starts the program. It is ready when it asks for its first invocation.
    pub(super) async fn start(
        function: &FunctionConfig,
        program: &Program,
        place: &Place,
    ) -> Result<Self, InvocationError> {
        let api = RuntimeApi::listen().await.map_err(|error| {
            InvocationError::new(
                "Sandbox.Failure",
                format!("no port for the Runtime API: {error}"),
            )
        })?;
        let mut command = Command::new(&program.path);
        command
            .args(&program.args)
            .env_clear()
            .envs(
                INHERITED
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .envs(lambda_environment(function, program, place, &api))
            .envs(&program.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            InvocationError::new(
                "Runtime.InvalidEntrypoint",
                format!("{} could not be started: {error}", program.path.display()),
            )
        })?;
        if let Some(stdout) = child.stdout.take() {
            place.log.capture(stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            place.log.capture(stderr);
        }
        let note = child.id().and_then(|id| place.leftovers.note(id));
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        Ok(Self {
            api,
            child,
            exit: group.and_then(ExitSignal::of),
            group,
            _note: note,
            lifetime: function.lifetime,
            ready: false,
            frozen: false,
        })
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the program asks for an invocation, fails, ends, or `deadline` passes.
    pub(super) async fn wait_ready(
        &mut self,
        deadline: Timestamp,
        clock: &Arc<dyn Clock>,
    ) -> Result<(), InvocationError> {
        while !self.ready {
            tokio::select! {
                report = self.api.report() => match report {
                    Report::Ready => self.ready = true,
                    Report::InitFailed(error) => return Err(error),
                    Report::Answered(..) | Report::Failed(..) => {}
                },
                status = exited(&mut self.child, &self.exit, self.group) => return Err(exit_error(status, None)),
                () = clock.sleep_until(deadline) => {
                    return Err(InvocationError::new("Sandbox.Timedout", "the function did not become ready in time"));
                }
            }
        }
        Ok(())
    }

    /// Runs one invocation in a ready environment.
    pub(super) async fn invoke(
        &mut self,
        invocation: Invocation,
        seconds: f64,
        clock: &Arc<dyn Clock>,
    ) -> Ended {
        let (request_id, deadline) = (invocation.request_id.clone(), invocation.deadline);
        self.ready = false;
        self.thaw();
        let failed = |error| Ended {
            result: Err(error),
            reusable: false,
        };
        if !self.api.send(invocation).await {
            return failed(InvocationError::new(
                "Sandbox.Failure",
                "the Runtime API of the environment is gone",
            ));
        }
        loop {
            tokio::select! {
                // What the function said counts before how it ended.
                biased;
                report = self.api.report() => match report {
                    Report::Answered(id, body) if id == request_id => {
                        return Ended { result: Ok(body), reusable: self.lifetime != Lifetime::Fresh };
                    }
                    Report::Failed(id, error) if id == request_id => {
                        return Ended { result: Err(error), reusable: self.lifetime != Lifetime::Fresh };
                    }
                    Report::InitFailed(error) => return failed(error),
                    Report::Ready | Report::Answered(..) | Report::Failed(..) => {}
                },
                status = exited(&mut self.child, &self.exit, self.group) => return failed(exit_error(status, Some(&request_id))),
                () = clock.sleep_until(deadline) => {
                    let message = format!("{} {request_id} Task timed out after {seconds:.2} seconds", clock.now());
                    return failed(InvocationError::new("Sandbox.Timedout", message));
                }
            }
        }
    }

    /// Stops an idle process until its next invocation, if that is its lifetime. It must be ready.
    pub(super) fn freeze(&mut self) {
        if self.lifetime == Lifetime::Freeze && self.ready && !self.frozen {
            self.frozen = self.signal(Signal::STOP);
        }
    }

    fn thaw(&mut self) {
        if self.frozen {
            self.signal(Signal::CONT);
            self.frozen = false;
        }
    }

    /// True while the process has not ended.
    pub(super) fn is_alive(&mut self) -> bool {
        if self.exit.as_ref().is_some_and(ExitSignal::is_ready) {
            self.signal(Signal::KILL);
        }
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Signals the process group. Only while the leader has not been waited for: afterwards its number may be another's.
    fn signal(&self, signal: Signal) -> bool {
        match (self.group, self.child.id()) {
            (Some(group), Some(_)) => kill_process_group(group, signal).is_ok(),
            _ => false,
        }
    }

    /// Kills the process group and waits for its leader.
    pub(super) async fn end(mut self) {
        self.signal(Signal::KILL);
        if let Err(error) = self.child.wait().await {
            tracing::warn!(%error, "an environment's process could not be waited for");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Waits for the process to end, and ends what is left of its group.
///
/// The group is signalled before its leader is waited for: until then its number cannot be another's.
async fn exited(
    child: &mut Child,
    exit: &Option<ExitSignal>,
    group: Option<Pid>,
) -> std::io::Result<ExitStatus> {
    if let (Some(exit), Some(group)) = (exit, group)
        && child.id().is_some()
    {
        exit.wait().await;
        // An error means that nobody else is in it.
        let _ = kill_process_group(group, Signal::KILL);
    }
    child.wait().await
}

/// Becomes ready when a process has ended, and leaves it to be waited for.
#[derive(Debug)]
struct ExitSignal {
    ended: CancellationToken,
}

impl ExitSignal {
    /// Watches `process` from a thread of its own, which ends with it: there is no other safe way that does not wait for it.
    fn of(process: Pid) -> Option<Self> {
        let ended = CancellationToken::new();
        let signal = ended.clone();
        let watch = move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            // Interrupted only by signals with handlers, of which a library knows nothing.
            while matches!(
                waitid(WaitId::Pid(process), options),
                Err(rustix::io::Errno::INTR)
            ) {}
            signal.cancel();
        };
        let thread = std::thread::Builder::new()
            .name("durable-exit".to_owned())
            .stack_size(64 * 1024)
            .spawn(watch);
        thread.ok().map(|_| Self { ended })
    }

    async fn wait(&self) {
        self.ended.cancelled().await;
    }

    fn is_ready(&self) -> bool {
        self.ended.is_cancelled()
    }
}

fn exit_error(status: std::io::Result<ExitStatus>, request_id: Option<&str>) -> InvocationError {
    let how = match status {
        Ok(status) => status.to_string(),
        Err(error) => format!("unknown status: {error}"),
    };
    let request = request_id
        .map(|id| format!("RequestId: {id} Error: "))
        .unwrap_or_default();
    InvocationError::new(
        "Runtime.ExitError",
        format!("{request}Runtime exited with error: {how}"),
    )
}

fn lambda_environment(
    function: &FunctionConfig,
    program: &Program,
    place: &Place,
    api: &RuntimeApi,
) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_LAMBDA_RUNTIME_API", api.address.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", function.name.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", function.version.clone()),
        (
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            program.memory_mb.to_string(),
        ),
        (
            "AWS_LAMBDA_LOG_GROUP_NAME",
            format!("/aws/lambda/{}", function.name),
        ),
        (
            "AWS_LAMBDA_LOG_STREAM_NAME",
            format!("local/[{}]{}", function.version, api.address.port()),
        ),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_REGION", place.region.clone()),
        ("AWS_DEFAULT_REGION", place.region.clone()),
        ("AWS_ACCESS_KEY_ID", place.access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_ENDPOINT_URL_LAMBDA", place.endpoint.clone()),
    ]
}
