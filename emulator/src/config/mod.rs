//! What a service is told before it starts: where its state is, what it listens on, which functions it runs.

mod function;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::error::ServiceError;
use crate::web::WebPage;

pub(crate) use function::{Code, Program};
pub use function::{DurableConfig, FunctionConfig, Lifetime};

/// The longest an execution may run: 366 days, as in the API model's `ExecutionTimeout`.
pub(crate) const LONGEST_EXECUTION: u64 = 31_622_400;

/// Called with the number of the commit right after it is durable and before anything is answered.
pub type CommitHook = Arc<dyn Fn(u64) + Send + Sync>;

/// How a service shall run.
#[derive(Clone)]
#[non_exhaustive]
pub struct ServiceConfig {
    pub(crate) state_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) functions: Vec<FunctionConfig>,
    pub(crate) access_key_id: Option<String>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) retry: InvocationRetry,
    pub(crate) on_commit: Option<CommitHook>,
    pub(crate) web_page: Option<WebPage>,
    pub(crate) own_user_only: bool,
    pub(crate) writer: WriterPlace,
}

impl fmt::Debug for ServiceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceConfig")
            .field("state_dir", &self.state_dir)
            .field("listen", &self.listen)
            .field("region", &self.region)
            .field("account", &self.account)
            .field("functions", &self.functions)
            .field(
                "access_key_id",
                &self.access_key_id.as_ref().map(|_| "redacted"),
            )
            .field("clock", &self.clock)
            .field("limits", &self.limits)
            .field("retry", &self.retry)
            .field("web_page", &self.web_page)
            .field("own_user_only", &self.own_user_only)
            .field("writer", &self.writer)
            .finish_non_exhaustive()
    }
}

impl ServiceConfig {
    /// A service over `state_dir`, on a free loopback port, without functions.
    #[must_use]
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            region: "us-east-1".to_owned(),
            account: "000000000000".to_owned(),
            functions: Vec::new(),
            access_key_id: None,
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            retry: InvocationRetry::default(),
            on_commit: None,
            web_page: None,
            own_user_only: false,
            writer: WriterPlace::default(),
        }
    }

    /// Where to listen. Loopback only. Port 0 means: the port last used with this state folder, or any free one.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// The region in ARNs and in the functions' environment. Default `us-east-1`.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// The account in ARNs: 12 digits. Default `000000000000`.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = account.into();
        self
    }

    /// Adds a function.
    #[must_use]
    pub fn function(mut self, function: FunctionConfig) -> Self {
        self.functions.push(function);
        self
    }

    /// Demands that every API request is signed with this access key id; others get `UnrecognizedClientException`.
    ///
    /// The port is open to every user of the machine, and a request can start programs as this user.
    /// An access key id that only this user's programs know keeps the others out. Signatures are not verified.
    #[must_use]
    pub fn access_key_id(mut self, id: impl Into<String>) -> Self {
        self.access_key_id = Some(id.into());
        self
    }

    /// The clock all timers follow. Default: the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Bounds on what callers may send and hold.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How failed invocations are repeated.
    #[must_use]
    pub fn invocation_retry(mut self, retry: InvocationRetry) -> Self {
        self.retry = retry;
        self
    }

    /// A hook for tests that end the process at a chosen durable write.
    #[must_use]
    pub fn on_commit(mut self, hook: CommitHook) -> Self {
        self.on_commit = Some(hook);
        self
    }

    /// Serves a web page for people at `/`, beside the API. None by default.
    ///
    /// With an [access key id](Self::access_key_id) the browser asks for it, as the password, whatever the user's name.
    #[must_use]
    pub fn web_page(mut self, page: WebPage) -> Self {
        self.web_page = Some(page);
        self
    }

    /// Serves only programs of the user who runs this one; others, the superuser's too, get `AccessDeniedException`.
    ///
    /// The port is open to every user of the machine, and a request can start programs as this user. On Linux the kernel says
    /// whose program is at the other end; elsewhere this changes nothing. Unlike an [access key id](Self::access_key_id) it
    /// asks nothing of callers, but workers that run as another user, in a container for instance, are not served.
    #[must_use]
    pub fn own_user_only(mut self) -> Self {
        self.own_user_only = true;
        self
    }

    /// Where the state is written. Default: on a thread of its own.
    #[must_use]
    pub fn writer(mut self, place: WriterPlace) -> Self {
        self.writer = place;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), ServiceError> {
        if !self.listen.ip().is_loopback() {
            return Err(ServiceError::NotLoopback(self.listen));
        }
        let bad = |message: String| Err(ServiceError::Config(message));
        let region = &self.region;
        if region.is_empty()
            || !region
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        {
            return bad(format!(
                "{region:?} is not a region: use a name such as us-east-1"
            ));
        }
        if self.account.len() != 12 || !self.account.bytes().all(|b| b.is_ascii_digit()) {
            return bad(format!(
                "{:?} is not an account: use 12 digits",
                self.account
            ));
        }
        if self
            .access_key_id
            .as_deref()
            .is_some_and(|id| id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()))
        {
            return bad("the access key id must be letters and digits".to_owned());
        }
        for (index, function) in self.functions.iter().enumerate() {
            function.validate()?;
            if self
                .functions
                .iter()
                .take(index)
                .any(|other| other.name == function.name)
            {
                return bad(format!("function {:?} is configured twice", function.name));
            }
        }
        Ok(())
    }
}

/// Where a service writes its state, which is where it waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WriterPlace {
    /// On a thread of its own.
    #[default]
    Thread,
    /// On the runtime that the service is started on. Calls are not handed from thread to thread, which is a large part of
    /// what they cost; but nothing else runs there while the disk makes a commit durable. For a program on a current-thread
    /// runtime that has little else to do, as `longhaul serve`.
    Runtime,
}

/// How often and how soon a failed invocation is repeated.
///
/// AWS documents neither; AWS's own emulator waits five seconds and gives up after five failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvocationRetry {
    /// Failures in a row after which the execution fails with the last one.
    pub attempts: u32,
    /// The wait after the first failure; it doubles with each further one.
    pub first_delay: Duration,
    /// The longest wait.
    pub longest_delay: Duration,
}

impl Default for InvocationRetry {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(60),
        }
    }
}

impl InvocationRetry {
    /// `attempts` tries, with `first_delay` after the first failure, doubling up to `longest_delay`.
    #[must_use]
    pub const fn new(attempts: u32, first_delay: Duration, longest_delay: Duration) -> Self {
        Self {
            attempts,
            first_delay,
            longest_delay,
        }
    }

    /// The wait after the `failures`-th failure in a row.
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        self.first_delay
            .saturating_mul(1 << doublings)
            .min(self.longest_delay)
    }
}

/// Bounds on what callers may send and hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest request body, in bytes. Default 32 MiB: a checkpoint batch holds several payloads.
    pub body: usize,
    /// Open connections to the API; further ones wait. Default 1,024.
    pub connections: usize,
    /// How long a client may take to send its request's head, and its body, and to go on taking an answer. Default 30 s.
    pub read_timeout: Duration,
    /// Items on a page when the caller does not say. Default 100, as in the API model.
    pub page_items: usize,
    /// The state that travels inside an invocation event, in bytes; the rest is fetched page by page. Default 5 MiB.
    pub event_state: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 32 * 1024 * 1024,
            connections: 1_024,
            read_timeout: Duration::from_secs(30),
            page_items: 100,
            event_state: 5 * 1024 * 1024,
        }
    }
}
