//! Tests of the runner: starts that fail, for good and for now.

use super::*;

#[tokio::test]
async fn a_start_that_fails_for_good_is_not_tried_again() {
    let mut backend = mock("mock");
    backend.expect_start().times(1).returning(|_, _| {
        Err(BackendError::new(
            BackendErrorKind::Denied,
            "the role may not run tasks",
        ))
    });
    backend.expect_cancel().never();
    let result = run(
        JobRunner::new(Arc::new(backend)),
        LocalRunner::new(),
        spec(),
    )
    .await;
    assert!(
        message(&result).contains("Longhaul.Backend.Denied")
            && message(&result).contains("the role may not run tasks"),
        "{}",
        message(&result)
    );
}

#[tokio::test]
async fn a_start_that_fails_for_now_is_tried_again_with_the_same_token() {
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&tokens);
    let mut backend = mock("mock");
    backend
        .expect_start()
        .times(3)
        .returning(move |job, token| {
            let mut seen = seen.lock().unwrap();
            seen.push((token.clone(), job.start_key().clone()));
            match seen.len() {
                1 => Err(BackendError::new(BackendErrorKind::Throttled, "slow down")),
                2 => Err(BackendError::new(BackendErrorKind::Ambiguous, "cut off")),
                _ => Ok(handle()),
            }
        });
    let local = LocalRunner::new().callback_success(&"ok");
    let result = run(JobRunner::new(Arc::new(backend)), local, spec()).await;
    assert!(result.is_success(), "{:?}", result.error_message());
    let tokens = tokens.lock().unwrap();
    assert!(tokens.iter().all(|t| *t == tokens[0]));
    assert_eq!(tokens[0].0.start_key(), tokens[0].1);
}

#[tokio::test]
async fn capacity_that_is_out_is_asked_for_again_with_a_new_token() {
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&tokens);
    let mut backend = mock("mock");
    backend.expect_start().times(3).returning(move |_, token| {
        let mut seen = seen.lock().unwrap();
        seen.push(token.clone());
        match seen.len() {
            1 | 2 => Err(BackendError::new(BackendErrorKind::Capacity, "no room")),
            _ => Ok(handle()),
        }
    });
    // The SDK's test runner completes the callbacks that nobody was given, too.
    let local = LocalRunner::new()
        .callback_success(&"unheard")
        .callback_success(&"unheard")
        .callback_success(&"ok");
    let result = run(JobRunner::new(Arc::new(backend)), local, spec()).await;
    let output = result.output().unwrap();
    assert_eq!(
        (&output["attempts"], &output["result"]),
        (&json!(3), &json!("ok"))
    );
    let mut tokens = tokens.lock().unwrap().clone();
    tokens.dedup();
    assert_eq!(tokens.len(), 3, "each attempt has its own token");
}

#[tokio::test]
async fn capacity_that_stays_out_fails_the_execution_after_the_last_attempt() {
    let mut backend = mock("mock");
    backend
        .expect_start()
        .times(3)
        .returning(|_, _| Err(BackendError::new(BackendErrorKind::Capacity, "no room")));
    let runner = JobRunner::new(Arc::new(backend));
    let result = run(runner, LocalRunner::new(), spec()).await;
    assert!(
        message(&result).contains("Longhaul.Backend.Capacity | job `hello` did not start: no room"),
        "{}",
        message(&result)
    );
}

#[tokio::test]
async fn a_start_that_keeps_failing_fails_the_execution_after_six_tries() {
    let mut backend = mock("mock");
    backend.expect_start().times(6).returning(|_, _| {
        Err(BackendError::new(
            BackendErrorKind::Unavailable,
            "no answer from the platform",
        ))
    });
    let runner = JobRunner::new(Arc::new(backend));
    let result = run(runner, LocalRunner::new(), spec()).await;
    assert!(
        message(&result).contains("Longhaul.Backend.Unavailable")
            && message(&result).contains("no answer from the platform"),
        "{}",
        message(&result)
    );
}
