//! Inputs and results by reference on S3: what the store answers, and what becomes of the job.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use longhaul_core::{CallbackResult, Job, PayloadKey, PayloadUri};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::hello::{delivered, job, with_environment};
use crate::service::{Answer, CLOSED, Call, Service};
use crate::worker::{finish, run, script, signal, stderr};

const INPUT: &str = r#"{"message":"from S3"}"#;

/// One object after the other in a bucket that plays as much of S3 as is asked of it.
#[derive(Clone)]
struct Bucket {
    /// What the next requests are answered with; when there is nothing more, as it should be.
    answers: Arc<Mutex<Vec<StatusCode>>>,
    /// What was put, where.
    kept: Arc<Mutex<Vec<(String, Bytes)>>>,
    silent: bool,
    address: SocketAddr,
}

impl Bucket {
    async fn answering(answers: Vec<StatusCode>, silent: bool) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bucket = Self {
            answers: Arc::new(Mutex::new(answers)),
            kept: Arc::default(),
            silent,
            address: listener.local_addr().unwrap(),
        };
        let router = axum::Router::new()
            .fallback(answer)
            .with_state(bucket.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        bucket
    }

    /// The supervisor, about to run a script as a job of this bucket.
    fn supervised(&self, service: &Service, job: &Job, text: &str) -> Command {
        let mut worker = with_environment(script(service, &[], text), job);
        worker
            .env("AWS_ENDPOINT_URL_S3", format!("http://{}", self.address))
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test");
        worker
    }
}

async fn answer(State(bucket): State<Bucket>, request: Request) -> Response {
    if bucket.silent {
        std::future::pending::<()>().await;
    }
    if let Some(status) = bucket.answers.lock().unwrap().pop() {
        return status.into_response();
    }
    if request.method() == Method::GET {
        return (
            [
                ("etag", "\"1\""),
                ("last-modified", "Mon, 23 Nov 2026 08:00:00 GMT"),
            ],
            INPUT,
        )
            .into_response();
    }
    let path = request.uri().path().to_owned();
    let body = axum::body::to_bytes(request.into_body(), usize::MAX)
        .await
        .unwrap();
    bucket.kept.lock().unwrap().push((path, body));
    [("etag", "\"1\"")].into_response()
}

/// A job whose input is in the bucket.
fn by_reference() -> Job {
    let job = job("hello.json", Value::Null).with_payload_store("s3://bucket/jobs");
    let key = PayloadKey::input(&job);
    let uri = PayloadUri::of_content("s3://bucket/jobs", key, INPUT.as_bytes()).unwrap();
    job.with_input_uri(uri)
}

const ECHO: &str = r#"printf %s "$LONGHAUL_INPUT" >"$LONGHAUL_RESULT_FILE""#;

#[tokio::test]
async fn an_input_on_s3_is_read_also_when_s3_is_slow_to_give_it() {
    for answers in [vec![], vec![StatusCode::SERVICE_UNAVAILABLE; 2]] {
        let bucket = Bucket::answering(answers, false).await;
        let service = Service::up();
        let output = run(bucket.supervised(&service, &by_reference(), ECHO)).await;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(delivered(&service), json!({"message": "from S3"}));
    }
}

#[tokio::test]
async fn an_input_that_s3_denies_or_does_not_have_keeps_the_command_from_starting() {
    for (status, part) in [
        (StatusCode::FORBIDDEN, "access is denied"),
        (StatusCode::NOT_FOUND, "nothing is there"),
    ] {
        let bucket = Bucket::answering(vec![status], false).await;
        let service = Service::up();
        let output = run(bucket.supervised(&service, &by_reference(), ECHO)).await;
        assert_eq!(output.status.code(), Some(126), "{}", stderr(&output));
        let failure = service.failure();
        assert_eq!(failure.error_type(), "Longhaul.FailedToStart");
        assert!(failure.message().contains(part), "{failure:?}");
        assert!(
            failure.message().contains("s3://bucket/jobs/"),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn a_large_result_is_put_on_s3_and_the_callback_says_where() {
    let bucket = Bucket::answering(vec![], false).await;
    let service = Service::up();
    let job = by_reference();
    let text = r#"(printf '"'; head -c 300000 /dev/zero | tr '\0' x; printf '"') >"$LONGHAUL_RESULT_FILE""#;
    let output = run(bucket.supervised(&service, &job, text)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let kept = bucket.kept.lock().unwrap().clone();
    let [(path, content)] = &kept[..] else {
        panic!("{} puts", kept.len());
    };
    let key = PayloadKey::result(&job);
    assert_eq!(*path, format!("/bucket/jobs/{key}"));
    assert_eq!(content.len(), 300_002);
    let uri = PayloadUri::of_content("s3://bucket/jobs", key, content).unwrap();
    let text = CallbackResult::Reference(uri).encode();
    assert_eq!(service.reports(), [Call::Success(text.into_bytes())]);
}

#[tokio::test]
async fn heartbeats_are_sent_and_sigterm_is_answered_while_the_input_does_not_come() {
    let bucket = Bucket::answering(vec![], true).await;
    let service = Service::up();
    let job = by_reference().with_heartbeat(Some(Duration::from_secs(1)));
    let worker = bucket.supervised(&service, &job, ECHO).spawn().unwrap();
    service.called(3).await;
    signal(&worker, Signal::TERM);
    let output = finish(worker).await;
    assert_eq!(output.status.code(), Some(143), "{}", stderr(&output));
    assert_eq!(service.failure().error_type(), "Longhaul.Interrupted");
}

#[tokio::test]
async fn an_input_is_not_waited_for_when_nobody_listens() {
    let bucket = Bucket::answering(vec![], true).await;
    let service = Service::with(|_, before| match before.len() {
        0 => Answer::Accepted,
        _ => CLOSED,
    });
    let job = by_reference().with_heartbeat(Some(Duration::from_secs(1)));
    let output = run(bucket.supervised(&service, &job, ECHO)).await;
    assert_eq!(output.status.code(), Some(76), "{}", stderr(&output));
    assert_eq!(service.reports(), []);
}
