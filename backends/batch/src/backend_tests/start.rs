//! Every answer to a start.

use super::*;

/// Adds the answers of consecutive lookups of the start.
fn lookups(api: &mut MockBatchApi, order: &mut Sequence, jobs: Vec<JobSummary>) {
    api.expect_list_jobs()
        .with(eq(listing(&name(), None)))
        .once()
        .in_sequence(order)
        .return_once(|_| Ok(page(jobs)));
}

#[tokio::test]
async fn a_start_looks_the_name_up_then_submits_then_looks_again() {
    let mut api = MockBatchApi::new();
    let mut order = Sequence::new();
    lookups(&mut api, &mut order, vec![]);
    let expected = request::submit(&BatchConfig::new("jobs", "worker:7"), &job(), &token());
    api.expect_submit_job()
        .with(eq(expected.unwrap()))
        .once()
        .in_sequence(&mut order)
        .return_once(|_| Ok(submitted("1")));
    lookups(
        &mut api,
        &mut order,
        vec![summary("1", &name(), 5, State::Submitted)],
    );
    let started = backend(api).start(&job(), &token()).await.unwrap();
    assert_eq!(started, handle("1"));
}

#[tokio::test]
async fn a_job_that_was_submitted_before_is_adopted_whatever_its_state() {
    for state in [
        State::Submitted,
        State::Runnable,
        State::Running,
        State::Succeeded,
        State::Failed,
    ] {
        let mut api = MockBatchApi::new();
        let jobs = vec![summary("first", &name(), 5, state)];
        lookups(&mut api, &mut Sequence::new(), jobs);
        let started = backend(api).start(&job(), &token()).await.unwrap();
        assert_eq!(started, handle("first"));
    }
}

#[tokio::test]
async fn a_job_whose_name_differs_in_case_is_not_adopted() {
    let mut api = MockBatchApi::new();
    let mut order = Sequence::new();
    let other = || summary("other", &name().to_uppercase(), 1, State::Running);
    lookups(&mut api, &mut order, vec![other()]);
    api.expect_submit_job()
        .once()
        .in_sequence(&mut order)
        .return_once(|_| Ok(submitted("1")));
    lookups(&mut api, &mut order, vec![other()]);
    let started = backend(api).start(&job(), &token()).await.unwrap();
    assert_eq!(started, handle("1"));
}

#[tokio::test]
async fn the_lookup_reads_every_page() {
    let mut api = MockBatchApi::new();
    let mut order = Sequence::new();
    api.expect_list_jobs()
        .with(eq(listing(&name(), None)))
        .once()
        .in_sequence(&mut order)
        .return_once(|_| Ok(ListJobsOutput::builder().next_token("2").build()));
    api.expect_list_jobs()
        .with(eq(listing(&name(), Some("2"))))
        .once()
        .in_sequence(&mut order)
        .return_once(|_| Ok(page(vec![summary("first", &name(), 5, State::Running)])));
    let started = backend(api).start(&job(), &token()).await.unwrap();
    assert_eq!(started, handle("first"));
}

#[tokio::test]
async fn a_page_token_that_comes_again_ends_the_listing() {
    let mut api = MockBatchApi::new();
    api.expect_list_jobs()
        .times(2)
        .returning(|_| Ok(ListJobsOutput::builder().next_token("2").build()));
    let error = backend(api).start(&job(), &token()).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unavailable);
    assert!(error.full_message().contains("same page token"), "{error}");
}

/// Expects the `TerminateJob` of the second job of one start.
fn expect_twin_stopped(api: &mut MockBatchApi, order: &mut Sequence, id: &str) {
    let input = TerminateJobInput::builder()
        .job_id(id)
        .reason("longhaul: another job was submitted for the same start");
    api.expect_terminate_job()
        .with(eq(input))
        .once()
        .in_sequence(order)
        .return_once(|_| Ok(()));
}

#[tokio::test]
async fn of_two_jobs_of_concurrent_starts_the_older_stays_and_the_other_is_stopped() {
    // The same two jobs as seen by each of the two starts.
    for (own, other) in [("b", "a"), ("a", "b")] {
        let mut api = MockBatchApi::new();
        let mut order = Sequence::new();
        lookups(&mut api, &mut order, vec![]);
        api.expect_submit_job()
            .once()
            .in_sequence(&mut order)
            .return_once(move |_| Ok(submitted(own)));
        lookups(
            &mut api,
            &mut order,
            vec![
                summary(
                    own,
                    &name(),
                    if own == "a" { 7 } else { 5 },
                    State::Submitted,
                ),
                summary(
                    other,
                    &name(),
                    if other == "a" { 7 } else { 5 },
                    State::Runnable,
                ),
            ],
        );
        expect_twin_stopped(&mut api, &mut order, "a");
        let started = backend(api).start(&job(), &token()).await.unwrap();
        assert_eq!(started, handle("b"));
    }
}

#[tokio::test]
async fn jobs_of_the_same_age_are_told_apart_by_their_ids() {
    let mut api = MockBatchApi::new();
    let mut order = Sequence::new();
    let jobs = ["c", "a", "b"].map(|id| summary(id, &name(), 5, State::Running));
    lookups(&mut api, &mut order, jobs.to_vec());
    expect_twin_stopped(&mut api, &mut order, "b");
    expect_twin_stopped(&mut api, &mut order, "c");
    let started = backend(api).start(&job(), &token()).await.unwrap();
    assert_eq!(started, handle("a"));
}

#[tokio::test]
async fn a_second_job_that_is_over_needs_no_stopping() {
    let mut api = MockBatchApi::new();
    let jobs = vec![
        summary("first", &name(), 1, State::Running),
        summary("second", &name(), 2, State::Failed),
    ];
    lookups(&mut api, &mut Sequence::new(), jobs);
    let started = backend(api).start(&job(), &token()).await.unwrap();
    assert_eq!(started, handle("first"));
}

#[tokio::test]
async fn a_list_that_is_behind_is_completed_with_the_age_of_the_own_job() {
    for (own_age, kept, stopped) in [(1, "own", "other"), (9, "other", "own")] {
        let mut api = MockBatchApi::new();
        let mut order = Sequence::new();
        lookups(&mut api, &mut order, vec![]);
        api.expect_submit_job()
            .once()
            .in_sequence(&mut order)
            .return_once(|_| Ok(submitted("own")));
        let listed = vec![summary("other", &name(), 5, State::Submitted)];
        lookups(&mut api, &mut order, listed);
        api.expect_describe_jobs()
            .with(eq(DescribeJobsInput::builder().jobs("own")))
            .once()
            .in_sequence(&mut order)
            .return_once(move |_| {
                let own = JobDetail::builder().job_id("own").created_at(own_age);
                Ok(described(vec![own.build()]))
            });
        expect_twin_stopped(&mut api, &mut order, stopped);
        let started = backend(api).start(&job(), &token()).await.unwrap();
        assert_eq!(started, handle(kept));
    }
}

#[tokio::test]
async fn a_submitted_job_that_cannot_be_told_from_another_is_ambiguous() {
    let mut api = MockBatchApi::new();
    let mut order = Sequence::new();
    lookups(&mut api, &mut order, vec![]);
    api.expect_submit_job()
        .once()
        .in_sequence(&mut order)
        .return_once(|_| Ok(submitted("own")));
    let listed = vec![summary("other", &name(), 5, State::Submitted)];
    lookups(&mut api, &mut order, listed);
    api.expect_describe_jobs()
        .once()
        .in_sequence(&mut order)
        .return_once(|_| Ok(described(vec![])));
    let error = backend(api).start(&job(), &token()).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Ambiguous);
    assert_eq!(error.retry(), Retry::SameToken);
    assert!(error.to_string().contains("submitted"), "{error}");
}

#[tokio::test]
async fn a_second_look_that_fails_is_ambiguous_and_one_that_may_not_stop_the_twin_too() {
    for twin in [false, true] {
        let mut api = MockBatchApi::new();
        let mut order = Sequence::new();
        lookups(&mut api, &mut order, vec![]);
        api.expect_submit_job()
            .once()
            .in_sequence(&mut order)
            .return_once(|_| Ok(submitted("own")));
        if twin {
            let listed = vec![
                summary("other", &name(), 5, State::Submitted),
                summary("own", &name(), 6, State::Submitted),
            ];
            lookups(&mut api, &mut order, listed);
            api.expect_terminate_job()
                .once()
                .return_once(|_| Err(refused("AccessDeniedException", "no")));
        } else {
            api.expect_list_jobs()
                .once()
                .in_sequence(&mut order)
                .return_once(|_| Err(refused("ThrottlingException", "slow")));
        }
        let error = backend(api).start(&job(), &token()).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Ambiguous);
        assert_eq!(error.retry(), Retry::SameToken);
        let cause = if twin {
            "batch:TerminateJob"
        } else {
            "ThrottlingException"
        };
        assert!(
            error.full_message().contains(cause),
            "{}",
            error.full_message()
        );
    }
}

/// What a start answers whose `SubmitJob` gives `answer`.
async fn submit_answers(answer: Result<SubmitJobOutput, CallError>) -> BackendError {
    let mut api = MockBatchApi::new();
    let mut order = Sequence::new();
    lookups(&mut api, &mut order, vec![]);
    api.expect_submit_job()
        .once()
        .in_sequence(&mut order)
        .return_once(|_| answer);
    backend(api).start(&job(), &token()).await.unwrap_err()
}

#[tokio::test]
async fn every_refusal_of_a_submit_is_told_apart() {
    use BackendErrorKind as K;
    for (code, message, kind, part) in [
        (
            "ClientException",
            "JobQueue jobs not found.",
            K::NotFound,
            "BATCH_JOB_QUEUE",
        ),
        (
            "ClientException",
            "JobDefinition name worker does not exist or is not in ACTIVE status",
            K::NotFound,
            "BATCH_JOB_DEFINITION",
        ),
        (
            "AccessDeniedException",
            "User: u is not authorized to perform: batch:SubmitJob on resource: r",
            K::Denied,
            "batch:SubmitJob",
        ),
        (
            "TooManyRequestsException",
            "slow down",
            K::Throttled,
            "fewer",
        ),
        (
            "ClientException",
            "Job size must be less than 30 KiB, got 47 KiB",
            K::TooLarge,
            "by reference",
        ),
        (
            "ClientException",
            "Invalid vCPU value",
            K::InvalidSpec,
            "Invalid vCPU value",
        ),
    ] {
        let error = submit_answers(Err(refused(code, message))).await;
        assert_eq!(error.kind(), kind, "{message}");
        assert_eq!(error.retry(), kind.retry());
        let text = error.full_message();
        for part in [part, "hello", "jobs", &name(), message] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[tokio::test]
async fn a_submit_that_may_have_worked_is_ambiguous() {
    let broken = CallError::Broken {
        status: 500,
        code: "ServerException".to_owned(),
        message: "Internal".to_owned(),
    };
    let cut = CallError::NoAnswer("connection closed".to_owned());
    let nameless = SubmitJobOutput::builder().build();
    let empty = SubmitJobOutput::builder().job_id("").build();
    for answer in [Err(broken), Err(cut), Ok(nameless), Ok(empty)] {
        let error = submit_answers(answer).await;
        assert_eq!(error.kind(), BackendErrorKind::Ambiguous);
        assert_eq!(error.retry(), Retry::SameToken);
    }
}

#[tokio::test]
async fn a_start_whose_lookup_fails_submits_nothing() {
    use BackendErrorKind as K;
    for (answer, kind, retry) in [
        (
            refused("AccessDeniedException", "no"),
            K::Denied,
            Retry::Never,
        ),
        (
            refused("ThrottlingException", "no"),
            K::Throttled,
            Retry::Backoff,
        ),
        (
            refused("ClientException", "Job queue jobs does not exist"),
            K::NotFound,
            Retry::Never,
        ),
        (
            CallError::NoAnswer("cut".to_owned()),
            K::Unavailable,
            Retry::Backoff,
        ),
        (
            CallError::NotSent("no credentials".to_owned()),
            K::Unavailable,
            Retry::Backoff,
        ),
    ] {
        let mut api = MockBatchApi::new();
        api.expect_list_jobs().once().return_once(|_| Err(answer));
        let error = backend(api).start(&job(), &token()).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (kind, retry));
    }
}

#[tokio::test]
async fn a_job_that_batch_cannot_run_asks_nothing_of_it() {
    let spec: JobSpec = serde_json::from_str(r#"{"name":"a","working_directory":"/tmp"}"#).unwrap();
    let job = Job::new(spec, execution(), 1, &token());
    let error = backend(MockBatchApi::new()).start(&job, &token()).await;
    assert_eq!(error.unwrap_err().kind(), BackendErrorKind::InvalidSpec);
}

#[tokio::test]
async fn an_answer_that_quotes_the_token_does_not_reach_the_error() {
    let text = format!("Invalid environment: {TOKEN}");
    let error = submit_answers(Err(refused("ClientException", &text))).await;
    let text = format!("{error:?} {}", error.full_message());
    assert!(!text.contains(TOKEN), "{text}");
}
