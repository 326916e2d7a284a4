//! The end of a log file, which is all that an error message has room for.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The last `len` bytes of a file as text, from the beginning of a character; `None` where the
/// file is empty or cannot be read.
pub(crate) fn tail(path: &Path, len: u64) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let start = file.metadata().ok()?.len().saturating_sub(len);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes).ok()?;
    let continues = |b: &&u8| start > 0 && **b & 0b1100_0000 == 0b1000_0000;
    let cut = bytes.iter().take(3).take_while(continues).count();
    let text = String::from_utf8_lossy(bytes.get(cut..)?).into_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_tail_begins_with_a_whole_character() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert_eq!(tail(&path, 4), None);
        fs::write(&path, "").unwrap();
        assert_eq!(tail(&path, 4), None);
        fs::write(&path, "ab😀cd").unwrap();
        for (len, text) in [
            (100, "ab😀cd"),
            (6, "😀cd"),
            (5, "cd"),
            (3, "cd"),
            (2, "cd"),
        ] {
            assert_eq!(tail(&path, len).as_deref(), Some(text), "{len}");
        }
        fs::write(&path, b"\x80\xffx").unwrap();
        assert_eq!(tail(&path, 100).as_deref(), Some("\u{fffd}\u{fffd}x"));
    }
}
