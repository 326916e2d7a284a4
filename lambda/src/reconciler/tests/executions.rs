//! What the end of an execution comes to.

use longhaul_core::{BackendError, BackendErrorKind, CancelOutcome};
use mockall::predicate::eq;

use super::*;

fn handle(id: &str) -> JobHandle {
    JobHandle::new("ecs", id)
}

/// Expects the execution's jobs to be listed once for each of `pages`.
fn lists(backend: &mut MockComputeBackend, pages: &[&[&str]]) {
    let mut pages: Vec<Vec<JobHandle>> = pages
        .iter()
        .rev()
        .map(|page| page.iter().map(|id| handle(id)).collect())
        .collect();
    backend
        .expect_list()
        .times(pages.len())
        .with(eq(ExecutionId::from_arn(EXECUTION)))
        .returning(move |_| Ok(pages.pop().unwrap()));
}

fn cancels(
    backend: &mut MockComputeBackend,
    id: &'static str,
    reason: &'static str,
    outcome: Result<CancelOutcome, BackendErrorKind>,
) {
    backend
        .expect_cancel()
        .times(1)
        .withf(move |job, said| (job.id(), said) == (id, reason))
        .returning(move |_, _| outcome.map_err(|kind| BackendError::new(kind, "stop it")));
}

fn reconciler(backends: Vec<MockComputeBackend>, clock: &Arc<QuickClock>) -> Reconciler {
    let mut backends = backends
        .into_iter()
        .map(|backend| Arc::new(backend) as Arc<dyn longhaul_core::ComputeBackend>);
    let runner = JobRunner::new(backends.next().unwrap());
    let runner = backends.fold(runner, |runner, more| runner.with_backend(more, None));
    with_runner(runner, MockCallbackApi::new(), clock)
}

fn stopped(count: usize) -> Reconciled {
    Reconciled::JobsStopped {
        execution: ExecutionId::from_arn(EXECUTION),
        stopped: count,
    }
}

#[tokio::test]
async fn a_stopped_execution_has_its_jobs_stopped_on_every_backend_and_again_after_the_grace() {
    const REASON: &str = "the durable execution was stopped";
    let clock = QuickClock::at(Duration::from_secs(1));
    let mut ecs = backend("ecs");
    // The second was being started when the execution was stopped.
    lists(&mut ecs, &[&["a"], &["b"]]);
    cancels(&mut ecs, "a", REASON, Ok(CancelOutcome::Cancelled));
    cancels(&mut ecs, "b", REASON, Ok(CancelOutcome::Cancelled));
    let mut batch = backend("batch");
    lists(&mut batch, &[&["c", "d"], &[]]);
    cancels(&mut batch, "c", REASON, Ok(CancelOutcome::Cancelled));
    cancels(&mut batch, "d", REASON, Ok(CancelOutcome::AlreadyEnded));
    let done = reconciler(vec![ecs, batch], &clock)
        .handle(event!("execution-stopped"))
        .await;
    assert_eq!(done.unwrap(), stopped(3));
    assert_eq!(clock.slept(), [Duration::from_secs(29)]);
}

#[tokio::test]
async fn an_execution_that_timed_out_is_looked_at_twice_too() {
    let clock = QuickClock::at(Duration::ZERO);
    let mut ecs = backend("ecs");
    lists(&mut ecs, &[&["a"], &[]]);
    cancels(
        &mut ecs,
        "a",
        "the durable execution timed out",
        Ok(CancelOutcome::Cancelled),
    );
    let done = reconciler(vec![ecs], &clock)
        .handle(event!("execution-timed-out"))
        .await;
    assert_eq!(done.unwrap(), stopped(1));
    assert_eq!(clock.slept(), [Duration::from_secs(30)]);
}

#[tokio::test]
async fn an_execution_that_failed_is_looked_at_once() {
    let clock = QuickClock::at(Duration::ZERO);
    let mut ecs = backend("ecs");
    lists(&mut ecs, &[&["a"]]);
    cancels(
        &mut ecs,
        "a",
        "the durable execution failed",
        Ok(CancelOutcome::NotFound),
    );
    let done = reconciler(vec![ecs], &clock)
        .handle(event!("execution-failed"))
        .await;
    assert_eq!(done.unwrap(), stopped(0));
    assert_eq!(clock.slept(), NEVER);
}

#[tokio::test]
async fn an_event_that_comes_after_the_grace_is_not_held_up() {
    let clock = QuickClock::at(Duration::from_secs(60));
    let mut ecs = backend("ecs");
    lists(&mut ecs, &[&[]]);
    let done = reconciler(vec![ecs], &clock)
        .handle(event!("execution-stopped"))
        .await;
    assert_eq!(done.unwrap(), stopped(0));
    assert_eq!(clock.slept(), NEVER);
}

#[tokio::test]
async fn an_execution_that_succeeded_or_runs_is_left_alone() {
    for (event, status) in [
        (event!("execution-succeeded"), "SUCCEEDED"),
        (event!("execution-running"), "RUNNING"),
    ] {
        let said = ignored(event).await;
        assert_eq!(said, format!("execution {EXECUTION} is {status}"));
    }
}

#[tokio::test]
async fn a_job_that_could_not_be_stopped_fails_the_event_after_all_others_were_stopped() {
    const REASON: &str = "the durable execution failed";
    let clock = QuickClock::at(Duration::ZERO);
    let mut ecs = backend("ecs");
    lists(&mut ecs, &[&["a", "b", "c"]]);
    cancels(&mut ecs, "a", REASON, Err(BackendErrorKind::Throttled));
    cancels(&mut ecs, "b", REASON, Ok(CancelOutcome::Cancelled));
    cancels(&mut ecs, "c", REASON, Err(BackendErrorKind::Denied));
    let error = reconciler(vec![ecs], &clock)
        .handle(event!("execution-failed"))
        .await
        .unwrap_err();
    assert_eq!(error.error_type(), "Longhaul.Reconciler.Jobs");
    assert_eq!(
        crate::error::full_message(&error),
        format!(
            "execution {} has ended, and 2 of its 3 running jobs could not be stopped, ecs:a among them: stop it",
            ExecutionId::from_arn(EXECUTION)
        )
    );
}

#[tokio::test]
async fn a_backend_that_cannot_list_now_fails_the_event_after_the_others_jobs_were_stopped() {
    let clock = QuickClock::at(Duration::ZERO);
    let mut batch = backend("batch");
    batch.expect_list().times(1).returning(|_| {
        Err(BackendError::new(
            BackendErrorKind::Unavailable,
            "list them",
        ))
    });
    let mut ecs = backend("ecs");
    lists(&mut ecs, &[&["a"]]);
    cancels(
        &mut ecs,
        "a",
        "the durable execution was stopped",
        Ok(CancelOutcome::Cancelled),
    );
    let error = reconciler(vec![batch, ecs], &clock)
        .handle(event!("execution-stopped"))
        .await
        .unwrap_err();
    assert!(matches!(error, ReconcileError::List { .. }), "{error:?}");
    assert_eq!(clock.slept(), NEVER, "it is tried again as a whole");
}

#[tokio::test]
async fn executions_of_other_functions_are_ignored_where_the_handler_is_known() {
    const FUNCTION: &str = "arn:aws:lambda:eu-west-1:123456789012:function:handle";
    let clock = QuickClock::at(Duration::ZERO);
    // Another function whose name begins alike.
    let other = super::reconciler(MockCallbackApi::new(), &clock).with_function(FUNCTION);
    let done = other.handle(event!("execution-stopped")).await.unwrap();
    let why = format!("execution {EXECUTION} is of another function");
    assert_eq!(done, Reconciled::Ignored { why });

    let mut ecs = backend("ecs");
    lists(&mut ecs, &[&[]]);
    let own = reconciler(vec![ecs], &clock).with_function(format!("{FUNCTION}r"));
    let done = own.handle(event!("execution-failed")).await.unwrap();
    assert_eq!(done, stopped(0));
}
