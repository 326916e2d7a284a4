//! The end of a stream, for a failure to quote.

/// How many bytes of the stream's end are kept.
const KEPT: usize = 4096;

/// The last 4 KiB of what was pushed.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    /// How many bytes were pushed in all.
    seen: u64,
}

impl Tail {
    /// Takes more of the stream.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        let fresh = bytes
            .get(bytes.len().saturating_sub(KEPT)..)
            .unwrap_or(bytes);
        let surplus = (self.bytes.len() + fresh.len()).saturating_sub(KEPT);
        self.bytes.drain(..surplus);
        self.bytes.extend_from_slice(fresh);
    }

    /// How many bytes were pushed in all.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// The end of the stream as text: whole lines where it was cut, without white space at its
    /// end, and with U+FFFD for what is not UTF-8. `None` when there is nothing to show.
    pub(crate) fn text(&self) -> Option<String> {
        let cut = self.seen > self.bytes.len() as u64;
        let first_line_end = self.bytes.iter().position(|b| *b == b'\n');
        let kept = match first_line_end {
            Some(end) if cut && end + 1 < self.bytes.len() => self.bytes.get(end + 1..),
            _ if cut => self.bytes.get(partial_character(&self.bytes)..),
            _ => Some(&self.bytes[..]),
        };
        let text = String::from_utf8_lossy(kept.unwrap_or_default());
        let text = text.trim_end();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// How many bytes at the start belong to a character whose beginning was cut off.
fn partial_character(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take(3)
        .take_while(|b| (0x80..0xC0).contains(*b))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(chunks: &[&[u8]]) -> Option<String> {
        let mut tail = Tail::default();
        for chunk in chunks {
            tail.push(chunk);
        }
        assert!(tail.bytes.len() <= KEPT);
        tail.text()
    }

    #[test]
    fn a_short_stream_is_kept_whole() {
        assert_eq!(tail(&[b"one\n", b"two\n"]).as_deref(), Some("one\ntwo"));
        assert_eq!(tail(&[]), None);
        assert_eq!(tail(&[b"\n \n"]), None);
    }

    #[test]
    fn a_long_stream_keeps_its_last_whole_lines() {
        let lines: String = (0..2000).map(|n| format!("line {n}\n")).collect();
        for size in [1, 7, 4096, 100_000] {
            let chunks: Vec<&[u8]> = lines.as_bytes().chunks(size).collect();
            let text = tail(&chunks).unwrap();
            assert!(text.ends_with("\nline 1999"), "{text}");
            assert!(text.starts_with("line 1"), "{text}");
            assert!(text.len() > KEPT - 20 && text.len() <= KEPT);
        }
    }

    #[test]
    fn one_long_line_is_cut_between_characters() {
        let text = tail(&["€".repeat(5000).as_bytes()]).unwrap();
        assert_eq!(text, "€".repeat(KEPT / 3));
        let text = tail(&["€".repeat(5000).as_bytes(), b"\n"]).unwrap();
        assert_eq!(text, "€".repeat(KEPT / 3));
    }

    #[test]
    fn what_is_not_utf8_is_replaced() {
        assert_eq!(tail(&[b"a\xffb"]).as_deref(), Some("a\u{fffd}b"));
    }
}
