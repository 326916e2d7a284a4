//! The job's output, line by line, as it is written.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

/// The longest piece of a line that is shown at once, in bytes.
const LONGEST: usize = 16 * 1024;

/// A file that grows, read in lines.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    read: u64,
    rest: Vec<u8>,
}

impl Tail {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: 0,
            rest: Vec::new(),
        }
    }

    /// The lines that were completed since the last call. A file that is not there has none.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        let mut new = Vec::new();
        if let Ok(mut file) = std::fs::File::open(&self.path)
            && file.seek(SeekFrom::Start(self.read)).is_ok()
            && let Ok(n) = file.take(4 * 1024 * 1024).read_to_end(&mut new)
        {
            self.read += n as u64;
        }
        self.rest.extend(new);
        let mut lines = Vec::new();
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            lines.push(text(&line));
        }
        if self.rest.len() > LONGEST {
            let piece = std::mem::take(&mut self.rest);
            lines.push(text(&piece));
        }
        lines
    }

    /// What is left after the last line break.
    pub(crate) fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then(|| text(&rest))
    }
}

/// The bytes as text, without line end and without what would move a terminal's cursor about.
fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line)
        .trim_end_matches(['\n', '\r'])
        .chars()
        .map(|c| {
            if c.is_control() && c != '\t' && c != '\u{1b}' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_come_once_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut tail = Tail::new(path.clone());
        assert_eq!(tail.lines(), Vec::<String>::new());
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(tail.lines(), ["one"]);
        file.write_all("o\r\nthrée\nend".as_bytes()).unwrap();
        assert_eq!(tail.lines(), ["two", "thrée"]);
        assert_eq!(tail.rest().as_deref(), Some("end"));
        assert_eq!(tail.rest(), None);
    }

    #[test]
    fn a_line_without_end_is_shown_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, vec![b'x'; LONGEST + 1]).unwrap();
        assert_eq!(Tail::new(path).lines().len(), 1);
    }
}
