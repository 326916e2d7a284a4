//! How durations, sizes, instants and payloads are written for people.

use std::fmt::Write as _;
use std::time::Duration;

/// A payload or an error's part as it is shown: pretty where it is JSON, and cut where it is long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    /// The whole size, where only the beginning is shown.
    pub(super) cut: Option<String>,
}

impl Text {
    /// At most about `limit` bytes of `raw`.
    pub(super) fn of(raw: &str, limit: usize) -> Self {
        // A text that is far too long is not read through just to be cut.
        let is_json = raw.len() <= limit.saturating_mul(4)
            && serde_json::from_str::<serde::de::IgnoredAny>(raw).is_ok();
        let text = if is_json { pretty(raw) } else { raw.to_owned() };
        let end = cut_at(&text, limit);
        if end == text.len() {
            return Self { text, cut: None };
        }
        Self {
            text: text.get(..end).unwrap_or_default().to_owned(),
            cut: Some(size(raw.len())),
        }
    }
}

/// The last place not after `limit` where a character begins.
fn cut_at(text: &str, limit: usize) -> usize {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// JSON on several lines. Works on the text, so that numbers and strings stay as they were written.
fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut chars = json.trim().chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth.min(40)));
    };
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push('"');
                while let Some(c) = chars.next() {
                    out.push(c);
                    match c {
                        '\\' => out.extend(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                match chars.peek() {
                    Some('}' | ']') => out.extend(chars.next()),
                    _ => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

/// A duration as a person says it: two units at most.
pub(super) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let mut text = String::new();
    let _ = match seconds {
        0 => write!(text, "{millis} ms"),
        1..10 => write!(text, "{seconds}.{} s", (millis / 100) % 10),
        10..60 => write!(text, "{seconds} s"),
        60..3_600 => write!(text, "{minutes} min {:02} s", seconds % 60),
        3_600..86_400 => write!(text, "{hours} h {:02} min", minutes % 60),
        _ => write!(text, "{days} d {:02} h", hours % 24),
    };
    text
}

/// A size in bytes as a person says it.
#[expect(
    clippy::cast_precision_loss,
    reason = "only one digit after the point is shown"
)]
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_is_laid_out_and_its_values_stay_as_they_were_written() {
        let raw = r#" {"a":[1.10,12345678901234567890123,{ }],"b":"x,\"{\\","c":[ ] } "#;
        assert_eq!(
            pretty(raw),
            "{\n  \"a\": [\n    1.10,\n    12345678901234567890123,\n    {}\n  ],\n  \"b\": \"x,\\\"{\\\\\",\n  \"c\": []\n}"
        );
        assert_eq!(pretty("\"text\""), "\"text\"");
    }

    #[test]
    fn what_is_no_json_is_shown_as_it_is_and_what_is_long_is_cut_between_characters() {
        assert_eq!(Text::of("{not json", 100).text, "{not json");
        let cut = Text::of("ééé", 3);
        assert_eq!(
            (cut.text.as_str(), cut.cut.as_deref()),
            ("é", Some("6 bytes"))
        );
        assert_eq!(Text::of("abc", 3).cut, None);
    }

    #[test]
    fn durations_and_sizes_are_what_a_person_says() {
        let text = |millis| duration(Duration::from_millis(millis));
        assert_eq!(text(0), "0 ms");
        assert_eq!(text(999), "999 ms");
        assert_eq!(text(8_240), "8.2 s");
        assert_eq!(text(59_999), "59 s");
        assert_eq!(text(252_000), "4 min 12 s");
        assert_eq!(text(3_600_000), "1 h 00 min");
        assert_eq!(text(90_000_000), "1 d 01 h");
        assert_eq!(size(1_023), "1023 bytes");
        assert_eq!(size(1_536), "1.5 KiB");
        assert_eq!(size(1_048_576), "1.0 MiB");
    }

    proptest! {
        #[test]
        fn laid_out_json_means_the_same(keys in proptest::collection::vec("\\PC{0,8}", 0..5), number in any::<i64>()) {
            let value: serde_json::Value = keys
                .iter()
                .map(|key| (key.clone(), serde_json::json!([number, {key: null}, [], key])))
                .collect::<serde_json::Map<_, _>>()
                .into();
            let again: serde_json::Value = serde_json::from_str(&pretty(&value.to_string())).unwrap();
            prop_assert_eq!(again, value);
        }
    }
}
