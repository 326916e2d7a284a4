//! The job that the command line asks for.

use std::io::Read as _;
use std::path::Path;

use longhaul_core::{JobName, JobSpec};
use serde_json::Value;

use crate::args::RunArgs;
use crate::error::CliError;

/// The backend that jobs run on where nothing else is said.
pub(crate) const LOCAL: &str = "process";

/// Reads the job file or the bare command, and applies the options.
pub(crate) fn read(args: &RunArgs) -> Result<JobSpec, CliError> {
    let mut job = match &args.file {
        Some(path) => read_file(path)?,
        None => bare_command(&args.command)?,
    };
    if let Some(text) = &args.input {
        job.input = serde_json::from_str::<Value>(text).map_err(|error| {
            CliError::Usage(format!(
                "--input is not JSON: {error} (a text needs its quotes: --input '\"text\"')"
            ))
        })?;
    }
    if let Some(name) = &args.name {
        job.name = JobName::new(name.clone())
            .map_err(|error| CliError::Usage(format!("--name: {error}")))?;
    }
    if let Some(timeout) = args.timeout {
        job.timeout = timeout;
    }
    if let Some(heartbeat) = args.heartbeat {
        job.heartbeat = Some(heartbeat);
    }
    if let Some(backend) = &args.backend {
        job.backend = Some(backend.clone());
    }
    job.validate()
        .map_err(|error| CliError::Usage(format!("{}: {error}", source_name(args))))?;
    if backend(&job) == LOCAL {
        local_needs(&mut job, args)?;
    }
    Ok(job)
}

/// The backend that `job` runs on.
pub(crate) fn backend(job: &JobSpec) -> &str {
    job.backend.as_deref().unwrap_or(LOCAL)
}

/// A local process needs a command, and runs where the person is.
fn local_needs(job: &mut JobSpec, args: &RunArgs) -> Result<(), CliError> {
    if job.command.is_none() {
        return Err(CliError::Usage(format!(
            "{}: command: is missing: a local process needs one, as in \"command\": [\"python3\", \"render.py\"]",
            source_name(args)
        )));
    }
    if job.working_directory.is_none() {
        let here = std::env::current_dir()
            .map_err(|error| CliError::Usage(format!("the current folder is gone: {error}")))?;
        let here = here.into_os_string().into_string().map_err(|path| {
            CliError::Usage(format!(
                "the current folder's name is not UTF-8: {}",
                path.display()
            ))
        })?;
        job.working_directory = Some(here);
    }
    Ok(())
}

fn source_name(args: &RunArgs) -> String {
    match &args.file {
        Some(path) if path.as_os_str() == "-" => "the job on standard input".to_owned(),
        Some(path) => path.display().to_string(),
        None => "the command line".to_owned(),
    }
}

fn read_file(path: &Path) -> Result<JobSpec, CliError> {
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| CliError::Usage(format!("standard input cannot be read: {error}")))?;
        text
    } else {
        std::fs::read_to_string(path).map_err(|error| {
            CliError::Usage(format!("{} cannot be read: {error}", path.display()))
        })?
    };
    let name = if path.as_os_str() == "-" {
        "the job on standard input".to_owned()
    } else {
        path.display().to_string()
    };
    parse(&text).map_err(|problem| CliError::Usage(format!("{name} is not a job file: {problem}")))
}

fn parse(text: &str) -> Result<JobSpec, String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let job = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        if path == "." {
            error.into_inner().to_string()
        } else {
            format!("at `{path}`: {}", error.into_inner())
        }
    })?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(job)
}

fn bare_command(command: &[String]) -> Result<JobSpec, CliError> {
    let program = command
        .first()
        .filter(|program| !program.is_empty())
        .ok_or_else(|| CliError::Usage("the command after `--` is empty".to_owned()))?;
    let base = Path::new(program).file_name().map_or_else(
        || program.clone(),
        |name| name.to_string_lossy().into_owned(),
    );
    Ok(JobSpec::new(JobName::from_text(&base)).with_command(command))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn args(line: &[&str]) -> RunArgs {
        let line = ["longhaul", "run"].iter().chain(line);
        let Command::Run(args) = Cli::parse_from(line).command else {
            panic!("not a run");
        };
        args
    }

    fn file(text: &str) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job.json");
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap().to_owned();
        (dir, path)
    }

    fn problem(text: &str) -> String {
        let (_dir, path) = file(text);
        let CliError::Usage(text) = read(&args(&[&path])).unwrap_err() else {
            panic!("not a usage error");
        };
        text
    }

    #[test]
    fn a_bare_command_is_a_job_named_after_its_program() {
        let job = read(&args(&["--", "/usr/bin/env", "true"])).unwrap();
        assert_eq!(job.name.as_str(), "env");
        assert_eq!(job.command.unwrap(), ["/usr/bin/env", "true"]);
        assert!(job.working_directory.is_some());
    }

    #[test]
    fn options_win_over_the_file() {
        let (_dir, path) = file(r#"{"name":"a","command":["x"],"input":1,"timeout":"1m"}"#);
        let job = read(&args(&[
            &path,
            "--name",
            "b",
            "--input",
            "{\"k\":2}",
            "--timeout",
            "1h 30m",
            "--heartbeat",
            "5s",
        ]))
        .unwrap();
        assert_eq!(job.name.as_str(), "b");
        assert_eq!(job.input, serde_json::json!({"k": 2}));
        assert_eq!(job.timeout.as_secs(), 5400);
        assert_eq!(job.heartbeat.unwrap().as_secs(), 5);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_place() {
        assert!(problem(r#"{"name":"a","comand":["x"]}"#).contains("unknown field `comand`"));
        assert!(
            problem(r#"{"name":"a","command":["x"],"timeout":"soon"}"#).contains("at `timeout`")
        );
        assert!(problem(r#"{"name":"a","command":[]}"#).contains("command: is empty"));
        assert!(problem(r#"{"name":"a"}"#).contains("command: is missing"));
        assert!(problem(r#"{"name":"a","command":["x"]} more"#).contains("trailing"));
        assert!(problem("not json").contains("line 1"));
        let CliError::Usage(text) = read(&args(&["/nowhere/job.json"])).unwrap_err() else {
            panic!("not a usage error");
        };
        assert!(text.contains("/nowhere/job.json cannot be read"));
    }

    #[test]
    fn bad_options_are_usage_errors() {
        for line in [["--input", "{"], ["--name", "a b"], ["--timeout", "0s"]] {
            let mut words = line.to_vec();
            words.extend(["--", "true"]);
            assert!(
                matches!(read(&args(&words)), Err(CliError::Usage(_))),
                "{line:?}"
            );
        }
    }
}
