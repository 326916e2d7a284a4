//! One run of the kill campaigns: an execution of everything, taken to its end through kills and restarts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{ExecutionStatus, InvocationType};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::support::client;
use crate::support::service::ServiceProcess;

/// The longest that one run may take: far more than it needs, also beside others on a busy machine.
const LONGEST: Duration = Duration::from_secs(240);

/// What the function makes of the retry, the two callbacks and the chained invocation.
const RESULT: &str = "[3,\"yes\",false,\"hello, you\"]";

/// Seconds by which two times that went through floating point may differ.
const ROUNDING: f64 = 0.002;

/// An event of one of the run's executions, as it lies in the database.
#[derive(Debug, Clone, PartialEq)]
struct Recorded {
    function: String,
    id: i64,
    event: Value,
}

impl Recorded {
    fn kind(&self) -> &str {
        self.event["EventType"].as_str().unwrap()
    }

    /// The operation's name. A chained execution's own is made up, so executions have none here.
    fn name(&self) -> &str {
        if self.kind().starts_with("Execution") {
            return "";
        }
        self.event["Name"].as_str().unwrap_or_default()
    }

    fn at(&self) -> f64 {
        self.event["EventTimestamp"].as_f64().unwrap()
    }

    fn details(&self) -> &Value {
        &self.event[format!("{}Details", self.kind())]
    }

    fn is_attempt(&self) -> bool {
        matches!(self.kind(), "StepSucceeded" | "StepFailed")
    }

    /// The attempt of a step that this records, as the function's journal has it.
    fn attempt(&self) -> String {
        let attempt = &self.details()["RetryDetails"]["CurrentAttempt"];
        format!("{} {attempt}", self.name())
    }
}

/// A run that came to its end.
pub(crate) struct Ran {
    /// How often the service was started.
    pub(crate) starts: u32,
    events: Vec<Recorded>,
}

impl Ran {
    /// What happened to both executions, apart from invocations.
    pub(crate) fn lasting(&self) -> Vec<String> {
        let lasting = self
            .events
            .iter()
            .filter(|it| it.kind() != "InvocationCompleted");
        lasting
            .map(|it| format!("{} {} {}", it.function, it.kind(), it.name()))
            .collect()
    }
}

/// What was on disk, and what the function had done, when the service was killed.
struct Death {
    recorded: Vec<Recorded>,
    ran: usize,
}

struct Run {
    what: String,
    state: tempfile::TempDir,
    deaths: Vec<Death>,
    arn: Option<String>,
    completed: bool,
}

/// Takes an execution to its end through a service that is killed, at its `start`-th start, at write number `kills(start)`.
pub(crate) async fn run(what: &str, kills: impl Fn(u32) -> Option<u64>) -> Ran {
    let began = Instant::now();
    let mut run = Run {
        what: what.to_owned(),
        state: tempfile::tempdir().unwrap(),
        deaths: Vec::new(),
        arn: None,
        completed: false,
    };
    let mut starts = 0;
    let mut service: Option<ServiceProcess> = None;
    loop {
        assert!(
            began.elapsed() < LONGEST,
            "{what}: no end after {starts} starts"
        );
        if service.as_mut().is_none_or(ServiceProcess::is_dead) {
            if starts > 0 {
                let death = Death {
                    recorded: run.recorded(),
                    ran: run.journal().len(),
                };
                run.deaths.push(death);
            }
            starts += 1;
            service = ServiceProcess::try_start(run.state.path(), kills(starts));
        }
        if let Some(service) = &service
            && run.go_on(&one_try(&service.url)).await
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Ended before the database is read, so that nothing is written meanwhile.
    drop(service);
    let events = run.recorded();
    run.check(&events);
    Ran { starts, events }
}

impl Run {
    /// Does what its callers and workers would do next. True once the execution has ended.
    async fn go_on(&mut self, client: &Client) -> bool {
        let Some(arn) = self.arn.clone() else {
            self.arn = self.start(client).await;
            return false;
        };
        let execution = client.get_durable_execution().durable_execution_arn(&arn);
        let execution = match execution.send().await {
            Ok(execution) => execution,
            Err(error) => {
                // A service that is being killed does not answer. One that answers knows what was accepted.
                assert!(
                    error.as_service_error().is_none(),
                    "{}: {error:?}",
                    self.what
                );
                return false;
            }
        };
        if *execution.status() != ExecutionStatus::Running {
            assert_eq!(
                execution.result(),
                Some(RESULT),
                "{}: {:?}",
                self.what,
                execution.error()
            );
            return true;
        }
        self.complete(client, &arn).await;
        false
    }

    async fn start(&self, client: &Client) -> Option<String> {
        let event = json!({"do": "everything", "target": "other", "journal": self.journal_path()});
        let call = client
            .invoke()
            .function_name("job")
            .qualifier("$LATEST")
            .invocation_type(InvocationType::Event)
            .durable_execution_name("all")
            .payload(Blob::new(event.to_string()));
        call.send().await.ok()?.durable_execution_arn
    }

    /// Completes the callback as its worker would: a heartbeat, then the result, until the service has taken it.
    async fn complete(&mut self, client: &Client, arn: &str) {
        if self.completed {
            return;
        }
        let history = client.get_durable_execution_history();
        let Ok(page) = history.durable_execution_arn(arn).send().await else {
            return;
        };
        let started = page
            .events()
            .iter()
            .find(|it| it.name() == Some("approval"));
        let Some(id) = started.and_then(|event| event.callback_started_details()) else {
            return;
        };
        let id = id.callback_id();
        let heartbeat = client.send_durable_execution_callback_heartbeat();
        // One that is lost is made good by the next.
        drop(heartbeat.callback_id(id).send().await);
        let success = client.send_durable_execution_callback_success();
        let sent = success
            .callback_id(id)
            .result(Blob::new("\"yes\""))
            .send()
            .await;
        self.completed = match sent {
            Ok(_) => true,
            // Accepted by a service that died before it could say so.
            Err(error) => error.into_service_error().is_callback_timeout_exception(),
        };
    }

    fn journal_path(&self) -> PathBuf {
        self.state.path().join("journal")
    }

    /// The attempts of steps that were run, in order.
    fn journal(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.journal_path()).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// The events on disk. Read from a copy: the reader must not do what the next service has to.
    fn recorded(&self) -> Vec<Recorded> {
        let copy = tempfile::tempdir().unwrap();
        for file in ["durable.sqlite3", "durable.sqlite3-wal"] {
            let from = self.state.path().join(file);
            if from.exists() {
                std::fs::copy(&from, copy.path().join(file)).unwrap();
            }
        }
        read(&copy.path().join("durable.sqlite3")).unwrap_or_default()
    }

    fn check(&self, events: &[Recorded]) {
        let what = &self.what;
        for function in ["job", "other"] {
            let ids: Vec<i64> = events
                .iter()
                .filter(|it| it.function == function)
                .map(|it| it.id)
                .collect();
            assert_eq!(
                ids,
                (1..=ids.len() as i64).collect::<Vec<_>>(),
                "{what}: numbers of events"
            );
        }
        let journal = self.journal();
        for death in &self.deaths {
            for recorded in &death.recorded {
                assert!(events.contains(recorded), "{what}: lost {recorded:?}");
            }
            let done: BTreeSet<String> = death
                .recorded
                .iter()
                .filter(|it| it.is_attempt())
                .map(Recorded::attempt)
                .collect();
            for attempt in &journal[death.ran..] {
                assert!(
                    !done.contains(attempt),
                    "{what}: {attempt} was recorded, and run again"
                );
            }
        }
        let attempts: BTreeSet<&String> = journal.iter().collect();
        let steps: BTreeSet<String> = events
            .iter()
            .filter(|it| it.is_attempt())
            .map(Recorded::attempt)
            .collect();
        assert_eq!(
            attempts,
            steps.iter().collect(),
            "{what}: what ran is what is recorded"
        );
        let twice = journal.len() - attempts.len();
        assert!(twice <= self.deaths.len(), "{what}: {journal:?}");
        timers_were_kept(events, what);
    }
}

/// No wait, retry or heartbeat timeout is over before its time.
fn timers_were_kept(events: &[Recorded], what: &str) {
    let mut seen = 0;
    for (index, began) in events.iter().enumerate() {
        let (due, end) = match began.kind() {
            "WaitStarted" => {
                let due = began.details()["ScheduledEndTimestamp"].as_f64();
                (due, "WaitSucceeded")
            }
            "CallbackStarted" if began.name() == "silent" => {
                let timeout = began.details()["HeartbeatTimeout"].as_f64();
                (
                    timeout.map(|seconds| began.at() + seconds),
                    "CallbackTimedOut",
                )
            }
            "StepFailed" => {
                let delay = began.details()["RetryDetails"]["NextAttemptDelaySeconds"].as_f64();
                (delay.map(|seconds| began.at() + seconds), "StepStarted")
            }
            _ => continue,
        };
        let due = due.unwrap_or_else(|| panic!("{what}: no time in {began:?}"));
        let same = |it: &&Recorded| {
            it.function == began.function && it.kind() == end && it.event["Id"] == began.event["Id"]
        };
        let end = events[index..].iter().find(same);
        let end = end.unwrap_or_else(|| panic!("{what}: no end of {began:?}"));
        assert!(
            end.at() + ROUNDING >= due,
            "{what}: {began:?} was over too early: {end:?}"
        );
        seen += 1;
    }
    assert_eq!(
        seen, 5,
        "{what}: two retries, two waits and a heartbeat timeout"
    );
}

fn read(database: &Path) -> Result<Vec<Recorded>, rusqlite::Error> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut statement = connection.prepare(
        "SELECT function, id, body FROM records JOIN executions ON key = execution WHERE kind = 6 ORDER BY key, id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Recorded {
            function: row.get(0)?,
            id: row.get(1)?,
            event: serde_json::from_str(&row.get::<_, String>(2)?).unwrap(),
        })
    })?;
    rows.collect()
}

/// A client that does not try again by itself: the run does.
fn one_try(url: &str) -> Client {
    let config = client(url).config().to_builder();
    Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
}
