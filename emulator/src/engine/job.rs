//! Calls to the writer, and its loop: many calls, one commit, then the answers.

use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::config::WriterPlace;
use crate::error::{ApiError, ServiceError};
use crate::store::StoreError;

use super::Engine;

/// Why a call did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The request was refused; what was written on the way stays.
    Api(ApiError),
    /// The database failed; the whole batch is taken back.
    Store(StoreError),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A call on its way. It can run more than once: a batch that fails is tried again call by call.
trait Job: Send {
    fn run(&mut self, engine: &mut Engine) -> Result<(), StoreError>;
    fn answer(self: Box<Self>);
    fn fail(self: Box<Self>, error: ApiError);
}

struct Call<F, T> {
    work: F,
    result: Option<Result<T, ApiError>>,
    /// `None` once it is answered.
    reply: Option<oneshot::Sender<Result<T, ApiError>>>,
}

impl<F, T> Call<F, T> {
    fn reply(&mut self, result: Result<T, ApiError>) {
        if let Some(reply) = self.reply.take() {
            // A caller that went away needs no answer.
            drop(reply.send(result));
        }
    }
}

impl<F, T> Job for Call<F, T>
where
    F: FnMut(&mut Engine) -> Result<T, Refusal> + Send,
    T: Send,
{
    fn run(&mut self, engine: &mut Engine) -> Result<(), StoreError> {
        if self.reply.is_none() {
            // Answered when the batch was tried before.
            return Ok(());
        }
        let result = match (self.work)(engine) {
            Ok(value) => Ok(value),
            Err(Refusal::Api(error)) => Err(error),
            Err(Refusal::Store(error)) => return Err(error),
        };
        if engine.answer_now() {
            self.reply(result);
        } else {
            self.result = Some(result);
        }
        Ok(())
    }

    fn answer(mut self: Box<Self>) {
        if let Some(result) = self.result.take() {
            self.reply(result);
        }
    }

    fn fail(mut self: Box<Self>, error: ApiError) {
        self.reply(Err(error));
    }
}

enum Message {
    Call(Box<dyn Job>),
    Stop,
}

/// Calls that may wait for the writer before callers have to wait too.
const QUEUE: usize = 4_096;

/// Calls in one commit at most.
const BATCH: usize = 512;

/// How long a commit that nobody waits for yet is put off, for the next call to share it.
const PATIENCE: Duration = Duration::from_millis(2);

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct EngineHandle {
    calls: mpsc::Sender<Message>,
}

/// The writer at work, to be waited for once it was told to stop.
pub(crate) enum Writer {
    Thread(thread::JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

impl Writer {
    /// Waits for its end. False when it had ended by a panic.
    pub(crate) async fn join(self) -> bool {
        match self {
            Self::Thread(thread) => matches!(
                tokio::task::spawn_blocking(move || thread.join()).await,
                Ok(Ok(()))
            ),
            Self::Task(task) => task.await.is_ok(),
        }
    }
}

impl EngineHandle {
    /// Starts the writer.
    pub(crate) fn spawn(
        engine: Engine,
        place: WriterPlace,
    ) -> Result<(Self, Writer), ServiceError> {
        let (calls, queue) = mpsc::channel(QUEUE);
        let work = run(engine, queue);
        let writer = match place {
            WriterPlace::Runtime => Writer::Task(tokio::spawn(work)),
            WriterPlace::Thread => {
                let name = "durable-writer".to_owned();
                let thread = thread::Builder::new().name(name).spawn(move || {
                    let mut runtime = runtime::Builder::new_current_thread();
                    match runtime.enable_time().build() {
                        Ok(runtime) => runtime.block_on(work),
                        // Its calls are told that the service stops.
                        Err(error) => tracing::error!(%error, "the writer has no runtime"),
                    }
                });
                Writer::Thread(thread.map_err(ServiceError::NoWriter)?)
            }
        };
        Ok((Self { calls }, writer))
    }

    /// Has the writer run `work`, and returns its answer once everything it wrote or saw is durable.
    pub(crate) async fn call<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        F: FnMut(&mut Engine) -> Result<T, Refusal> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Call {
            work,
            result: None,
            reply: Some(reply),
        });
        self.calls
            .send(Message::Call(job))
            .await
            .map_err(|_| ApiError::stopping())?;
        answer.await.unwrap_or_else(|_| Err(ApiError::stopping()))
    }

    /// Tells the writer to end without waiting. When its queue is full it ends once nobody can call it any more.
    pub(crate) fn abandon(&self) {
        drop(self.calls.try_send(Message::Stop));
    }

    /// Tells the writer to end after what it has already been given.
    pub(crate) async fn stop(&self) {
        // An error means that it has ended already.
        drop(self.calls.send(Message::Stop).await);
    }
}

async fn run(mut engine: Engine, messages: mpsc::Receiver<Message>) {
    let mut queue = Queue(Some(messages));
    while let Some(first) = queue.next().await {
        // Callers on the same runtime that are about to ask get a place in the same commit.
        tokio::task::yield_now().await;
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Some(job) = queue.ready()
        {
            batch.push(job);
        }
        process(&mut engine, batch, &mut queue).await;
    }
    engine.end();
}

async fn process(engine: &mut Engine, mut batch: Vec<Box<dyn Job>>, queue: &mut Queue) {
    let done = attempt(engine, &mut batch, queue).await;
    if done.is_ok() || batch.len() == 1 {
        settle(batch, done);
        return;
    }
    // One call may be what the database cannot take; the others must not fail with it.
    for job in batch {
        let mut alone = vec![job];
        let done = attempt(engine, &mut alone, &mut Queue(None)).await;
        settle(alone, done);
    }
}

/// Tells those who called how it went.
fn settle(batch: Vec<Box<dyn Job>>, done: Result<(), StoreError>) {
    let Err(error) = done else {
        batch.into_iter().for_each(Job::answer);
        return;
    };
    tracing::error!(
        error = &error as &dyn std::error::Error,
        "a write to the durable state failed"
    );
    let refusal = ApiError::service(
        "The durable state could not be written; nothing was changed",
        error,
    );
    for job in batch {
        job.fail(refusal.clone());
    }
}

async fn attempt(
    engine: &mut Engine,
    batch: &mut Vec<Box<dyn Job>>,
    queue: &mut Queue,
) -> Result<(), StoreError> {
    let mut done = batch.iter_mut().try_for_each(|job| job.run(engine));
    if done.is_ok() {
        done = put_off(engine, batch, queue).await;
    }
    let done = done.and_then(|()| engine.commit());
    if done.is_err() {
        engine.take_back();
    }
    done
}

/// Takes further calls into the batch for as long as nobody waits for its commit, and not longer than [`PATIENCE`].
async fn put_off(
    engine: &mut Engine,
    batch: &mut Vec<Box<dyn Job>>,
    queue: &mut Queue,
) -> Result<(), StoreError> {
    let mut until = None;
    while engine.can_wait() && batch.len() < BATCH {
        engine.ask_for_invocations();
        let until = *until.get_or_insert_with(|| Instant::now() + PATIENCE);
        let Ok(Some(job)) = timeout_at(until, queue.next()).await else {
            break;
        };
        batch.push(job);
        if let Some(job) = batch.last_mut() {
            job.run(engine)?;
        }
    }
    Ok(())
}

/// The calls that come to the writer; `None` once no more are taken.
struct Queue(Option<mpsc::Receiver<Message>>);

impl Queue {
    /// The next call, when it comes; `None` when the writer is to end.
    async fn next(&mut self) -> Option<Box<dyn Job>> {
        let message = self.0.as_mut()?.recv().await;
        self.job(message)
    }

    /// The next call, if one is here already.
    fn ready(&mut self) -> Option<Box<dyn Job>> {
        let message = self.0.as_mut()?.try_recv().ok()?;
        self.job(Some(message))
    }

    fn job(&mut self, message: Option<Message>) -> Option<Box<dyn Job>> {
        match message {
            Some(Message::Call(job)) => Some(job),
            Some(Message::Stop) | None => {
                self.0 = None;
                None
            }
        }
    }
}
