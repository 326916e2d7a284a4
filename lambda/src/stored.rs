//! Results in the payload store: read with patience, or passed on unread where an execution
//! cannot return them.

use std::time::Duration;

use longhaul_core::{CallbackResult, PayloadError, PayloadKey, PayloadStore, PayloadUri, payload};
use serde::{Deserialize, Serialize};

/// The largest result, in bytes, that a handler returns from a durable execution: 1 MB, the limit
/// of an execution that is started asynchronously (Lambda API, `DurableExecution`; 6 MB where the
/// caller waits, which a handler cannot know).
pub const MAX_EXECUTION_RESULT: usize = 1_000_000;

/// How long reading a result is tried while the store is not available. The work of hours may
/// hang on it, and the function's own timeout is the other bound.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the handler returns in place of a result that is larger than [`MAX_EXECUTION_RESULT`]:
/// where it is.
///
/// ```json
/// {"longhaul_payload": "s3://bucket/<execution id>/<start key>/result.json#sha256=…&size=3145730"}
/// ```
///
/// Before the `#` stands the URL of an ordinary object or file. `longhaul run` follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredResult {
    /// Where the result is, its SHA-256 and its size.
    pub longhaul_payload: PayloadUri,
}

impl StoredResult {
    /// The place of `result`, where an execution cannot return the result itself.
    #[must_use]
    pub fn of(result: &CallbackResult) -> Option<Self> {
        match result {
            CallbackResult::Reference(uri) if uri.size() > MAX_EXECUTION_RESULT as u64 => {
                Some(Self {
                    longhaul_payload: uri.clone(),
                })
            }
            _ => None,
        }
    }
}

/// Reads a result. As long as the store is not available, for a minute at most, it is tried
/// again.
pub(crate) async fn read(
    store: Option<&dyn PayloadStore>,
    uri: &PayloadUri,
) -> Result<String, PayloadError> {
    patiently(|| payload::get_result(store, uri)).await
}

/// Puts a result into the store, with the same patience.
pub(crate) async fn put(
    store: &dyn PayloadStore,
    key: &PayloadKey,
    result: &str,
) -> Result<PayloadUri, PayloadError> {
    patiently(|| store.put(key, result.as_bytes().to_vec())).await
}

async fn patiently<T, F>(attempt: impl Fn() -> F) -> Result<T, PayloadError>
where
    F: Future<Output = Result<T, PayloadError>>,
{
    let mut waited = Duration::ZERO;
    let mut wait = Duration::from_secs(1);
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if !error.kind().is_temporary() || waited + wait > PATIENCE {
            return Err(error);
        }
        tracing::warn!(
            ?wait, error = %error.full_message(), "the payload store is not available yet"
        );
        tokio::time::sleep(wait).await;
        waited += wait;
        wait *= 2;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use longhaul_core::{CallbackToken, ExecutionId, PayloadErrorKind, PayloadKey, PayloadKind};

    use super::*;

    fn uri(size: usize) -> PayloadUri {
        let token = CallbackToken::new("dG9rZW4=").unwrap();
        let execution = ExecutionId::from_arn("arn");
        let key = PayloadKey::new(execution, token.start_key(), PayloadKind::Result);
        PayloadUri::of_content("s3://bucket", key, &vec![b'1'; size]).unwrap()
    }

    #[test]
    fn only_what_an_execution_cannot_return_is_returned_by_its_place() {
        let of = |size| StoredResult::of(&CallbackResult::Reference(uri(size)));
        assert_eq!(of(MAX_EXECUTION_RESULT), None);
        let stored = of(MAX_EXECUTION_RESULT + 1).unwrap();
        let json = serde_json::to_string(&stored).unwrap();
        assert!(
            json.starts_with(r#"{"longhaul_payload":"s3://bucket/"#),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<StoredResult>(&json).unwrap(), stored);
        let inline = CallbackResult::Inline("x".repeat(MAX_EXECUTION_RESULT + 1));
        assert_eq!(StoredResult::of(&inline), None);
    }

    /// A store that fails as often as it is told, and then has it.
    #[derive(Debug)]
    struct Failing(Mutex<Vec<PayloadErrorKind>>);

    #[async_trait]
    impl PayloadStore for Failing {
        fn base(&self) -> &str {
            "s3://bucket"
        }

        async fn put(&self, _: &PayloadKey, _: Vec<u8>) -> Result<PayloadUri, PayloadError> {
            unreachable!("nothing is put")
        }

        async fn get(&self, _: &PayloadUri) -> Result<Vec<u8>, PayloadError> {
            match self.0.lock().unwrap().pop() {
                Some(kind) => Err(PayloadError::new(kind, "no")),
                None => Ok(b"1".to_vec()),
            }
        }
    }

    async fn read_after(
        failures: Vec<PayloadErrorKind>,
    ) -> (Result<String, PayloadErrorKind>, u64) {
        let store = Failing(Mutex::new(failures));
        let begun = tokio::time::Instant::now();
        let read = read(Some(&store), &uri(1)).await.map_err(|e| e.kind());
        (read, begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_not_available_is_asked_again_for_a_minute() {
        let unavailable = |times| vec![PayloadErrorKind::Unavailable; times];
        assert_eq!(read_after(unavailable(3)).await, (Ok("1".to_owned()), 7));
        let (read, waited) = read_after(unavailable(100)).await;
        assert_eq!(read, Err(PayloadErrorKind::Unavailable));
        assert!((30..=60).contains(&waited), "{waited}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_not_pass_is_not_tried_again() {
        for kind in [
            PayloadErrorKind::Missing,
            PayloadErrorKind::Changed,
            PayloadErrorKind::Denied,
        ] {
            assert_eq!(read_after(vec![kind]).await, (Err(kind), 0));
        }
    }
}
