//! Stores on S3, on the wire, against a server on loopback.

#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

#[path = "support/bucket.rs"]
mod bucket;
mod support;

use axum::http::Method;
use bucket::{BUCKET, Bucket, Fault};
use longhaul_core::{CallbackResult, PayloadErrorKind, PayloadKey, PayloadKind, PayloadUri};
use longhaul_payload::StoreConfig;
use support::{keeps_every_promise, key};

fn object(key: &PayloadKey) -> String {
    format!("jobs/{key}")
}

#[tokio::test]
async fn a_bucket_keeps_every_promise() {
    let bucket = Bucket::start().await;
    keeps_every_promise(bucket.store()).await;
}

#[tokio::test]
async fn a_put_is_one_signed_request_that_replaces_nothing() {
    let bucket = Bucket::start().await;
    let store = bucket.store();
    let key = key("put", "a", PayloadKind::Input);
    let uri = store.put(&key, b"{}".to_vec()).await.unwrap();
    assert_eq!(uri.location(), format!("s3://{BUCKET}/jobs/{key}"));
    assert_eq!(bucket.object(&object(&key)).unwrap(), "{}");

    let seen = bucket.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].method, Method::PUT);
    assert_eq!(seen[0].path, format!("/{BUCKET}/jobs/{key}"));
    assert_eq!(seen[0].header("if-none-match"), "*");
    let signature = seen[0].header("authorization");
    assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIDFUNCTION/"));
    assert!(signature.contains("/eu-west-1/s3/aws4_request"));
    assert_eq!(seen[0].header("x-amz-security-token"), "hush-session");

    assert_eq!(store.get(&uri).await.unwrap(), b"{}");
    let seen = bucket.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(
        (&seen[1].method, &seen[1].path),
        (&Method::GET, &seen[0].path)
    );
}

#[tokio::test]
async fn a_server_that_fails_for_a_moment_is_asked_again() {
    let bucket = Bucket::start().await;
    let store = bucket.store();
    let key = key("moment", "a", PayloadKind::Input);
    bucket.will([Fault::Refused(503), Fault::Refused(500)]);
    let uri = store.put(&key, b"{}".to_vec()).await.unwrap();
    bucket.will([Fault::Refused(503)]);
    assert_eq!(store.get(&uri).await.unwrap(), b"{}");
    assert_eq!(bucket.seen().len(), 5);
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_found_and_not_refused() {
    let bucket = Bucket::start().await;
    let key = key("lost", "a", PayloadKind::Result);
    bucket.will([Fault::DoneButSays(500)]);
    let uri = bucket.store().put(&key, b"[1]".to_vec()).await.unwrap();
    let methods: Vec<Method> = bucket.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, [Method::PUT, Method::PUT, Method::GET]);
    assert_eq!(bucket.store().get(&uri).await.unwrap(), b"[1]");
}

#[tokio::test]
async fn a_put_that_met_another_one_which_failed_is_tried_again() {
    let bucket = Bucket::start().await;
    let key = key("conflict", "a", PayloadKind::Result);
    bucket.will([Fault::Conflict]);
    bucket.store().put(&key, b"[1]".to_vec()).await.unwrap();
    assert_eq!(bucket.object(&object(&key)).unwrap(), "[1]");

    let key = support::key("conflict", "b", PayloadKind::Result);
    bucket.will([
        Fault::Conflict,
        Fault::Refused(404),
        Fault::Conflict,
        Fault::Refused(404),
    ]);
    let error = bucket.store().put(&key, b"[1]".to_vec()).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_missing_bucket_a_denied_one_and_a_broken_one_are_told_apart() {
    let bucket = Bucket::start().await;
    let key = key("errors", "a", PayloadKind::Input);
    let elsewhere = StoreConfig::new("s3://another-bucket")
        .with_environment(bucket.environment())
        .open()
        .unwrap();
    let error = elsewhere.put(&key, b"{}".to_vec()).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::Missing, "{error}");
    assert!(
        error.full_message().contains("NoSuchBucket"),
        "{}",
        error.full_message()
    );

    let store = bucket.store();
    bucket.will([Fault::Refused(403)]);
    let error = store.put(&key, b"{}".to_vec()).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("s3:PutObject"), "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("s3://{BUCKET}/jobs/{key}")),
        "{error}"
    );

    bucket.will([Fault::Refused(503); 5]);
    let error = store.put(&key, b"{}".to_vec()).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::Unavailable, "{error}");
    assert!(error.kind().is_temporary());
    assert_eq!(bucket.object(&object(&key)), None);
}

#[tokio::test]
async fn a_bucket_of_another_region_says_what_to_set() {
    let bucket = Bucket::start().await;
    bucket.will([Fault::Refused(301)]);
    let key = key("region", "a", PayloadKind::Input);
    let error = bucket.store().put(&key, b"{}".to_vec()).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::InvalidUri, "{error}");
    assert!(error.to_string().contains("set AWS_REGION"), "{error}");
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bucket = Bucket::start().await;
    let mut environment = bucket.environment();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    environment.insert("AWS_ENDPOINT_URL_S3".to_owned(), endpoint);
    let key = key("nobody", "a", PayloadKind::Input);
    let store = bucket.store_with(environment);
    let error = store.put(&key, b"{}".to_vec()).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::Unavailable, "{error}");
    assert!(bucket.seen().is_empty());
}

#[tokio::test]
async fn an_object_that_was_replaced_cut_or_deleted_is_told_apart() {
    let bucket = Bucket::start().await;
    let store = bucket.store();
    let key = key("broken", "a", PayloadKind::Input);
    let uri = store.put(&key, b"[12345]".to_vec()).await.unwrap();
    for (content, part) in [
        (&b"[12346]"[..], "SHA-256"),
        (b"[1234", "it has 5 bytes"),
        (b"", "it has 0 bytes"),
    ] {
        bucket.change(&object(&key), Some(content));
        let error = store.get(&uri).await.unwrap_err();
        assert_eq!(error.kind(), PayloadErrorKind::Changed, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    bucket.change(&object(&key), None);
    let error = store.get(&uri).await.unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::Missing, "{error}");
    assert!(error.to_string().contains("has expired"), "{error}");
}

#[tokio::test]
async fn nothing_outside_the_prefix_is_asked_for() {
    let bucket = Bucket::start().await;
    let store = bucket.store();
    let key = key("outside", "a", PayloadKind::Input);
    for base in [
        format!("s3://{BUCKET}"),
        format!("s3://{BUCKET}/job"),
        format!("s3://{BUCKET}/jobs2"),
        format!("s3://{BUCKET}/jobs/deeper"),
        "s3://another-bucket/jobs".to_owned(),
        "file:///jobs".to_owned(),
    ] {
        let uri = PayloadUri::of_content(base, key.clone(), b"{}").unwrap();
        let error = store.get(&uri).await.unwrap_err();
        assert_eq!(error.kind(), PayloadErrorKind::InvalidUri, "{error}");
    }
    assert!(bucket.seen().is_empty());
}

#[tokio::test]
async fn a_task_on_ecs_signs_with_the_credentials_of_its_role() {
    let bucket = Bucket::start().await;
    let mut environment = bucket.environment();
    environment.retain(|name, _| !name.contains("KEY") && !name.contains("TOKEN"));
    environment.insert(
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI".to_owned(),
        "/v2/credentials/of-the-task".to_owned(),
    );
    // The agent is at 169.254.170.2, which a test reaches through a proxy only.
    environment.insert("AWS_PROXY_URL".to_owned(), bucket.url());
    let store = bucket.store_with(environment);
    let key = key("ecs", "a", PayloadKind::Result);
    let uri = store.put(&key, b"{}".to_vec()).await.unwrap();
    store.get(&uri).await.unwrap();

    let seen = bucket.seen();
    assert_eq!(seen.len(), 3, "the credentials are asked for once");
    assert_eq!(seen[0].host, "169.254.170.2");
    for request in &seen[1..] {
        assert!(
            request
                .header("authorization")
                .contains("Credential=AKIDTASK/")
        );
        assert_eq!(request.header("x-amz-security-token"), "hush-session");
    }
}

#[tokio::test]
async fn a_setting_that_would_not_hold_is_refused() {
    let bucket = Bucket::start().await;
    for (name, value) in [("AWS_HTTP2_ONLY", "true"), ("AWS_READ_TIMEOUT", "soon")] {
        let mut environment = bucket.environment();
        environment.insert(name.to_owned(), value.to_owned());
        let store = StoreConfig::new(format!("s3://{BUCKET}/jobs")).with_environment(environment);
        let error = store.open().unwrap_err();
        assert_eq!(error.kind(), PayloadErrorKind::InvalidUri);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn an_instance_signs_with_the_credentials_of_its_role() {
    let bucket = Bucket::start().await;
    let mut environment = bucket.environment();
    environment.retain(|name, _| !name.contains("KEY") && !name.contains("TOKEN"));
    environment.insert("AWS_METADATA_ENDPOINT".to_owned(), bucket.url());
    let store = bucket.store_with(environment);
    let key = key("ec2", "a", PayloadKind::Result);
    store.put(&key, b"{}".to_vec()).await.unwrap();
    let seen = bucket.seen();
    let put = seen.last().unwrap();
    assert!(
        put.header("authorization")
            .contains("Credential=AKIDINSTANCE/")
    );
}

#[tokio::test]
async fn the_endpoint_of_s3_wins_over_the_general_one() {
    let (right, wrong) = (Bucket::start().await, Bucket::start().await);
    let mut environment = right.environment();
    environment.insert("AWS_ENDPOINT_URL".to_owned(), wrong.url());
    let key = key("endpoint", "a", PayloadKind::Input);
    let store = right.store_with(environment.clone());
    store.put(&key, b"{}".to_vec()).await.unwrap();
    assert!(wrong.seen().is_empty());

    environment.remove("AWS_ENDPOINT_URL_S3");
    // Another service's is none of ours.
    environment.insert("AWS_ENDPOINT_URL_LAMBDA".to_owned(), right.url());
    let store = right.store_with(environment);
    store.put(&key, b"{}".to_vec()).await.unwrap();
    assert_eq!(wrong.seen().len(), 1);
}

#[test]
fn an_endpoint_in_the_clear_is_refused_unless_it_is_here_or_allowed() {
    let open = |endpoint: &str, allow: &str| {
        StoreConfig::new("s3://payloads/jobs")
            .with_environment([("AWS_ENDPOINT_URL_S3", endpoint), ("AWS_ALLOW_HTTP", allow)])
            .open()
    };
    for endpoint in [
        "http://127.0.0.1:9000",
        "http://[::1]:9000",
        "http://localhost:9000",
        "https://minio.example",
        "",
    ] {
        open(endpoint, "").unwrap();
    }
    open("http://minio.example", "true").unwrap();
    for (endpoint, part) in [
        ("http://minio.example", "in the clear"),
        ("http://127.0.0.1.example", "in the clear"),
        ("ftp://127.0.0.1", "no protocol of S3"),
        ("minio", "it is no URL"),
    ] {
        let error = open(endpoint, "").unwrap_err();
        assert_eq!(error.kind(), PayloadErrorKind::InvalidUri);
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.to_string().contains("AWS_ENDPOINT_URL_S3"), "{error}");
    }
}

#[tokio::test]
async fn neither_the_store_nor_its_errors_show_credentials() {
    let bucket = Bucket::start().await;
    let store = bucket.store();
    let key = key("secrets", "a", PayloadKind::Input);
    let mut text = format!("{store:?} {store:#?}");
    for status in [400, 403, 404] {
        bucket.will([Fault::Refused(status)]);
        let error = store.put(&key, b"{}".to_vec()).await.unwrap_err();
        text.push_str(&format!("{error:?} {}", error.full_message()));
    }
    assert!(!text.contains("hush"), "{text}");
    assert!(!text.contains("AKIDFUNCTION"), "{text}");
}

#[tokio::test]
async fn a_large_result_goes_from_a_worker_to_its_function() {
    use longhaul_core::payload::{receive_result, send_result};

    let bucket = Bucket::start().await;
    let key = key("result", "a", PayloadKind::Result);
    let (execution, start_key) = (key.execution(), key.start_key());
    let result = format!("\"{}\"", "é".repeat(150_000));
    let worker = bucket.store();
    let sent = send_result(Some(&*worker), execution, start_key, result.clone()).await;
    let sent = sent.unwrap();
    assert!(matches!(sent, CallbackResult::Reference(_)));

    let function = bucket.store();
    let text = sent.encode();
    let received = receive_result(Some(&*function), execution, start_key, &text).await;
    assert!(received.unwrap() == result);
}
