//! The name of a payload: where it is, what it belongs to, and what it must be when it is read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{PayloadError, PayloadErrorKind};
use crate::{ExecutionId, Job, StartKey};

/// Which payload of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PayloadKind {
    /// What the job is given: `input.json`.
    Input,
    /// What the job returns: `result.json`.
    Result,
}

impl PayloadKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Input, Self::Result];

    /// The name of the payload's file or object.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Input => "input.json",
            Self::Result => "result.json",
        }
    }
}

/// Which payload of which attempt of which execution.
///
/// `Display` is its path below the base of a store, `<execution id>/<start key>/input.json`:
/// hexadecimal digits and a fixed name, so nothing in it can lead elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadKey {
    execution: ExecutionId,
    start_key: StartKey,
    kind: PayloadKind,
}

impl PayloadKey {
    /// The key of these parts.
    #[must_use]
    pub fn new(execution: ExecutionId, start_key: StartKey, kind: PayloadKind) -> Self {
        Self {
            execution,
            start_key,
            kind,
        }
    }

    /// The key of the job's input.
    #[must_use]
    pub fn input(job: &Job) -> Self {
        Self::new(
            job.execution().clone(),
            job.start_key().clone(),
            PayloadKind::Input,
        )
    }

    /// The key of the job's result.
    #[must_use]
    pub fn result(job: &Job) -> Self {
        Self::new(
            job.execution().clone(),
            job.start_key().clone(),
            PayloadKind::Result,
        )
    }

    /// The execution.
    #[must_use]
    pub fn execution(&self) -> &ExecutionId {
        &self.execution
    }

    /// The start key of the attempt.
    #[must_use]
    pub fn start_key(&self) -> &StartKey {
        &self.start_key
    }

    /// Which payload of the attempt.
    #[must_use]
    pub fn kind(&self) -> PayloadKind {
        self.kind
    }
}

impl fmt::Display for PayloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            execution,
            start_key,
            kind,
        } = self;
        write!(f, "{execution}/{start_key}/{}", kind.file_name())
    }
}

/// Where a payload is and what it is: a store's base, a [`PayloadKey`], the SHA-256 and the size.
///
/// Its text, at most 2,244 characters of ASCII, has one form only:
///
/// ```text
/// s3://bucket/prefix/<execution id>/<start key>/input.json#sha256=<64 hex digits>&size=<bytes>
/// ```
///
/// Before the `#` stands an ordinary URL of the object or file, for people and for workers in
/// other languages. Not a secret.
///
/// ```
/// use longhaul_core::{CallbackToken, ExecutionId, PayloadKey, PayloadKind, PayloadUri};
///
/// let token = CallbackToken::new("c2VjcmV0")?;
/// let key = PayloadKey::new(ExecutionId::from_arn("arn"), token.start_key(), PayloadKind::Input);
/// let uri = PayloadUri::of_content("s3://bucket/jobs", key, b"{}")?;
/// assert!(uri.to_string().starts_with("s3://bucket/jobs/"));
/// assert!(uri.to_string().ends_with("/input.json#sha256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a&size=2"));
/// assert_eq!(uri.to_string().parse::<PayloadUri>()?, uri);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PayloadUri {
    base: String,
    key: PayloadKey,
    sha256: [u8; 32],
    size: u64,
}

/// Text that is not the URI of a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{uri:?} is not the URI of a payload: {problem}")]
#[non_exhaustive]
pub struct InvalidPayloadUri {
    /// The text, or its beginning.
    pub uri: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl InvalidPayloadUri {
    fn new(uri: &str, problem: &'static str) -> Self {
        Self {
            uri: uri.chars().take(200).collect(),
            problem,
        }
    }
}

impl PayloadUri {
    /// The longest base of a store, in characters.
    pub const MAX_BASE_LEN: usize = 2048;

    /// The URI of `content` under `key` in the store with this base.
    ///
    /// # Errors
    ///
    /// [`InvalidPayloadUri`] when `base` is not an absolute URL without query, fragment, empty
    /// segments, `.` and `..`, percent-encoded where it must be, and without `/` at the end.
    pub fn of_content(
        base: impl Into<String>,
        key: PayloadKey,
        content: &[u8],
    ) -> Result<Self, InvalidPayloadUri> {
        let base = base.into();
        check_base(&base).map_err(|problem| InvalidPayloadUri::new(&base, problem))?;
        Ok(Self {
            base,
            key,
            sha256: Sha256::digest(content).into(),
            size: content.len() as u64,
        })
    }

    /// The base of the store that keeps the payload.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Which payload it is.
    #[must_use]
    pub fn key(&self) -> &PayloadKey {
        &self.key
    }

    /// The URL of the object or file: the text before the `#`.
    #[must_use]
    pub fn location(&self) -> String {
        format!("{}/{}", self.base, self.key)
    }

    /// The SHA-256 of the content, 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> String {
        hex::encode(self.sha256)
    }

    /// The size of the content in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Checks that `content` is what the URI names.
    ///
    /// # Errors
    ///
    /// [`Changed`](PayloadErrorKind::Changed), with both sizes and hashes.
    pub fn verify(&self, content: &[u8]) -> Result<(), PayloadError> {
        let found = Sha256::digest(content);
        if content.len() as u64 == self.size && found.as_slice() == self.sha256 {
            return Ok(());
        }
        Err(PayloadError::new(
            PayloadErrorKind::Changed,
            format!(
                "read the payload {}: what is there is not what was put: {} bytes with SHA-256 {}, and it was {} \
                 bytes with SHA-256 {}",
                self.location(),
                content.len(),
                hex::encode(found),
                self.size,
                self.sha256(),
            ),
        ))
    }
}

impl fmt::Display for PayloadUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            base, key, size, ..
        } = self;
        write!(f, "{base}/{key}#sha256={}&size={size}", self.sha256())
    }
}

impl FromStr for PayloadUri {
    type Err = InvalidPayloadUri;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| InvalidPayloadUri::new(text, problem))
    }
}

impl TryFrom<String> for PayloadUri {
    type Error = InvalidPayloadUri;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PayloadUri> for String {
    fn from(uri: PayloadUri) -> Self {
        uri.to_string()
    }
}

fn parse(text: &str) -> Result<PayloadUri, &'static str> {
    const FRAGMENT: &str = "it must end in `#sha256=<64 hex digits>&size=<bytes>`";
    const PATH: &str =
        "it must end in `/<execution id>/<start key>/` and `input.json` or `result.json`";

    let (location, fragment) = text.split_once('#').ok_or(FRAGMENT)?;
    let (sha256, size) = fragment
        .strip_prefix("sha256=")
        .and_then(|rest| rest.split_once("&size="))
        .ok_or(FRAGMENT)?;
    let mut digest = [0; 32];
    let hashed = sha256.bytes().all(|b| !b.is_ascii_uppercase());
    if !hashed || hex::decode_to_slice(sha256, &mut digest).is_err() {
        return Err(FRAGMENT);
    }
    let parsed: u64 = size.parse().map_err(|_| FRAGMENT)?;
    if parsed.to_string() != size {
        return Err(FRAGMENT);
    }

    let mut parts = location.rsplitn(4, '/');
    let (Some(file), Some(start_key), Some(execution), Some(base)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(PATH);
    };
    let kind = PayloadKind::ALL
        .into_iter()
        .find(|kind| kind.file_name() == file)
        .ok_or(PATH)?;
    let start_key = StartKey::try_from(start_key.to_owned()).map_err(|_| PATH)?;
    let execution = ExecutionId::try_from(execution.to_owned()).map_err(|_| PATH)?;
    check_base(base)?;
    Ok(PayloadUri {
        base: base.to_owned(),
        key: PayloadKey::new(execution, start_key, kind),
        sha256: digest,
        size: parsed,
    })
}

/// Checks the base of a store (RFC 3986), more strictly than it must be: one place, one text.
fn check_base(base: &str) -> Result<(), &'static str> {
    if base.len() > PayloadUri::MAX_BASE_LEN {
        return Err("it is too long");
    }
    let Some((scheme, rest)) = base.split_once(':') else {
        return Err("it names no scheme such as `s3:`");
    };
    let named = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.')
        });
    if !named {
        return Err("it names no scheme such as `s3:`");
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b);
    if !rest.bytes().all(plain) {
        return Err("it holds a character that must be percent-encoded, a `?` or a second `#`");
    }
    if rest.split('%').skip(1).any(|after| !starts_with_hex(after)) {
        return Err("it holds a `%` that begins no percent-encoded character");
    }
    let path = rest.strip_prefix("//").unwrap_or(rest);
    // `file:///` and `memory:` have no authority, and the root has no segment either.
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut segments = path.split('/');
    if !path.is_empty() && segments.any(|segment| segment.is_empty() || is_dots(segment)) {
        return Err("it holds an empty segment, `.` or `..`");
    }
    Ok(())
}

fn starts_with_hex(text: &str) -> bool {
    let mut bytes = text.bytes();
    (0..2).all(|_| bytes.next().is_some_and(|b| b.is_ascii_hexdigit()))
}

/// Whether a reader of URLs may take the segment for `.` or `..` (WHATWG URL, "single-dot" and
/// "double-dot URL path segment").
fn is_dots(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}
