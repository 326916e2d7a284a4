//! Stores on S3, against a server that somebody else wrote.
//!
//! `LONGHAUL_TEST_S3_ENDPOINT` names one on loopback, such as `moto_server -H 127.0.0.1 -p 5000`
//! (PyPI, `moto[server]`). Without it there is nothing to test against; `.ci/peers` sets it.

#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use longhaul_payload::StoreConfig;
use support::{MAX_SIZE, keeps_every_promise};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Makes a bucket of a name of its own, as a test's server lets anybody do, in its first region.
async fn make_bucket(authority: &str) -> String {
    let bucket = format!("longhaul-{}", std::process::id());
    let mut connection = TcpStream::connect(authority).await.unwrap();
    let request = format!(
        "PUT /{bucket} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    bucket
}

#[tokio::test]
async fn a_bucket_of_another_server_keeps_every_promise() {
    const VARIABLE: &str = "LONGHAUL_TEST_S3_ENDPOINT";
    let Ok(endpoint) = std::env::var(VARIABLE) else {
        eprintln!("not run: set {VARIABLE} to the URL of a server that plays S3");
        return;
    };
    eprintln!("peer: {VARIABLE}");
    let authority = endpoint.strip_prefix("http://").unwrap();
    let bucket = make_bucket(authority).await;
    let store = StoreConfig::new(format!("s3://{bucket}/jobs"))
        .with_max_size(MAX_SIZE)
        .with_environment([
            ("AWS_ENDPOINT_URL_S3", endpoint.as_str()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ])
        .open()
        .unwrap();
    keeps_every_promise(store).await;
}
