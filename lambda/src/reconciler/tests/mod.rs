//! Tests of the reconciler over events in the shapes of AWS's documentation, with a mocked callback
//! API, mocked backends and a clock that never waits.

mod batch;
mod ecs;
mod executions;
mod grace;
mod malformed;
mod secrecy;

use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use longhaul_batch::BatchConfig;
use longhaul_core::MockComputeBackend;
use longhaul_ecs::EcsConfig;
use serde_json::json;

use super::callbacks::MockCallbackApi;
use super::*;

/// The callback token in the events.
const TOKEN: &str = "ZXhhbXBsZS9hdHRlbXB0KzE=";
/// The execution that they are of.
const EXECUTION: &str = "arn:aws:lambda:eu-west-1:123456789012:function:handler:7/durable-execution/render-1/9f7d84c9-ea3d-3ffc-b3e5-5ec51c34ffc9";
/// The task and the job that they are of.
const TASK: &str =
    "ecs:arn:aws:ecs:eu-west-1:123456789012:task/jobs/c13b4cb40f1f4fe4a2971f76ae5a47ad";
const JOB: &str = "batch:4c7599ae-0a82-49aa-ba5a-4727fcce14a8";
/// When the task, the job and the execution ended: 2026-11-02T10:15:30Z.
const END: Duration = Duration::from_secs(1_793_614_530);

/// What a clock says that was never asked to wait.
const NEVER: [Duration; 0] = [];

/// Reads an event of the folder `tests/events`.
macro_rules! event {
    ($name:literal) => {
        serde_json::from_str::<serde_json::Value>(include_str!(concat!(
            "../../../tests/events/",
            $name,
            ".json"
        )))
        .expect("an event is JSON")
    };
}
pub(crate) use event;

/// A clock that lets time pass at once, and remembers how often it was asked to.
#[derive(Debug)]
struct QuickClock {
    now: Mutex<SystemTime>,
    slept: Mutex<Vec<Duration>>,
}

impl QuickClock {
    /// A clock that shows the time `after` the end of everything in the events.
    fn at(after: Duration) -> Arc<Self> {
        Arc::new(Self {
            now: Mutex::new(UNIX_EPOCH + END + after),
            slept: Mutex::default(),
        })
    }

    fn slept(&self) -> Vec<Duration> {
        self.slept.lock().unwrap().clone()
    }
}

#[async_trait]
impl Clock for QuickClock {
    fn now(&self) -> SystemTime {
        *self.now.lock().unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        *self.now.lock().unwrap() += duration;
        self.slept.lock().unwrap().push(duration);
    }
}

/// What a callback was failed with: type, message and data.
type Sent = (String, String, Value);

/// Expects one failure of the callback, which is answered with `answer`.
fn expect_failure(
    callbacks: &mut MockCallbackApi,
    answer: Result<Delivery, CallbackApiError>,
) -> Arc<Mutex<Option<Sent>>> {
    let sent = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&sent);
    callbacks
        .expect_fail()
        .times(1)
        .withf(|token, _| token.expose() == TOKEN)
        .return_once(move |_, failure| {
            let data = serde_json::from_str(&failure.error_data()).expect("the data is JSON");
            *seen.lock().unwrap() = Some((
                failure.error_type().to_owned(),
                failure.error_message(),
                data,
            ));
            answer
        });
    sent
}

/// Expects the question whether the callback is open, `times` times.
fn expect_open(callbacks: &mut MockCallbackApi, times: usize) {
    callbacks
        .expect_is_open()
        .times(times)
        .withf(|token| token.expose() == TOKEN)
        .returning(|_| Ok(true));
}

fn backend(name: &str) -> MockComputeBackend {
    let mut backend = MockComputeBackend::new();
    backend.expect_name().return_const(name.to_owned());
    backend
}

fn ecs_config() -> EcsConfig {
    EcsConfig::builder("jobs", "render:8")
        .subnets(["subnet-1"])
        .security_groups(["sg-1"])
        .logs("/jobs", "ecs")
        .build()
        .unwrap()
}

/// A reconciler for ECS and Batch that never touches a backend.
fn reconciler(callbacks: MockCallbackApi, clock: &Arc<QuickClock>) -> Reconciler {
    with_runner(JobRunner::new(Arc::new(backend("ecs"))), callbacks, clock)
}

fn with_runner(
    runner: JobRunner,
    callbacks: MockCallbackApi,
    clock: &Arc<QuickClock>,
) -> Reconciler {
    Reconciler::new(runner, Arc::new(callbacks))
        .with_events(Arc::new(EcsEvents::new(ecs_config())))
        .with_events(Arc::new(BatchEvents::new(BatchConfig::new(
            "jobs", "render",
        ))))
        .with_clock(Arc::clone(clock) as Arc<dyn Clock>)
}

/// Handles an event that arrives 2 s after the job's end. Its callback is open, and is failed:
/// returns the job, how long it was given, and what was sent.
async fn failed(event: Value) -> (String, Duration, Sent) {
    let clock = QuickClock::at(Duration::from_secs(2));
    let mut callbacks = MockCallbackApi::new();
    callbacks
        .expect_is_open()
        .withf(|token| token.expose() == TOKEN)
        .returning(|_| Ok(true));
    let sent = expect_failure(&mut callbacks, Ok(Delivery::Accepted));
    let done = reconciler(callbacks, &clock).handle(event).await.unwrap();
    let sent = sent.lock().unwrap().take().unwrap();
    let Reconciled::CallbackFailed { job, error_type } = done else {
        panic!("{done:?}");
    };
    assert_eq!(error_type, sent.0);
    (job.to_string(), clock.slept().iter().sum(), sent)
}

/// Handles an event that must come to nothing: no call of any API. Returns why it did.
async fn ignored(event: Value) -> String {
    let clock = QuickClock::at(Duration::ZERO);
    let done = reconciler(MockCallbackApi::new(), &clock)
        .handle(event)
        .await
        .unwrap();
    assert_eq!(clock.slept(), NEVER);
    match done {
        Reconciled::Ignored { why } => why,
        done => panic!("{done:?}"),
    }
}

#[test]
fn the_answer_of_an_invocation_says_what_was_done() {
    let done = Reconciled::CallbackFailed {
        job: JobHandle::new("ecs", "arn"),
        error_type: "Longhaul.Lost".to_owned(),
    };
    assert_eq!(
        serde_json::to_value(done).unwrap(),
        json!({"did": "callback_failed", "job": {"backend": "ecs", "id": "arn"}, "error_type": "Longhaul.Lost"})
    );
}
