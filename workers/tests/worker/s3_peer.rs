//! Inputs and results by reference on an S3 that nobody here wrote: moto (PyPI, `moto[server]`),
//! whose URL is in `LONGHAUL_TEST_MOTO_URL`. Without it each test says so and passes.

use std::sync::Arc;

use longhaul_core::{Job, PayloadStore, payload};
use longhaul_payload::StoreConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::hello::{delivered, job, with_environment};
use crate::service::{Call, Service};
use crate::worker::{run, script, stderr};

const VARIABLE: &str = "LONGHAUL_TEST_MOTO_URL";

/// A store in a bucket of its own, as the function and the worker have it.
struct Peer {
    variables: [(&'static str, String); 4],
    store: Arc<dyn PayloadStore>,
}

impl Peer {
    async fn find(bucket: &str) -> Option<Self> {
        let Ok(url) = std::env::var(VARIABLE) else {
            eprintln!("not run: set {VARIABLE} to the URL of a moto server");
            return None;
        };
        eprintln!("peer: {VARIABLE}");
        let bucket = format!("longhaul-{bucket}-{}", std::process::id());
        make_bucket(url.strip_prefix("http://").unwrap(), &bucket).await;
        let variables = [
            ("AWS_ENDPOINT_URL_S3", url),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ];
        let store = StoreConfig::new(format!("s3://{bucket}/jobs"))
            .with_environment(variables.clone())
            .open()
            .unwrap();
        Some(Self { variables, store })
    }

    /// A job that knows of the store, with its input in it.
    async fn job(&self, input: Value) -> Job {
        let job = job("hello.json", input).with_payload_store(self.store.base());
        payload::put_input(&*self.store, job).await.unwrap()
    }

    fn as_job(&self, worker: Command, job: &Job) -> Command {
        let mut worker = with_environment(worker, job);
        worker.envs(self.variables.clone());
        worker
    }
}

/// Makes a bucket, as a test's server lets anybody do, in its first region.
async fn make_bucket(authority: &str, bucket: &str) {
    let mut connection = TcpStream::connect(authority).await.unwrap();
    let request = format!(
        "PUT /{bucket} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_large_input_comes_from_a_bucket_and_a_large_result_goes_there() {
    let Some(peer) = Peer::find("echo").await else {
        return;
    };
    let input = json!({"frames": "ü".repeat(3 * 1024 * 1024)});
    let content = input.to_string();
    let job = peer.job(input).await;
    let service = Service::up();
    let text = r#"cat "$LONGHAUL_INPUT_FILE" >"$LONGHAUL_RESULT_FILE""#;
    // Twice: the second worker of an attempt finds the result of the first.
    for count in 1..=2 {
        let output = run(peer.as_job(script(&service, &[], text), &job)).await;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let reports = service.reports();
        assert_eq!(reports.len(), count);
        let Call::Success(text) = &reports[count - 1] else {
            panic!("not a success: {:?}", reports[count - 1]);
        };
        let text = std::str::from_utf8(text).unwrap();
        assert!(text.starts_with("longhaul-payload/1 s3://"), "{text}");
        let (execution, start_key) = (job.execution(), job.start_key());
        let received = payload::receive_result(Some(&*peer.store), execution, start_key, text);
        assert!(received.await.unwrap() == content);
    }
}

#[tokio::test]
async fn the_self_worker_in_python_reads_its_input_from_a_bucket() {
    let Some(peer) = Peer::find("python").await else {
        return;
    };
    let Some(python) = crate::python::python() else {
        return;
    };
    let input = json!({"message": "m", "processingTime": 0, "frames": "x".repeat(300 * 1024)});
    let job = peer.job(input).await;
    let service = Service::up();
    let worker = crate::python::self_worker(&python, &service);
    let output = run(peer.as_job(worker, &job)).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let result = json!({"status": "completed", "message": "Processed: m"});
    assert_eq!(delivered(&service), result);
}
