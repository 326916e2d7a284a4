//! What a person sees of many jobs: a table of those that run, and a bar.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_lambda::types::{Event, EventType};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::follow::{End, end_of};
use super::local::Local;
use super::view::Mode;
use crate::error::CliError;

/// The most running jobs that the table shows.
const ROWS: usize = 12;

/// Follows the jobs of an execution.
pub(super) struct Board<'a> {
    local: &'a Local,
    arn: String,
    mode: Mode,
    seen: i32,
    jobs: usize,
    running: BTreeMap<String, Row>,
    done: usize,
    failed: usize,
    screen: Option<(MultiProgress, ProgressBar)>,
}

struct Row {
    since: Instant,
    bar: Option<ProgressBar>,
}

impl<'a> Board<'a> {
    pub(super) fn new(local: &'a Local, arn: String, mode: Mode, jobs: usize) -> Self {
        let screen = (mode == Mode::Terminal).then(|| {
            let screen = MultiProgress::new();
            let bar = screen.add(ProgressBar::new(jobs as u64));
            let style = ProgressStyle::with_template(
                "{bar:30.cyan} {pos}/{len} attempts ended, {elapsed_precise} {msg}",
            );
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            (screen, bar)
        });
        Self {
            local,
            arn,
            mode,
            seen: 0,
            jobs,
            running: BTreeMap::new(),
            done: 0,
            failed: 0,
            screen,
        }
    }

    /// Shows what happens until the execution is over.
    pub(super) async fn follow(&mut self) -> Result<End, CliError> {
        let mut news = self.local.service.subscribe();
        while !self.read_history().await? {
            match news.recv().await {
                // What came meanwhile is in the history: no need to read it once for each.
                Ok(_) | Err(RecvError::Lagged(_)) => while news.try_recv().is_ok() {},
                Err(RecvError::Closed) => {
                    return Err(CliError::broken(
                        "the execution cannot be followed",
                        "the local durable service has ended",
                    ));
                }
            }
        }
        self.clear();
        end_of(self.local, &self.arn).await
    }

    /// Takes the table and the bar away.
    pub(super) fn clear(&mut self) {
        self.running.clear();
        if let Some((screen, bar)) = self.screen.take() {
            bar.finish_and_clear();
            let _ = screen.clear();
        }
    }

    async fn read_history(&mut self) -> Result<bool, CliError> {
        let mut marker: Option<String> = None;
        let mut ended = false;
        // From the newest back to what is known: the history of a thousand jobs is long.
        let mut fresh = Vec::new();
        loop {
            let page = self
                .local
                .client
                .get_durable_execution_history()
                .durable_execution_arn(&self.arn)
                .reverse_order(true)
                .set_marker(marker)
                .send()
                .await
                .map_err(|error| {
                    CliError::broken(
                        "the execution's history cannot be read",
                        error.into_service_error(),
                    )
                })?;
            let known = page.events.iter().any(|event| event.event_id <= self.seen);
            let events = page.events.into_iter();
            fresh.extend(events.filter(|event| event.event_id > self.seen));
            marker = page.next_marker;
            if known || marker.is_none() {
                break;
            }
        }
        for event in fresh.iter().rev() {
            self.seen = event.event_id;
            ended |= self.happened(event);
        }
        self.show();
        Ok(ended)
    }

    /// Whether the execution is over.
    fn happened(&mut self, event: &Event) -> bool {
        let name = event.name.as_deref().unwrap_or_default();
        let Some(kind) = &event.event_type else {
            return false;
        };
        if let (EventType::StepSucceeded, Some(job)) = (kind, name.strip_prefix("start ")) {
            self.started(job);
        }
        if let Some(job) = name.strip_prefix("callback ") {
            match kind {
                EventType::CallbackSucceeded => self.ended(job, true),
                EventType::CallbackFailed | EventType::CallbackTimedOut => self.ended(job, false),
                _ => {}
            }
        }
        matches!(
            kind,
            EventType::ExecutionSucceeded
                | EventType::ExecutionFailed
                | EventType::ExecutionTimedOut
                | EventType::ExecutionStopped
        )
    }

    fn started(&mut self, job: &str) {
        let bar = match &self.screen {
            Some((screen, bar)) if self.running.len() < ROWS => {
                let row = screen.insert_before(bar, ProgressBar::new_spinner());
                let style = ProgressStyle::with_template("{spinner:.cyan} {msg:<40} {elapsed}");
                row.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
                row.set_message(job.to_owned());
                row.enable_steady_tick(Duration::from_millis(200));
                Some(row)
            }
            _ => None,
        };
        let since = Instant::now();
        self.running.insert(job.to_owned(), Row { since, bar });
        self.tell("job_started", job, json!({}));
    }

    fn ended(&mut self, job: &str, succeeded: bool) {
        self.done += 1;
        self.failed += usize::from(!succeeded);
        let row = self.running.remove(job);
        let seconds = row.as_ref().map(|row| row.since.elapsed().as_secs_f64());
        if let Some(bar) = row.and_then(|row| row.bar) {
            bar.finish_and_clear();
        }
        let event = if succeeded {
            "job_succeeded"
        } else {
            "job_failed"
        };
        self.tell(event, job, json!({"seconds": seconds}));
    }

    fn show(&self) {
        if let Some((_, bar)) = &self.screen {
            bar.set_position(self.done.min(self.jobs) as u64);
            bar.set_message(match self.failed {
                0 => format!("{} running", self.running.len()),
                failed => format!("{} running, {failed} failed", self.running.len()),
            });
        }
    }

    fn tell(&self, event: &str, job: &str, mut members: serde_json::Value) {
        if self.mode == Mode::Json {
            members["event"] = event.into();
            members["job"] = job.into();
            eprintln!("{members}");
        }
    }
}
