//! Identifiers as types: what each may look like, and which of them are secrets.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// Why a string is not the identifier it was given as. Never quotes the string: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct InvalidId(pub(crate) &'static str);

/// True when `text` has `1..=max` characters of `[a-zA-Z0-9-_]`.
pub(crate) fn is_name(text: &str, max: usize) -> bool {
    !text.is_empty()
        && text.len() <= max
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// True when `text` has `1..=max` characters and is base64: `[A-Za-z0-9+/]+={0,2}`.
fn is_base64(text: &str, max: usize) -> bool {
    let digits = text.trim_end_matches('=');
    !digits.is_empty()
        && text.len() <= max
        && text.len() - digits.len() <= 2
        && digits
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

/// The ARN of one durable execution:
/// `arn:PARTITION:lambda:REGION:ACCOUNT:function:FUNCTION:VERSION/durable-execution/NAME/ID`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExecutionArn(Arc<str>);

impl ExecutionArn {
    /// Reads an ARN.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] when `text` is not 1 to 1,024 characters of the form above.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId("durable execution ARN");
        if text.len() > 1_024 {
            return Err(invalid);
        }
        let (function, rest) = text.split_once("/durable-execution/").ok_or(invalid)?;
        let (name, id) = rest.split_once('/').ok_or(invalid)?;
        let parts: Vec<&str> = function.split(':').collect();
        let [
            arn,
            partition,
            service,
            region,
            account,
            kind,
            function,
            version,
        ] = parts.as_slice()
        else {
            return Err(invalid);
        };
        let alphanumeric = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let valid = *arn == "arn"
            && alphanumeric(partition)
            && *service == "lambda"
            && alphanumeric(region)
            && account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && *kind == "function"
            && is_name(function, 1_024)
            && is_version(version)
            && is_name(name, 1_024)
            && is_name(id, 1_024);
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(invalid)
        }
    }

    /// Puts an ARN together from parts that are already known to be valid.
    pub(crate) fn from_parts(
        region: &str,
        account: &str,
        function: &str,
        version: &str,
        name: &str,
        id: &str,
    ) -> Self {
        Self(format!("arn:aws:lambda:{region}:{account}:function:{function}:{version}/durable-execution/{name}/{id}").into())
    }

    /// The whole ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment: what makes this execution unique, and the id of its EXECUTION operation.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The execution's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').nth(1).unwrap_or_default()
    }

    /// The ARN of the function with the version that runs: everything before `/durable-execution/`.
    #[must_use]
    pub fn function_arn(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// The function's name.
    #[must_use]
    pub fn function(&self) -> &str {
        self.0.split(':').nth(6).unwrap_or_default()
    }
}

/// True for `$LATEST`, `$LATEST.PUBLISHED` and published version numbers.
pub(crate) fn is_version(text: &str) -> bool {
    text == "$LATEST"
        || text == "$LATEST.PUBLISHED"
        || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
}

impl fmt::Display for ExecutionArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ExecutionArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ExecutionArn {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<ExecutionArn> for String {
    fn from(arn: ExecutionArn) -> Self {
        arn.0.as_ref().to_owned()
    }
}

/// The id of one callback. A secret: whoever holds it can complete the callback, so `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallbackId(Arc<str>);

impl CallbackId {
    /// Reads a callback id.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] when `text` is not 1 to 1,024 characters of base64.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if is_base64(text, 1_024) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId("callback id"))
        }
    }

    /// A fresh id that cannot be guessed: 256 random bits.
    pub(crate) fn mint(rng: &mut dyn RngCore) -> Self {
        let mut bytes = [0_u8; 32];
        rng.fill_bytes(&mut bytes);
        Self(STANDARD.encode(bytes).into())
    }

    /// The id itself, to hand to whoever shall complete the callback. Keep it out of logs.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CallbackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackId(redacted)")
    }
}

impl TryFrom<String> for CallbackId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<CallbackId> for String {
    fn from(id: CallbackId) -> Self {
        id.0.as_ref().to_owned()
    }
}

/// What allows one invocation to write its next checkpoint. A secret: `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct CheckpointToken(Arc<str>);

impl CheckpointToken {
    /// Reads a token as a client sent it: 1 to 2,048 characters of base64.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidId> {
        if is_base64(text, 2_048) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId("checkpoint token"))
        }
    }

    /// A fresh token: 192 random bits.
    pub(crate) fn mint(rng: &mut dyn RngCore) -> Self {
        let mut bytes = [0_u8; 24];
        rng.fill_bytes(&mut bytes);
        Self(STANDARD.encode(bytes).into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CheckpointToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckpointToken(redacted)")
    }
}

impl TryFrom<String> for CheckpointToken {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<CheckpointToken> for String {
    fn from(token: CheckpointToken) -> Self {
        token.0.as_ref().to_owned()
    }
}

/// A random UUID (version 4) from the service's own source of randomness.
pub(crate) fn mint_uuid(rng: &mut dyn RngCore) -> String {
    let mut bytes = [0_u8; 16];
    rng.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

/// A UUID that sorts by time (version 7): new keys go to the end of an index, not to a page of it that nothing else changes.
pub(crate) fn mint_ordered_uuid(now: Timestamp, rng: &mut dyn RngCore) -> String {
    let mut bytes = [0_u8; 10];
    rng.fill_bytes(&mut bytes);
    let millis = u64::try_from(now.as_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &bytes)
        .into_uuid()
        .to_string()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:job:$LATEST/durable-execution/first/5b1b0d0e";

    #[test]
    fn an_arn_gives_its_parts() {
        let arn = ExecutionArn::parse(ARN).unwrap();
        assert_eq!(arn.id(), "5b1b0d0e");
        assert_eq!(arn.name(), "first");
        assert_eq!(arn.function(), "job");
        assert_eq!(
            arn.function_arn(),
            "arn:aws:lambda:us-east-1:000000000000:function:job:$LATEST"
        );
        assert_eq!(
            arn,
            ExecutionArn::from_parts(
                "us-east-1",
                "000000000000",
                "job",
                "$LATEST",
                "first",
                "5b1b0d0e"
            )
        );
    }

    #[test]
    fn anything_else_is_not_an_arn() {
        for bad in [
            "",
            "arn:aws:lambda:us-east-1:000000000000:function:job:$LATEST",
            "arn:aws:lambda:us-east-1:00000000000:function:job:$LATEST/durable-execution/first/id",
            "arn:aws:lambda:us-east-1:000000000000:function:job:live/durable-execution/first/id",
            "arn:aws:lambda:us-east-1:000000000000:function:job:$LATEST/durable-execution/first/id/more",
            "arn:aws:lambda:us-east-1:000000000000:function:job:$LATEST/durable-execution//id",
        ] {
            assert!(ExecutionArn::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_callback_id_is_base64_unguessable_and_hidden_from_debug() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let id = CallbackId::mint(&mut rng);
        assert_eq!(CallbackId::parse(id.reveal()).unwrap(), id);
        assert_eq!(id.reveal().len(), 44);
        assert_ne!(id, CallbackId::mint(&mut rng));
        assert!(!format!("{id:?}").contains(id.reveal()));
        for bad in ["", "=", "a b", "a===", "ab=c", "ä"] {
            assert!(CallbackId::parse(bad).is_err(), "{bad}");
        }
    }
}
