//! The result file: what a command leaves there, and when it is a result.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use longhaul_core::{FailureClass, JobFailure};
use rustix::fs::{Mode, OFlags};

use crate::json;
use crate::payload::Room;

/// A result file that is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidResult {
    /// The file could not be read.
    #[error("the result file {path} cannot be read")]
    Unreadable { path: PathBuf, source: io::Error },
    /// There is something there that is not a file.
    #[error("the result file {path} is not a regular file")]
    NotAFile { path: PathBuf },
    /// The file holds more than can be delivered.
    #[error("the job's result is too large: {path} has {size} bytes, and {room}")]
    TooLarge {
        path: PathBuf,
        size: u64,
        room: Room,
    },
    /// The file holds something that is not JSON.
    #[error("the job's result is not JSON: {path} ({problem})")]
    NotJson {
        path: PathBuf,
        problem: serde_json::Error,
    },
}

impl InvalidResult {
    /// The failure that a command with this result has.
    pub(crate) fn into_failure(self) -> JobFailure {
        let message = match &self {
            Self::Unreadable { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        };
        JobFailure::new(FailureClass::Failed).with_message(message)
    }
}

/// Whether the command left a file with something in it at `path`.
pub(crate) fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0)
}

/// The result that the command left at `path`, byte for byte. No file, or an empty one, is
/// `null`. `room` is how large it may be.
pub(crate) fn read(path: &Path, room: Room) -> Result<Vec<u8>, InvalidResult> {
    let unreadable = |source| InvalidResult::Unreadable {
        path: path.to_owned(),
        source,
    };
    // A link could lead anywhere, and a pipe would make the worker wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(b"null".to_vec()),
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => {
            return Err(InvalidResult::NotAFile {
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(unreadable(error.into())),
    };
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(InvalidResult::NotAFile {
            path: path.to_owned(),
        });
    }
    let limit = room.bytes() as u64;
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let size = found.len().max(bytes.len() as u64);
    if size > limit {
        return Err(InvalidResult::TooLarge {
            path: path.to_owned(),
            size,
            room,
        });
    }
    if bytes.is_empty() {
        return Ok(b"null".to_vec());
    }
    // What the function cannot read must not be delivered.
    match json::check(&bytes) {
        Ok(()) => Ok(bytes),
        Err(problem) => Err(InvalidResult::NotJson {
            path: path.to_owned(),
            problem,
        }),
    }
}

#[cfg(test)]
mod tests {
    use longhaul_core::contract::MAX_INLINE_RESULT;
    use tempfile::TempDir;

    use super::*;

    fn read(path: &Path) -> Result<Vec<u8>, InvalidResult> {
        super::read(path, Room::Callback)
    }

    fn read_content(content: &[u8]) -> Result<Vec<u8>, String> {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("result.json");
        std::fs::write(&path, content).unwrap();
        read(&path).map_err(|e| e.into_failure().error_message())
    }

    #[test]
    fn json_is_delivered_byte_for_byte() {
        for json in [
            &b"{ \"a\" : 1.0 }\n"[..],
            b"null",
            b"\"\xf0\x9f\x98\x80\\u0000\"",
        ] {
            assert_eq!(read_content(json).as_deref(), Ok(json));
        }
    }

    #[test]
    fn no_file_and_an_empty_file_are_null() {
        assert_eq!(read_content(b"").as_deref(), Ok(&b"null"[..]));
        assert_eq!(read(Path::new("/nonexistent/r.json")).unwrap(), b"null");
    }

    #[test]
    fn what_is_not_json_is_refused_with_the_place() {
        for (content, place) in [
            (&b"{\"a\":1,\n oops}"[..], "line 2 column 2"),
            (b"hello", "line 1 column 1"),
            (b"1 2", "line 1 column 3"),
            (b"\"\xff\"", "line 1"),
        ] {
            let error = read_content(content).unwrap_err();
            assert!(error.contains("not JSON"), "{error}");
            assert!(error.contains(place), "{error}");
        }
    }

    #[test]
    fn the_limit_is_256_kib_and_the_error_says_so_and_the_size() {
        let json = |len: usize| format!("\"{}\"", "x".repeat(len - 2));
        assert!(read_content(json(MAX_INLINE_RESULT).as_bytes()).is_ok());
        let error = read_content(json(MAX_INLINE_RESULT + 1).as_bytes()).unwrap_err();
        assert!(error.contains("262145 bytes"), "{error}");
        assert!(error.contains("at most 262144"), "{error}");
    }

    #[test]
    fn only_a_regular_file_is_a_result() {
        let folder = TempDir::new().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [link, pipe, folder.path().to_owned()] {
            let error = read(&path).unwrap_err();
            assert!(matches!(error, InvalidResult::NotAFile { .. }), "{error}");
            assert!(!is_there(&path));
        }
    }
}
