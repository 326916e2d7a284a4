//! Where local jobs are kept, and what runs them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of a [`ProcessBackend`](crate::ProcessBackend).
///
/// ```
/// use longhaul_process::ProcessConfig;
///
/// // Commands that complete their callback themselves, with no supervisor around them.
/// let config = ProcessConfig::new("/var/lib/longhaul/jobs").with_worker(Vec::<String>::new());
/// assert!(config.worker.is_empty());
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessConfig {
    /// The folder with one directory per job. Made when it is not there, for its owner only.
    pub directory: PathBuf,
    /// The shim's command; the job's directory is appended. A name without `/` is looked up on
    /// `PATH`.
    pub shim: Vec<OsString>,
    /// The worker's command; the job's command is appended. Empty: the job's command is its own
    /// worker.
    pub worker: Vec<OsString>,
    /// How long a job has between SIGTERM and SIGKILL when it is cancelled.
    pub grace: Duration,
    /// More variables for every worker. The worker contract's own win over them.
    pub environment: BTreeMap<OsString, OsString>,
    /// Where jobs run that name no working directory; a relative one that they name starts
    /// here. `None`: the current directory of the process that starts them.
    pub working_directory: Option<PathBuf>,
}

impl ProcessConfig {
    /// The variable that names the folder with one directory per job.
    pub const DIRECTORY: &str = "LONGHAUL_PROCESS_DIRECTORY";
    /// The variable with the shim's command: a program, or a JSON array with its arguments.
    pub const SHIM: &str = "LONGHAUL_PROCESS_SHIM";
    /// The variable with the worker's command: a program, or a JSON array with its arguments;
    /// `[]` runs a job's command as its own worker.
    pub const WORKER: &str = "LONGHAUL_WORKER";
    /// The variable with the time between SIGTERM and SIGKILL, such as `10s`.
    pub const GRACE: &str = "LONGHAUL_PROCESS_GRACE";

    /// The time between SIGTERM and SIGKILL where nothing else is said: 10 seconds, as
    /// `docker stop` has it.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);

    /// The longest time between SIGTERM and SIGKILL: an hour.
    pub const MAX_GRACE: Duration = Duration::from_secs(3600);

    /// Jobs in `directory`; the shim is `longhaul-process-shim` and the worker
    /// `longhaul-worker run --`, both next to the running program.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            shim: vec![sibling("longhaul-process-shim")],
            worker: vec![sibling("longhaul-worker"), "run".into(), "--".into()],
            grace: Self::DEFAULT_GRACE,
            environment: BTreeMap::new(),
            working_directory: None,
        }
    }

    /// The same settings with this command for the shim.
    #[must_use]
    pub fn with_shim<S: Into<OsString>>(mut self, command: impl IntoIterator<Item = S>) -> Self {
        self.shim = command.into_iter().map(Into::into).collect();
        self
    }

    /// The same settings with this command for the worker; none runs a job's command as its own
    /// worker.
    #[must_use]
    pub fn with_worker<S: Into<OsString>>(mut self, command: impl IntoIterator<Item = S>) -> Self {
        self.worker = command.into_iter().map(Into::into).collect();
        self
    }

    /// The same settings with this time between SIGTERM and SIGKILL, at most
    /// [`MAX_GRACE`](Self::MAX_GRACE).
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace.min(Self::MAX_GRACE);
        self
    }

    /// The same settings with one more variable for every worker.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// The same settings with this directory for jobs that name none.
    #[must_use]
    pub fn with_working_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.working_directory = Some(directory.into());
        self
    }

    /// The settings of the environment, read through `get`. What is absent is as
    /// [`new`](Self::new) has it; the folder is then `longhaul/jobs` in `XDG_STATE_HOME`, or in
    /// `.local/state` of `HOME`, or `longhaul-UID/jobs` in the folder for temporary files.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] with every variable that cannot be used.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidConfig> {
        let mut problems = Vec::new();
        let mut refuse = |variable: &'static str, problem: String| {
            problems.push(ConfigProblem { variable, problem });
        };
        let directory = match get(Self::DIRECTORY) {
            Some(text) if text.is_empty() || text.contains('\0') => {
                refuse(Self::DIRECTORY, "is no path: name a folder".into());
                PathBuf::new()
            }
            Some(text) => text.into(),
            None => default_directory(&get),
        };
        let mut config = Self::new(directory);
        match get(Self::SHIM).as_deref().map(command) {
            None => {}
            Some(Ok(words)) if words.is_empty() => {
                refuse(Self::SHIM, "is empty: name a program".into());
            }
            Some(Ok(words)) => config.shim = words,
            Some(Err(problem)) => refuse(Self::SHIM, problem),
        }
        match get(Self::WORKER).as_deref().map(command) {
            None => {}
            Some(Ok(words)) => config.worker = words,
            Some(Err(problem)) => refuse(Self::WORKER, problem),
        }
        match get(Self::GRACE).as_deref().map(grace) {
            None => {}
            Some(Ok(grace)) => config.grace = grace,
            Some(Err(problem)) => refuse(Self::GRACE, problem),
        }
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(InvalidConfig { problems })
        }
    }

    /// The same settings with every path absolute, so that they mean the same to the shim, whose
    /// current directory is another, and to the worker, whose `PATH` may be the job's.
    pub(crate) fn absolute(mut self) -> Self {
        self.directory = absolute(self.directory);
        self.working_directory = self.working_directory.map(absolute);
        for command in [&mut self.shim, &mut self.worker] {
            if let Some(program) = command.first_mut() {
                *program = program_path(program);
            }
        }
        self
    }
}

impl fmt::Debug for ProcessConfig {
    /// Shows the names of the variables, not their values: some are credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessConfig")
            .field("directory", &self.directory)
            .field("shim", &self.shim)
            .field("worker", &self.worker)
            .field("grace", &self.grace)
            .field("environment", &self.environment.keys().collect::<Vec<_>>())
            .field("working_directory", &self.working_directory)
            .finish()
    }
}

/// An environment from which no [`ProcessConfig`] can be made: every problem at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
#[non_exhaustive]
pub struct InvalidConfig {
    /// The problems, one a variable.
    pub problems: Vec<ConfigProblem>,
}

/// What is wrong with one variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {problem}")]
#[non_exhaustive]
pub struct ConfigProblem {
    /// The variable's name.
    pub variable: &'static str,
    /// What is wrong with its value and what to do.
    pub problem: String,
}

/// A command as a variable has it: one program, or a JSON array. No shell rules: a path may hold
/// spaces and quotes.
fn command(text: &str) -> Result<Vec<OsString>, String> {
    let words: Vec<String> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|error| {
            format!(
                "is no JSON array of strings ({error}): write it as [\"program\", \"argument\"]"
            )
        })?
    } else {
        vec![text.to_owned()]
    };
    if words.first().is_some_and(String::is_empty) {
        return Err("names no program".into());
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err("holds a NUL character, which no program can be given".into());
    }
    Ok(words.into_iter().map(Into::into).collect())
}

fn grace(text: &str) -> Result<Duration, String> {
    let grace = humantime::parse_duration(text).map_err(|error| {
        format!("is {text:?}, which is no duration ({error}): write it as 10s or 1m 30s")
    })?;
    if grace > ProcessConfig::MAX_GRACE {
        return Err(format!("is {text:?}: an hour is the most"));
    }
    Ok(grace)
}

fn default_directory(get: &impl Fn(&str) -> Option<String>) -> PathBuf {
    let folder = |name| get(name).map(PathBuf::from).filter(|p| p.is_absolute());
    folder("XDG_STATE_HOME")
        .map(|state| state.join("longhaul"))
        .or_else(|| folder("HOME").map(|home| home.join(".local/state/longhaul")))
        .unwrap_or_else(|| {
            let user = rustix::process::geteuid().as_raw();
            std::env::temp_dir().join(format!("longhaul-{user}"))
        })
        .join("jobs")
}

/// The program `name` next to the running one.
fn sibling(name: &str) -> OsString {
    std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.join(name).into_os_string()))
        .unwrap_or_else(|| OsStr::new(name).to_owned())
}

/// The path of a program as the caller would find it: a name without `/` on `PATH`, where it is
/// left alone if it is not found.
fn program_path(program: &OsStr) -> OsString {
    let is_program = |path: &PathBuf| {
        path.metadata()
            .is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0)
    };
    if program.as_bytes().contains(&b'/') {
        return absolute(program.into()).into_os_string();
    }
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|folder| absolute(folder.join(program)))
        .find(is_program)
        .map_or_else(|| program.to_owned(), PathBuf::into_os_string)
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<ProcessConfig, InvalidConfig> {
        ProcessConfig::from_env(|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_empty_environment_has_defaults_next_to_the_program() {
        let here = std::env::current_exe().unwrap();
        let here = here.parent().unwrap();
        let config = from(&[]).unwrap();
        assert_eq!(config.shim, [here.join("longhaul-process-shim")]);
        assert_eq!(config.worker[0], here.join("longhaul-worker"));
        assert_eq!(config.worker[1..], ["run", "--"]);
        assert_eq!(config.grace, Duration::from_secs(10));
    }

    #[test]
    fn jobs_are_kept_in_the_users_state_folder() {
        for (variables, directory) in [
            (
                &[("XDG_STATE_HOME", "/s"), ("HOME", "/h")][..],
                "/s/longhaul/jobs",
            ),
            (&[("HOME", "/h")], "/h/.local/state/longhaul/jobs"),
            (
                &[("XDG_STATE_HOME", "relative"), ("HOME", "/h")],
                "/h/.local/state/longhaul/jobs",
            ),
            (
                &[("LONGHAUL_PROCESS_DIRECTORY", "/d"), ("HOME", "/h")],
                "/d",
            ),
        ] {
            assert_eq!(from(variables).unwrap().directory, Path::new(directory));
        }
        let nobody = from(&[]).unwrap().directory;
        assert!(nobody.starts_with(std::env::temp_dir()), "{nobody:?}");
    }

    #[test]
    fn a_command_is_one_program_or_a_json_array_and_never_split() {
        let config = from(&[
            ("LONGHAUL_PROCESS_SHIM", "/opt/my tools/\"shim\""),
            ("LONGHAUL_WORKER", r#" ["longhaul", "worker", "run", "--"]"#),
            ("LONGHAUL_PROCESS_GRACE", "1m 30s"),
        ])
        .unwrap();
        assert_eq!(config.shim, ["/opt/my tools/\"shim\""]);
        assert_eq!(config.worker, ["longhaul", "worker", "run", "--"]);
        assert_eq!(config.grace, Duration::from_secs(90));
        assert!(
            from(&[("LONGHAUL_WORKER", "[]")])
                .unwrap()
                .worker
                .is_empty()
        );
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let error = from(&[
            ("LONGHAUL_PROCESS_DIRECTORY", ""),
            ("LONGHAUL_PROCESS_SHIM", "[]"),
            ("LONGHAUL_WORKER", "[1]"),
            ("LONGHAUL_PROCESS_GRACE", "soon"),
        ])
        .unwrap_err();
        let names: Vec<_> = error.problems.iter().map(|p| p.variable).collect();
        assert_eq!(
            names,
            [
                "LONGHAUL_PROCESS_DIRECTORY",
                "LONGHAUL_PROCESS_SHIM",
                "LONGHAUL_WORKER",
                "LONGHAUL_PROCESS_GRACE"
            ]
        );
        let text = error.to_string();
        assert!(
            text.contains("\"soon\"") && text.contains("JSON array"),
            "{text}"
        );
    }

    #[test]
    fn a_value_that_cannot_be_used_is_refused() {
        for (name, value) in [
            ("LONGHAUL_WORKER", ""),
            ("LONGHAUL_WORKER", r#"["", "x"]"#),
            ("LONGHAUL_WORKER", r#"["a\u0000"]"#),
            ("LONGHAUL_PROCESS_SHIM", ""),
            ("LONGHAUL_PROCESS_SHIM", r#"["a""#),
            ("LONGHAUL_PROCESS_GRACE", "2h"),
            ("LONGHAUL_PROCESS_GRACE", "-1s"),
            ("LONGHAUL_PROCESS_DIRECTORY", "a\0b"),
        ] {
            let error = from(&[(name, value)]).unwrap_err();
            assert_eq!(error.problems.len(), 1, "{name}={value:?}: {error}");
            assert_eq!(error.problems[0].variable, name);
        }
    }

    #[test]
    fn programs_are_found_once_and_by_the_starter() {
        let config = ProcessConfig::new("jobs")
            .with_shim(["bin/shim", "bin/argument"])
            .with_worker(["sh", "-c"])
            .absolute();
        let here = std::env::current_dir().unwrap();
        assert_eq!(config.directory, here.join("jobs"));
        assert_eq!(
            config.shim,
            [here.join("bin/shim").as_os_str(), "bin/argument".as_ref()]
        );
        let shell = Path::new(&config.worker[0]);
        assert!(shell.is_absolute() && shell.ends_with("sh"), "{shell:?}");
        let unknown = ProcessConfig::new("/d")
            .with_shim(["no-such-program"])
            .absolute();
        assert_eq!(unknown.shim, ["no-such-program"]);
    }

    #[test]
    fn debug_shows_no_value_of_a_variable() {
        let config = ProcessConfig::new("/d").with_variable("AWS_SECRET_ACCESS_KEY", "hush");
        let text = format!("{config:?}");
        assert!(
            text.contains("AWS_SECRET_ACCESS_KEY") && !text.contains("hush"),
            "{text}"
        );
    }
}
