//! The backend over the wire, against a server that fails in every way that Batch can.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

mod support;

use longhaul_batch::{BatchBackend, BatchConfig, job_name};
use longhaul_core::{
    BackendErrorKind, CallbackToken, CancelOutcome, ComputeBackend, ExecutionId, FailureClass, Job,
    JobHandle, JobSpec, JobState, Retry,
};
use serde_json::{Value, json};
use support::{FakeBatch, Fault, client};
use tokio::net::TcpSocket;

const TOKEN: &str = "dG9rZW4tMQ==";

fn token() -> CallbackToken {
    CallbackToken::new(TOKEN).unwrap()
}

fn execution() -> ExecutionId {
    ExecutionId::from_arn("arn")
}

fn job() -> Job {
    let spec: JobSpec = serde_json::from_str(
        r#"{"name":"hello","command":["say","für 😀 \"x\"\n"],"input":{"message":"hi"},
            "resources":{"vcpus":0.5,"memory_mib":512},"timeout":"1h"}"#,
    )
    .unwrap();
    Job::new(spec, execution(), 1, &token())
}

fn backend(fake: &FakeBatch) -> BatchBackend {
    BatchBackend::new(BatchConfig::new("jobs", "worker:7"), client(fake.url()))
}

/// A start that fails in a way that leaves open whether it worked, as every such error must be.
async fn ambiguous_start(fake: &FakeBatch) {
    let error = backend(fake).start(&job(), &token()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        BackendErrorKind::Ambiguous,
        "{}",
        error.full_message()
    );
    assert_eq!(error.retry(), Retry::SameToken);
    assert!(!error.full_message().contains(TOKEN));
}

#[tokio::test]
async fn a_second_start_with_one_token_finds_the_job_of_the_first() {
    let fake = FakeBatch::start().await;
    let first = backend(&fake).start(&job(), &token()).await.unwrap();
    assert_eq!(fake.sequence(), ["listjobs", "submitjob", "listjobs"]);
    let second = backend(&fake).start(&job(), &token()).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(fake.accepted(), 1);
    assert_eq!(fake.running(), [first.id()]);
}

#[tokio::test]
async fn the_requests_of_a_start_are_what_batch_reads() {
    let fake = FakeBatch::start().await;
    backend(&fake).start(&job(), &token()).await.unwrap();
    let name = job_name(&execution(), &token().start_key());
    let listing = json!({"jobQueue": "jobs", "filters": [{"name": "JOB_NAME", "values": [name]}]});
    assert_eq!(fake.calls("listjobs"), [listing.clone(), listing]);
    let mut submitted = fake.calls("submitjob").remove(0);
    let environment = submitted["containerOverrides"]["environment"].take();
    let has = |name: &str, value: &str| {
        let pair = json!({"name": name, "value": value});
        environment.as_array().unwrap().contains(&pair)
    };
    assert!(has("CALLBACK_ID", TOKEN));
    assert!(has("LONGHAUL_INPUT", r#"{"message":"hi"}"#));
    assert!(has("MESSAGE", "hi"));
    assert_eq!(
        submitted,
        json!({
            "jobName": name,
            "jobQueue": "jobs",
            "jobDefinition": "worker:7",
            "containerOverrides": {
                "command": ["say", "für 😀 \"x\"\n"],
                "environment": null,
                "resourceRequirements": [
                    {"type": "VCPU", "value": "0.5"},
                    {"type": "MEMORY", "value": "512"},
                ],
            },
            "retryStrategy": {"attempts": 1},
            "timeout": {"attemptDurationSeconds": 3600},
            "tags": {
                "longhaul:job": "hello",
                "longhaul:execution": execution().as_str(),
                "longhaul:attempt": "1",
            },
        })
    );
}

#[tokio::test]
async fn a_connection_cut_after_the_request_was_accepted_starts_no_second_job() {
    let fake = FakeBatch::start().await;
    fake.fail("submitjob", Fault::CutAfter);
    ambiguous_start(&fake).await;
    assert_eq!(
        fake.calls("submitjob").len(),
        1,
        "the SDK must not repeat it"
    );

    let found = backend(&fake).start(&job(), &token()).await.unwrap();
    assert_eq!(fake.calls("submitjob").len(), 1);
    assert_eq!(fake.running(), [found.id()]);
    assert_eq!(fake.accepted(), 1);
}

#[tokio::test]
async fn a_connection_cut_before_the_request_was_accepted_loses_no_job() {
    let fake = FakeBatch::start().await;
    fake.fail("submitjob", Fault::CutBefore);
    ambiguous_start(&fake).await;
    assert_eq!(fake.accepted(), 0);
    let started = backend(&fake).start(&job(), &token()).await.unwrap();
    assert_eq!(fake.running(), [started.id()]);
    assert_eq!(fake.accepted(), 1);
}

#[tokio::test]
async fn an_answer_that_does_not_say_what_was_done_starts_no_second_job() {
    for fault in [
        Fault::Then(500, r#"{"message":"broken"}"#),
        Fault::Then(503, ""),
        Fault::Then(200, "<html>garbage"),
        Fault::Then(200, "{}"),
        Fault::Then(200, r#"{"jobId":7}"#),
    ] {
        let fake = FakeBatch::start().await;
        fake.fail("submitjob", fault.clone());
        ambiguous_start(&fake).await;
        assert_eq!(fake.calls("submitjob").len(), 1, "{fault:?}");
        let found = backend(&fake).start(&job(), &token()).await.unwrap();
        assert_eq!(fake.running(), [found.id()], "{fault:?}");
        assert_eq!(fake.accepted(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_throttled_submit_is_sent_again_at_once() {
    let fake = FakeBatch::start().await;
    let slow = |status, code| Fault::Answer(status, code, "Too Many Requests".to_owned());
    fake.fail("submitjob", slow(429, "TooManyRequestsException"));
    fake.fail("submitjob", slow(400, "ClientException"));
    let started = backend(&fake).start(&job(), &token()).await.unwrap();
    assert_eq!(fake.calls("submitjob").len(), 3);
    assert_eq!(fake.running(), [started.id()]);
}

#[tokio::test]
async fn a_submit_that_stays_throttled_is_left_to_a_later_start() {
    let fake = FakeBatch::start().await;
    for _ in 0..3 {
        let slow = Fault::Answer(429, "TooManyRequestsException", "slow down".to_owned());
        fake.fail("submitjob", slow);
    }
    let error = backend(&fake).start(&job(), &token()).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Throttled);
    assert_eq!(error.retry(), Retry::Backoff);
    assert_eq!(fake.accepted(), 0);
}

#[tokio::test]
async fn concurrent_starts_with_one_token_leave_one_job() {
    let fake = FakeBatch::start().await;
    fake.hold_lookups(6);
    let starts: Vec<_> = (0..6)
        .map(|_| {
            let backend = backend(&fake);
            tokio::spawn(async move { backend.start(&job(), &token()).await.unwrap() })
        })
        .collect();
    let mut handles = Vec::new();
    for start in starts {
        handles.push(start.await.unwrap());
    }
    assert_eq!(
        fake.accepted(),
        6,
        "nobody saw another's job before submitting"
    );
    handles.dedup();
    assert_eq!(handles.len(), 1, "{handles:?}");
    assert_eq!(fake.running(), [handles[0].id()]);
}

#[tokio::test]
async fn a_lookup_that_is_behind_is_made_good_by_the_second_look() {
    let fake = FakeBatch::start().await;
    fake.fail("submitjob", Fault::CutAfter);
    ambiguous_start(&fake).await;
    fake.fail("listjobs", Fault::Behind);
    let kept = backend(&fake).start(&job(), &token()).await.unwrap();
    assert_eq!(fake.accepted(), 2);
    assert_eq!(fake.running(), [kept.id()]);
    let stopped = fake.calls("terminatejob");
    assert_eq!(stopped.len(), 1);
    assert_ne!(stopped[0]["jobId"], kept.id());
}

#[tokio::test]
async fn a_second_look_that_fails_leaves_the_choice_to_the_next_start() {
    let fake = FakeBatch::start().await;
    // Only the second look: the first one works, then three tries of the SDK fail.
    fake.fail("listjobs", Fault::Then(200, r#"{"jobSummaryList":[]}"#));
    for _ in 0..3 {
        fake.fail("listjobs", Fault::CutBefore);
    }
    ambiguous_start(&fake).await;
    let found = backend(&fake).start(&job(), &token()).await.unwrap();
    assert_eq!(fake.running(), [found.id()]);
    assert_eq!(fake.calls("submitjob").len(), 1);
}

#[tokio::test]
async fn a_start_looks_on_every_page_and_at_the_exact_name() {
    let fake = FakeBatch::start().await;
    fake.page_size(1);
    let first = backend(&fake).start(&job(), &token()).await.unwrap();
    let name = job_name(&execution(), &token().start_key());
    for _ in 0..3 {
        fake.add(&name.to_uppercase());
    }
    let second = backend(&fake).start(&job(), &token()).await.unwrap();
    assert_eq!(first, second);
    let last_page = fake.calls("listjobs").pop().unwrap();
    assert_eq!(last_page["nextToken"], "3");
    assert_eq!(fake.calls("terminatejob"), [] as [Value; 0]);
}

#[tokio::test]
async fn a_list_has_exactly_the_jobs_of_the_execution_that_may_still_run() {
    let fake = FakeBatch::start().await;
    fake.page_size(2);
    let backend = backend(&fake);
    let mut mine = Vec::new();
    for (arn, n) in [
        ("arn", 1),
        ("other", 2),
        ("arn", 3),
        ("arn", 4),
        ("other", 5),
        ("arn", 6),
    ] {
        let token = CallbackToken::new(format!("token-{n}")).unwrap();
        let job = Job::new(job().spec().clone(), ExecutionId::from_arn(arn), n, &token);
        let handle = backend.start(&job, &token).await.unwrap();
        if arn == "arn" {
            mine.push(handle);
        }
    }
    fake.add(&format!("lh-{}-by-hand", execution()));
    fake.change(mine[1].id(), &json!({"status": "FAILED"}));
    fake.change(mine[2].id(), &json!({"status": "RUNNING"}));
    mine.remove(1);
    assert_eq!(backend.list(&execution()).await.unwrap(), mine);
    let nothing = backend.list(&ExecutionId::from_arn("new")).await.unwrap();
    assert_eq!(nothing, []);
}

#[tokio::test]
async fn a_cancel_stops_the_job_and_a_second_one_finds_it_ended() {
    let fake = FakeBatch::start().await;
    let backend = backend(&fake);
    let handle = backend.start(&job(), &token()).await.unwrap();
    let reason = "für alle 😀".repeat(200);
    let outcome = backend.cancel(&handle, &reason).await.unwrap();
    assert_eq!(outcome, CancelOutcome::Cancelled);
    let sent = fake.calls("terminatejob").remove(0);
    assert_eq!(sent["jobId"], handle.id());
    let sent = sent["reason"].as_str().unwrap();
    assert!(
        sent.len() <= 1024 && sent.starts_with("longhaul: für alle 😀"),
        "{sent}"
    );

    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Ended);
    assert_eq!(status.exit_code, None);
    assert_eq!(status.failure.unwrap().class, FailureClass::Cancelled);
    let outcome = backend.cancel(&handle, "again").await.unwrap();
    assert_eq!(outcome, CancelOutcome::AlreadyEnded);
    assert_eq!(fake.calls("terminatejob").len(), 1);
    assert_eq!(backend.list(&execution()).await.unwrap(), []);
}

#[tokio::test]
async fn a_job_that_batch_does_not_know_is_not_found_and_unknown() {
    let fake = FakeBatch::start().await;
    let backend = backend(&fake);
    let handle = JobHandle::new("batch", "00000000-0000-4000-8000-999999999999");
    let outcome = backend.cancel(&handle, "x").await.unwrap();
    assert_eq!(outcome, CancelOutcome::NotFound);
    let status = backend.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Unknown);
}

#[tokio::test]
async fn a_job_is_described_with_exit_code_reason_times_and_logs() {
    let fake = FakeBatch::start().await;
    let backend = backend(&fake);
    let handle = backend.start(&job(), &token()).await.unwrap();
    let pending = backend.describe(&handle).await.unwrap();
    assert_eq!(pending.state, JobState::Pending);
    assert_eq!((pending.exit_code, pending.started_at), (None, None));
    fake.change(
        handle.id(),
        &json!({
            "status": "FAILED", "statusReason": "Essential container in task exited",
            "startedAt": 1_700_000_001_000_i64, "stoppedAt": 1_700_000_002_000_i64,
            "container": {
                "exitCode": 137, "reason": "OutOfMemoryError: Container killed due to memory usage",
                "logStreamName": "worker/default/1",
                "environment": [{"name": "CALLBACK_ID", "value": TOKEN}],
                "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/own"}},
            },
        }),
    );
    let status = backend.describe(&handle).await.unwrap();
    assert!(!format!("{status:?}").contains(TOKEN));
    assert_eq!(status.exit_code, Some(137));
    assert!(status.started_at.unwrap() < status.ended_at.unwrap());
    let failure = status.failure.unwrap();
    assert_eq!(failure.class, FailureClass::OutOfMemory);
    assert_eq!(failure.exit_code, Some(137));
    let logs = failure.logs.unwrap();
    assert!(logs.contains("region=eu-west-1#logsV2"), "{logs}");
    assert!(
        logs.ends_with("$252Fown/log-events/worker$252Fdefault$252F1"),
        "{logs}"
    );
}

#[tokio::test]
async fn what_only_asks_is_repeated_by_the_sdk() {
    let fake = FakeBatch::start().await;
    let backend = backend(&fake);
    for call in ["listjobs", "describejobs", "terminatejob"] {
        fake.fail(call, Fault::CutBefore);
        fake.fail(call, Fault::Then(500, ""));
    }
    let handle = backend.start(&job(), &token()).await.unwrap();
    let outcome = backend.cancel(&handle, "x").await.unwrap();
    assert_eq!(outcome, CancelOutcome::Cancelled);
    assert_eq!(fake.calls("listjobs").len(), 4);
    assert_eq!(fake.calls("describejobs").len(), 3);
    assert_eq!(fake.calls("terminatejob").len(), 3);
}

#[tokio::test]
async fn garbage_from_batch_is_an_error_that_can_be_tried_again() {
    let fake = FakeBatch::start().await;
    let backend = backend(&fake);
    let handle = JobHandle::new("batch", "1");
    for call in ["listjobs", "describejobs"] {
        for _ in 0..6 {
            fake.fail(call, Fault::Then(200, "<html>"));
        }
    }
    let errors = [
        backend.start(&job(), &token()).await.unwrap_err(),
        backend.list(&execution()).await.unwrap_err(),
        backend.describe(&handle).await.unwrap_err(),
        backend.cancel(&handle, "x").await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(
            error.kind(),
            BackendErrorKind::Unavailable,
            "{}",
            error.full_message()
        );
        assert_eq!(error.retry(), Retry::Backoff);
    }
    assert_eq!(fake.accepted(), 0);
}

#[tokio::test]
async fn an_unknown_queue_and_a_missing_permission_say_what_to_do() {
    let fake = FakeBatch::start().await;
    let config = BatchConfig::new("nowhere", "worker");
    let backend = BatchBackend::new(config, client(fake.url()));
    let error = backend.start(&job(), &token()).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::NotFound);
    assert!(error.to_string().contains("BATCH_JOB_QUEUE"), "{error}");

    let message = "User: u is not authorized to perform: batch:TagResource on resource: r";
    let denied = Fault::Answer(403, "AccessDeniedException", message.to_owned());
    fake.fail("submitjob", denied);
    let error = backend.start(&job(), &token()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (BackendErrorKind::Denied, Retry::Never)
    );
    assert!(error.to_string().contains("batch:TagResource"), "{error}");
}

#[tokio::test]
async fn an_answer_that_quotes_the_request_does_not_give_the_token_away() {
    let fake = FakeBatch::start().await;
    let quoting = format!("Invalid value: CALLBACK_ID={TOKEN}");
    fake.fail("submitjob", Fault::Answer(400, "ClientException", quoting));
    let error = backend(&fake).start(&job(), &token()).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::InvalidSpec);
    let text = format!("{error:?} {}", error.full_message());
    assert!(
        !text.contains(TOKEN) && text.contains("CALLBACK_ID=(redacted)"),
        "{text}"
    );
}

#[tokio::test]
async fn a_batch_that_is_not_there_is_unavailable() {
    // Bound and not listening: nobody else gets the port, and every connection is refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let backend = BatchBackend::new(BatchConfig::new("jobs", "worker"), client(&url));
    let error = backend.start(&job(), &token()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        BackendErrorKind::Unavailable,
        "{}",
        error.full_message()
    );
    assert_eq!(error.retry(), Retry::Backoff);
}
