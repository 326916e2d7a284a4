//! What every store promises, whatever is beneath it.

#![allow(
    clippy::unwrap_used,
    reason = "a promise that is broken fails the test that checks it"
)]

use std::sync::Arc;

use longhaul_core::{
    CallbackToken, ExecutionId, PayloadErrorKind, PayloadKey, PayloadKind, PayloadStore, PayloadUri,
};
use tokio::task::JoinSet;

/// The most that the stores under test take.
pub(crate) const MAX_SIZE: u64 = 400_000;

/// The key of the input of an attempt.
pub(crate) fn key(execution: &str, attempt: &str, kind: PayloadKind) -> PayloadKey {
    let token = CallbackToken::new(attempt).unwrap();
    PayloadKey::new(ExecutionId::from_arn(execution), token.start_key(), kind)
}

/// Checks every promise of [`PayloadStore`]. The store takes at most [`MAX_SIZE`] bytes.
pub(crate) async fn keeps_every_promise(store: Arc<dyn PayloadStore>) {
    what_was_put_is_got(&*store).await;
    the_same_put_again_is_the_same_payload(&*store).await;
    what_a_uri_names_never_changes(&*store).await;
    keys_do_not_meet(&*store).await;
    the_same_puts_at_once_all_succeed(&store).await;
    of_different_puts_at_once_one_succeeds(&store).await;
    what_was_never_put_is_missing(&*store).await;
    what_is_not_what_was_put_is_changed(&*store).await;
    what_is_too_large_is_neither_put_nor_got(&*store).await;
    a_uri_of_another_store_is_refused(&*store).await;
}

async fn what_was_put_is_got(store: &dyn PayloadStore) {
    let binary: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for (attempt, content) in [
        ("empty", Vec::new()),
        ("small", b"{}".to_vec()),
        ("text", "\"Grüße 😀\u{0}\n\"".as_bytes().to_vec()),
        ("binary", binary),
        ("full", vec![b'x'; usize::try_from(MAX_SIZE).unwrap()]),
    ] {
        let key = key("got", attempt, PayloadKind::Input);
        let uri = store.put(&key, content.clone()).await.unwrap();
        assert_eq!(*uri.key(), key);
        assert_eq!(uri.base(), store.base());
        assert_eq!(uri.size(), content.len() as u64);
        // As the worker reads it: from text.
        let uri: PayloadUri = uri.to_string().parse().unwrap();
        assert!(store.get(&uri).await.unwrap() == content, "{attempt}");
    }
}

async fn the_same_put_again_is_the_same_payload(store: &dyn PayloadStore) {
    let key = key("again", "a", PayloadKind::Input);
    let first = store.put(&key, b"[1]".to_vec()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(store.put(&key, b"[1]".to_vec()).await.unwrap(), first);
    }
    assert_eq!(store.get(&first).await.unwrap(), b"[1]");
}

async fn what_a_uri_names_never_changes(store: &dyn PayloadStore) {
    let key = key("never", "a", PayloadKind::Result);
    let first = store.put(&key, b"[1]".to_vec()).await.unwrap();
    for other in [&b"[2]"[..], b"[1] ", b""] {
        let error = store.put(&key, other.to_vec()).await.unwrap_err();
        assert_eq!(error.kind(), PayloadErrorKind::Changed, "{error}");
        assert!(error.to_string().contains(&first.location()), "{error}");
    }
    assert_eq!(store.get(&first).await.unwrap(), b"[1]");
}

async fn keys_do_not_meet(store: &dyn PayloadStore) {
    let mut uris = Vec::new();
    for execution in ["meet-1", "meet-2"] {
        for attempt in ["a", "b"] {
            for kind in PayloadKind::ALL {
                let key = key(execution, attempt, kind);
                let content = key.to_string().into_bytes();
                uris.push(store.put(&key, content).await.unwrap());
            }
        }
    }
    for uri in uris {
        let content = store.get(&uri).await.unwrap();
        assert_eq!(String::from_utf8(content).unwrap(), uri.key().to_string());
    }
}

async fn the_same_puts_at_once_all_succeed(store: &Arc<dyn PayloadStore>) {
    let mut puts = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(store);
        puts.spawn(async move {
            let key = key("at once", "same", PayloadKind::Input);
            store.put(&key, vec![b'x'; 100_000]).await
        });
    }
    for put in puts.join_all().await {
        let uri = put.unwrap();
        assert_eq!(store.get(&uri).await.unwrap().len(), 100_000);
    }
}

async fn of_different_puts_at_once_one_succeeds(store: &Arc<dyn PayloadStore>) {
    let mut puts = JoinSet::new();
    for n in 0..8u8 {
        let store = Arc::clone(store);
        puts.spawn(async move {
            let key = key("at once", "different", PayloadKind::Input);
            store.put(&key, vec![n; 100_000]).await
        });
    }
    let (mut put, mut refused) = (Vec::new(), 0);
    for answer in puts.join_all().await {
        match answer {
            Ok(uri) => put.push(uri),
            Err(error) => {
                assert_eq!(error.kind(), PayloadErrorKind::Changed, "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!((put.len(), refused), (1, 7));
    for uri in put {
        store.get(&uri).await.unwrap();
    }
}

async fn what_was_never_put_is_missing(store: &dyn PayloadStore) {
    let key = key("never put", "a", PayloadKind::Input);
    let uri = PayloadUri::of_content(store.base(), key, b"{}").unwrap();
    let error = store.get(&uri).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::Missing, "{error}");
    assert!(error.to_string().contains(&uri.location()), "{error}");
}

async fn what_is_not_what_was_put_is_changed(store: &dyn PayloadStore) {
    let key = key("changed", "a", PayloadKind::Input);
    store.put(&key, b"[1]".to_vec()).await.unwrap();
    for other in [&b"[2]"[..], b"[1] ", b""] {
        let uri = PayloadUri::of_content(store.base(), key.clone(), other).unwrap();
        let error = store.get(&uri).await.unwrap_err();
        assert_eq!(error.kind(), PayloadErrorKind::Changed, "{error}");
    }
}

async fn what_is_too_large_is_neither_put_nor_got(store: &dyn PayloadStore) {
    let key = key("large", "a", PayloadKind::Input);
    let content = vec![b'x'; usize::try_from(MAX_SIZE).unwrap() + 1];
    let uri = PayloadUri::of_content(store.base(), key.clone(), &content).unwrap();
    let error = store.put(&key, content).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::TooLarge, "{error}");
    assert!(error.to_string().contains("400001 bytes"), "{error}");
    let error = store.get(&uri).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::TooLarge, "{error}");
    // And nothing was put.
    store.put(&key, b"{}".to_vec()).await.unwrap();
}

async fn a_uri_of_another_store_is_refused(store: &dyn PayloadStore) {
    let key = key("outside", "a", PayloadKind::Input);
    store.put(&key, b"{}".to_vec()).await.unwrap();
    let base = store.base();
    let above = base.rsplit_once('/').map_or("memory:", |(above, _)| above);
    for other in [
        format!("{base}/below"),
        format!("{base}x"),
        above.to_owned(),
        "s3://another-bucket".to_owned(),
        "file:///etc".to_owned(),
        "memory:/x".to_owned(),
    ] {
        // The roots have no place above them.
        if other == base {
            continue;
        }
        let Ok(uri) = PayloadUri::of_content(other, key.clone(), b"{}") else {
            continue;
        };
        let error = store.get(&uri).await.unwrap_err();
        assert_eq!(error.kind(), PayloadErrorKind::InvalidUri, "{error}");
        assert!(error.to_string().contains("outside this store"), "{error}");
    }
}
