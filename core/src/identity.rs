//! Who is who: the token of an attempt, the key of a start, the id of an execution.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The ID that the durable service minted for one attempt; whoever holds it can complete the
/// attempt. A secret: `Debug` shows nothing of it, and there is no `Display` and no `Serialize`.
///
/// 1 to 1,024 characters of printable ASCII without spaces (the service's model: `CallbackId`,
/// base64). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CallbackToken(Arc<str>);

/// A callback token that cannot be one. Holds nothing of the rejected text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// The text was empty.
    #[error("the callback token is empty")]
    Empty,
    /// The text was longer than the service allows.
    #[error(
        "the callback token has more than {} characters",
        CallbackToken::MAX_LEN
    )]
    TooLong,
    /// The text had a space, a control character or a character outside ASCII.
    #[error("the callback token has a character that is not printable ASCII")]
    Character,
}

impl CallbackToken {
    /// The most characters a token can have.
    pub const MAX_LEN: usize = 1024;

    /// Takes the ID as the service gave it.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] when it is empty, too long, or not printable ASCII.
    pub fn new(id: impl Into<Arc<str>>) -> Result<Self, InvalidToken> {
        let id = id.into();
        check(&id)?;
        Ok(Self(id))
    }

    /// The secret itself. Give it to the job's environment or to the durable service, to
    /// nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The idempotency key of a start with this token.
    #[must_use]
    pub fn start_key(&self) -> StartKey {
        StartKey(hex::encode(Sha256::digest(self.0.as_bytes())))
    }
}

/// Apart from `new`, which is compiled where it is called and perhaps for size: every replay checks every token.
fn check(id: &str) -> Result<(), InvalidToken> {
    if id.is_empty() {
        Err(InvalidToken::Empty)
    } else if id.len() > CallbackToken::MAX_LEN {
        Err(InvalidToken::TooLong)
    } else if !id.bytes().fold(true, |ok, b| ok & b.is_ascii_graphic()) {
        // All of it, and not only up to the first that is wrong: so it is several bytes at a time.
        Err(InvalidToken::Character)
    } else {
        Ok(())
    }
}

impl fmt::Debug for CallbackToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackToken(redacted)")
    }
}

/// The idempotency key of a start: hex SHA-256 of the callback token, 64 characters.
///
/// Not a secret: the token cannot be had back from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct StartKey(String);

impl StartKey {
    /// All 64 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first `len` characters, for platforms that allow fewer than 64.
    #[must_use]
    pub fn cut(&self, len: usize) -> &str {
        self.0.get(..len).unwrap_or(&self.0)
    }

    /// The key for the `option`-th capacity option of this start. Option 0 is the key itself.
    ///
    /// A platform replays the first answer for a repeated key, so a start that moves on to
    /// other capacity needs another key, and the same one each time it is repeated.
    #[must_use]
    pub fn for_capacity_option(&self, option: usize) -> Self {
        if option == 0 {
            return self.clone();
        }
        Self(hex::encode(Sha256::digest(format!("{}:{option}", self.0))))
    }
}

impl fmt::Display for StartKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that is not a start key: it must be 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a start key is 64 lower-case hexadecimal digits")]
pub struct InvalidStartKey;

impl TryFrom<String> for StartKey {
    type Error = InvalidStartKey;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() == 64 && is_lower_hex(&text) {
            Ok(Self(text))
        } else {
            Err(InvalidStartKey)
        }
    }
}

/// Short hash of a durable execution's ARN: the first 20 hexadecimal digits of its SHA-256.
///
/// Every job carries it, so all the jobs of one execution can be found without its handler.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ExecutionId(String);

impl ExecutionId {
    /// How many characters an execution id has.
    pub const LEN: usize = 20;

    /// The id of the execution with this ARN.
    #[must_use]
    pub fn from_arn(arn: &str) -> Self {
        let mut id = hex::encode(Sha256::digest(arn.as_bytes()));
        id.truncate(Self::LEN);
        Self(id)
    }

    /// The 20 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that is not an execution id: it must be 20 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an execution id is {} lower-case hexadecimal digits",
    ExecutionId::LEN
)]
pub struct InvalidExecutionId;

impl TryFrom<String> for ExecutionId {
    type Error = InvalidExecutionId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() == Self::LEN && is_lower_hex(&text) {
            Ok(Self(text))
        } else {
            Err(InvalidExecutionId)
        }
    }
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_never_shows_in_debug() {
        let token = CallbackToken::new("c2VjcmV0").unwrap();
        assert!(!format!("{token:?} {token:#?}").contains("c2VjcmV0"));
    }

    #[test]
    fn a_token_is_printable_ascii_of_bounded_length() {
        assert_eq!(CallbackToken::new(""), Err(InvalidToken::Empty));
        assert_eq!(CallbackToken::new("a b"), Err(InvalidToken::Character));
        assert_eq!(CallbackToken::new("a\nb"), Err(InvalidToken::Character));
        assert_eq!(CallbackToken::new("é"), Err(InvalidToken::Character));
        assert_eq!(
            CallbackToken::new("x".repeat(1025)),
            Err(InvalidToken::TooLong)
        );
        assert!(CallbackToken::new("x".repeat(1024)).is_ok());
    }

    #[test]
    fn the_start_key_is_the_sha256_of_the_token() {
        let key = CallbackToken::new("abc").unwrap().start_key();
        assert_eq!(
            key.as_str(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(key.cut(8), "ba7816bf");
        assert_eq!(key.cut(100), key.as_str());
    }

    #[test]
    fn a_capacity_option_has_its_own_stable_key() {
        let key = CallbackToken::new("abc").unwrap().start_key();
        assert_eq!(key.for_capacity_option(0), key);
        assert_ne!(key.for_capacity_option(1), key);
        assert_ne!(key.for_capacity_option(1), key.for_capacity_option(2));
        assert_eq!(key.for_capacity_option(1), key.for_capacity_option(1));
        assert_eq!(key.for_capacity_option(1).as_str().len(), 64);
    }

    proptest! {
        #[test]
        fn ids_read_back_what_they_wrote(arn in ".{0,200}", token in "[!-~]{1,200}") {
            let id = ExecutionId::from_arn(&arn);
            prop_assert_eq!(ExecutionId::try_from(id.to_string()), Ok(id));
            let key = CallbackToken::new(token).unwrap().start_key();
            prop_assert_eq!(StartKey::try_from(key.to_string()), Ok(key));
        }

        #[test]
        fn text_of_another_shape_is_no_id(text in "[a-zA-Z0-9./-]{0,70}") {
            let hex = |n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            prop_assert_eq!(ExecutionId::try_from(text.clone()).is_ok(), hex(20));
            prop_assert_eq!(StartKey::try_from(text.clone()).is_ok(), hex(64));
        }
    }
}
