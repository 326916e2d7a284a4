//! Where a start goes, and above all where it must not go.

use mockall::{Sequence, mock};

use super::*;
use crate::wrap::testing::attempt;
use crate::{JobState, MockComputeBackend};

mock! {
    #[derive(Debug)]
    Later {}

    #[async_trait]
    impl ComputeBackend for Later {
        fn name(&self) -> &str;
        async fn start(&self, job: &Job, token: &CallbackToken) -> Result<JobHandle, BackendError>;
        async fn cancel(&self, job: &JobHandle, reason: &str) -> Result<CancelOutcome, BackendError>;
        async fn describe(&self, job: &JobHandle) -> Result<JobStatus, BackendError>;
        async fn list(&self, execution: &ExecutionId) -> Result<Vec<JobHandle>, BackendError>;
    }

    #[async_trait]
    impl Locate for Later {
        async fn locate(&self, job: &Job) -> Result<Option<JobHandle>, BackendError>;
    }
}

fn first() -> MockComputeBackend {
    let mut mock = MockComputeBackend::new();
    mock.expect_name().return_const("first".to_owned());
    mock
}

fn later(name: &str) -> MockLater {
    let mut mock = MockLater::new();
    mock.expect_name().return_const(name.to_owned());
    mock
}

/// A later backend that has no job yet, however often it is asked.
fn empty(name: &str) -> MockLater {
    let mut mock = later(name);
    mock.expect_locate().returning(|_| Ok(None));
    mock
}

fn fallback(first: MockComputeBackend, later: impl IntoIterator<Item = MockLater>) -> Fallback {
    later
        .into_iter()
        .fold(Fallback::new("both", Arc::new(first)), |all, next| {
            all.then(Arc::new(next)).unwrap()
        })
}

fn handle(backend: &str) -> JobHandle {
    JobHandle::new(backend, "1")
}

fn error(kind: BackendErrorKind) -> BackendError {
    BackendError::new(kind, format!("it says {kind}"))
}

#[tokio::test]
async fn the_first_backend_gets_the_job_when_it_can() {
    let mut one = first();
    one.expect_start()
        .times(1)
        .returning(|_, _| Ok(handle("first")));
    let all = fallback(one, [empty("second")]);
    let (job, token) = attempt("a");
    assert_eq!(all.start(&job, &token).await.unwrap(), handle("first"));
    assert_eq!(all.name(), "both");
}

#[tokio::test]
async fn a_start_moves_on_for_want_of_capacity_and_when_nobody_answers() {
    for answer in [
        || error(BackendErrorKind::Capacity),
        || error(BackendErrorKind::Unavailable),
        || error(BackendErrorKind::Unavailable).with_retry(Retry::Never),
        || error(BackendErrorKind::Throttled).with_retry(Retry::OtherCapacity),
    ] {
        let mut one = first();
        one.expect_start()
            .times(1)
            .returning(move |_, _| Err(answer()));
        let mut two = empty("second");
        two.expect_start()
            .times(1)
            .returning(move |_, _| Err(answer()));
        let mut three = empty("third");
        three
            .expect_start()
            .times(1)
            .withf(|job, token| *job.start_key() == token.start_key())
            .returning(|_, _| Ok(handle("third")));
        let all = fallback(one, [two, three]);
        let (job, token) = attempt("a");
        assert_eq!(all.start(&job, &token).await.unwrap(), handle("third"));
    }
}

#[tokio::test]
async fn a_start_that_may_have_worked_never_moves_on() {
    for answer in [
        || error(BackendErrorKind::Ambiguous),
        || error(BackendErrorKind::Ambiguous).with_retry(Retry::OtherCapacity),
        || error(BackendErrorKind::Unavailable).with_retry(Retry::SameToken),
    ] {
        let mut one = first();
        one.expect_start()
            .times(1)
            .returning(move |_, _| Err(answer()));
        // A start of the second would panic: the mock expects none.
        let all = fallback(one, [empty("second")]);
        let (job, token) = attempt("a");
        let error = all.start(&job, &token).await.unwrap_err();
        assert_eq!(error.kind(), answer().kind());
        assert_eq!(error.retry(), answer().retry());
    }
}

#[tokio::test]
async fn no_other_error_moves_on() {
    for kind in [
        BackendErrorKind::InvalidSpec,
        BackendErrorKind::TooLarge,
        BackendErrorKind::Denied,
        BackendErrorKind::NotFound,
        BackendErrorKind::Throttled,
        BackendErrorKind::Unsupported,
    ] {
        let mut one = first();
        one.expect_start()
            .times(1)
            .returning(move |_, _| Err(error(kind)));
        let all = fallback(one, [empty("second")]);
        let (job, token) = attempt("a");
        assert_eq!(all.start(&job, &token).await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn after_an_ambiguous_answer_only_that_backend_is_asked_again() {
    let mut sequence = Sequence::new();
    let mut one = first();
    for kind in [BackendErrorKind::Ambiguous, BackendErrorKind::Unavailable] {
        one.expect_start()
            .times(1)
            .in_sequence(&mut sequence)
            .returning(move |_, _| Err(error(kind)));
    }
    one.expect_start()
        .times(1)
        .in_sequence(&mut sequence)
        .returning(|_, _| Ok(handle("first")));
    let all = fallback(one, [empty("second")]);
    let (job, token) = attempt("a");
    // Unavailable alone would move on; after a doubtful start it must not.
    for kind in [BackendErrorKind::Ambiguous, BackendErrorKind::Unavailable] {
        assert_eq!(all.start(&job, &token).await.unwrap_err().kind(), kind);
    }
    assert_eq!(all.start(&job, &token).await.unwrap(), handle("first"));
}

#[tokio::test]
async fn an_ambiguous_start_moves_on_once_the_backend_shows_that_it_has_no_job() {
    let mut sequence = Sequence::new();
    let mut one = first();
    one.expect_start()
        .times(1)
        .in_sequence(&mut sequence)
        .returning(|_, _| Err(error(BackendErrorKind::Ambiguous)));
    one.expect_start()
        .times(2)
        .in_sequence(&mut sequence)
        .returning(|_, _| Err(error(BackendErrorKind::Capacity)));
    let mut two = empty("second");
    two.expect_start()
        .times(1)
        .returning(|_, _| Ok(handle("second")));
    let all = fallback(one, [two]);
    let (job, token) = attempt("a");
    assert!(all.start(&job, &token).await.is_err());
    assert_eq!(all.start(&job, &token).await.unwrap(), handle("second"));
}

#[tokio::test]
async fn a_start_that_was_dropped_half_way_is_repeated_where_it_was() {
    /// Never answers, and then only that it cannot.
    #[derive(Debug, Default)]
    struct Slow(std::sync::atomic::AtomicUsize);

    #[async_trait]
    impl ComputeBackend for Slow {
        fn name(&self) -> &'static str {
            "first"
        }
        async fn start(&self, _: &Job, _: &CallbackToken) -> Result<JobHandle, BackendError> {
            if self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
                std::future::pending::<()>().await;
            }
            Err(error(BackendErrorKind::Unavailable))
        }
        async fn cancel(&self, _: &JobHandle, _: &str) -> Result<CancelOutcome, BackendError> {
            Ok(CancelOutcome::NotFound)
        }
    }

    let all = Fallback::new("both", Arc::new(Slow::default()))
        .then(Arc::new(empty("second")))
        .unwrap();
    let (job, token) = attempt("a");
    {
        let start = all.start(&job, &token);
        tokio::pin!(start);
        let waits =
            std::future::poll_fn(|cx| std::task::Poll::Ready(start.as_mut().poll(cx).is_pending()));
        assert!(waits.await);
    }
    let error = all.start(&job, &token).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unavailable);
}

#[tokio::test]
async fn a_repeated_start_finds_the_backend_that_has_the_job_before_it_asks_the_first() {
    // Another process has started it on the third; the first has room again.
    let one = first();
    let mut three = later("third");
    three
        .expect_locate()
        .times(1)
        .returning(|_| Ok(Some(handle("third"))));
    three
        .expect_start()
        .times(1)
        .returning(|_, _| Ok(handle("third")));
    let all = fallback(one, [empty("second"), three]);
    let (job, token) = attempt("a");
    assert_eq!(all.start(&job, &token).await.unwrap(), handle("third"));
    // From now on this process knows, and asks nobody else.
    assert_eq!(all.start(&job, &token).await.unwrap(), handle("third"));
}

#[tokio::test]
async fn nothing_is_started_while_a_later_backend_cannot_say_whether_it_has_the_job() {
    let one = first();
    let mut two = later("second");
    two.expect_locate()
        .times(1)
        .returning(|_| Err(error(BackendErrorKind::Throttled)));
    let all = fallback(one, [two]);
    let (job, token) = attempt("a");
    let error = all.start(&job, &token).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Throttled);
    assert_eq!(error.retry(), Retry::Backoff);
    assert_eq!(
        error.full_message(),
        "start job `a`: backend `second` cannot say whether it has the job already, so none is started: it says \
         Throttled"
    );
}

#[tokio::test]
async fn starts_at_once_with_one_token_are_one_start_after_the_other() {
    /// Has no room for the first caller, and then some.
    #[derive(Debug, Default)]
    struct FullOnce(std::sync::atomic::AtomicUsize);

    #[async_trait]
    impl ComputeBackend for FullOnce {
        fn name(&self) -> &'static str {
            "first"
        }
        async fn start(&self, _: &Job, _: &CallbackToken) -> Result<JobHandle, BackendError> {
            let before = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::task::yield_now().await;
            match before {
                0 => Err(error(BackendErrorKind::Capacity)),
                _ => Ok(handle("first")),
            }
        }
        async fn cancel(&self, _: &JobHandle, _: &str) -> Result<CancelOutcome, BackendError> {
            Ok(CancelOutcome::NotFound)
        }
    }

    let mut two = empty("second");
    two.expect_start()
        .times(2)
        .returning(|_, _| Ok(handle("second")));
    let all = Fallback::new("both", Arc::new(FullOnce::default()))
        .then(Arc::new(two))
        .unwrap();
    let (job, token) = attempt("a");
    let (a, b) = tokio::join!(all.start(&job, &token), all.start(&job, &token));
    assert_eq!(a.unwrap(), handle("second"));
    assert_eq!(b.unwrap(), handle("second"));
}

#[tokio::test]
async fn when_nobody_takes_the_job_every_answer_is_told() {
    let mut one = first();
    one.expect_start()
        .returning(|_, _| Err(error(BackendErrorKind::Capacity)));
    let mut two = empty("second");
    two.expect_start()
        .returning(|_, _| Err(error(BackendErrorKind::Unavailable)));
    let all = fallback(one, [two]);
    let (job, token) = attempt("a");
    let error = all.start(&job, &token).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unavailable);
    assert_eq!(error.retry(), Retry::Backoff);
    assert_eq!(
        error.to_string(),
        "start job `a`: no backend could take it (first: it says Capacity; second: it says Unavailable)"
    );
}

#[tokio::test]
async fn without_capacity_anywhere_the_error_is_about_capacity() {
    let no_room = |_: &Job, _: &CallbackToken| Err(error(BackendErrorKind::Capacity));
    let mut one = first();
    one.expect_start().returning(no_room);
    let mut two = empty("second");
    two.expect_start().returning(no_room);
    let (job, token) = attempt("a");
    let error = fallback(one, [two]).start(&job, &token).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Capacity);

    let mut alone = first();
    alone.expect_start().returning(no_room);
    let error = fallback(alone, []).start(&job, &token).await.unwrap_err();
    assert_eq!(error.to_string(), "it says Capacity");
    assert_eq!(error.retry(), Retry::OtherCapacity);
}

#[tokio::test]
async fn a_handle_leads_to_the_backend_that_it_names() {
    let one = first();
    let mut two = later("second");
    two.expect_cancel()
        .times(1)
        .withf(|job, reason| *job == handle("second") && reason == "because")
        .returning(|_, _| Ok(CancelOutcome::Cancelled));
    two.expect_describe()
        .times(1)
        .withf(|job| *job == handle("second"))
        .returning(|_| Ok(JobStatus::new(JobState::Running)));
    let all = fallback(one, [two]);
    let outcome = all.cancel(&handle("second"), "because").await.unwrap();
    assert_eq!(outcome, CancelOutcome::Cancelled);
    let status = all.describe(&handle("second")).await.unwrap();
    assert_eq!(status.state, JobState::Running);

    for error in [
        all.cancel(&handle("other"), "x").await.unwrap_err(),
        all.describe(&handle("other")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), BackendErrorKind::NotFound);
        assert!(error.to_string().contains("(it has: first, second)"));
    }
}

#[tokio::test]
async fn a_list_is_of_all_backends_or_an_error() {
    let (job, _) = attempt("a");
    let mut one = first();
    one.expect_list().returning(|_| Ok(vec![handle("first")]));
    let mut two = later("second");
    two.expect_list().returning(|_| Ok(vec![handle("second")]));
    let all = fallback(one, [two]);
    let handles = all.list(job.execution()).await.unwrap();
    assert_eq!(handles, [handle("first"), handle("second")]);

    let mut one = first();
    one.expect_list()
        .returning(|_| Err(error(BackendErrorKind::Unsupported)));
    let mut two = later("second");
    two.expect_list().returning(|_| Ok(vec![handle("second")]));
    let error = fallback(one, [two])
        .list(job.execution())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unsupported);
    assert!(error.to_string().contains("backend `first`"), "{error}");
}

#[test]
fn two_backends_of_one_name_are_refused() {
    let refused = Fallback::new("both", Arc::new(first()))
        .then(Arc::new(later("second")))
        .and_then(|all| all.then(Arc::new(later("first"))));
    assert!(refused.unwrap_err().to_string().contains("\"first\""));
}

#[test]
fn the_memory_of_starts_is_bounded_and_keeps_those_in_use() {
    let starts = Starts::default();
    let key = |n: usize| attempt(&format!("job-{n}")).0.start_key().clone();
    let in_use = starts.slot(&key(0));
    for n in 1..Starts::REMEMBERED + 10 {
        starts.slot(&key(n));
    }
    let len = starts.0.lock().unwrap().slots.len();
    assert!(len <= Starts::REMEMBERED + 1, "{len}");
    assert!(Arc::ptr_eq(&in_use, &starts.slot(&key(0))));
}
