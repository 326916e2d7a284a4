//! The output of local jobs, for the web page.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use console::strip_ansi_codes;
use longhaul_emulator::{LogSource, LogTail, RecordedStep};
use longhaul_lambda::started_handle;
use longhaul_process::ProcessBackend;

/// Finds what local jobs wrote by the handles that their starts recorded.
#[derive(Debug)]
pub(super) struct JobLogs {
    jobs: ProcessBackend,
}

impl JobLogs {
    pub(super) const fn new(jobs: ProcessBackend) -> Self {
        Self { jobs }
    }
}

impl LogSource for JobLogs {
    fn tails(&self, step: &RecordedStep<'_>, limit: usize) -> Vec<LogTail> {
        let name = step.name.unwrap_or_default();
        let Some(handle) = started_handle(name, step.result) else {
            return Vec::new();
        };
        let Some(paths) = self.jobs.logs(&handle) else {
            return Vec::new();
        };
        let job = name.strip_prefix("start ").unwrap_or(name);
        let process = match self.jobs.pid(&handle) {
            Some(pid) => format!("process {pid}"),
            None => "ended".to_owned(),
        };
        [
            ("standard output", paths.stdout),
            ("standard error", paths.stderr),
        ]
        .into_iter()
        .filter_map(|(stream, path)| {
            let (text, cut) = tail(&path, limit)?;
            Some(LogTail::new(format!("{job}, {stream} ({process})"), text).cut(cut))
        })
        .collect()
    }
}

/// The last whole lines of a file, `limit` bytes at most, as they would stand on a terminal; and whether there is more before
/// them. None where the file is empty or not there.
fn tail(path: &Path, limit: usize) -> Option<(String, bool)> {
    let mut file = File::open(path).ok()?;
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let start = file.metadata().ok()?.len().saturating_sub(limit);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = match text.split_once('\n') {
        Some((_, rest)) if start > 0 && !rest.is_empty() => rest,
        _ => &text,
    };
    let shown: Vec<String> = whole.lines().map(line).collect();
    let shown = shown.join("\n");
    (!shown.is_empty()).then_some((shown, start > 0))
}

/// A line as it stands in the end: without colours, and only what was written last where a line was overwritten.
fn line(line: &str) -> String {
    let line = strip_ansi_codes(line);
    let line = line.trim_end_matches('\r');
    let last = line.rsplit('\r').next().unwrap_or(line);
    last.chars()
        .filter(|c| !c.is_control() || *c == '\t')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_begins_with_a_whole_line_and_has_no_control_characters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert_eq!(tail(&path, 10), None);
        std::fs::write(&path, "").unwrap();
        assert_eq!(tail(&path, 10), None);
        std::fs::write(&path, "first line\nsecond\nthird\n").unwrap();
        assert_eq!(tail(&path, 100).unwrap().0, "first line\nsecond\nthird");
        assert_eq!(tail(&path, 16), Some(("second\nthird".to_owned(), true)));
        std::fs::write(&path, "\u{1b}[31mred\u{1b}[0m\u{7}\r\n10 %\r50 %\r100 %\n").unwrap();
        assert_eq!(tail(&path, 100), Some(("red\n100 %".to_owned(), false)));
        std::fs::write(&path, "a line that never ends").unwrap();
        assert_eq!(tail(&path, 4), Some(("ends".to_owned(), true)));
    }
}
