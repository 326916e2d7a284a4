//! Stores in a folder and in memory, on the real file system.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail the test"
)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longhaul_core::{PayloadErrorKind, PayloadKind, PayloadStore, PayloadUri};
use longhaul_payload::{StoreConfig, open};
use support::{MAX_SIZE, keeps_every_promise, key};
use tempfile::TempDir;

/// A store in a folder `payloads` of its own.
fn store() -> (TempDir, PathBuf, Arc<dyn PayloadStore>) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("payloads");
    let store = open(&url(&root)).unwrap();
    (dir, root, store)
}

fn url(root: &Path) -> String {
    format!("file://{}", root.display())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn memory_keeps_every_promise() {
    let store = StoreConfig::new("memory:").with_max_size(MAX_SIZE).open();
    keeps_every_promise(store.unwrap()).await;
}

#[tokio::test]
async fn a_folder_keeps_every_promise_whatever_its_name() {
    for name in ["plain", "a b", "ünï 漢字", "%2e%2e", "a#b?c", "x|y'\"z"] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("new").join(name);
        let encoded = name
            .replace('%', "%25")
            .replace('#', "%23")
            .replace('?', "%3F");
        let url = format!("file://{}/new/{encoded}/", dir.path().display());
        let store = StoreConfig::new(url)
            .with_max_size(MAX_SIZE)
            .open()
            .unwrap();
        keeps_every_promise(Arc::clone(&store)).await;
        assert!(root.is_dir(), "{name}");
        // Opened by its own base, as the worker does, it is the same store.
        let key = key("again", "a", PayloadKind::Input);
        let uri = store.put(&key, b"[1]".to_vec()).await.unwrap();
        let again = open(store.base()).unwrap();
        assert_eq!(again.get(&uri).await.unwrap(), b"[1]");
    }
}

#[tokio::test]
async fn a_store_in_memory_is_its_own() {
    let (one, two) = (open("memory:").unwrap(), open("memory:").unwrap());
    let key = key("own", "a", PayloadKind::Input);
    let uri = one.put(&key, b"1".to_vec()).await.unwrap();
    let error = two.get(&uri).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::Missing);
}

#[tokio::test]
async fn what_is_written_can_be_read_by_its_owner_only() {
    let (_dir, root, store) = store();
    assert_eq!(mode(&root), 0o700);
    // Somebody opened everything up; what is written from now on is closed all the same.
    set_mode(&root, 0o777);
    let key = key("private", "a", PayloadKind::Input);
    let execution = root.join(key.execution().as_str());
    fs::create_dir(&execution).unwrap();
    set_mode(&execution, 0o777);
    let uri = store.put(&key, b"1".to_vec()).await.unwrap();
    let file = root.join(key.to_string());
    assert_eq!(mode(&execution), 0o700);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    assert_eq!(mode(&file), 0o600);

    // A crash before the mode was set is mended by the repetition.
    set_mode(&file, 0o644);
    assert_eq!(store.put(&key, b"1".to_vec()).await.unwrap(), uri);
    assert_eq!(mode(&file), 0o600);
}

#[tokio::test]
async fn a_file_that_was_changed_cut_or_deleted_is_told_apart() {
    let (_dir, root, store) = store();
    let key = key("broken", "a", PayloadKind::Input);
    let uri = store.put(&key, b"[12345]".to_vec()).await.unwrap();
    let file = root.join(key.to_string());

    for (content, part) in [
        (&b"[12346]"[..], "SHA-256"),
        (b"[1234", "it has 5 bytes"),
        (b"", "it has 0 bytes"),
        (b"[12345] ", "it has 8 bytes"),
    ] {
        fs::write(&file, content).unwrap();
        let error = store.get(&uri).await.unwrap_err();
        assert_eq!(error.kind(), PayloadErrorKind::Changed, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }

    fs::remove_file(&file).unwrap();
    let error = store.get(&uri).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::Missing, "{error}");
    fs::create_dir(&file).unwrap();
    let error = store.get(&uri).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::Missing, "{error}");
    fs::remove_dir_all(&root).unwrap();
    let error = store.get(&uri).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::Missing, "{error}");
}

#[tokio::test]
async fn a_put_that_was_killed_half_way_leaves_nothing_that_counts() {
    let (_dir, root, store) = store();
    let key = key("killed", "a", PayloadKind::Input);
    let file = root.join(key.to_string());
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    // What the store beneath writes to before it gives the file its name.
    fs::write(format!("{}#1", file.display()), "[12").unwrap();
    let uri = store.put(&key, b"[12345]".to_vec()).await.unwrap();
    assert_eq!(store.get(&uri).await.unwrap(), b"[12345]");
}

#[tokio::test]
async fn nothing_outside_the_folder_is_read_or_written() {
    let (dir, root, store) = store();
    let key = key("outside", "a", PayloadKind::Input);
    // The same payload one folder up, where everything but the place is right.
    let file = dir.path().join(key.to_string());
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "secret").unwrap();
    let above = PayloadUri::of_content(url(dir.path()), key.clone(), b"secret").unwrap();
    let error = store.get(&above).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::InvalidUri, "{error}");
    assert!(!error.full_message().contains("secret"));

    // And no text that leads there is a URI at all.
    let fragment = above.to_string().split_once('#').unwrap().1.to_owned();
    for way in [
        "/..", "/../", "/%2e%2e", "/.%2E", "/x/../..", "//..", "/..\\",
    ] {
        let text = format!("{}{way}/{key}#{fragment}", url(&root));
        assert!(text.parse::<PayloadUri>().is_err(), "{text}");
    }

    // A link in place of a folder does not lead a payload elsewhere.
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), root.join(key.execution().as_str())).unwrap();
    let error = store.put(&key, b"1".to_vec()).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::Denied, "{error}");
    assert!(error.full_message().contains("is a link"), "{error}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn what_is_no_folder_cannot_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = open(&url(&path)).unwrap_err();
        assert_eq!(error.kind(), PayloadErrorKind::InvalidUri, "{error}");
        assert!(error.to_string().contains("not a folder"), "{error}");
        assert!(error.to_string().contains(&url(&path)), "{error}");
    }
}

#[test]
fn another_url_is_refused_with_the_reason() {
    for (url, part) in [
        (
            "https://x/y",
            "use s3://bucket/prefix, file:///folder or memory:",
        ),
        ("/tmp", "it is no URL"),
        ("s3://x", "not the name of a bucket"),
    ] {
        let error = open(url).unwrap_err();
        assert_eq!(error.kind(), PayloadErrorKind::InvalidUri);
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[cfg(not(feature = "aws"))]
#[test]
fn a_bucket_without_the_feature_says_which_one() {
    let error = open("s3://bucket/prefix").unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::InvalidUri);
    assert!(error.to_string().contains("feature `aws`"), "{error}");
}

#[test]
fn the_settings_never_show_what_the_environment_holds() {
    let config = StoreConfig::new("memory:").with_environment([("AWS_SECRET_ACCESS_KEY", "hush")]);
    let text = format!("{config:?} {:?}", config.open().expect("a store"));
    assert!(text.contains("AWS_SECRET_ACCESS_KEY"));
    assert!(!text.contains("hush"), "{text}");
}
