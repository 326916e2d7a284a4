//! Starting a job: at most once for one token, by whoever and however often it is tried.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use longhaul_core::{BackendError, BackendErrorKind, CallbackToken, Job, JobHandle, contract};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};

use crate::ProcessBackend;
use crate::backend::{handle, local};
use crate::directory::JobDirectory;
use crate::environment::inherited;
use crate::record::{Answer, End, Launch, Spec, StartFailure, Text};
use crate::stage::Stage;

/// How long a start waits for its shim, or for another starter's. A machine that swaps needs
/// seconds to load a program.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a start looks how another starter's shim is getting on.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The longest string that Linux hands to a program, its final NUL included: 32 pages of 4 KiB
/// (execve(2), "Limits on size of arguments and environment").
const MAX_STRING: usize = 128 * 1024;

/// How long the supervisor gives its command to end, in whole seconds.
const GRACE_SECONDS: &str = "LONGHAUL_GRACE_SECONDS";

/// The longest answer of a shim that is read.
const MAX_ANSWER: u64 = 64 * 1024;

impl ProcessBackend {
    pub(crate) async fn start_process(
        &self,
        job: &Job,
        token: &CallbackToken,
    ) -> Result<JobHandle, BackendError> {
        let launch = self.launch(job, token)?;
        let directory = self.root.job(job.start_key().clone());
        let deadline = Instant::now() + START_TIMEOUT;
        let what = || format!("start job {}", job.name());
        loop {
            let stage = directory.stage().map_err(|error| local(what(), error))?;
            match stage {
                Stage::Ended(exit, _) => {
                    return match exit.end {
                        End::NotStarted(failure) => Err(failure.into()),
                        _ => Ok(handle(&directory)),
                    };
                }
                Stage::Running(..)
                | Stage::Stopping(..)
                | Stage::Orphaned(..)
                | Stage::Lost(..) => {
                    return Ok(handle(&directory));
                }
                // Another starter's shim is about to say how its worker fares.
                Stage::Starting(_) if Instant::now() < deadline => sleep(LOOK_INTERVAL).await,
                Stage::Unknown | Stage::Unclaimed if Instant::now() < deadline => {
                    self.prepare(&directory, job)
                        .map_err(|e| local(what(), e))?;
                    match self.run_shim(&directory, &launch, deadline).await? {
                        Answer::Started => return Ok(handle(&directory)),
                        Answer::Failed(failure) => return Err(failure.into()),
                        Answer::Taken => {}
                    }
                }
                Stage::Starting(_) | Stage::Unknown | Stage::Unclaimed => {
                    return Err(BackendError::new(
                        BackendErrorKind::Ambiguous,
                        format!(
                            "{}: nobody said within {} s whether its worker runs",
                            what(),
                            START_TIMEOUT.as_secs()
                        ),
                    ));
                }
            }
        }
    }

    /// Everything that the shim must know, checked as far as it can be checked here.
    fn launch(&self, job: &Job, token: &CallbackToken) -> Result<Launch, BackendError> {
        let spec = job.spec();
        let invalid = |problem: &str| {
            BackendError::new(
                BackendErrorKind::InvalidSpec,
                format!("start job {}: {problem}", job.name()),
            )
        };
        spec.validate()
            .map_err(|error| invalid("its spec is not valid").with_source(error))?;
        if *job.start_key() != token.start_key() {
            return Err(invalid("it was made for another callback token"));
        }
        let Some(command) = &spec.command else {
            return Err(invalid(
                "it has no command, and a local process has no image to take one from; set `command`",
            ));
        };
        let worker = self.config.worker.iter().map(|word| Text(word.clone()));
        let command: Vec<Text> = worker
            .chain(command.iter().map(|word| Text::from(word.as_str())))
            .collect();
        let environment = self.environment(job, token);
        check_sizes(job, &command, &environment)?;
        let folder = self
            .working_directory(spec.working_directory.as_deref())
            .map_err(|error| {
                local(
                    format!("start job {} in the current directory", job.name()),
                    error,
                )
            })?;
        Ok(Launch {
            spec: Spec::new(
                job.name().to_string(),
                job.execution().clone(),
                job.attempt(),
                command,
                folder,
                self.config.grace,
            ),
            environment,
        })
    }

    fn working_directory(&self, own: Option<&str>) -> io::Result<PathBuf> {
        let base = match &self.config.working_directory {
            Some(base) => base.clone(),
            None => std::env::current_dir()?,
        };
        Ok(own.map_or_else(|| base.clone(), |own| base.join(own)))
    }

    /// The worker's whole environment: this process's own without what is the function's, the
    /// configured variables, and the worker contract.
    fn environment(&self, job: &Job, token: &CallbackToken) -> Vec<(Text, Text)> {
        let mut variables = inherited();
        // The supervisor must be done with its command while the shim still waits for it, or
        // nobody hears that the job was interrupted.
        let grace = self.config.grace.as_secs() * 4 / 5;
        variables.insert(GRACE_SECONDS.into(), grace.to_string().into());
        variables.extend(self.config.environment.clone());
        variables.extend(
            job.environment(token)
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
        variables
            .into_iter()
            .map(|(name, value)| (Text(name), Text(value)))
            .collect()
    }

    fn prepare(&self, directory: &JobDirectory, job: &Job) -> io::Result<()> {
        directory.create()?;
        refuse_foreign_folder(self.root.path())?;
        // Before there is a shim: a job that can run is never missing from a list.
        self.root.mark(job.execution(), directory)
    }

    /// Runs a shim for the job and waits for what it says.
    async fn run_shim(
        &self,
        directory: &JobDirectory,
        launch: &Launch,
        deadline: Instant,
    ) -> Result<Answer, BackendError> {
        let mut child = self.spawn_shim(directory, launch)?;
        let heard = timeout_at(deadline, converse(&mut child, launch)).await;
        let answer = match heard {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let ended = timeout_at(deadline, child.wait()).await;
                return self.silent(directory, ended.ok().and_then(Result::ok));
            }
            // Let it be: it may have taken the job. The next start finds out.
            Err(_) => Answer::Taken,
        };
        // It lives as long as its job. Somebody has to wait for it, or it stays as a zombie.
        tokio::spawn(async move { child.wait().await });
        Ok(answer)
    }

    fn spawn_shim(&self, directory: &JobDirectory, launch: &Launch) -> Result<Child, BackendError> {
        let (program, arguments) = self.config.shim.split_first().ok_or_else(|| {
            BackendError::new(
                BackendErrorKind::NotFound,
                format!(
                    "start job {}: no shim is configured; set {}",
                    launch.spec.name,
                    crate::ProcessConfig::SHIM
                ),
            )
        })?;
        let log = directory
            .open_stderr()
            .map_err(|error| local(format!("start job {}", launch.spec.name), error))?;
        let mut environment = inherited();
        // The shim starts the worker without touching PATH: see `shim::launch`.
        if let Some((name, path)) = launch.environment.iter().find(|(name, _)| name.0 == "PATH") {
            environment.insert(name.0.clone(), path.0.clone());
        }
        // By this, what a job has left behind is found when its shim is gone.
        environment.insert(contract::START_KEY.into(), directory.key().as_str().into());
        Command::new(program)
            .args(arguments)
            .arg(directory.path())
            .env_clear()
            .envs(environment)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| {
                let message = format!(
                    "start job {}: run its shim {}; install longhaul-process-shim next to this program or set {}",
                    launch.spec.name,
                    Path::new(program).display(),
                    crate::ProcessConfig::SHIM
                );
                local(message, error)
            })
    }

    /// What it means that a shim ended without an answer: unless it had taken the job, nothing
    /// has happened.
    fn silent(
        &self,
        directory: &JobDirectory,
        status: Option<ExitStatus>,
    ) -> Result<Answer, BackendError> {
        // A journal that cannot be read decides nothing; the next look at it says why.
        if directory.journal().is_ok_and(|it| it.is_decided()) {
            return Ok(Answer::Taken);
        }
        let status = status.map_or_else(|| "it still runs".to_owned(), |s| s.to_string());
        let mut message = format!(
            "start a job: its shim {:?} did not take it ({status}); see {}",
            self.config.shim.first().cloned().unwrap_or_default(),
            crate::ProcessConfig::SHIM
        );
        if let Some(said) = directory.stderr_tail(1024) {
            message = format!("{message}; it said: {}", said.trim().replace('\n', "; "));
        }
        Err(BackendError::new(BackendErrorKind::Unavailable, message))
    }
}

impl From<StartFailure> for BackendError {
    fn from(failure: StartFailure) -> Self {
        let error = Self::new(failure.kind, failure.message);
        match failure.cause {
            Some(cause) => error.with_source(cause),
            None => error,
        }
    }
}

/// Tells the shim what to run and reads its answer; `None` when it hung up without one.
async fn converse(child: &mut Child, launch: &Launch) -> Option<Answer> {
    let text = serde_json::to_vec(launch).ok()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A shim that does not listen has a reason, which it says or shows by its end.
        let _ = stdin.write_all(&text).await;
    }
    let mut line = String::new();
    BufReader::new(child.stdout.take()?.take(MAX_ANSWER))
        .read_line(&mut line)
        .await
        .ok()?;
    serde_json::from_str(&line).ok()
}

fn check_sizes(
    job: &Job,
    command: &[Text],
    environment: &[(Text, Text)],
) -> Result<(), BackendError> {
    let too_large = |what: String, advice: &str| {
        Err(BackendError::new(
            BackendErrorKind::TooLarge,
            format!(
                "start job {}: {what} is longer than the {MAX_STRING} bytes that Linux hands to a program{advice}",
                job.name()
            ),
        ))
    };
    if let Some(at) = command.iter().position(|word| word.len() >= MAX_STRING) {
        return too_large(format!("word {at} of its command line"), "");
    }
    // NAME=value and a NUL.
    let long = |(name, value): &&(Text, Text)| name.len() + value.len() + 2 > MAX_STRING;
    if let Some((name, _)) = environment.iter().find(long) {
        let name = name.0.to_string_lossy();
        let advice = if name == contract::INPUT {
            "; pass the input by reference"
        } else {
            ""
        };
        return too_large(format!("its variable {name}"), advice);
    }
    Ok(())
}

/// A folder that somebody else can fill is no place for programs to run and records to believe.
fn refuse_foreign_folder(path: &Path) -> io::Result<()> {
    let metadata = path.metadata()?;
    let user = rustix::process::geteuid().as_raw();
    let foreign = metadata.uid() != user && user != 0;
    let open = metadata.mode() & 0o002 != 0;
    if foreign || open {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} belongs to another user or can be written by everybody; name another folder in {} or `chmod 700` it",
                path.display(),
                crate::ProcessConfig::DIRECTORY
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_everybody_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        assert!(refuse_foreign_folder(folder.path()).is_ok());
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let error = refuse_foreign_folder(folder.path()).unwrap_err();
        assert!(
            error.to_string().contains("LONGHAUL_PROCESS_DIRECTORY"),
            "{error}"
        );
    }
}
