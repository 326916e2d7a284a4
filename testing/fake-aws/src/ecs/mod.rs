//! A server that plays ECS on loopback: client tokens are replayed, and a test may tell it how
//! to misbehave, which no other stand-in for ECS can be told.
//!
//! It speaks the protocol that the AWS SDKs speak to ECS (JSON 1.1, `X-Amz-Target`). Tasks are
//! not run here: [`FakeEcs::tasks`] shows what was accepted, for a test to run or not, and
//! [`FakeEcs::let_tasks_live`] has them live and end on paper.

mod cluster;
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use cluster::State;

/// The cluster that exists.
pub const CLUSTER: &str = "jobs";
/// The task definitions that exist, each with its containers.
pub const DEFINITIONS: [(&str, &[&str]); 3] = [
    ("render:7", &["worker", "proxy"]),
    ("render:8", &["worker", "proxy"]),
    ("other:1", &["app", "sidecar"]),
];
/// The region and the account that ARNs name.
pub const REGION: &str = "eu-west-1";
/// The account that ARNs name.
pub const ACCOUNT: &str = "123456789012";

/// How to answer one request otherwise than ECS would.
#[derive(Debug, Clone)]
pub enum Misbehaviour {
    /// Answer with an error of this status, name and message, and do nothing.
    Refuse(u16, &'static str, &'static str),
    /// The same with `x-amz-retry-after`, in milliseconds.
    RefuseFor(u64, &'static str, &'static str),
    /// Answer `RunTask` with 200, no task and this failure. Remembered with the client token.
    Fail(&'static str),
    /// Do nothing and answer with this status and body.
    Garbage(u16, &'static str),
    /// Do nothing and cut the connection.
    Cut,
    /// Do as asked and cut the connection before the answer.
    ActThenCut,
    /// Do as asked and answer with this status and body.
    ActThenGarbage(u16, &'static str),
    /// Do as asked and never answer.
    ActThenHang,
}

/// A task that the server accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct AcceptedTask {
    /// Its ARN.
    pub arn: String,
    /// The client token that it was started with.
    pub client_token: String,
    /// The whole `RunTask` request.
    pub request: Value,
    /// The task as `DescribeTasks` shows it.
    pub task: Value,
}

impl AcceptedTask {
    /// The overrides of the container `name`: what Fargate would start it with.
    pub fn container(&self, name: &str) -> Option<&Value> {
        let containers = self.request["overrides"]["containerOverrides"].as_array()?;
        containers.iter().find(|c| c["name"] == name)
    }

    /// The command of the container `name`, if it is overridden.
    pub fn command(&self, name: &str) -> Option<Vec<String>> {
        serde_json::from_value(self.container(name)?.get("command")?.clone()).ok()
    }

    /// The variables of the container `name` that are overridden.
    pub fn environment(&self, name: &str) -> BTreeMap<String, String> {
        let pairs = self
            .container(name)
            .and_then(|c| c["environment"].as_array());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        pairs
            .into_iter()
            .flatten()
            .map(|pair| (text(&pair["name"]), text(&pair["value"])))
            .collect()
    }
}

/// One request as it came over the wire.
#[derive(Debug, Clone)]
pub struct Request {
    /// The operation, such as `RunTask`.
    pub operation: String,
    /// The body.
    pub body: Value,
    /// The body as it was written.
    pub text: String,
}

/// A server that plays ECS. Dropping it closes all of its connections.
#[derive(Debug)]
pub struct FakeEcs {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    server: JoinHandle<()>,
}

impl Drop for FakeEcs {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl FakeEcs {
    /// Starts the server on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let changed = watch::Sender::new(0);
        let (address, server) = server::spawn(state.clone(), changed.clone()).await;
        Self {
            address,
            state,
            changed,
            server,
        }
    }

    /// Where the server is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Misbehaves once on the next request for `operation` that nothing was planned for yet.
    pub fn plan(&self, operation: &str, misbehaviour: Misbehaviour) {
        self.with(|state| state.plan(operation, Some(misbehaviour)));
    }

    /// Behaves once, where a plan for a later request follows.
    pub fn plan_nothing(&self, operation: &str) {
        self.with(|state| state.plan(operation, None));
    }

    /// Misbehaves on every request for `operation` that nothing else is planned for.
    pub fn plan_always(&self, operation: &str, misbehaviour: Misbehaviour) {
        self.with(|state| state.plan_always(operation, misbehaviour));
    }

    /// Behaves again.
    pub fn forget_plans(&self) {
        self.with(State::forget_plans);
    }

    /// Gives at most `size` tasks on a page, whatever is asked for.
    pub fn set_page_size(&self, size: usize) {
        self.with(|state| state.page_size = size);
    }

    /// Every task that was ever accepted.
    pub fn tasks(&self) -> Vec<AcceptedTask> {
        self.with(|state| state.tasks.clone())
    }

    /// Waits until `count` tasks were accepted.
    pub async fn accepted(&self, count: usize) -> Vec<AcceptedTask> {
        self.until(|state| (state.tasks.len() >= count).then(|| state.tasks.clone()))
            .await
    }

    /// Whether ECS knows a task as running, or as about to.
    pub fn wants_to_run(&self, arn: &str) -> bool {
        self.with(|state| {
            let mut tasks = state.tasks.iter();
            tasks.any(|task| task.arn == arn && task.task["desiredStatus"] == "RUNNING")
        })
    }

    /// Waits until ECS is asked to stop the task `arn`, and gives the reason.
    pub async fn asked_to_stop(&self, arn: &str) -> String {
        self.until(|state| {
            let task = &state.tasks.iter().find(|task| task.arn == arn)?.task;
            (task["desiredStatus"] == "STOPPED").then(|| {
                task["stoppedReason"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
        })
        .await
    }

    /// Every request for `operation`, in their order.
    pub fn requests(&self, operation: &str) -> Vec<Request> {
        self.with(|state| {
            let requests = state.requests.iter();
            requests
                .filter(|request| request.operation == operation)
                .cloned()
                .collect()
        })
    }

    /// Changes what is known of the task `arn`: the members of `change` replace its own.
    pub fn change(&self, arn: &str, change: &Value) {
        self.with(|state| state.change(arn, change));
    }

    /// Lets the tasks that are accepted from now on live by themselves: each runs at once, ends
    /// with 143 as soon as it is asked to stop, and with `CODE`, at once, if its command is
    /// `exit CODE`.
    pub fn let_tasks_live(&self) {
        self.with(|state| state.tasks_live = true);
    }

    /// Has no room on Fargate Spot from now on.
    pub fn let_spot_run_out(&self) {
        self.with(|state| state.spot_is_out = true);
    }

    /// Lets the task `arn` run.
    pub fn run(&self, arn: &str) {
        self.change(arn, &cluster::running());
    }

    /// Ends the task `arn` because its container `name` exited with `exit_code`, unless it was
    /// asked to stop before.
    pub fn end(&self, arn: &str, name: &str, exit_code: Option<i32>) {
        self.with(|state| state.end(arn, name, exit_code));
    }

    /// Forgets the task `arn`, as ECS does about an hour after it stopped.
    pub fn forget(&self, arn: &str) {
        self.with(|state| state.forgotten.push(arn.to_owned()));
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let answer = act(&mut self.state.lock().unwrap());
        self.changed.send_modify(|count| *count += 1);
        answer
    }

    async fn until<T>(&self, ready: impl Fn(&State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = ready(&self.state.lock().unwrap()) {
                    return found;
                }
                changed.changed().await.expect("the server lives");
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait)
            .await
            .expect("it happens within a minute")
    }
}
