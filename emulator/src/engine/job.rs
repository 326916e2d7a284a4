//! Calls to the writer thread, and the thread's loop: many calls, one commit, then the answers.

use std::thread;

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
    reply: oneshot::Sender<Result<T, ApiError>>,
}

impl<F, T> Job for Call<F, T>
where
    F: FnMut(&mut Engine) -> Result<T, Refusal> + Send,
    T: Send,
{
    fn run(&mut self, engine: &mut Engine) -> Result<(), StoreError> {
        self.result = Some(match (self.work)(engine) {
            Ok(value) => Ok(value),
            Err(Refusal::Api(error)) => Err(error),
            Err(Refusal::Store(error)) => return Err(error),
        });
        Ok(())
    }

    fn answer(self: Box<Self>) {
        if let Some(result) = self.result {
            // A caller that went away needs no answer.
            drop(self.reply.send(result));
        }
    }

    fn fail(self: Box<Self>, error: ApiError) {
        drop(self.reply.send(Err(error)));
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

    /// Runs `work` on the writer thread and returns its answer once everything it wrote is durable.
    pub(crate) async fn call<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        F: FnMut(&mut Engine) -> Result<T, Refusal> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Call {
            work,
            result: None,
            reply,
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

fn run(mut engine: Engine, mut queue: mpsc::Receiver<Message>) {
    let mut stopping = false;
    while !stopping {
        let Some(first) = queue.blocking_recv() else {
            break;
        };
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Call(job) => batch.push(job),
                Message::Stop => {
                    stopping = true;
                    break;
                }
            }
            next = if batch.len() < BATCH {
                queue.try_recv().ok()
            } else {
                None
            };
        }
        process(&mut engine, batch);
    }
    engine.end();
}

fn process(engine: &mut Engine, mut batch: Vec<Box<dyn Job>>) {
    match attempt(engine, &mut batch) {
        Ok(()) => batch.into_iter().for_each(Job::answer),
        Err(_) if batch.len() > 1 => {
            // One call may be what the database cannot take; the others must not fail with it.
            for job in batch {
                process(engine, vec![job]);
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

fn attempt(engine: &mut Engine, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let done = batch
        .iter_mut()
        .try_for_each(|job| job.run(engine))
        .and_then(|()| engine.commit());
    if done.is_err() {
        engine.take_back();
    }
    done
}
