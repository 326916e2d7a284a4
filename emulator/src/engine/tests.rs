//! What the writer promises: together or not at all, and nobody fails with somebody else.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::calls::Started;
use super::*;
use crate::clock::TestClock;
use crate::config::{DurableConfig, FunctionConfig, WriterPlace};
use crate::error::{ApiError, ApiErrorKind};
use crate::machine::{InvocationResult, Target};
use crate::store::StateFolder;

struct Bench {
    engine: EngineHandle,
    writer: Writer,
    work: mpsc::UnboundedReceiver<Work>,
    commits: Arc<AtomicU64>,
}

fn engine(state: &TempDir) -> (Engine, mpsc::UnboundedReceiver<Work>, Arc<AtomicU64>) {
    let folder = Arc::new(StateFolder::hold(state.path()).unwrap());
    let store = Store::open(&folder).unwrap();
    let function = FunctionConfig::process("job", "/bin/true", std::iter::empty::<&str>());
    let (events, _) = broadcast::channel(16);
    let (work_sender, work) = mpsc::unbounded_channel();
    let (next_due, _) = watch::channel(None);
    let commits = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&commits);
    let engine = Engine::restore(EngineParts {
        store,
        clock: Arc::new(TestClock::new(Timestamp::from_millis(1_000_000))),
        region: "us-east-1".into(),
        account: "000000000000".into(),
        retry: InvocationRetry::default(),
        limits: Limits::default(),
        functions: Arc::new(Functions::new("us-east-1", "000000000000", &[function])),
        on_commit: Some(Arc::new(move |commit| {
            counter.store(commit, Ordering::SeqCst)
        })),
        events,
        work: work_sender,
        next_due,
    })
    .unwrap();
    (engine, work, commits)
}

fn bench(state: &TempDir) -> Bench {
    let (engine, work, commits) = engine(state);
    let (engine, writer) = EngineHandle::spawn(engine, WriterPlace::Thread).unwrap();
    Bench {
        engine,
        writer,
        work,
        commits,
    }
}

impl Bench {
    async fn end(self) {
        self.engine.stop().await;
        assert!(self.writer.join().await);
    }

    /// Keeps the writer busy until the returned guard is dropped, so that calls gather into one batch.
    fn hold(&self) -> std::sync::mpsc::Sender<()> {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Mutex::new(held);
        let engine = self.engine.clone();
        tokio::spawn(async move {
            engine
                .call(move |_| {
                    // An error is the release too: the sender was dropped.
                    let _released = held.lock().unwrap().recv();
                    Ok(())
                })
                .await
        });
        release
    }
}

fn start(name: &str, input: String) -> StartRequest {
    StartRequest {
        target: Target {
            name: "job".into(),
            version: "$LATEST".into(),
            durable: DurableConfig::default(),
        },
        name: Some(name.into()),
        input: input.into(),
        synchronous: true,
        trace: None,
        tenant: None,
    }
}

/// Sends starts one after another while the writer is held, and returns their answers.
async fn start_together(
    bench: &Bench,
    requests: Vec<StartRequest>,
) -> Vec<Result<Started, ApiError>> {
    let release = bench.hold();
    let mut calls = tokio::task::JoinSet::new();
    for (index, request) in requests.into_iter().enumerate() {
        let engine = bench.engine.clone();
        calls.spawn(async move {
            (
                index,
                engine.call(move |engine| engine.start(&request)).await,
            )
        });
        // In order: each call is in the queue before the next is made.
        tokio::task::yield_now().await;
    }
    drop(release);
    let mut answers = calls.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[tokio::test]
async fn calls_that_wait_together_share_a_commit() {
    let state = tempfile::tempdir().unwrap();
    let bench = bench(&state);
    let requests = (0..50)
        .map(|n| start(&format!("n{n}"), "{}".into()))
        .collect();
    let answers = start_together(&bench, requests).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(
        bench.commits.load(Ordering::SeqCst) <= 3,
        "fifty answers, few commits"
    );
    bench.end().await;
}

#[tokio::test]
async fn one_call_the_disk_cannot_take_does_not_fail_the_others() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = bench(&state);
    bench
        .engine
        .call(|engine| Ok(engine.store.limit_growth(100)?))
        .await
        .unwrap();
    let large = format!("\"{}\"", "x".repeat(2_000_000));
    let requests = vec![
        start("a", "1".into()),
        start("b", "2".into()),
        start("large", large.clone()),
        start("c", "3".into()),
    ];
    let answers = start_together(&bench, requests).await;
    let kinds: Vec<Option<ApiErrorKind>> = answers
        .iter()
        .map(|answer| answer.as_ref().err().map(ApiError::kind))
        .collect();
    assert_eq!(kinds, [None, None, Some(ApiErrorKind::Service), None]);
    assert!(
        std::error::Error::source(answers[2].as_ref().unwrap_err()).is_some(),
        "with the reason"
    );

    // What failed left nothing behind, in memory or on disk: the name is free, the others are known and wanted once.
    let (open, keys) = bench
        .engine
        .call(|engine| Ok((engine.open.len(), engine.keys.len())))
        .await
        .unwrap();
    assert_eq!((open, keys), (3, 3));
    let mut wanted = Vec::new();
    while let Ok(work) = bench.work.try_recv() {
        wanted.push(work.arn.name().to_owned());
    }
    assert_eq!(wanted, ["a", "b", "c"]);
    bench
        .engine
        .call(|engine| Ok(engine.store.limit_growth(100_000)?))
        .await
        .unwrap();
    let again = start_together(&bench, vec![start("large", large)]).await;
    assert!(!again[0].as_ref().unwrap().existing);
    bench.end().await;
}

#[tokio::test]
async fn a_transition_that_could_not_be_written_is_undone_in_memory_too() {
    let state = tempfile::tempdir().unwrap();
    let bench = bench(&state);
    let started = start_together(&bench, vec![start("a", "1".into())])
        .await
        .remove(0)
        .unwrap();
    let key = bench.engine.call({
        let arn = started.arn.clone();
        move |engine| Ok(engine.keys[&arn])
    });
    let key = key.await.unwrap();
    let begun = bench
        .engine
        .call(move |engine| Ok(engine.begin_invocation(key)))
        .await
        .unwrap()
        .unwrap();
    bench
        .engine
        .call(|engine| Ok(engine.store.limit_growth(10)?))
        .await
        .unwrap();
    let body =
        serde_json::json!({"Status": "SUCCEEDED", "Result": "x".repeat(2_000_000)}).to_string();
    let result = InvocationResult::Output(body.into());
    let end = |result: InvocationResult, id: String| {
        let engine = bench.engine.clone();
        async move {
            engine
                .call(move |engine| engine.end_invocation(key, &id, &result))
                .await
        }
    };
    let refused = end(result.clone(), begun.request_id.clone())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ApiErrorKind::Service);
    let closed = bench
        .engine
        .call(move |engine| Ok(engine.open[&key].is_closed()))
        .await
        .unwrap();
    assert!(!closed);
    bench
        .engine
        .call(|engine| Ok(engine.store.limit_growth(100_000)?))
        .await
        .unwrap();
    end(result, begun.request_id).await.unwrap();
    let arn = started.arn.clone();
    let waiting = bench
        .engine
        .call(move |engine| engine.wait(&arn))
        .await
        .unwrap();
    assert!(matches!(
        waiting,
        Waiting::Over(Outcome::Succeeded(Some(_)))
    ));
    bench.end().await;
}

#[test]
fn who_waits_for_an_execution_is_invoked_for_before_the_commit_which_the_next_call_shares() {
    let state = tempfile::tempdir().unwrap();
    let (mut engine, mut work, commits) = engine(&state);
    let (started, waiting) = engine.run(&start("a", "1".into())).unwrap();
    assert!(matches!(waiting, Waiting::Open(_)));
    assert!(
        !engine.answer_now(),
        "who started it hears nothing before the commit"
    );
    assert!(engine.can_wait());
    engine.ask_for_invocations();
    let wanted = work.try_recv().unwrap();
    assert!(engine.begin_invocation(wanted.key).is_some());
    assert!(engine.answer_now(), "the invocation begins at once");
    assert!(engine.can_wait());
    // Somebody else's call, who is to hear of it.
    engine.start(&start("b", "2".into())).unwrap();
    assert!(!engine.answer_now());
    assert!(!engine.can_wait(), "its commit is not put off");
    engine.commit().unwrap();
    assert_eq!(commits.load(Ordering::SeqCst), 1);
    assert!(!engine.can_wait());
    assert_eq!(work.try_recv().unwrap().arn.name(), "b");
    assert!(
        work.try_recv().is_err(),
        "an invocation is asked for only once"
    );
    assert!(engine.open[&wanted.key].arn() == &started.arn);
}

#[test]
fn an_invocation_of_what_others_were_not_told_yet_waits_for_the_commit() {
    let state = tempfile::tempdir().unwrap();
    let (mut engine, _work, _) = engine(&state);
    let started = engine.start(&start("a", "1".into())).unwrap();
    assert!(!engine.answer_now());
    let key = engine.keys[&started.arn];
    assert!(engine.begin_invocation(key).is_some());
    assert!(!engine.answer_now());
}

#[test]
fn a_start_that_could_not_be_written_leaves_nothing_though_its_invocation_has_begun() {
    let state = tempfile::tempdir().unwrap();
    let (mut engine, _work, _) = engine(&state);
    let (started, _waiting) = engine.run(&start("a", "1".into())).unwrap();
    engine.answer_now();
    let key = engine.keys[&started.arn];
    let begun = engine.begin_invocation(key).unwrap();
    engine.take_back();
    assert!(engine.open.is_empty() && engine.keys.is_empty() && engine.waiters.is_empty());
    let late = InvocationResult::Output("{}".into());
    assert!(engine.end_invocation(key, &begun.request_id, &late).is_ok());
    assert!(!engine.run(&start("a", "1".into())).unwrap().0.existing);
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_comes_all_the_same() {
    let state = tempfile::tempdir().unwrap();
    let bench = bench(&state);
    let request = start("a", "1".into());
    let (started, waiting) = bench
        .engine
        .call(move |engine| engine.run(&request))
        .await
        .unwrap();
    assert_eq!(bench.commits.load(Ordering::SeqCst), 1);
    assert!(!started.existing && matches!(waiting, Waiting::Open(_)));
    bench.end().await;
}

#[tokio::test]
async fn closed_executions_take_no_memory() {
    let state = tempfile::tempdir().unwrap();
    let bench = bench(&state);
    for n in 0..20 {
        let started = start_together(&bench, vec![start(&format!("n{n}"), "1".into())])
            .await
            .remove(0)
            .unwrap();
        bench
            .engine
            .call(move |engine| engine.stop(&started.arn, None))
            .await
            .unwrap();
    }
    let sizes = bench
        .engine
        .call(|engine| {
            Ok([
                engine.open.len(),
                engine.keys.len(),
                engine.schedule.len(),
                engine.scheduled.len(),
                engine.waiters.len(),
            ])
        })
        .await;
    assert_eq!(sizes.unwrap(), [0; 5]);
    bench.end().await;
}
