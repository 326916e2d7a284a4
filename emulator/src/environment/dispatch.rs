//! Gives every wanted invocation an environment: an idle one, a new one, or a place in the queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Code, FunctionConfig, Lifetime, Program};
use crate::engine::{EngineHandle, Work};
use crate::error::ServiceError;
use crate::functions::Functions;
use crate::machine::InvocationResult;
use crate::model::Timestamp;
use crate::service::ServiceEvent;
use crate::store::StateFolder;

use super::leftovers::Leftovers;
use super::log::FunctionLog;
use super::process::{Place, Process};
use super::{Invocation, InvocationError, InvocationHandler};

/// How long an environment may wait for its next invocation before it is ended.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// How long a process may take to ask for its next invocation after it answered one, before it is frozen.
const SETTLE: Duration = Duration::from_secs(5);

/// The pause before the writer is asked again, when it could not write the state.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What the dispatcher is made of.
pub(crate) struct DispatcherParts<'a> {
    pub(crate) engine: EngineHandle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) functions: &'a Functions,
    pub(crate) folder: &'a StateFolder,
    pub(crate) region: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) access_key_id: &'a str,
    pub(crate) events: broadcast::Sender<ServiceEvent>,
}

/// Runs invocations until it is stopped.
pub(crate) struct Dispatcher {
    engine: EngineHandle,
    clock: Arc<dyn Clock>,
    events: broadcast::Sender<ServiceEvent>,
    pools: HashMap<String, Pool>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The environments of one function.
struct Pool {
    function: FunctionConfig,
    slots: Semaphore,
    idle: Mutex<Vec<(Timestamp, Process)>>,
    place: Place,
}

impl Pool {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Timestamp, Process)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dispatcher {
    pub(crate) fn new(parts: &DispatcherParts<'_>) -> Result<Arc<Self>, ServiceError> {
        let unusable = |source| ServiceError::StateDir {
            path: parts.folder.environments(),
            source,
        };
        let leftovers = Leftovers::clear(&parts.folder.environments()).map_err(unusable)?;
        let mut pools = HashMap::new();
        for function in parts.functions.iter() {
            let log =
                parts
                    .folder
                    .log(&function.name)
                    .map_err(|source| ServiceError::StateDir {
                        path: parts.folder.logs(),
                        source,
                    })?;
            let place = Place {
                region: parts.region.to_owned(),
                endpoint: parts.endpoint.to_owned(),
                access_key_id: parts.access_key_id.to_owned(),
                log: FunctionLog::new(log),
                leftovers: leftovers.clone(),
            };
            let slots = Semaphore::new(function.max_environments.min(Semaphore::MAX_PERMITS));
            let pool = Pool {
                function: function.clone(),
                slots,
                idle: Mutex::new(Vec::new()),
                place,
            };
            pools.insert(function.name.clone(), pool);
        }
        Ok(Arc::new(Self {
            engine: parts.engine.clone(),
            clock: Arc::clone(&parts.clock),
            events: parts.events.clone(),
            pools,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// Takes work until the dispatcher is stopped.
    pub(crate) fn run(self: &Arc<Self>, mut work: mpsc::UnboundedReceiver<Work>) {
        let dispatcher = Arc::clone(self);
        self.tasks.spawn(async move {
            loop {
                let work = tokio::select! {
                    () = dispatcher.stop.cancelled() => return,
                    work = work.recv() => match work {
                        Some(work) => work,
                        None => return,
                    },
                };
                let one = Arc::clone(&dispatcher);
                dispatcher
                    .tasks
                    .spawn(async move { one.invoke(work).await });
            }
        });
        let dispatcher = Arc::clone(self);
        self.tasks
            .spawn(async move { dispatcher.retire_idle().await });
    }

    /// Ends every environment. Invocations that run are cut off; they are wanted again at the next start.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        for pool in self.pools.values() {
            let idle = std::mem::take(&mut *pool.idle());
            for (_, process) in idle {
                process.end().await;
            }
        }
    }

    /// Stops without waiting: tasks end at their next await, and processes are killed as they are dropped.
    pub(crate) fn abandon(&self) {
        self.stop.cancel();
        for pool in self.pools.values() {
            pool.idle().clear();
        }
    }

    async fn retire_idle(&self) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(IDLE / 10) => {}
            }
            let now = self.clock.now();
            for pool in self.pools.values() {
                let old: Vec<Process> = {
                    let mut idle = pool.idle();
                    let (old, young) = std::mem::take(&mut *idle)
                        .into_iter()
                        .partition(|(since, _)| now.since(*since) > IDLE);
                    *idle = young;
                    let old: Vec<(Timestamp, Process)> = old;
                    old.into_iter().map(|(_, process)| process).collect()
                };
                for process in old {
                    process.end().await;
                }
            }
        }
    }

    async fn invoke(&self, work: Work) {
        let Some(pool) = self.pools.get(work.arn.function()) else {
            return;
        };
        let _slot = tokio::select! {
            () = self.stop.cancelled() => return,
            slot = pool.slots.acquire() => match slot {
                Ok(slot) => slot,
                Err(_) => return,
            },
        };
        match &pool.function.code {
            Code::Process(program) => self.invoke_process(pool, program, &work).await,
            Code::Handler(handler) => self.invoke_handler(pool, Arc::clone(handler), &work).await,
        }
    }

    async fn invoke_process(&self, pool: &Pool, program: &Program, work: &Work) {
        let environment = tokio::select! {
            () = self.stop.cancelled() => return,
            environment = self.environment(pool, program) => environment,
        };
        let mut process = match environment {
            Ok(process) => process,
            Err(error) => {
                if let Some(invocation) = self.begin(pool, work, None).await {
                    self.end(
                        work,
                        &invocation.request_id,
                        InvocationResult::Failed(error.into()),
                    )
                    .await;
                }
                return;
            }
        };
        let Some(invocation) = self.begin(pool, work, process.id()).await else {
            self.keep(pool, process).await;
            return;
        };
        let request_id = invocation.request_id.clone();
        let seconds = pool.function.timeout.as_secs_f64();
        let ended = tokio::select! {
            () = self.stop.cancelled() => {
                process.end().await;
                return;
            }
            ended = process.invoke(invocation, seconds, &self.clock) => ended,
        };
        let result = match ended.result {
            Ok(body) => InvocationResult::Output(body),
            Err(error) => InvocationResult::Failed(error.into()),
        };
        if !ended.reusable {
            // Ended before anything follows from the answer: no environment outlives its last invocation.
            process.end().await;
            self.end(work, &request_id, result).await;
            return;
        }
        self.end(work, &request_id, result).await;
        self.keep(pool, process).await;
    }

    /// An idle environment that still lives, or a new one.
    async fn environment(
        &self,
        pool: &Pool,
        program: &Program,
    ) -> Result<Process, InvocationError> {
        let deadline = self.clock.now().after(pool.function.timeout);
        loop {
            let Some((_, mut process)) = pool.idle().pop() else {
                break;
            };
            // One that died or hangs while idle is no fault of this invocation.
            if process.is_alive() && process.wait_ready(deadline, &self.clock).await.is_ok() {
                return Ok(process);
            }
            process.end().await;
        }
        let mut process = Process::start(&pool.function, program, &pool.place).await?;
        match process.wait_ready(deadline, &self.clock).await {
            Ok(()) => Ok(process),
            Err(error) => {
                process.end().await;
                Err(error)
            }
        }
    }

    async fn keep(&self, pool: &Pool, mut process: Process) {
        if pool.function.lifetime == Lifetime::Freeze {
            let settled = process.wait_ready(self.clock.now().after(SETTLE), &self.clock);
            let ready = tokio::select! {
                () = self.stop.cancelled() => false,
                settled = settled => settled.is_ok(),
            };
            if !ready {
                process.end().await;
                return;
            }
            process.freeze();
        }
        pool.idle().push((self.clock.now(), process));
    }

    async fn invoke_handler(&self, pool: &Pool, handler: Arc<dyn InvocationHandler>, work: &Work) {
        let Some(invocation) = self.begin(pool, work, None).await else {
            return;
        };
        let (request_id, deadline) = (invocation.request_id.clone(), invocation.deadline);
        let mut task = tokio::spawn(async move { handler.invoke(invocation).await });
        let result = tokio::select! {
            () = self.stop.cancelled() => {
                task.abort();
                return;
            }
            joined = &mut task => joined.unwrap_or_else(|_| {
                Err(InvocationError::new("Runtime.ExitError", format!("RequestId: {request_id} Error: the handler panicked")))
            }),
            () = self.clock.sleep_until(deadline) => {
                task.abort();
                let seconds = pool.function.timeout.as_secs_f64();
                let message = format!("{} {request_id} Task timed out after {seconds:.2} seconds", self.clock.now());
                Err(InvocationError::new("Sandbox.Timedout", message))
            }
        };
        let result = match result {
            Ok(body) => InvocationResult::Output(body),
            Err(error) => InvocationResult::Failed(error.into()),
        };
        self.end(work, &request_id, result).await;
    }

    /// Begins the invocation, unless it is not wanted any more.
    async fn begin(&self, pool: &Pool, work: &Work, pid: Option<u32>) -> Option<Invocation> {
        let key = work.key;
        // Asked until it is answered: a wish that is dropped here would only be found again at the next start.
        let begun = loop {
            match self
                .engine
                .call(move |engine| Ok(engine.begin_invocation(key)))
                .await
            {
                Ok(begun) => break begun?,
                Err(_) if self.stop.is_cancelled() => return None,
                Err(_) => tokio::time::sleep(ASK_AGAIN).await,
            }
        };
        let event = match begun.event() {
            Ok(event) => Bytes::from(event),
            Err(error) => {
                let error = InvocationError::new(
                    "Sandbox.Failure",
                    format!("the event could not be written: {error}"),
                );
                self.end(
                    work,
                    &begun.request_id,
                    InvocationResult::Failed(error.into()),
                )
                .await;
                return None;
            }
        };
        let invocation = Invocation {
            request_id: begun.request_id.clone(),
            function_arn: begun.function_arn.clone(),
            deadline: self.clock.now().after(pool.function.timeout),
            trace_id: begun.trace.clone(),
            tenant_id: begun.tenant.clone(),
            event,
        };
        // Nobody listening is fine.
        drop(self.events.send(ServiceEvent::InvocationStarted {
            arn: work.arn.clone(),
            request_id: begun.request_id.clone(),
            pid,
        }));
        Some(invocation)
    }

    /// Reports the end of an invocation until it is noted: an execution whose invocation never ends would be stuck.
    async fn end(&self, work: &Work, request_id: &str, result: InvocationResult) {
        let error = match &result {
            InvocationResult::Output(_) => None,
            InvocationResult::Failed(error) => error.error_type.clone(),
        };
        loop {
            let (key, id, result) = (work.key, request_id.to_owned(), result.clone());
            match self
                .engine
                .call(move |engine| engine.end_invocation(key, &id, &result))
                .await
            {
                Ok(()) => break,
                Err(_) if self.stop.is_cancelled() => return,
                Err(_) => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
        drop(self.events.send(ServiceEvent::InvocationEnded {
            arn: work.arn.clone(),
            request_id: request_id.to_owned(),
            error,
        }));
    }
}
