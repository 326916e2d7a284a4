//! What follows a start: list, cancel, describe.

use super::*;

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
