//! Inputs and results by reference: what is too large to travel with the job or its callback.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use longhaul_core::contract::{self, MAX_INLINE_RESULT};
use longhaul_core::{
    CallbackResult, ExecutionId, PayloadError, PayloadErrorKind, PayloadStore, PayloadUri,
    StartKey, payload,
};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

use crate::attempt::Attempt;
use crate::backoff::{Backoff, CAP};

/// How long an input is tried to be read while its store is not available. Nothing has been done
/// yet, so that the machine is better given back than held for the rest of the attempt.
const PATIENCE: Duration = Duration::from_secs(600);

/// The payload store as one attempt uses it. Nothing is opened before it is needed.
pub(crate) struct Payloads {
    base: Option<String>,
    execution: Option<String>,
    start_key: Option<String>,
    store: OnceCell<Arc<dyn PayloadStore>>,
}

impl Payloads {
    /// The payloads of this attempt.
    pub(crate) fn of(attempt: &Attempt) -> Self {
        Self {
            base: attempt.payload_store.clone(),
            execution: attempt.execution_id.clone(),
            start_key: attempt.start_key.clone(),
            store: OnceCell::new(),
        }
    }

    /// No payloads: for a worker that has nothing to report but a failure.
    #[cfg(any(test, feature = "cli"))]
    pub(crate) fn none() -> Self {
        Self::of(&Attempt::unknown())
    }

    /// The payloads of an attempt in a store of the test's own.
    #[cfg(test)]
    pub(crate) fn within(store: Arc<dyn PayloadStore>) -> Self {
        Self {
            base: Some(store.base().to_owned()),
            execution: Some("0".repeat(20)),
            start_key: Some("0".repeat(64)),
            store: OnceCell::new_with(Some(store)),
        }
    }

    /// How large a result may be.
    pub(crate) fn room(&self) -> Room {
        match self.base {
            None => Room::Callback,
            #[cfg(feature = "payload")]
            Some(_) => Room::Store,
            #[cfg(not(feature = "payload"))]
            Some(_) => Room::NoStore,
        }
    }

    /// The input that `uri` names: JSON. As long as the store is not available, it is tried
    /// again, for ten minutes at most.
    pub(crate) async fn input(&self, uri: &str) -> Result<Vec<u8>, PayloadError> {
        let uri: PayloadUri = uri.parse().map_err(|error| {
            PayloadError::new(
                PayloadErrorKind::InvalidUri,
                format!("{} is wrong", contract::INPUT_URI),
            )
            .with_source(error)
        })?;
        let end = Instant::now() + PATIENCE;
        let mut backoff = Backoff::new(CAP);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let error = match timeout(left, self.read(&uri)).await {
                Ok(Ok(content)) => return check(&uri, content),
                Ok(Err(error)) => error,
                Err(_) => PayloadError::new(
                    PayloadErrorKind::Unavailable,
                    format!("read the payload {}: no answer", uri.location()),
                ),
            };
            let wait = backoff.wait();
            if !error.kind().is_temporary() || Instant::now() + wait >= end {
                return Err(error);
            }
            tracing::warn!(
                "the input cannot be read yet, trying again in {:.1} s: {}",
                wait.as_secs_f64(),
                error.full_message()
            );
            sleep(wait).await;
        }
    }

    async fn read(&self, uri: &PayloadUri) -> Result<Vec<u8>, PayloadError> {
        let base = self.base.as_deref().unwrap_or(uri.base());
        self.store(base).await?.get(uri).await
    }

    /// The text for the callback that `result`, JSON, is or is kept under. One try.
    pub(crate) async fn keep(&self, result: &[u8]) -> Result<Vec<u8>, PayloadError> {
        if result.len() <= MAX_INLINE_RESULT {
            return Ok(result.to_owned());
        }
        let Some(base) = &self.base else {
            return Err(too_large(result.len(), self.room()));
        };
        let execution = known(
            &self.execution,
            contract::EXECUTION_ID,
            ExecutionId::try_from,
        )?;
        let start_key = known(&self.start_key, contract::START_KEY, StartKey::try_from)?;
        let text = String::from_utf8(result.to_owned()).map_err(|error| {
            PayloadError::new(PayloadErrorKind::InvalidUri, "the result is not UTF-8")
                .with_source(error)
        })?;
        let store = self.store(base).await?;
        let sent = payload::send_result(Some(&**store), &execution, &start_key, text).await?;
        if let CallbackResult::Reference(uri) = &sent {
            tracing::info!("the result is in the payload store: {uri}");
        }
        Ok(sent.encode().into_bytes())
    }

    async fn store(&self, base: &str) -> Result<&Arc<dyn PayloadStore>, PayloadError> {
        self.store.get_or_try_init(|| async { open(base) }).await
    }
}

#[cfg(feature = "payload")]
fn open(base: &str) -> Result<Arc<dyn PayloadStore>, PayloadError> {
    if base.starts_with("memory:") {
        return Err(PayloadError::new(
            PayloadErrorKind::InvalidUri,
            format!("open the payload store {base}: it is the memory of another process"),
        ));
    }
    longhaul_payload::open(base)
}

#[cfg(not(feature = "payload"))]
fn open(base: &str) -> Result<Arc<dyn PayloadStore>, PayloadError> {
    Err(PayloadError::new(
        PayloadErrorKind::InvalidUri,
        format!(
            "open the payload store {base}: this worker was built without one (feature `payload` or `s3` of \
             longhaul-worker)"
        ),
    ))
}

/// A part of the name under which a result is kept.
fn known<T, E: std::error::Error + Send + Sync + 'static>(
    value: &Option<String>,
    name: &'static str,
    read: impl FnOnce(String) -> Result<T, E>,
) -> Result<T, PayloadError> {
    let invalid = |problem: &str| {
        PayloadError::new(
            PayloadErrorKind::InvalidUri,
            format!("name the result in the payload store: {name} {problem}"),
        )
    };
    let Some(value) = value else {
        return Err(invalid("is not set, and whoever starts the job sets it"));
    };
    read(value.clone()).map_err(|error| invalid("is wrong").with_source(error))
}

/// What the store holds under an input's name is what was put there. That it is JSON is up to
/// whoever put it.
fn check(uri: &PayloadUri, content: Vec<u8>) -> Result<Vec<u8>, PayloadError> {
    let problem = match std::str::from_utf8(&content) {
        Err(error) => error.to_string(),
        Ok(text) => match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Err(error) => error.to_string(),
            Ok(_) => return Ok(content),
        },
    };
    Err(PayloadError::new(
        PayloadErrorKind::InvalidUri,
        format!(
            "read the input {}: it is not JSON: {problem}",
            uri.location()
        ),
    ))
}

fn too_large(size: usize, room: Room) -> PayloadError {
    PayloadError::new(
        PayloadErrorKind::TooLarge,
        format!("it has {size} bytes as JSON, and {room}"),
    )
}

/// How large a result may be, and why. `Display` continues a sentence that tells its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// As large as a callback carries: no payload store is configured.
    Callback,
    /// The same: a payload store is configured, and this worker has none.
    #[cfg(not(feature = "payload"))]
    NoStore,
    /// As large as the payload store takes.
    #[cfg(feature = "payload")]
    Store,
}

impl Room {
    /// The largest result, in bytes.
    pub(crate) fn bytes(self) -> usize {
        match self {
            #[cfg(feature = "payload")]
            Self::Store => usize::try_from(longhaul_payload::StoreConfig::DEFAULT_MAX_SIZE)
                .unwrap_or(usize::MAX),
            _ => MAX_INLINE_RESULT,
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        match self {
            Self::Callback => write!(
                f,
                "at most {bytes} travel with the callback: set {} for the function, or store it somewhere and return \
                 where it is",
                contract::PAYLOAD_STORE
            ),
            #[cfg(not(feature = "payload"))]
            Self::NoStore => write!(
                f,
                "at most {bytes} travel with the callback, for this worker was built without a payload store (feature \
                 `payload` or `s3` of longhaul-worker)"
            ),
            #[cfg(feature = "payload")]
            Self::Store => write!(
                f,
                "at most {bytes} fit in the payload store: store it somewhere and return where it is"
            ),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use longhaul_core::PayloadKey;

    use super::*;

    /// A store that fails as it is told, the last failure first, and then does what it should.
    #[derive(Debug, Default)]
    pub(crate) struct Shelf {
        pub(crate) failures: Mutex<Vec<PayloadErrorKind>>,
        pub(crate) content: Mutex<Vec<u8>>,
    }

    impl Shelf {
        pub(crate) fn failing(times: usize, kind: PayloadErrorKind) -> Arc<Self> {
            Arc::new(Self {
                failures: Mutex::new(vec![kind; times]),
                content: Mutex::default(),
            })
        }

        fn fail(&self) -> Result<(), PayloadError> {
            match self.failures.lock().unwrap().pop() {
                Some(kind) => Err(PayloadError::new(kind, format!("the shelf is {kind}"))),
                None => Ok(()),
            }
        }
    }

    #[async_trait]
    impl PayloadStore for Shelf {
        fn base(&self) -> &str {
            "s3://shelf"
        }

        async fn put(&self, key: &PayloadKey, text: Vec<u8>) -> Result<PayloadUri, PayloadError> {
            self.fail()?;
            let uri = PayloadUri::of_content(self.base(), key.clone(), &text).unwrap();
            *self.content.lock().unwrap() = text;
            Ok(uri)
        }

        async fn get(&self, uri: &PayloadUri) -> Result<Vec<u8>, PayloadError> {
            self.fail()?;
            let content = self.content.lock().unwrap().clone();
            uri.verify(&content)?;
            Ok(content)
        }
    }

    fn input(shelf: &Shelf, content: &[u8]) -> String {
        *shelf.content.lock().unwrap() = content.to_vec();
        let key = format!("{}/{}/input.json", "0".repeat(20), "0".repeat(64));
        let key = format!("s3://shelf/{key}#sha256={}&size=1", "0".repeat(64));
        let key = key.parse::<PayloadUri>().unwrap().key().clone();
        PayloadUri::of_content("s3://shelf", key, content)
            .unwrap()
            .to_string()
    }

    async fn read(shelf: Arc<Shelf>, uri: &str) -> (Result<Vec<u8>, PayloadErrorKind>, u64) {
        let payloads = Payloads::within(shelf);
        let begun = Instant::now();
        let read = payloads.input(uri).await.map_err(|error| error.kind());
        (read, begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn an_input_is_asked_for_again_while_its_store_is_not_available() {
        let shelf = Shelf::failing(5, PayloadErrorKind::Unavailable);
        let uri = input(&shelf, b"[1]");
        assert_eq!(read(shelf, &uri).await.0, Ok(b"[1]".to_vec()));

        let shelf = Shelf::failing(1000, PayloadErrorKind::Unavailable);
        let uri = input(&shelf, b"[1]");
        let (read, waited) = read(shelf, &uri).await;
        assert_eq!(read, Err(PayloadErrorKind::Unavailable));
        assert!((589..=600).contains(&waited), "{waited}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_input_that_will_never_come_is_not_waited_for() {
        use PayloadErrorKind::{Changed, Denied, InvalidUri, Missing, TooLarge};
        for kind in [Missing, Changed, Denied, TooLarge] {
            let shelf = Shelf::failing(1, kind);
            let uri = input(&shelf, b"[1]");
            assert_eq!(read(shelf, &uri).await, (Err(kind), 0));
        }
        for content in [&b"{oops"[..], b"\"\xff\"", b""] {
            let shelf = Shelf::failing(0, Missing);
            let uri = input(&shelf, content);
            assert_eq!(read(shelf, &uri).await, (Err(InvalidUri), 0));
        }
        let shelf = Shelf::failing(0, Missing);
        assert_eq!(read(shelf, "s3://shelf").await, (Err(InvalidUri), 0));
    }

    #[tokio::test]
    async fn a_store_that_this_worker_cannot_reach_is_an_error_that_says_so() {
        let mut attempt = Attempt::unknown();
        attempt.payload_store = Some("memory:".to_owned());
        attempt.execution_id = Some("0".repeat(20));
        attempt.start_key = Some("0".repeat(64));
        let result = format!("\"{}\"", "x".repeat(MAX_INLINE_RESULT));
        let keep = async |attempt: &Attempt| {
            let error = Payloads::of(attempt).keep(result.as_bytes()).await;
            error.unwrap_err().full_message()
        };
        let message = keep(&attempt).await;
        let reason = if cfg!(feature = "payload") {
            "memory of another process"
        } else {
            "built without"
        };
        assert!(message.contains(reason), "{message}");
        attempt.start_key = None;
        assert!(
            keep(&attempt)
                .await
                .contains("LONGHAUL_START_KEY is not set")
        );
        attempt.execution_id = Some("../..".to_owned());
        assert!(
            keep(&attempt)
                .await
                .contains("LONGHAUL_EXECUTION_ID is wrong")
        );
        attempt.payload_store = None;
        assert!(keep(&attempt).await.contains("set LONGHAUL_PAYLOAD_STORE"));
    }
}
