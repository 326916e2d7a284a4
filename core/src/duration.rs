//! Durations as people write them: `"90s"`, `"1h 30m"`.

use std::time::Duration;

/// `duration` as a job file would hold it: `1h 30m`, `90s` as `1m 30s`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Serde for a duration written as text.
pub(crate) mod text {
    use std::borrow::Cow;
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&super::format_duration(*d))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let text = Cow::<str>::deserialize(d)?;
        parse(&text).map_err(de::Error::custom)
    }

    /// Reads `text`, or says how a duration is written.
    pub(crate) fn parse(text: &str) -> Result<Duration, String> {
        humantime::parse_duration(text).map_err(|error| {
            format!("the duration {text:?} cannot be read ({error}): write it as \"90s\", \"15m\" or \"1h 30m\"")
        })
    }
}

/// Serde for a duration that may be absent.
pub(crate) mod optional_text {
    use std::borrow::Cow;
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    #[expect(clippy::ref_option, reason = "the shape that serde's `with` calls")]
    pub(crate) fn serialize<S: Serializer>(d: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        match d {
            Some(d) => s.serialize_some(&super::format_duration(*d)),
            None => s.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<Cow<str>>::deserialize(d)?
            .map(|text| super::text::parse(&text).map_err(de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Both {
        #[serde(with = "super::text")]
        always: Duration,
        #[serde(with = "super::optional_text", default)]
        maybe: Option<Duration>,
    }

    #[test]
    fn a_bad_duration_says_how_to_write_one() {
        let error = serde_json::from_str::<Both>(r#"{"always":"soon"}"#).unwrap_err();
        assert!(error.to_string().contains("\"soon\""), "{error}");
        assert!(error.to_string().contains("1h 30m"), "{error}");
        assert!(serde_json::from_str::<Both>(r#"{"always":"1s","maybe":"x"}"#).is_err());
        assert!(serde_json::from_str::<Both>(r#"{"always":90}"#).is_err());
    }

    proptest! {
        #[test]
        fn a_written_duration_reads_back(always in 0u64..100_000_000, maybe in proptest::option::of(0u64..100_000_000)) {
            let both = Both { always: Duration::from_secs(always), maybe: maybe.map(Duration::from_millis) };
            let json = serde_json::to_string(&both).unwrap();
            prop_assert_eq!(serde_json::from_str::<Both>(&json).unwrap(), both);
        }
    }
}
