//! However a start fails and is repeated, one job runs.

use super::*;

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
async fn an_answer_that_never_comes_starts_no_second_job() {
    let fake = FakeBatch::start().await;
    fake.fail("submitjob", Fault::Silence);
    ambiguous_start(&fake).await;
    assert_eq!(fake.calls("submitjob").len(), 1);
    let found = backend(&fake).start(&job(), &token()).await.unwrap();
    assert_eq!(fake.running(), [found.id()]);
    assert_eq!(fake.accepted(), 1);
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
