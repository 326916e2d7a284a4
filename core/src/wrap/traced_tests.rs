//! What is told of a call, and that the token is not.

use std::io;
use std::sync::Mutex as StdMutex;

use serde_json::Value;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::*;
use crate::wrap::testing::attempt;
use crate::{JobState, MockComputeBackend};

/// Everything that was told, as lines of JSON.
#[derive(Clone, Default)]
struct Log(Arc<StdMutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Listens, in this thread, until the guard is dropped.
    fn listen() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The one event with this message.
    fn event(&self, message: &str) -> Value {
        let text = self.text();
        let mut events = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|event| event["fields"]["message"] == message);
        let event = events
            .next()
            .unwrap_or_else(|| panic!("no {message:?} in {text}"));
        assert!(events.next().is_none(), "twice {message:?} in {text}");
        event
    }
}

fn mock() -> MockComputeBackend {
    let mut mock = MockComputeBackend::new();
    mock.expect_name().return_const("mock".to_owned());
    mock
}

#[tokio::test]
async fn a_start_is_told_with_job_attempt_execution_and_handle() {
    let (log, _guard) = Log::listen();
    let mut inner = mock();
    inner.expect_start().times(1).returning(|_, _| {
        tracing::info!("inside");
        Ok(JobHandle::new("mock", "7"))
    });
    let traced = Traced::new(Arc::new(inner));
    let (job, token) = attempt("render");
    traced.start(&job, &token).await.unwrap();

    let event = log.event("the job was started");
    assert_eq!(event["level"], "INFO");
    let span = &event["span"];
    assert_eq!(span["name"], "backend.start");
    assert_eq!(span["backend"], "mock");
    assert_eq!(span["job"], "render");
    assert_eq!(span["attempt"], 2);
    assert_eq!(span["execution"], job.execution().as_str());
    assert_eq!(span["start_key"], job.start_key().as_str());
    assert_eq!(span["handle"], "mock:7");
    assert_eq!(log.event("inside")["span"]["name"], "backend.start");
    assert_eq!(traced.name(), "mock");
}

#[tokio::test]
async fn an_error_is_told_with_its_kind_advice_and_causes() {
    let (log, _guard) = Log::listen();
    let mut inner = mock();
    inner.expect_start().times(1).returning(|_, _| {
        let cause = io::Error::other("connection reset");
        Err(BackendError::new(BackendErrorKind::Ambiguous, "start the job").with_source(cause))
    });
    let traced = Traced::new(Arc::new(inner));
    let (job, token) = attempt("render");
    let error = traced.start(&job, &token).await.unwrap_err();
    assert_eq!(error.full_message(), "start the job: connection reset");

    let event = log.event("the backend answered an error");
    assert_eq!(event["level"], "WARN");
    assert_eq!(event["fields"]["error"], "start the job: connection reset");
    assert_eq!(event["span"]["job"], "render");
    assert_eq!(event["span"]["error.kind"], "Ambiguous");
    assert_eq!(event["span"]["error.retry"], "SameToken");
}

#[tokio::test]
async fn the_other_calls_are_told_and_forwarded() {
    let (log, _guard) = Log::listen();
    let mut inner = mock();
    inner
        .expect_cancel()
        .times(1)
        .withf(|job, reason| job.id() == "7" && reason == "because")
        .returning(|_, _| Ok(CancelOutcome::AlreadyEnded));
    inner
        .expect_describe()
        .times(1)
        .withf(|job| job.id() == "7")
        .returning(|_| Ok(JobStatus::new(JobState::Running)));
    inner
        .expect_list()
        .times(1)
        .returning(|_| Ok(vec![JobHandle::new("mock", "7")]));
    let traced = Traced::new(Arc::new(inner));
    let (job, _) = attempt("render");
    let handle = JobHandle::new("mock", "7");

    let outcome = traced.cancel(&handle, "because").await.unwrap();
    assert_eq!(outcome, CancelOutcome::AlreadyEnded);
    let event = log.event("the job was cancelled");
    assert_eq!(event["span"]["handle"], "mock:7");
    assert_eq!(event["fields"]["outcome"], "AlreadyEnded");
    assert_eq!(event["fields"]["reason"], "because");

    let status = traced.describe(&handle).await.unwrap();
    assert_eq!(status.state, JobState::Running);
    let event = log.event("the job was described");
    assert_eq!(event["span"]["state"], "Running");

    let listed = traced.list(job.execution()).await.unwrap();
    assert_eq!(listed, [handle]);
    let event = log.event("the jobs were listed");
    assert_eq!(event["span"]["execution"], job.execution().as_str());
    assert_eq!(event["span"]["jobs"], "1");
}

#[tokio::test]
async fn the_token_is_told_nowhere_even_if_the_backend_breaks_its_promise() {
    let (log, _guard) = Log::listen();
    let mut inner = mock();
    let mut sequence = mockall::Sequence::new();
    inner
        .expect_start()
        .times(1)
        .in_sequence(&mut sequence)
        .returning(|_, token| Ok(JobHandle::new("mock", token.expose())));
    inner
        .expect_start()
        .times(1)
        .in_sequence(&mut sequence)
        .returning(|_, token| {
            let cause = io::Error::other(format!("sent {}", token.expose()));
            let message = format!("start with {}", token.expose());
            Err(BackendError::new(BackendErrorKind::Denied, message).with_source(cause))
        });
    let traced = Traced::new(Arc::new(inner));
    let (job, token) = attempt("render");
    traced.start(&job, &token).await.unwrap();
    traced.start(&job, &token).await.unwrap_err();

    let text = log.text();
    assert!(!text.contains(token.expose()), "{text}");
    assert_eq!(
        log.event("the job was started")["span"]["handle"],
        "mock:[token]"
    );
    let event = log.event("the backend answered an error");
    assert_eq!(event["fields"]["error"], "start with [token]: sent [token]");
    assert!(!format!("{traced:?}").contains(token.expose()));
}

#[tokio::test]
async fn calls_are_counted_by_what_came_of_them() {
    let mut inner = mock();
    let mut sequence = mockall::Sequence::new();
    for kind in [
        None,
        Some(BackendErrorKind::Throttled),
        Some(BackendErrorKind::Throttled),
        Some(BackendErrorKind::Denied),
        None,
    ] {
        inner
            .expect_start()
            .times(1)
            .in_sequence(&mut sequence)
            .returning(move |_, _| match kind {
                Some(kind) => Err(BackendError::new(kind, "no")),
                None => Ok(JobHandle::new("mock", "7")),
            });
    }
    inner
        .expect_describe()
        .returning(|_| Ok(JobStatus::unknown()));
    let traced = Traced::new(Arc::new(inner));
    assert_eq!(traced.counts(), Counts::default());
    let (job, token) = attempt("render");
    for _ in 0..5 {
        let _ = traced.start(&job, &token).await;
    }
    traced.describe(&JobHandle::new("mock", "7")).await.unwrap();

    let counts = traced.counts();
    assert_eq!(counts.starts.begun, 5);
    assert_eq!(counts.starts.succeeded, 2);
    assert_eq!(counts.starts.abandoned, 0);
    let failed = HashMap::from([
        (BackendErrorKind::Throttled, 2),
        (BackendErrorKind::Denied, 1),
    ]);
    assert_eq!(counts.starts.failed, failed);
    assert_eq!(counts.describes.succeeded, 1);
    assert_eq!(counts.cancels, OperationCounts::default());
    assert_eq!(counts.lists, OperationCounts::default());
}

#[tokio::test]
async fn a_call_that_was_dropped_half_way_is_counted_as_abandoned() {
    /// Never answers.
    #[derive(Debug)]
    struct Silent;

    #[async_trait]
    impl ComputeBackend for Silent {
        fn name(&self) -> &'static str {
            "silent"
        }
        async fn start(&self, _: &Job, _: &CallbackToken) -> Result<JobHandle, BackendError> {
            std::future::pending().await
        }
        async fn cancel(&self, _: &JobHandle, _: &str) -> Result<CancelOutcome, BackendError> {
            std::future::pending().await
        }
    }

    let (log, _guard) = Log::listen();
    let traced = Traced::new(Arc::new(Silent));
    let (job, token) = attempt("render");
    {
        let start = traced.start(&job, &token);
        tokio::pin!(start);
        let waits =
            std::future::poll_fn(|cx| std::task::Poll::Ready(start.as_mut().poll(cx).is_pending()));
        assert!(waits.await);
    }
    let counts = traced.counts().starts;
    assert_eq!((counts.begun, counts.abandoned), (1, 1));
    let event = log.event("the call was abandoned");
    assert_eq!(event["span"]["job"], "render");
}
