//! Where a local durable service answers: a small private file that its other commands find it by.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::state::{StateDir, is_in_use};

/// The file's name: in the state folder for `longhaul serve`, in the execution's folder for `longhaul run`.
const FILE: &str = "service.json";

/// A running service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// Where it answers, as in `http://127.0.0.1:39145`.
    pub(crate) url: String,
    /// The process that it is.
    pub(crate) pid: u32,
    /// The functions that it runs.
    pub(crate) functions: Vec<String>,
}

impl Endpoint {
    /// This process, answering at `url`.
    pub(crate) fn new<S: Into<String>>(
        url: impl Into<String>,
        functions: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            url: url.into(),
            pid: std::process::id(),
            functions: functions.into_iter().map(Into::into).collect(),
        }
    }

    /// The service of `longhaul serve` on this state folder, if it is up.
    pub(crate) fn of_serve(state: &StateDir) -> Option<Self> {
        Self::read(&state.path().join(FILE), &state.service())
    }

    /// The services of every `longhaul run` on this state folder that is under way, each with its execution's name.
    pub(crate) fn of_runs(state: &StateDir) -> Vec<(String, Self)> {
        let Ok(runs) = fs::read_dir(state.runs()) else {
            return Vec::new();
        };
        let mut found: Vec<_> = runs
            .flatten()
            .filter_map(|run| {
                let endpoint = Self::of_folder(&run.path())?;
                Some((run.file_name().into_string().ok()?, endpoint))
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    /// The service of the `longhaul run` that carries `execution`, if it is under way.
    pub(crate) fn of_run(state: &StateDir, execution: &str) -> Option<Self> {
        Self::of_folder(&state.run(execution))
    }

    fn of_folder(folder: &Path) -> Option<Self> {
        Self::read(&folder.join(FILE), folder)
    }

    /// Reads a file, and believes it while a process holds the service's folder: one that was killed leaves its file.
    fn read(file: &Path, folder: &Path) -> Option<Self> {
        let endpoint = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        is_in_use(folder).then_some(endpoint)
    }
}

/// The file while its service is up. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct EndpointFile(PathBuf);

impl EndpointFile {
    /// Tells where the `longhaul serve` on this state folder answers.
    pub(crate) fn of_serve(state: &StateDir, endpoint: &Endpoint) -> Result<Self, CliError> {
        Self::write(state.path().join(FILE), endpoint)
    }

    /// Tells where the `longhaul run` that carries `execution` answers.
    pub(crate) fn of_run(
        state: &StateDir,
        execution: &str,
        endpoint: &Endpoint,
    ) -> Result<Self, CliError> {
        Self::write(state.run(execution).join(FILE), endpoint)
    }

    fn write(path: PathBuf, endpoint: &Endpoint) -> Result<Self, CliError> {
        write_private(&path, endpoint)
            .map_err(|error| CliError::broken(format!("writing {}", path.display()), error))?;
        Ok(Self(path))
    }
}

impl Drop for EndpointFile {
    fn drop(&mut self) {
        // A file that stays is not believed once the service has let go of its folder.
        let _ = fs::remove_file(&self.0);
    }
}

/// Whoever reads it sees all of it or nothing.
fn write_private(path: &Path, endpoint: &Endpoint) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.tmp", endpoint.pid));
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(serde_json::to_string(endpoint)?.as_bytes())?;
    file.write_all(b"\n")?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn state(dir: &tempfile::TempDir) -> StateDir {
        StateDir::find(Some(dir.path())).unwrap()
    }

    fn hold(folder: &Path) -> File {
        fs::create_dir_all(folder).unwrap();
        let lock = File::create(folder.join("lock")).unwrap();
        lock.lock().unwrap();
        lock
    }

    #[test]
    fn a_service_is_found_while_it_holds_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let state = state(&dir);
        let endpoint = Endpoint::new("http://127.0.0.1:1", ["f"]);
        assert_eq!(Endpoint::of_serve(&state), None);
        let lock = hold(&state.service());
        let file = EndpointFile::of_serve(&state, &endpoint).unwrap();
        assert_eq!(Endpoint::of_serve(&state), Some(endpoint));
        let mode = fs::metadata(&file.0).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(lock);
        assert_eq!(Endpoint::of_serve(&state), None, "left by a killed service");
        let path = file.0.clone();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn every_run_under_way_is_found_by_its_executions_name() {
        let dir = tempfile::tempdir().unwrap();
        let state = state(&dir);
        let locks: Vec<_> = ["b", "a", "over"].map(|name| hold(&state.run(name))).into();
        let endpoint = Endpoint::new("http://127.0.0.1:2", ["longhaul"]);
        let _files = ["b", "a"].map(|name| EndpointFile::of_run(&state, name, &endpoint).unwrap());
        let names: Vec<_> = Endpoint::of_runs(&state)
            .into_iter()
            .map(|run| run.0)
            .collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(Endpoint::of_run(&state, "a"), Some(endpoint));
        assert_eq!(Endpoint::of_run(&state, "over"), None);
        drop(locks);
        assert!(Endpoint::of_runs(&state).is_empty());
    }
}
