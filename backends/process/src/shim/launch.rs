//! Starting the worker, or saying why it cannot be started.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use longhaul_core::BackendErrorKind;
use rustix::io::Errno;

use crate::directory::JobDirectory;
use crate::record::{Spec, StartFailure, Text};

/// Why a worker was not started.
pub(super) struct Refusal {
    pub(super) failure: StartFailure,
    /// Whether it would be the same the next time.
    pub(super) for_good: bool,
}

impl Refusal {
    fn new(kind: BackendErrorKind, message: String, cause: &io::Error) -> Self {
        Self {
            for_good: kind.retry() == longhaul_core::Retry::Never,
            failure: StartFailure {
                kind,
                message,
                cause: Some(cause.to_string()),
            },
        }
    }
}

/// Starts the worker in a process group of its own and returns its pid, which is the group's.
pub(super) fn worker(
    directory: &JobDirectory,
    spec: &Spec,
    environment: Vec<(Text, Text)>,
) -> Result<u32, Refusal> {
    let folder = Path::new(&spec.working_directory.0);
    // Asked here because the start itself cannot say which of the two paths is wrong.
    if let Err(error) = std::fs::read_dir(folder) {
        let kind = match error.kind() {
            ErrorKind::PermissionDenied => BackendErrorKind::Denied,
            _ => BackendErrorKind::NotFound,
        };
        let message = format!(
            "start job {}: its working directory {} cannot be entered",
            spec.name,
            folder.display()
        );
        return Err(Refusal::new(kind, message, &error));
    }
    spawn(directory, spec, environment).map_err(|error| refusal(spec, &error))
}

fn spawn(directory: &JobDirectory, spec: &Spec, environment: Vec<(Text, Text)>) -> io::Result<u32> {
    let (program, arguments) = spec
        .command
        .split_first()
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the command is empty"))?;
    let mut command = Command::new(&program.0);
    command
        .args(arguments.iter().map(|argument| &argument.0))
        .current_dir(&spec.working_directory.0)
        .stdin(Stdio::null())
        .stdout(directory.open_stdout()?)
        .stderr(Stdio::inherit())
        .process_group(0);
    give_environment(&mut command, environment);
    Ok(command.spawn()?.id())
}

/// Makes the command's environment this one, by its differences from the shim's.
///
/// `PATH` is the same in both (the starter sees to it), so it is not touched, and the standard
/// library uses `posix_spawn`. Its other way, `execvp`, hands a file that is no program to
/// `/bin/sh`, and no shell is to run that the job's command does not name.
fn give_environment(command: &mut Command, environment: Vec<(Text, Text)>) {
    let wanted: BTreeMap<OsString, OsString> = environment
        .into_iter()
        .map(|(name, value)| (name.0, value.0))
        .collect();
    for (name, value) in std::env::vars_os() {
        match wanted.get(&name) {
            None => {
                command.env_remove(name);
            }
            Some(other) if *other != value => {
                command.env(name, other);
            }
            Some(_) => {}
        }
    }
    for (name, value) in wanted {
        if std::env::var_os(&name).is_none() {
            command.env(name, value);
        }
    }
}

fn refusal(spec: &Spec, error: &io::Error) -> Refusal {
    let program = spec
        .command
        .first()
        .map(|program| Path::new(&program.0).display().to_string())
        .unwrap_or_default();
    let what = |problem: &str| format!("start job {}: {problem}", spec.name);
    let (kind, message) = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => (
            BackendErrorKind::NotFound,
            what(&format!(
                "the program {program:?}, or the interpreter that it names, is not there"
            )),
        ),
        ErrorKind::PermissionDenied => (
            BackendErrorKind::Denied,
            what(&format!(
                "the program {program:?} may not be run: is it executable?"
            )),
        ),
        ErrorKind::ArgumentListTooLong => (
            BackendErrorKind::TooLarge,
            what(
                "its command and environment are larger than a process can be given; pass the input by reference",
            ),
        ),
        ErrorKind::InvalidInput | ErrorKind::InvalidFilename => (
            BackendErrorKind::InvalidSpec,
            what(&format!("the program {program:?} cannot be named so")),
        ),
        _ if is(error, Errno::NOEXEC) => (
            BackendErrorKind::InvalidSpec,
            what(&format!(
                "the file {program:?} is no program: a script needs a first line such as #!/bin/sh"
            )),
        ),
        _ => (
            BackendErrorKind::Unavailable,
            what(&format!("the system did not run {program:?}")),
        ),
    };
    Refusal::new(kind, message, error)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}
