//! How long a worker's own word is waited for.

use mockall::Sequence;

use super::*;

fn error() -> CallbackApiError {
    CallbackApiError::new("it did not answer")
}

fn closed() -> Reconciled {
    Reconciled::CallbackClosed {
        job: JobHandle::new("ecs", TASK.strip_prefix("ecs:").unwrap()),
    }
}

#[tokio::test]
async fn a_job_that_reported_before_its_event_is_not_waited_for() {
    let clock = QuickClock::at(Duration::ZERO);
    for event in [event!("ecs-exit-0"), event!("ecs-exit-3")] {
        let mut callbacks = MockCallbackApi::new();
        callbacks.expect_is_open().times(1).returning(|_| Ok(false));
        let done = reconciler(callbacks, &clock).handle(event).await.unwrap();
        assert_eq!(done, closed());
    }
    assert_eq!(clock.slept(), NEVER);
}

#[tokio::test]
async fn a_job_that_reports_within_the_grace_keeps_its_result() {
    let clock = QuickClock::at(Duration::ZERO);
    let mut order = Sequence::new();
    let mut callbacks = MockCallbackApi::new();
    callbacks
        .expect_is_open()
        .times(1)
        .in_sequence(&mut order)
        .returning(|_| Ok(true));
    callbacks
        .expect_fail()
        .times(1)
        .in_sequence(&mut order)
        .returning(|_, _| Ok(Delivery::Closed));
    let done = reconciler(callbacks, &clock)
        .handle(event!("ecs-exit-0"))
        .await
        .unwrap();
    assert_eq!(done, closed());
    assert_eq!(clock.slept(), [Reconciler::DEFAULT_GRACE]);
}

#[tokio::test]
async fn a_closed_callback_of_a_job_that_needs_no_grace_is_fine() {
    let clock = QuickClock::at(Duration::ZERO);
    let mut callbacks = MockCallbackApi::new();
    expect_failure(&mut callbacks, Ok(Delivery::Closed));
    let done = reconciler(callbacks, &clock)
        .handle(event!("ecs-own-cancel"))
        .await
        .unwrap();
    assert_eq!(done, closed());
}

#[tokio::test]
async fn an_event_that_comes_after_the_grace_is_not_held_up() {
    let clock = QuickClock::at(Duration::from_secs(31));
    let mut callbacks = MockCallbackApi::new();
    let sent = expect_failure(&mut callbacks, Ok(Delivery::Accepted));
    reconciler(callbacks, &clock)
        .handle(event!("ecs-exit-0"))
        .await
        .unwrap();
    assert_eq!(sent.lock().unwrap().take().unwrap().0, "Longhaul.Lost");
    assert_eq!(clock.slept(), NEVER);
}

#[tokio::test]
async fn where_it_is_not_known_whether_the_callback_is_open_the_grace_is_waited_for() {
    let clock = QuickClock::at(Duration::from_secs(10));
    let mut callbacks = MockCallbackApi::new();
    callbacks
        .expect_is_open()
        .times(1)
        .returning(|_| Err(error()));
    let sent = expect_failure(&mut callbacks, Ok(Delivery::Accepted));
    reconciler(callbacks, &clock)
        .handle(event!("ecs-exit-0"))
        .await
        .unwrap();
    assert!(sent.lock().unwrap().is_some());
    assert_eq!(clock.slept(), [Duration::from_secs(20)]);
}

#[tokio::test]
async fn the_grace_is_counted_from_the_event_where_the_end_is_not_known() {
    for (time, waited) in [(json!("2026-11-02T10:15:31Z"), 21), (Value::Null, 30)] {
        let clock = QuickClock::at(Duration::from_secs(10));
        let mut callbacks = MockCallbackApi::new();
        expect_open(&mut callbacks, 1);
        expect_failure(&mut callbacks, Ok(Delivery::Accepted));
        let mut event = event!("ecs-exit-0");
        event["detail"]["stoppedAt"] = Value::Null;
        event["time"] = time;
        reconciler(callbacks, &clock).handle(event).await.unwrap();
        assert_eq!(clock.slept(), [Duration::from_secs(waited)]);
    }
}

#[tokio::test]
async fn an_end_that_lies_in_the_future_gets_the_whole_grace_and_no_more() {
    let clock = QuickClock::at(Duration::ZERO);
    *clock.now.lock().unwrap() -= Duration::from_secs(3600);
    let mut callbacks = MockCallbackApi::new();
    expect_open(&mut callbacks, 1);
    expect_failure(&mut callbacks, Ok(Delivery::Accepted));
    reconciler(callbacks, &clock)
        .handle(event!("ecs-exit-0"))
        .await
        .unwrap();
    assert_eq!(clock.slept(), [Duration::from_secs(30)]);
}

#[tokio::test]
async fn the_configured_grace_is_kept_and_bounds_that_of_a_report() {
    for (event, grace, waited) in [
        (event!("ecs-exit-0"), 90, 90),
        (event!("ecs-exit-3"), 90, 5),
        (event!("ecs-exit-3"), 2, 2),
    ] {
        let clock = QuickClock::at(Duration::ZERO);
        let mut callbacks = MockCallbackApi::new();
        expect_open(&mut callbacks, 1);
        expect_failure(&mut callbacks, Ok(Delivery::Accepted));
        reconciler(callbacks, &clock)
            .with_grace(Duration::from_secs(grace))
            .handle(event)
            .await
            .unwrap();
        assert_eq!(clock.slept(), [Duration::from_secs(waited)]);
    }
}

#[tokio::test]
async fn without_a_grace_nothing_is_asked_and_nothing_waited_for() {
    let clock = QuickClock::at(Duration::ZERO);
    let mut callbacks = MockCallbackApi::new();
    expect_failure(&mut callbacks, Ok(Delivery::Accepted));
    reconciler(callbacks, &clock)
        .with_grace(Duration::ZERO)
        .handle(event!("ecs-exit-0"))
        .await
        .unwrap();
    assert_eq!(clock.slept(), NEVER);
}

#[tokio::test]
async fn a_worker_that_was_stopped_and_exited_with_0_may_have_succeeded() {
    for (code, error_type) in [
        ("UserInitiated", "Longhaul.Cancelled"),
        ("SpotInterruption", "Longhaul.Interrupted"),
    ] {
        let mut event = event!("ecs-exit-0");
        event["detail"]["stopCode"] = json!(code);
        let (_, slept, sent) = failed(event).await;
        assert_eq!(sent.0, error_type);
        assert_eq!(slept, Duration::from_secs(28));
    }
}

#[tokio::test]
async fn running_out_of_memory_needs_no_grace_whatever_the_exit_code() {
    let mut event = event!("ecs-out-of-memory");
    event["detail"]["containers"][0]["exitCode"] = json!(0);
    let (_, slept, sent) = failed(event).await;
    assert_eq!(sent.0, "Longhaul.OutOfMemory");
    assert_eq!(slept, Duration::ZERO);
}

#[tokio::test]
async fn a_failure_that_is_not_taken_fails_the_event() {
    let clock = QuickClock::at(Duration::ZERO);
    let mut callbacks = MockCallbackApi::new();
    expect_failure(&mut callbacks, Err(error()));
    let error = reconciler(callbacks, &clock)
        .handle(event!("ecs-spot-interruption"))
        .await
        .unwrap_err();
    assert_eq!(error.error_type(), "Longhaul.Reconciler.Callback");
    assert_eq!(
        crate::error::full_message(&error),
        format!("job {TASK} has ended, and its callback could not be failed: it did not answer")
    );
}
