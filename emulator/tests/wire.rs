//! The HTTP surface byte by byte: paths, error headers, hosts, bounds, tokens.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code"
)]

mod support;

use std::time::{Duration, Instant};

use longhaul_emulator::{Limits, Service};
use serde_json::json;
use support::handler::observed;
use support::raw::{encode, read, request};
use support::{config, history, invoke, start, suspended_callback, types, until};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

#[tokio::test]
async fn an_error_is_named_in_the_header_and_described_in_the_body() {
    let state = tempfile::tempdir().unwrap();
    let (service, _client) = start(&state).await;
    let arn =
        encode("arn:aws:lambda:us-east-1:000000000000:function:job:$LATEST/durable-execution/a/b");
    let answer = request(
        &service.url(),
        "GET",
        &format!("/2025-12-01/durable-executions/{arn}"),
        &[],
        b"",
    )
    .await;
    assert_eq!(
        (answer.status, answer.error()),
        (404, "ResourceNotFoundException")
    );
    let body = answer.json();
    assert_eq!(body["Type"], "User");
    assert!(
        body["Message"]
            .as_str()
            .unwrap()
            .contains("durable-execution/a/b")
    );
    assert_eq!(
        body["message"], body["Message"],
        "some errors of the model spell it this way"
    );
    assert!(answer.header("x-amzn-requestid").is_some());
    service.shutdown().await;
}

#[tokio::test]
async fn requests_that_are_no_operation_are_refused_and_change_nothing() {
    let state = tempfile::tempdir().unwrap();
    let (service, client) = start(&state).await;
    let arn = invoke(&client, json!({"do": "callback"})).await;
    let id = suspended_callback(&client, &arn).await;
    let (arn, id) = (encode(&arn), encode(&id));
    for (method, path) in [
        ("GET", "/".to_owned()),
        ("GET", format!("/2025-12-01/durable-executions/{arn}/stop")),
        (
            "GET",
            format!("/2025-12-01/durable-execution-callbacks/{id}/succeed"),
        ),
        ("PUT", format!("/2025-12-01/durable-executions/{arn}/stop")),
        ("POST", format!("/2025-12-01/durable-executions/{arn}")),
        (
            "POST",
            format!("/2025-12-01/durable-executions/{arn}/stop/"),
        ),
        (
            "POST",
            format!("/2025-12-01/durable-execution-callbacks/{id}/finish"),
        ),
        ("GET", "/2015-03-31/functions/job/invocations".to_owned()),
        ("POST", "/2015-03-31//functions/job/invocations".to_owned()),
    ] {
        let answer = request(&service.url(), method, &path, &[], b"").await;
        assert_eq!(
            (answer.status, answer.error()),
            (404, "UnknownOperationException"),
            "{method} {path}"
        );
    }
    let answer = request(&service.url(), "GET", "/%ff", &[], b"").await;
    assert_eq!(
        (answer.status, answer.error()),
        (400, "InvalidParameterValueException")
    );
    let answer = request(
        &service.url(),
        "POST",
        "/2025-12-01/durable-executions/x/stop",
        &[],
        b"",
    )
    .await;
    assert_eq!(
        (answer.status, answer.error()),
        (400, "InvalidParameterValueException")
    );
    service.shutdown().await;
}

#[tokio::test]
async fn only_requests_meant_for_this_service_are_served() {
    let state = tempfile::tempdir().unwrap();
    let (service, _client) = start(&state).await;
    let url = service.url();
    let path = "/2025-12-01/functions/job/durable-executions";
    let port = url.rsplit(':').next().unwrap();
    assert_eq!(
        request(
            &url,
            "GET",
            path,
            &[("host", &format!("localhost:{port}"))],
            b""
        )
        .await
        .status,
        200
    );
    let rebound = request(
        &url,
        "GET",
        path,
        &[("host", &format!("evil.example:{port}"))],
        b"",
    )
    .await;
    assert_eq!(
        (rebound.status, rebound.error()),
        (403, "AccessDeniedException")
    );
    let invoke = "/2015-03-31/functions/job/invocations?Qualifier=$LATEST";
    let page = request(
        &url,
        "POST",
        invoke,
        &[
            ("origin", "https://evil.example"),
            ("content-type", "text/plain"),
        ],
        b"{}",
    )
    .await;
    assert_eq!((page.status, page.error()), (403, "AccessDeniedException"));
    let list = request(&url, "GET", path, &[], b"").await.json();
    assert_eq!(list["DurableExecutions"], json!([]), "nothing was started");
    service.shutdown().await;
}

#[tokio::test]
async fn bodies_are_bounded_and_slow_clients_are_cut() {
    let state = tempfile::tempdir().unwrap();
    let mut limits = Limits::default();
    limits.body = 1_000;
    limits.read_timeout = Duration::from_millis(300);
    let service = Service::start(config(&state).limits(limits).function(support::function()))
        .await
        .unwrap();
    let url = service.url();
    let path = "/2015-03-31/functions/job/invocations?Qualifier=$LATEST";
    let answer = request(&url, "POST", path, &[], &vec![b' '; 1_001]).await;
    assert_eq!(
        (answer.status, answer.error()),
        (413, "RequestTooLargeException")
    );

    let address = url.strip_prefix("http://").unwrap().to_owned();
    let began = Instant::now();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream
        .write_all(
            format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 10\r\n\r\n{{")
                .as_bytes(),
        )
        .await
        .unwrap();
    let answer = read(&mut stream).await;
    assert_eq!(
        (answer.status, answer.error()),
        (400, "InvalidRequestContentException"),
        "the body never came"
    );
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(b"GET / HT").await.unwrap();
    let mut rest = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest)
        .await
        .unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "both were cut");
    service.shutdown().await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answers_is_cut() {
    let state = tempfile::tempdir().unwrap();
    let mut limits = Limits::default();
    limits.connections = 1;
    limits.read_timeout = Duration::from_millis(300);
    let service = Service::start(config(&state).limits(limits).function(support::function()))
        .await
        .unwrap();
    let url = service.url();
    let input = json!({"do": "callback", "input": "x".repeat(1_000_000)}).to_string();
    let start = request(
        &url,
        "POST",
        "/2015-03-31/functions/job/invocations?Qualifier=$LATEST",
        &[("x-amz-invocation-type", "Event")],
        input.as_bytes(),
    )
    .await;
    let arn = encode(start.header("x-amz-durable-execution-arn").unwrap());
    let path = format!("/2025-12-01/durable-executions/{arn}");

    // A hundred megabytes of answers fit in no buffer on the way.
    let address = url.strip_prefix("http://").unwrap();
    let mut greedy = TcpStream::connect(address).await.unwrap();
    let ask = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    greedy.write_all(ask.repeat(100).as_bytes()).await.unwrap();
    let answer = request(&url, "GET", &path, &[], b"").await;
    assert_eq!(answer.status, 200, "the one place is free again");
    drop(greedy);
    service.shutdown().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let state = tempfile::tempdir().unwrap();
    let mut limits = Limits::default();
    limits.connections = 1;
    let service = Service::start(config(&state).limits(limits).function(support::function()))
        .await
        .unwrap();
    let url = service.url();
    let idle = TcpStream::connect(url.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    // The one place is taken once the idle connection is accepted; a request then waits.
    let waiting = tokio::spawn({
        let url = url.clone();
        async move {
            request(
                &url,
                "GET",
                "/2025-12-01/functions/job/durable-executions",
                &[],
                b"",
            )
            .await
            .status
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    drop(idle);
    assert_eq!(waiting.await.unwrap(), 200);
    service.shutdown().await;
}

#[tokio::test]
async fn a_repeated_checkpoint_gets_the_very_same_bytes_and_a_stale_token_the_message_its_sdk_knows()
 {
    let state = tempfile::tempdir().unwrap();
    let (service, client, calls) = observed(&state).await;
    let arn = invoke(&client, json!("slow")).await;
    let call = until("the invocation", || async {
        calls.lock().unwrap().first().cloned()
    })
    .await;
    let path = format!("/2025-12-01/durable-executions/{}/checkpoint", encode(&arn));
    let body = json!({
        "CheckpointToken": call.token().await,
        "ClientToken": "once",
        "Updates": [{"Id": "c", "Type": "CALLBACK", "Action": "START"}],
    });
    let first = request(
        &service.url(),
        "POST",
        &path,
        &[],
        body.to_string().as_bytes(),
    )
    .await;
    assert_eq!(first.status, 200);
    let second = request(
        &service.url(),
        "POST",
        &path,
        &[],
        body.to_string().as_bytes(),
    )
    .await;
    assert_eq!(first.body, second.body);
    assert_eq!(
        types(&history(&client, &arn).await),
        ["ExecutionStarted", "CallbackStarted"],
        "done once"
    );

    let stale = json!({"CheckpointToken": call.token().await}).to_string();
    for (agent, message) in [
        (
            "Boto3/1.44.5 md/Botocore#1.44.5",
            "Invalid checkpoint token",
        ),
        ("aws-sdk-rust/1.4.1 os/linux", "Invalid Checkpoint Token"),
        ("aws-sdk-js/3.1000.0", "Invalid Checkpoint Token"),
    ] {
        let answer = request(
            &service.url(),
            "POST",
            &path,
            &[("user-agent", agent)],
            stale.as_bytes(),
        )
        .await;
        assert_eq!(
            (answer.status, answer.error()),
            (400, "InvalidParameterValueException")
        );
        assert_eq!(answer.json()["message"], message);
    }
    let state_path = format!(
        "/2025-12-01/durable-executions/{}/state?CheckpointToken={}",
        encode(&arn),
        encode(&call.token().await)
    );
    assert_eq!(
        request(&service.url(), "GET", &state_path, &[], b"")
            .await
            .status,
        400,
        "the state needs the newest token too"
    );
    for bad in [
        "",
        "{}",
        "[]",
        "{\"CheckpointToken\":\"!\"}",
        "{\"CheckpointToken\":\"YQ==\",\"Updates\":[{\"Id\":\"a\",\"Type\":\"NEW\",\"Action\":\"START\"}]}",
    ] {
        let answer = request(&service.url(), "POST", &path, &[], bad.as_bytes()).await;
        assert_eq!(
            (answer.status, answer.error()),
            (400, "InvalidParameterValueException"),
            "{bad}"
        );
    }
    service.shutdown().await;
}
