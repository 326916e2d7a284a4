//! The limits, on a clock that only moves when everybody waits.

use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::*;
use crate::wrap::testing::attempt;
use crate::{JobState, MockComputeBackend};

fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// A backend that notes which jobs reached it when, and takes a second for each.
#[derive(Debug, Default)]
struct Clerk {
    takes: Duration,
    begun: StdMutex<Vec<(String, Instant)>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl ComputeBackend for Clerk {
    fn name(&self) -> &'static str {
        "clerk"
    }

    async fn start(&self, job: &Job, _: &CallbackToken) -> Result<JobHandle, BackendError> {
        let begun = (job.name().to_string(), Instant::now());
        self.begun.lock().unwrap().push(begun);
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(self.takes).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(JobHandle::new("clerk", job.name().to_string()))
    }

    async fn cancel(&self, _: &JobHandle, _: &str) -> Result<CancelOutcome, BackendError> {
        Ok(CancelOutcome::Cancelled)
    }
}

/// Starts `jobs` jobs at once, and returns which began after how many milliseconds.
async fn run(limit: Limit<Clerk>, jobs: usize) -> (Vec<(String, u128)>, Arc<Clerk>) {
    let clerk = Arc::clone(&limit.inner);
    let limit = Arc::new(limit);
    let zero = Instant::now();
    let mut tasks = JoinSet::new();
    for job in 0..jobs {
        let limit = Arc::clone(&limit);
        tasks.spawn(async move {
            let (job, token) = attempt(&format!("job-{job}"));
            limit.start(&job, &token).await.unwrap()
        });
        // Joins the queue before the next one does.
        tokio::task::yield_now().await;
    }
    assert_eq!(tasks.join_all().await.len(), jobs);
    let begun = clerk.begun.lock().unwrap().clone();
    let begun = begun
        .into_iter()
        .map(|(name, at)| (name, (at - zero).as_millis()));
    (begun.collect(), clerk)
}

fn clerk(takes: u64) -> Arc<Clerk> {
    Arc::new(Clerk {
        takes: Duration::from_millis(takes),
        ..Clerk::default()
    })
}

fn times(begun: &[(String, u128)]) -> Vec<u128> {
    begun.iter().map(|(_, at)| *at).collect()
}

#[tokio::test(start_paused = true)]
async fn no_more_starts_are_in_flight_than_allowed() {
    let limit = Limit::new(clerk(1000)).with_in_flight(NonZeroUsize::new(3).unwrap());
    let (begun, clerk) = run(limit, 10).await;
    assert_eq!(clerk.most.load(Ordering::SeqCst), 3);
    assert_eq!(
        times(&begun),
        [0, 0, 0, 1000, 1000, 1000, 2000, 2000, 2000, 3000]
    );
}

#[tokio::test(start_paused = true)]
async fn starts_are_spread_evenly_over_the_second() {
    let limit = Limit::new(clerk(0)).with_rate(Rate::per_second(n(4)));
    let (begun, _) = run(limit, 6).await;
    assert_eq!(times(&begun), [0, 250, 500, 750, 1000, 1250]);
}

#[tokio::test(start_paused = true)]
async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
    let rate = Rate::per_second(n(4)).with_burst(n(3));
    let limit = Limit::new(clerk(0)).with_rate(rate);
    let (begun, _) = run(limit, 6).await;
    assert_eq!(times(&begun), [0, 0, 0, 250, 500, 750]);
}

#[tokio::test(start_paused = true)]
async fn a_rest_fills_the_bucket_again_but_not_beyond_the_burst() {
    let rate = Rate::one_each(Duration::from_secs(1)).with_burst(n(2));
    let limit = Limit::new(clerk(0)).with_rate(rate);
    let (job, token) = attempt("a");
    let start = async || {
        limit.start(&job, &token).await.unwrap();
        Instant::now()
    };
    let zero = Instant::now();
    for _ in 0..2 {
        assert_eq!(start().await, zero);
    }
    // One token comes back in a second, and two in an hour.
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(start().await - zero, Duration::from_secs(1));
    assert_eq!(start().await - zero, Duration::from_secs(2));
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(start().await - zero, Duration::from_secs(3602));
    assert_eq!(start().await - zero, Duration::from_secs(3602));
    assert_eq!(start().await - zero, Duration::from_secs(3603));
}

#[tokio::test(start_paused = true)]
async fn places_that_come_free_together_do_not_break_the_rate() {
    let limit = Limit::new(clerk(10_000))
        .with_in_flight(NonZeroUsize::new(2).unwrap())
        .with_rate(Rate::one_each(Duration::from_secs(1)));
    let (begun, clerk) = run(limit, 6).await;
    assert_eq!(clerk.most.load(Ordering::SeqCst), 2);
    for pair in times(&begun).windows(2) {
        assert!(pair[1] - pair[0] >= 1000, "{begun:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn first_come_is_first_served() {
    let limit = Limit::new(clerk(100))
        .with_in_flight(NonZeroUsize::new(2).unwrap())
        .with_rate(Rate::per_second(n(5)));
    let (begun, _) = run(limit, 20).await;
    let names: Vec<String> = begun.into_iter().map(|(name, _)| name).collect();
    let expected: Vec<String> = (0..20).map(|job| format!("job-{job}")).collect();
    assert_eq!(names, expected);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_dropped_while_it_waits_takes_nothing() {
    let limit = Limit::new(clerk(0))
        .with_in_flight(NonZeroUsize::MIN)
        .with_rate(Rate::one_each(Duration::from_secs(60)));
    let (job, token) = attempt("a");
    let zero = Instant::now();
    limit.start(&job, &token).await.unwrap();
    for _ in 0..5 {
        let waits = tokio::time::timeout(Duration::from_secs(1), limit.start(&job, &token));
        assert!(waits.await.is_err());
    }
    limit.start(&job, &token).await.unwrap();
    assert_eq!(Instant::now() - zero, Duration::from_secs(60));
    assert_eq!(limit.inner.begun.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_gives_its_place_back() {
    let mut mock = MockComputeBackend::new();
    mock.expect_start()
        .times(2)
        .returning(|_, _| Err(BackendError::new(BackendErrorKind::Capacity, "no room")));
    let limit = Limit::new(Arc::new(mock)).with_in_flight(NonZeroUsize::MIN);
    let (job, token) = attempt("a");
    for _ in 0..2 {
        let error = limit.start(&job, &token).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Capacity);
    }
}

#[tokio::test(start_paused = true)]
async fn no_interval_is_too_short_or_too_long() {
    for (interval, seconds) in [(Duration::ZERO, 0), (Duration::MAX, 24 * 3600)] {
        let limit =
            Limit::new(clerk(0)).with_rate(Rate::one_each(interval).with_burst(NonZeroU32::MAX));
        let (job, token) = attempt("a");
        limit.start(&job, &token).await.unwrap();
        let limit = Limit::new(clerk(0)).with_rate(Rate::one_each(interval));
        let zero = Instant::now();
        for _ in 0..2 {
            limit.start(&job, &token).await.unwrap();
        }
        assert_eq!((Instant::now() - zero).as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn only_starts_wait() {
    let mut mock = MockComputeBackend::new();
    let handle = JobHandle::new("mock", "1");
    mock.expect_name().return_const("mock".to_owned());
    mock.expect_start()
        .returning(|_, _| Ok(JobHandle::new("mock", "1")));
    mock.expect_cancel()
        .withf(|handle, reason| handle.id() == "1" && reason == "because")
        .times(1)
        .returning(|_, _| Ok(CancelOutcome::AlreadyEnded));
    mock.expect_describe()
        .times(1)
        .returning(|_| Ok(JobStatus::new(JobState::Pending)));
    mock.expect_list()
        .times(1)
        .returning(|_| Ok(vec![JobHandle::new("mock", "1")]));
    let limit = Limit::new(Arc::new(mock))
        .with_in_flight(NonZeroUsize::MIN)
        .with_rate(Rate::one_each(Duration::from_secs(3600)));
    let (job, token) = attempt("a");
    limit.start(&job, &token).await.unwrap();

    let zero = Instant::now();
    let second = limit.start(&job, &token);
    tokio::pin!(second);
    assert!(futures_pending(second.as_mut()).await);
    assert_eq!(limit.name(), "mock");
    let outcome = limit.cancel(&handle, "because").await.unwrap();
    assert_eq!(outcome, CancelOutcome::AlreadyEnded);
    let status = limit.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Pending);
    assert_eq!(limit.list(job.execution()).await.unwrap(), [handle]);
    assert_eq!(Instant::now(), zero);
}

/// Whether the future waits when it is polled once.
async fn futures_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}
