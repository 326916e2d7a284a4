//! Keeping a result in the payload store: try until it is there, nobody listens, or time is up.

use longhaul_core::{FailureClass, JobFailure, PayloadError, PayloadErrorKind};
use tokio::time::{Instant, sleep, timeout};

use crate::backoff::{Backoff, CAP};
use crate::callback::{CallbackApi, CallbackErrorKind};
use crate::delivery::{DENIAL_PATIENCE, TRY_TIMEOUT};
use crate::payload::Payloads;

/// What became of a result that does not travel with the callback.
#[derive(Debug)]
pub(crate) enum Kept {
    /// It is in the store; this is the text for the callback.
    At(Vec<u8>),
    /// It is not, and never will be.
    Not(Box<JobFailure>),
    /// Nobody listens any more.
    Unwanted,
}

/// Puts `result` into the payload store: at least one try, then more until `deadline`.
///
/// As the report is: the result may be the work of hours, so that a store that does not answer is
/// asked again, and one that denies access is not believed for a minute.
pub(crate) async fn keep(
    api: &dyn CallbackApi,
    payloads: &Payloads,
    result: &[u8],
    deadline: Instant,
) -> Kept {
    let mut backoff = Backoff::new(CAP);
    let mut denied_since = None;
    loop {
        // The first try gets its time even when the deadline has passed.
        let limit = deadline
            .saturating_duration_since(Instant::now())
            .max(TRY_TIMEOUT);
        let error = match timeout(limit, payloads.keep(result)).await {
            Ok(Ok(reference)) => return Kept::At(reference),
            Ok(Err(error)) => error,
            Err(_) => PayloadError::new(
                PayloadErrorKind::Unavailable,
                format!("no answer in {:.0} s", limit.as_secs_f64()),
            ),
        };
        let again = match error.kind() {
            PayloadErrorKind::Denied => {
                denied_since.get_or_insert_with(Instant::now).elapsed() < DENIAL_PATIENCE
            }
            kind => {
                denied_since = None;
                kind.is_temporary()
            }
        };
        let wait = backoff.wait();
        if !again || Instant::now() + wait >= deadline {
            tracing::error!("the result is not kept: {}", error.full_message());
            return Kept::Not(Box::new(not_kept(result.len(), &error)));
        }
        tracing::warn!(
            "the result is not kept yet, trying again in {:.1} s: {}",
            wait.as_secs_f64(),
            error.full_message()
        );
        // Not for nobody: a store may be away for as long as the attempt may take.
        if let Ok(Err(error)) = timeout(TRY_TIMEOUT, api.heartbeat()).await
            && error.kind() == CallbackErrorKind::Closed
        {
            tracing::warn!("the result is not wanted any more: {error}");
            return Kept::Unwanted;
        }
        sleep(wait).await;
    }
}

fn not_kept(size: usize, error: &PayloadError) -> JobFailure {
    JobFailure::new(FailureClass::Failed).with_message(format!(
        "the job's result of {size} bytes could not be put into the payload store: {}",
        error.full_message()
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use longhaul_core::contract::MAX_INLINE_RESULT;

    use super::*;
    use crate::callback::{CallbackError, MockCallbackApi};
    use crate::payload::tests::Shelf;

    fn result() -> Vec<u8> {
        format!("\"{}\"", "x".repeat(MAX_INLINE_RESULT)).into_bytes()
    }

    fn listening() -> MockCallbackApi {
        let mut api = MockCallbackApi::new();
        api.expect_heartbeat().returning(|| Ok(()));
        api
    }

    /// Keeps a result, with an hour to go, in a store that fails so often with `kind`.
    async fn keep_after(
        api: &MockCallbackApi,
        times: usize,
        kind: PayloadErrorKind,
    ) -> (Kept, Duration) {
        let shelf = Shelf::failing(times, kind);
        let begun = Instant::now();
        let payloads = Payloads::within(shelf.clone());
        let kept = keep(api, &payloads, &result(), begun + Duration::from_secs(3600)).await;
        let there = matches!(kept, Kept::At(_));
        assert_eq!(*shelf.content.lock().unwrap() == result(), there);
        (kept, begun.elapsed())
    }

    fn message(kept: Kept) -> String {
        match kept {
            Kept::Not(failure) => failure.error_message(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_is_kept_as_soon_as_the_store_is_available() {
        let (kept, _) = keep_after(&listening(), 50, PayloadErrorKind::Unavailable).await;
        let Kept::At(reference) = kept else {
            panic!("{kept:?}");
        };
        let reference = String::from_utf8(reference).unwrap();
        assert!(
            reference.starts_with("longhaul-payload/1 s3://shelf/"),
            "{reference}"
        );
        assert!(reference.ends_with("&size=262146"), "{reference}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_is_given_up_at_the_deadline_and_the_failure_says_why() {
        let (kept, waited) = keep_after(&listening(), 10_000, PayloadErrorKind::Unavailable).await;
        assert!((3590..=3600).contains(&waited.as_secs()), "{waited:?}");
        let message = message(kept);
        assert!(
            message.contains("262146 bytes") && message.contains("shelf is Unavailable"),
            "{message}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_denial_is_believed_after_a_minute_and_the_rest_at_once() {
        let (kept, waited) = keep_after(&listening(), 10_000, PayloadErrorKind::Denied).await;
        assert!((60..=70).contains(&waited.as_secs()), "{waited:?}");
        message(kept);
        use PayloadErrorKind::{Changed, InvalidUri, Missing, TooLarge};
        for kind in [Changed, InvalidUri, Missing, TooLarge] {
            let (kept, waited) = keep_after(&MockCallbackApi::new(), 1, kind).await;
            assert_eq!(waited, Duration::ZERO);
            message(kept);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_for_nobody() {
        let mut api = MockCallbackApi::new();
        api.expect_heartbeat()
            .returning(|| Err(CallbackError::new(CallbackErrorKind::Closed, "closed")));
        let (kept, waited) = keep_after(&api, 1, PayloadErrorKind::Unavailable).await;
        assert!(matches!(kept, Kept::Unwanted), "{kept:?}");
        assert!(waited < Duration::from_secs(1), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_after_the_deadline_is_still_tried_once() {
        let payloads = Payloads::within(Arc::new(Shelf::default()));
        let kept = keep(
            &MockCallbackApi::new(),
            &payloads,
            &result(),
            Instant::now(),
        )
        .await;
        assert!(matches!(kept, Kept::At(_)), "{kept:?}");
    }
}
