//! Finding the job of a start.

use longhaul_core::Locate;

use super::*;

/// What a `ListJobs` for the start's name answers, and nothing else that is asked.
async fn locate(
    answer: Result<ListJobsOutput, CallError>,
) -> Result<Option<JobHandle>, BackendError> {
    let mut api = MockBatchApi::new();
    api.expect_list_jobs()
        .times(1)
        .with(eq(listing(&name(), None)))
        .return_once(move |_| answer);
    backend(api).locate(&job()).await
}

#[tokio::test]
async fn the_job_of_a_start_is_located_in_any_state() {
    for state in [
        State::Submitted,
        State::Running,
        State::Succeeded,
        State::Failed,
    ] {
        let jobs = page(vec![summary("1", &name(), 1, state)]);
        assert_eq!(locate(Ok(jobs)).await.unwrap(), Some(handle("1")));
    }
}

#[tokio::test]
async fn of_two_jobs_of_one_start_the_oldest_is_located_and_none_is_stopped() {
    let jobs = page(vec![
        summary("2", &name(), 2, State::Running),
        summary("1", &name(), 1, State::Running),
    ]);
    assert_eq!(locate(Ok(jobs)).await.unwrap(), Some(handle("1")));
}

#[tokio::test]
async fn a_job_of_another_name_is_not_the_starts() {
    assert_eq!(locate(Ok(page(vec![]))).await.unwrap(), None);
    let other = page(vec![summary(
        "1",
        &name().to_uppercase(),
        1,
        State::Running,
    )]);
    assert_eq!(locate(Ok(other)).await.unwrap(), None);
}

#[tokio::test]
async fn a_look_that_failed_says_for_what_and_why() {
    let denied = "User: u is not authorized to perform: batch:ListJobs on resource: *";
    let error = locate(Err(CallError::Refused {
        status: 403,
        code: "AccessDeniedException".to_owned(),
        message: denied.to_owned(),
    }))
    .await
    .unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Denied);
    let text = error.full_message();
    for part in ["`hello`", "`jobs`", "batch:ListJobs"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
