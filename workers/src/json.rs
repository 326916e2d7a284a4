//! Whether bytes are JSON, found out without building what they say.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Checks that `bytes` are one JSON value that every reader can read: numbers in range, texts of
/// whole characters, no depth beyond 128. `serde_json::Value` would take several times the memory
/// of a text that may be as large as a payload store takes; `IgnoredAny` looks at neither numbers
/// nor texts.
pub(crate) fn check(bytes: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice::<Readable>(bytes).map(drop)
}

struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_is_readable_is_what_can_be_built() {
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for text in [
            "null",
            " {\"a\": [1, -2, 1.5e300, true, \"\\u0000 \\ud83d\\ude00 é\"], \"a\": {}} ",
            &deep(127),
            "",
            "1 2",
            "{\"a\" 1}",
            "{1: 2}",
            "[1,]",
            "1e999",
            "01",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"line\nbreak\"",
            "nul",
            &deep(129),
        ] {
            let built = serde_json::from_str::<Value>(text);
            let checked = check(text.as_bytes());
            assert_eq!(checked.is_ok(), built.is_ok(), "{text}");
            if let (Err(checked), Err(built)) = (checked, built) {
                assert_eq!(checked.line(), built.line(), "{text}");
            }
        }
        assert!(check(b"\"\xff\"").is_err());
        assert!(check(b"{\"\xff\": 1}").is_err());
    }
}
