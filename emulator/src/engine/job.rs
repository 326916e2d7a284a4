//! Calls to the writer thread, and the thread's loop: many calls, one commit, then the answers.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

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

/// Calls that may wait for the writer thread before callers have to wait too.
const QUEUE: usize = 4_096;

/// Calls in one commit at most.
const BATCH: usize = 512;

/// How long a commit that nobody waits for yet is put off, for the next call to share it.
const PATIENCE: Duration = Duration::from_millis(2);

/// The way to the writer thread.
#[derive(Clone)]
pub(crate) struct EngineHandle {
    calls: mpsc::Sender<Message>,
}

impl EngineHandle {
    /// Starts the writer thread.
    pub(crate) fn spawn(engine: Engine) -> Result<(Self, thread::JoinHandle<()>), ServiceError> {
        let (calls, queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("durable-writer".to_owned())
            .spawn(move || run(engine, queue))
            .map_err(|_| ServiceError::WriterLost)?;
        Ok((Self { calls }, thread))
    }

    /// Runs `work` on the writer thread and returns its answer once everything it wrote or saw is durable.
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

    /// Tells the writer thread to end without waiting. When its queue is full it ends once nobody can call it any more.
    pub(crate) fn abandon(&self) {
        drop(self.calls.try_send(Message::Stop));
    }

    /// Tells the writer thread to end after what it has already been given.
    pub(crate) async fn stop(&self) {
        // An error means that it has ended already.
        drop(self.calls.send(Message::Stop).await);
    }
}

fn run(mut engine: Engine, queue: mpsc::Receiver<Message>) {
    let mut queue = Queue::new(queue);
    while let Some(first) = queue.wait() {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            batch.push(job);
            next = if batch.len() < BATCH {
                queue.ready()
            } else {
                None
            };
        }
        process(&mut engine, batch, &mut queue);
    }
    engine.end();
}

fn process(engine: &mut Engine, mut batch: Vec<Box<dyn Job>>, queue: &mut Queue) {
    match attempt(engine, &mut batch, queue) {
        Ok(()) => batch.into_iter().for_each(Job::answer),
        Err(_) if batch.len() > 1 => {
            // One call may be what the database cannot take; the others must not fail with it.
            for job in batch {
                process(engine, vec![job], &mut Queue::closed());
            }
        }
        Err(error) => {
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
    }
}

fn attempt(
    engine: &mut Engine,
    batch: &mut Vec<Box<dyn Job>>,
    queue: &mut Queue,
) -> Result<(), StoreError> {
    let done = batch
        .iter_mut()
        .try_for_each(|job| job.run(engine))
        .and_then(|()| put_off(engine, batch, queue))
        .and_then(|()| engine.commit());
    if done.is_err() {
        engine.take_back();
    }
    done
}

/// Takes further calls into the batch for as long as nobody waits for its commit, and not longer than [`PATIENCE`].
fn put_off(
    engine: &mut Engine,
    batch: &mut Vec<Box<dyn Job>>,
    queue: &mut Queue,
) -> Result<(), StoreError> {
    let mut until = None;
    while engine.can_wait() && batch.len() < BATCH {
        engine.ask_for_invocations();
        let until = *until.get_or_insert_with(|| Instant::now() + PATIENCE);
        let Some(job) = queue.wait_until(until) else {
            break;
        };
        batch.push(job);
        if let Some(job) = batch.last_mut() {
            job.run(engine)?;
        }
    }
    Ok(())
}

/// The calls that come to the writer thread.
struct Queue {
    /// `None` once no more are taken.
    messages: Option<mpsc::Receiver<Message>>,
    waker: Waker,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Queue {
    /// To be used on this thread only, which is woken when a call comes.
    fn new(messages: mpsc::Receiver<Message>) -> Self {
        Self {
            messages: Some(messages),
            waker: Arc::new(Unpark(thread::current())).into(),
        }
    }

    /// One that gives nothing.
    fn closed() -> Self {
        Self {
            messages: None,
            waker: Waker::noop().clone(),
        }
    }

    fn job(&mut self, message: Option<Message>) -> Option<Box<dyn Job>> {
        match message {
            Some(Message::Call(job)) => Some(job),
            Some(Message::Stop) | None => {
                self.messages = None;
                None
            }
        }
    }

    /// The next call, if one is here already.
    fn ready(&mut self) -> Option<Box<dyn Job>> {
        let message = self.messages.as_mut()?.try_recv().ok()?;
        self.job(Some(message))
    }

    /// The next call; `None` when the thread is to end.
    fn wait(&mut self) -> Option<Box<dyn Job>> {
        let message = self.messages.as_mut()?.blocking_recv();
        self.job(message)
    }

    /// The next call, if one comes in time.
    fn wait_until(&mut self, until: Instant) -> Option<Box<dyn Job>> {
        loop {
            let mut context = Context::from_waker(&self.waker);
            match self.messages.as_mut()?.poll_recv(&mut context) {
                Poll::Ready(message) => return self.job(message),
                Poll::Pending => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    thread::park_timeout(left);
                }
            }
        }
    }
}
