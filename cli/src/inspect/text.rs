//! How instants, durations and payloads are printed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_lambda::primitives::DateTime;
use longhaul_core::format_duration;
use serde_json::Value;

/// The instant, for arithmetic.
pub(super) fn time(at: &DateTime) -> SystemTime {
    let millis = u64::try_from(at.to_millis().unwrap_or(0)).unwrap_or(0);
    UNIX_EPOCH + Duration::from_millis(millis)
}

/// RFC 3339 in UTC, with milliseconds.
pub(super) fn rfc3339(at: &DateTime) -> String {
    humantime::format_rfc3339_millis(time(at)).to_string()
}

/// How long after `from` it was; nothing when it was before.
pub(super) fn between(from: SystemTime, to: SystemTime) -> Duration {
    to.duration_since(from).unwrap_or_default()
}

/// As in `0.34s`, `8.2s`, `4m 12s`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 {
        format!("{seconds:.2}s")
    } else if seconds < 60.0 {
        format!("{seconds:.1}s")
    } else {
        format_duration(Duration::from_secs(duration.as_secs()))
    }
}

/// A payload as JSON, or as a string where it is none.
pub(super) fn json(payload: &str) -> Value {
    serde_json::from_str(payload).unwrap_or_else(|_| Value::String(payload.to_owned()))
}

/// A payload for a person: JSON on several lines, indented; anything else as it is.
pub(super) fn payload(payload: &str) -> String {
    let pretty = serde_json::from_str::<Value>(payload)
        .ok()
        .filter(|value| value.is_object() || value.is_array())
        .and_then(|value| serde_json::to_string_pretty(&value).ok());
    let text = printable(pretty.as_deref().unwrap_or(payload));
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

/// The text without what would move a terminal's cursor about or change its colours.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_and_exact_enough() {
        let span = |millis| span(Duration::from_millis(millis));
        assert_eq!(span(340), "0.34s");
        assert_eq!(span(8_240), "8.2s");
        assert_eq!(span(252_900), "4m 12s");
    }

    #[test]
    fn an_instant_is_printed_in_utc() {
        let at = DateTime::from_millis(1_700_000_000_007);
        assert_eq!(rfc3339(&at), "2023-11-14T22:13:20.007Z");
    }

    #[test]
    fn a_payload_cannot_steer_the_terminal() {
        assert_eq!(
            payload("{\"a\":[1]}"),
            "  {\n    \"a\": [\n      1\n    ]\n  }"
        );
        assert_eq!(payload("plain"), "  plain");
        assert_eq!(payload("\u{1b}[2Jx"), "  \u{fffd}[2Jx");
    }
}
