//! A service for one user, on a machine that has others.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use longhaul_emulator::{Service, WebPage};
use support::config;
use tempfile::TempDir;

/// The answer that a program of `user` gets, this one's where there is none.
async fn ask(url: &str, user: Option<u32>) -> String {
    let address = url.strip_prefix("http://").unwrap().to_owned();
    let (host, port) = address.split_once(':').unwrap();
    let script = format!(
        "exec 3<>/dev/tcp/{host}/{port}; printf 'GET / HTTP/1.1\\r\\nhost: {address}\\r\\nconnection: close\\r\\n\\r\\n' >&3; cat <&3"
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir("/");
    if let Some(user) = user {
        command.uid(user);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_own_users_programs_are_served() {
    let state = TempDir::new().unwrap();
    let config = config(&state).web_page(WebPage::new()).own_user_only();
    let service = Service::start(config).await.unwrap();
    let own = ask(&service.url(), None).await;
    assert!(own.starts_with("HTTP/1.1 200 OK"), "{own}");
    // Only the superuser can be somebody else.
    if rustix::process::geteuid().is_root() {
        let other = ask(&service.url(), Some(65_534)).await;
        assert!(other.starts_with("HTTP/1.1 403 Forbidden"), "{other}");
        assert!(other.contains("AccessDeniedException"), "{other}");
        assert!(!other.contains("<html"), "{other}");
    }
    service.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_that_setting_every_user_is_served() {
    let state = TempDir::new().unwrap();
    let config = config(&state).web_page(WebPage::new());
    let service = Service::start(config).await.unwrap();
    let user = rustix::process::geteuid().is_root().then_some(65_534);
    let answer = ask(&service.url(), user).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}
