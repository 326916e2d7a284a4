//! Takes callback ids out of whatever is about to be shown: a page can be photographed, shared and logged.
//!
//! The service's own data has ids in known places, and those are left out before anything is rendered. But functions write
//! what they like: a step may return an id, an input or a job's log may contain one. So every answer is read through once
//! more for anything that has the shape of an id, however it was escaped, and what is an id is replaced.

use std::collections::VecDeque;
use std::ops::Range;

/// What stands in an id's place.
const REPLACEMENT: &str = "[callback id]";

/// The characters of an id before its padding: 32 bytes as base64.
const DIGITS: usize = 43;

/// `text` without those candidates that `is_id` knows. The first error of `is_id` ends the search.
pub(super) fn redact<E>(
    text: String,
    mut is_id: impl FnMut(&str) -> Result<bool, E>,
) -> Result<String, E> {
    let mut clean = String::new();
    let mut copied = 0;
    for (range, id) in candidates(&text) {
        if range.start < copied || !is_id(&id)? {
            continue;
        }
        clean.push_str(text.get(copied..range.start).unwrap_or_default());
        clean.push_str(REPLACEMENT);
        copied = range.end;
    }
    if copied == 0 {
        return Ok(text);
    }
    clean.push_str(text.get(copied..).unwrap_or_default());
    Ok(clean)
}

/// Every place that may hold an id, with the id it would be: the last 43 base64 digits before padding or before anything else.
fn candidates(text: &str) -> Vec<(Range<usize>, String)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut recent: VecDeque<(usize, u8)> = VecDeque::with_capacity(DIGITS + 1);
    let mut at = 0;
    loop {
        let (unit, len) = unit(bytes.get(at..).unwrap_or_default());
        if let Unit::Digit(digit) = unit {
            if recent.len() == DIGITS {
                recent.pop_front();
            }
            recent.push_back((at, digit));
        } else {
            if recent.len() == DIGITS
                && let Some((start, _)) = recent.front()
            {
                let end = if unit == Unit::Padding { at + len } else { at };
                let digits = recent.iter().map(|(_, digit)| char::from(*digit));
                found.push((*start..end, digits.chain(['=']).collect()));
            }
            recent.clear();
        }
        if len == 0 {
            return found;
        }
        at += len;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// A base64 digit, however it is written.
    Digit(u8),
    /// `=`, however it is written.
    Padding,
    Other,
}

/// The first unit of `bytes` and its length in bytes; length 0 at the end.
fn unit(bytes: &[u8]) -> (Unit, usize) {
    let classify = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => Unit::Digit(byte),
        b'=' => Unit::Padding,
        _ => Unit::Other,
    };
    match bytes.first() {
        None => (Unit::Other, 0),
        Some(b'%') => {
            // Percent-encoded, perhaps several times over: %2F, %252F.
            let mut at = 1;
            while bytes.get(at..at + 2) == Some(b"25") {
                at += 2;
            }
            match bytes.get(at..at + 2).and_then(hex) {
                Some(byte @ (b'+' | b'/' | b'=')) => (classify(byte), at + 2),
                _ => (Unit::Other, 1),
            }
        }
        Some(b'\\') => {
            // Escaped in JSON, perhaps in JSON inside JSON: \/, \\/, \u002f.
            let at = bytes.iter().take_while(|byte| **byte == b'\\').count();
            match bytes.get(at) {
                Some(b'/') => (Unit::Digit(b'/'), at + 1),
                Some(b'u') if bytes.get(at + 1..at + 3) == Some(b"00") => {
                    match bytes.get(at + 3..at + 5).and_then(hex) {
                        Some(byte @ (b'+' | b'/' | b'=')) => (classify(byte), at + 5),
                        _ => (Unit::Other, at),
                    }
                }
                _ => (Unit::Other, at),
            }
        }
        Some(byte) => (classify(*byte), 1),
    }
}

fn hex(two: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;
    use rand::SeedableRng as _;

    use super::*;
    use crate::model::CallbackId;

    const ID: &str = "ab/d+fGhIjKlMnOpQrStUvWxYz0123456789AbCdEf/=";

    fn clean(text: &str) -> String {
        let Ok(clean) = redact::<Infallible>(text.to_owned(), |id| Ok(id == ID));
        clean
    }

    #[test]
    fn an_id_is_found_however_it_is_written() {
        let escaped = ID.replace('/', "\\/");
        let twice = ID.replace('/', "\\\\/");
        let unicode = ID
            .replace('/', "\\u002f")
            .replace('=', "\\u003D")
            .replace('+', "\\u002b");
        let percent = ID
            .replace('/', "%2F")
            .replace('=', "%3d")
            .replace('+', "%2B");
        let percent_twice = percent.replace('%', "%25");
        let bare = ID.trim_end_matches('=');
        for id in [
            ID,
            &escaped,
            &twice,
            &unicode,
            &percent,
            &percent_twice,
            bare,
        ] {
            for (before, after) in [
                ("", ""),
                ("CALLBACK_ID=", "\n"),
                ("{\"id\":\"", "\"}"),
                ("/durable-execution-callbacks/", " "),
                ("é", "é"),
            ] {
                let text = format!("{before}{id}{after}");
                assert_eq!(clean(&text), format!("{before}[callback id]{after}"));
            }
        }
        assert_eq!(
            clean(&format!("{ID}{ID} {ID}")),
            "[callback id][callback id] [callback id]"
        );
    }

    #[test]
    fn what_only_looks_like_an_id_stays() {
        let other = ID.replace('a', "b");
        for text in ["", "=", "\\", "%", "\\u00", "%2", "%252", &other, "plain"] {
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn ids_of_this_service_have_the_shape_that_is_looked_for() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        for _ in 0..100 {
            let id = CallbackId::mint(&mut rng);
            let found = candidates(&format!("x {} y", id.reveal()));
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].1, id.reveal());
        }
    }

    proptest! {
        #[test]
        fn no_text_keeps_an_id_and_none_makes_it_fail(before in "\\PC{0,60}", after in "\\PC{0,60}") {
            let text = format!("{before} {ID} {after}");
            let clean = clean(&text);
            prop_assert!(!clean.contains(ID));
            let start = format!("{before} ");
            prop_assert!(clean.starts_with(&start));
        }
    }
}
