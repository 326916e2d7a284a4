//! The service as a whole: started, asked and shut down from the program that embeds it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Api;
use crate::clock::Clock;
use crate::config::ServiceConfig;
use crate::engine::{Engine, EngineHandle, EngineParts, Writer};
use crate::environment::{Dispatcher, DispatcherParts};
use crate::error::ServiceError;
use crate::functions::Functions;
use crate::model::{Event, ExecutionArn, Timestamp};
use crate::server;
use crate::store::{Reader, StateFolder, Store, StoreError};
use crate::web::WebParts;

/// What a service tells those who [`subscribe`](Service::subscribe).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ServiceEvent {
    /// An event was added to an execution's history, and is durable.
    History {
        /// The execution.
        arn: ExecutionArn,
        /// The event.
        event: Arc<Event>,
    },
    /// An invocation was handed to an environment.
    InvocationStarted {
        /// The execution.
        arn: ExecutionArn,
        /// The invocation's id.
        request_id: String,
        /// The environment's process, if it is one.
        pid: Option<u32>,
    },
    /// An invocation ended, and its end is noted.
    InvocationEnded {
        /// The execution.
        arn: ExecutionArn,
        /// The invocation's id.
        request_id: String,
        /// The class of the error, if it failed.
        error: Option<String>,
    },
}

/// Events a slow subscriber may be behind before it loses some.
const EVENTS: usize = 4_096;

/// The access key id functions get when the service demands none.
const ANY_KEY: &str = "local";

/// The name of the setting that remembers the port.
const PORT: &str = "port";

/// The pause before timers are looked at again, when the state could not be written.
const TICK_AGAIN: Duration = Duration::from_secs(1);

/// A running durable service. Everything it does stops when it is dropped; [`shutdown`](Self::shutdown) does so in order.
pub struct Service {
    api: Api,
    address: SocketAddr,
    events: broadcast::Sender<ServiceEvent>,
    engine: EngineHandle,
    writer: Option<Writer>,
    dispatcher: Arc<Dispatcher>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn unreadable(path: &std::path::Path, error: StoreError) -> ServiceError {
    ServiceError::Corrupt {
        path: path.to_path_buf(),
        source: Box::new(error),
    }
}

impl Service {
    /// Starts a service and continues the executions its state folder holds.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] when the configuration is wrong, the state folder cannot be used or is in use, or no socket can be
    /// opened.
    pub async fn start(config: ServiceConfig) -> Result<Self, ServiceError> {
        config.validate()?;
        let folder = Arc::new(StateFolder::hold(&config.state_dir)?);
        let store = Store::open(&folder)?;
        let path = store.path().to_path_buf();
        let reader = Reader::open(&path).map_err(|error| unreadable(&path, error))?;
        let last_port = store
            .setting(PORT)
            .map_err(|error| unreadable(&path, error))?
            .and_then(|port| port.parse().ok());

        let listener = server::bind(config.listen, last_port).await?;
        let address = listener
            .local_addr()
            .map_err(|source| ServiceError::Listen {
                address: config.listen,
                source,
            })?;
        let url = format!("http://{address}");

        let functions = Arc::new(Functions::new(
            &config.region,
            &config.account,
            &config.functions,
        ));
        let (events, _) = broadcast::channel(EVENTS);
        let (work_sender, work) = mpsc::unbounded_channel();
        let (next_due_sender, next_due) = watch::channel(None);
        let engine = Engine::restore(EngineParts {
            store,
            clock: Arc::clone(&config.clock),
            region: config.region.clone(),
            account: config.account.clone(),
            retry: config.retry,
            limits: config.limits,
            functions: Arc::clone(&functions),
            on_commit: config.on_commit.clone(),
            events: events.clone(),
            work: work_sender,
            next_due: next_due_sender,
        })
        .map_err(|error| unreadable(&path, error))?;
        let (engine, writer) = EngineHandle::spawn(engine, config.writer)?;
        let dispatcher = Dispatcher::new(&DispatcherParts {
            engine: engine.clone(),
            clock: Arc::clone(&config.clock),
            functions: &functions,
            folder: &folder,
            region: &config.region,
            endpoint: &url,
            access_key_id: config.access_key_id.as_deref().unwrap_or(ANY_KEY),
            events: events.clone(),
        })?;
        let api = Api::new(
            engine.clone(),
            Arc::new(reader),
            functions,
            config.limits,
            Arc::clone(&config.clock),
        );
        let service = Self {
            api,
            address,
            events,
            engine,
            writer: Some(writer),
            dispatcher,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        if last_port != Some(address.port()) {
            let port = address.port().to_string();
            service
                .engine
                .call(move |engine| engine.set(PORT, &port))
                .await
                .map_err(|error| ServiceError::Database {
                    path: path.clone(),
                    source: Box::new(error),
                })?;
        }
        service.tasks.spawn(follow_timers(
            service.engine.clone(),
            Arc::clone(&config.clock),
            next_due,
            service.stop.clone(),
        ));
        let guard = server::Guard::of(&config, address);
        let page = match config.web_page {
            Some(page) => Some(WebParts {
                page,
                api: service.api.clone(),
                reader: Reader::open(&path).map_err(|error| unreadable(&path, error))?,
                clock: config.clock,
                functions: config.functions.iter().map(|it| it.name.clone()).collect(),
                url,
                region: config.region,
            }),
            None => None,
        };
        service.tasks.spawn(server::serve(
            listener,
            service.api.clone(),
            guard,
            config.limits,
            page,
            config.own_user_only,
            service.stop.clone(),
        ));
        service.dispatcher.run(work);
        Ok(service)
    }

    /// The service's address, such as `http://127.0.0.1:39145`: the Lambda endpoint for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that happens from now on, right after it is durable. A subscriber that is too slow loses events.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<ServiceEvent> {
        self.events.subscribe()
    }

    /// The operations of the API, without HTTP.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Stops in order: no new requests, environments ended, the state written out. Executions continue at the next start.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        self.tasks.close();
        self.dispatcher.stop().await;
        self.tasks.wait().await;
        self.engine.stop().await;
        if let Some(writer) = self.writer.take()
            && !writer.join().await
        {
            tracing::error!("the writer had ended before the service was shut down");
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The tasks drop what they hold, and with it every process.
        self.stop.cancel();
        self.dispatcher.abandon();
        self.engine.abandon();
    }
}

/// Wakes the writer whenever something is due.
async fn follow_timers(
    engine: EngineHandle,
    clock: Arc<dyn Clock>,
    mut next_due: watch::Receiver<Option<Timestamp>>,
    stop: CancellationToken,
) {
    loop {
        let due = *next_due.borrow_and_update();
        let sleep = async {
            match due {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            changed = next_due.changed() => if changed.is_err() { return },
            () = sleep => {
                if engine.call(Engine::tick).await.is_err() {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(TICK_AGAIN) => {}
                    }
                }
            }
        }
    }
}
