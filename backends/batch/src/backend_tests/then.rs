//! Every answer to what follows a start: cancel, describe, list.

use mockall::predicate::always;
use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn a_cancel_terminates_the_job_in_every_state() {
    for state in [
        State::Submitted,
        State::Pending,
        State::Runnable,
        State::Starting,
        State::Running,
    ] {
        let mut api = MockBatchApi::new();
        let mut order = Sequence::new();
        api.expect_describe_jobs()
            .with(eq(DescribeJobsInput::builder().jobs("1")))
            .once()
            .in_sequence(&mut order)
            .return_once(move |_| Ok(described(vec![detail("1", state)])));
        let input = TerminateJobInput::builder()
            .job_id("1")
            .reason("longhaul: no longer needed");
        api.expect_terminate_job()
            .with(eq(input))
            .once()
            .in_sequence(&mut order)
            .return_once(|_| Ok(()));
        let outcome = backend(api).cancel(&handle("1"), "no longer needed").await;
        assert_eq!(outcome.unwrap(), CancelOutcome::Cancelled);
    }
}

#[tokio::test]
async fn a_cancel_of_a_job_that_ended_says_so_and_sends_nothing() {
    for state in [State::Succeeded, State::Failed] {
        let mut api = MockBatchApi::new();
        api.expect_describe_jobs()
            .once()
            .return_once(move |_| Ok(described(vec![detail("1", state)])));
        let outcome = backend(api).cancel(&handle("1"), "x").await.unwrap();
        assert_eq!(outcome, CancelOutcome::AlreadyEnded);
    }
}

#[tokio::test]
async fn a_cancel_of_an_unknown_job_is_no_error_and_is_sent_all_the_same() {
    for answer in [Ok(()), Err(refused("ClientException", "Job 1 not found"))] {
        let mut api = MockBatchApi::new();
        api.expect_describe_jobs()
            .once()
            .return_once(|_| Ok(described(vec![])));
        api.expect_terminate_job()
            .with(always())
            .once()
            .return_once(|_| answer);
        let outcome = backend(api).cancel(&handle("1"), "x").await.unwrap();
        assert_eq!(outcome, CancelOutcome::NotFound);
    }
}

#[tokio::test]
async fn a_cancel_that_batch_refuses_or_cannot_answer_is_an_error() {
    for (answer, kind) in [
        (
            refused("AccessDeniedException", "no"),
            BackendErrorKind::Denied,
        ),
        (
            refused("ThrottlingException", "no"),
            BackendErrorKind::Throttled,
        ),
        (
            CallError::NoAnswer("cut".to_owned()),
            BackendErrorKind::Unavailable,
        ),
    ] {
        let asked = answer.clone();
        let mut api = MockBatchApi::new();
        api.expect_describe_jobs()
            .once()
            .return_once(|_| Err(asked));
        let error = backend(api).cancel(&handle("1"), "x").await.unwrap_err();
        assert_eq!(error.kind(), kind);

        let mut api = MockBatchApi::new();
        api.expect_describe_jobs()
            .once()
            .return_once(|_| Ok(described(vec![detail("1", State::Running)])));
        api.expect_terminate_job()
            .once()
            .return_once(|_| Err(answer));
        let error = backend(api).cancel(&handle("1"), "x").await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().starts_with("cancel AWS Batch job 1: "));
    }
}

#[tokio::test]
async fn a_job_is_described_from_what_batch_says() {
    let mut api = MockBatchApi::new();
    api.expect_describe_jobs()
        .with(eq(DescribeJobsInput::builder().jobs("1")))
        .once()
        .return_once(|_| {
            let job = JobDetail::builder()
                .job_id("1")
                .status(State::Failed)
                .status_reason("Host EC2 (instance i-0abc) terminated.")
                .started_at(1);
            // An answer to another question must not be taken for ours.
            Ok(described(vec![detail("2", State::Running), job.build()]))
        });
    let status = backend(api).describe(&handle("1")).await.unwrap();
    assert_eq!(status.state, JobState::Ended);
    assert_eq!(status.failure.unwrap().class, FailureClass::Interrupted);
}

#[tokio::test]
async fn a_job_that_batch_has_forgotten_is_unknown() {
    for answer in [
        described(vec![]),
        described(vec![detail("2", State::Running)]),
        DescribeJobsOutput::builder().build(),
    ] {
        let mut api = MockBatchApi::new();
        api.expect_describe_jobs()
            .once()
            .return_once(|_| Ok(answer));
        let status = backend(api).describe(&handle("1")).await.unwrap();
        assert_eq!(status, JobStatus::unknown());
    }
}

#[tokio::test]
async fn a_list_has_the_jobs_of_the_execution_that_may_still_run_from_every_page() {
    let prefix = format!("lh-{}-", execution());
    let of_start = |n: u32| {
        let key = CallbackToken::new(format!("t{n}")).unwrap().start_key();
        job_name(&execution(), &key)
    };
    let foreign = job_name(&ExecutionId::from_arn("other"), &token().start_key());
    let first = vec![
        summary("1", &of_start(1), 1, State::Submitted),
        summary("2", &of_start(2), 2, State::Succeeded),
        summary("3", &foreign, 3, State::Running),
        summary("4", &format!("{prefix}by-hand"), 4, State::Running),
    ];
    let second = vec![
        summary("5", &of_start(5), 5, State::Running),
        summary("6", &of_start(6), 6, State::Failed),
        summary("7", &of_start(7), 7, State::from("PAUSED")),
        JobSummary::builder().job_id("8").build(),
    ];
    let mut api = MockBatchApi::new();
    let mut order = Sequence::new();
    api.expect_list_jobs()
        .with(eq(listing(&format!("{prefix}*"), None)))
        .once()
        .in_sequence(&mut order)
        .return_once(|_| {
            let page = ListJobsOutput::builder().next_token("2");
            Ok(page.set_job_summary_list(Some(first)).build())
        });
    api.expect_list_jobs()
        .with(eq(listing(&format!("{prefix}*"), Some("2"))))
        .once()
        .in_sequence(&mut order)
        .return_once(|_| Ok(page(second)));
    let jobs = backend(api).list(&execution()).await.unwrap();
    assert_eq!(jobs, [handle("1"), handle("5"), handle("7")]);
}

#[tokio::test]
async fn a_list_that_fails_says_of_which_execution() {
    let mut api = MockBatchApi::new();
    api.expect_list_jobs()
        .once()
        .return_once(|_| Err(refused("AccessDeniedException", "no")));
    let error = backend(api).list(&execution()).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Denied);
    let text = error.to_string();
    assert!(
        text.contains(execution().as_str()) && text.contains("batch:ListJobs"),
        "{text}"
    );
}

#[tokio::test]
async fn a_handle_of_another_backend_or_version_is_refused() {
    let api = || backend(MockBatchApi::new());
    for foreign in [
        JobHandle::new("ecs", "1"),
        JobHandle::with_version("batch", 2, "1"),
    ] {
        let errors = [
            api().cancel(&foreign, "x").await.unwrap_err(),
            api().describe(&foreign).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), BackendErrorKind::Unsupported);
            assert!(error.to_string().contains(foreign.backend()), "{error}");
        }
    }
}

#[test]
fn the_backend_is_called_batch() {
    assert_eq!(backend(MockBatchApi::new()).name(), "batch");
    assert_eq!(crate::DEFAULT_HEARTBEAT, None);
}

#[test]
fn a_reason_is_marked_once_and_never_empty() {
    assert_eq!(
        cancel_reason("longhaul: the callback is closed"),
        "longhaul: the callback is closed"
    );
    assert_eq!(cancel_reason("why"), "longhaul: why");
    assert_eq!(cancel_reason("  "), "longhaul: cancelled");
}

proptest! {
    #[test]
    fn a_reason_is_cut_to_what_batch_takes_and_stays_text(reason in ".{0,600}") {
        let cut = cancel_reason(&reason);
        prop_assert!(cut.len() <= MAX_REASON);
        prop_assert!(cut.starts_with(CANCEL_REASON_PREFIX));
        let whole = format!("{CANCEL_REASON_PREFIX}{}", reason.strip_prefix(CANCEL_REASON_PREFIX).unwrap_or(&reason).trim());
        prop_assert!(cut.len() + 3 >= MAX_REASON || whole == cut || cut == "longhaul: cancelled");
        prop_assert!(whole.starts_with(&cut) || cut == "longhaul: cancelled");
    }
}
