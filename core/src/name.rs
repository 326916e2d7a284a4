//! The name of a job.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a job: 1 to 64 characters, a letter or digit first, then letters, digits, `.`,
/// `_` or `-`.
///
/// It stands in operation names, tags, logs and file names, and so keeps to what all of these
/// allow.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct JobName(String);

/// A name that a job cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name {name:?} is not a job name: use 1 to {} letters, digits, `.`, `_` or `-`, a letter or digit first",
    JobName::MAX_LEN
)]
pub struct InvalidName {
    name: String,
}

impl JobName {
    /// The most characters a name can have.
    pub const MAX_LEN: usize = 64;

    /// Checks `name` and takes it.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] when it breaks the rule above.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        let mut bytes = name.bytes();
        let first_ok = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest_ok = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if first_ok && rest_ok && name.len() <= Self::MAX_LEN {
            Ok(Self(name))
        } else {
            Err(InvalidName { name })
        }
    }

    /// The name nearest to `text`: other characters become `-`, and what is too long is cut.
    /// `job` where nothing is left.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let mut name: String = text
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                    c
                } else {
                    '-'
                }
            })
            .skip_while(|c| !c.is_ascii_alphanumeric())
            .take(Self::MAX_LEN)
            .collect();
        name.truncate(name.trim_end_matches('-').len());
        if name.is_empty() {
            name.push_str("job");
        }
        Self(name)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for JobName {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(name)
    }
}

impl FromStr for JobName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        for good in ["a", "render-7", "ETL_2026.11", "0"] {
            assert!(JobName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert!(JobName::new(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_name(text in any::<String>()) {
            let name = JobName::from_text(&text);
            prop_assert_eq!(JobName::new(name.as_str()), Ok(name));
        }

        #[test]
        fn a_good_name_is_its_own_name(text in "[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?") {
            let name = JobName::from_text(&text);
            prop_assert_eq!(name.as_str(), text);
        }
    }
}
