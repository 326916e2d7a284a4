//! What a person sees of many jobs: a table of those that run, and a bar.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_lambda::types::{Event, EventType};
use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::executions;
use super::follow::{End, end_of};
use super::local::Local;
use super::view::Mode;
use crate::error::CliError;

/// The most running jobs that the table shows; fewer in a low terminal.
const ROWS: usize = 12;
/// The lines of a terminal that are not the table's: the bar, and what stood there before.
const OTHER_LINES: usize = 3;

/// Follows the jobs of an execution.
pub(super) struct Board<'a> {
    local: &'a Local,
    mode: Mode,
    /// The execution, and after it those that run parts of its jobs, in their order.
    followed: Vec<Followed>,
    /// The numbers of the parts' first jobs, in the same order.
    firsts: Vec<usize>,
    /// The inputs, one a job, as JSON.
    inputs: Vec<String>,
    running: BTreeMap<String, Row>,
    done: usize,
    failed: usize,
    screen: Option<(MultiProgress, ProgressBar)>,
}

/// An execution whose history is read.
struct Followed {
    arn: String,
    /// The last event that was.
    seen: i32,
    over: bool,
}

impl Followed {
    fn new(arn: String) -> Self {
        Self {
            arn,
            seen: 0,
            over: false,
        }
    }
}

struct Row {
    since: Instant,
    bar: Option<ProgressBar>,
}

impl<'a> Board<'a> {
    pub(super) fn new(local: &'a Local, arn: String, mode: Mode, inputs: Vec<String>) -> Self {
        let screen = (mode == Mode::Terminal).then(|| {
            let screen = MultiProgress::new();
            let bar = screen.add(ProgressBar::new(inputs.len() as u64));
            let style = ProgressStyle::with_template(
                "{bar:24.cyan} {pos}/{len} ended, {elapsed_precise} {wide_msg}",
            );
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            (screen, bar)
        });
        Self {
            local,
            mode,
            followed: vec![Followed::new(arn)],
            firsts: Vec::new(),
            inputs,
            running: BTreeMap::new(),
            done: 0,
            failed: 0,
            screen,
        }
    }

    /// Shows what happens until the execution is over.
    pub(super) async fn follow(&mut self) -> Result<End, CliError> {
        let mut news = self.local.service.subscribe();
        while !self.read_histories().await? {
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
        end_of(self.local, &self.followed[0].arn).await
    }

    /// Takes the table and the bar away.
    pub(super) fn clear(&mut self) {
        // Each by itself: a row that is only dropped may be drawn once more.
        for row in std::mem::take(&mut self.running).into_values() {
            if let Some(bar) = row.bar {
                bar.finish_and_clear();
            }
        }
        if let Some((screen, bar)) = self.screen.take() {
            bar.finish_and_clear();
            let _ = screen.clear();
        }
    }

    /// Whether the execution is over.
    async fn read_histories(&mut self) -> Result<bool, CliError> {
        self.read_parts().await?;
        self.read_history(0).await?;
        let over = self.followed[0].over;
        if over {
            // What the parts did before it ended.
            self.read_parts().await?;
        }
        self.show();
        Ok(over)
    }

    async fn read_parts(&mut self) -> Result<(), CliError> {
        self.find_parts().await?;
        for part in 1..self.followed.len() {
            if !self.followed[part].over {
                self.read_history(part).await?;
            }
        }
        Ok(())
    }

    /// The parts are the other executions of this service, which is there for this run alone.
    async fn find_parts(&mut self) -> Result<(), CliError> {
        if self.firsts.len() < self.followed.len() {
            return Ok(());
        }
        let known = self.followed.len();
        let arns = executions(self.local).await?;
        let new = arns
            .into_iter()
            .filter(|arn| self.followed.iter().all(|followed| followed.arn != *arn))
            // Those whose first job's number is not known yet come with the next news.
            .take((self.firsts.len() + 1).saturating_sub(known))
            .collect::<Vec<_>>();
        self.followed.extend(new.into_iter().map(Followed::new));
        Ok(())
    }

    /// Reads what is new in the history of the execution, which is number 0, or of a part.
    async fn read_history(&mut self, part: usize) -> Result<(), CliError> {
        let mut marker: Option<String> = None;
        let (arn, seen) = (self.followed[part].arn.clone(), self.followed[part].seen);
        // From the newest back to what is known: the history of a thousand jobs is long.
        let mut fresh = Vec::new();
        loop {
            let page = self
                .local
                .client
                .get_durable_execution_history()
                .durable_execution_arn(&arn)
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
            let known = page.events.iter().any(|event| event.event_id <= seen);
            let events = page.events.into_iter();
            fresh.extend(events.filter(|event| event.event_id > seen));
            marker = page.next_marker;
            if known || marker.is_none() {
                break;
            }
        }
        for event in fresh.iter().rev() {
            self.followed[part].seen = event.event_id;
            let over = self.happened(part, event);
            self.followed[part].over |= over;
        }
        Ok(())
    }

    /// Whether the execution, or the part, is over.
    fn happened(&mut self, part: usize, event: &Event) -> bool {
        let name = event.name.as_deref().unwrap_or_default();
        let Some(kind) = &event.event_type else {
            return false;
        };
        if let (EventType::ChainedInvokeStarted, Some(jobs)) = (kind, name.strip_prefix("part ")) {
            self.firsts.push(first_of(jobs));
        }
        let first = part.checked_sub(1);
        let first = first.and_then(|part| self.firsts.get(part).copied());
        let numbered = |job: &str| numbered_from(first.unwrap_or_default(), job);
        if let (EventType::StepSucceeded, Some(job)) = (kind, name.strip_prefix("start ")) {
            self.started(&numbered(job));
        }
        if let Some(job) = name.strip_prefix("callback ") {
            let job = numbered(job);
            match kind {
                EventType::CallbackSucceeded => self.ended(&job, true),
                EventType::CallbackFailed | EventType::CallbackTimedOut => self.ended(&job, false),
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
        if is_another_attempt(job) {
            // The job had not ended after all.
            self.done = self.done.saturating_sub(1);
            self.failed = self.failed.saturating_sub(1);
        }
        let row = Row {
            since: Instant::now(),
            bar: None,
        };
        self.running.insert(job.to_owned(), row);
        self.tell("job_started", job, json!({}));
    }

    /// Gives rows of the table to the jobs that have waited longest for one. Returns how many have
    /// none.
    fn fill_table(&mut self) -> usize {
        let Some((screen, bar)) = &self.screen else {
            return 0;
        };
        let height = usize::from(Term::stderr().size().0);
        let rows = ROWS.min(height.saturating_sub(OTHER_LINES));
        let shown = self.running.values().filter(|row| row.bar.is_some());
        let free = rows.saturating_sub(shown.count());
        let rows = self.running.iter_mut();
        let mut hidden: Vec<_> = rows.filter(|(_, row)| row.bar.is_none()).collect();
        hidden.sort_by_key(|(_, row)| row.since);
        let left = hidden.len().saturating_sub(free);
        for (job, row) in hidden.into_iter().take(free) {
            let spinner = ProgressBar::new_spinner().with_elapsed(row.since.elapsed());
            let spinner = screen.insert_before(bar, spinner);
            let style = ProgressStyle::with_template("{spinner:.cyan} {elapsed:>4} {wide_msg}");
            spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            spinner.set_message(described(job, &self.inputs));
            spinner.enable_steady_tick(Duration::from_millis(200));
            row.bar = Some(spinner);
        }
        left
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

    fn show(&mut self) {
        let hidden = self.fill_table();
        if let Some((_, bar)) = &self.screen {
            bar.set_position(self.done.min(self.inputs.len()) as u64);
            bar.set_message(counts(self.running.len(), hidden, self.failed));
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

/// What stands beside the bar.
fn counts(running: usize, hidden: usize, failed: usize) -> String {
    let mut text = format!("{running} running");
    if hidden > 0 {
        text.push_str(&format!(" ({hidden} not shown)"));
    }
    if failed > 0 {
        text.push_str(&format!(", {failed} failed"));
    }
    text
}

/// A job in the table: its number and attempt, which are not to be cut off, and its input.
fn described(job: &str, inputs: &[String]) -> String {
    let (label, attempt) = match job.rsplit_once(" #") {
        Some((label, attempt)) => (label, format!(", attempt {attempt}")),
        None => (job, String::new()),
    };
    let number = label.rsplit_once('[').map(|(_, number)| number);
    let number = number.and_then(|number| number.strip_suffix(']')?.parse::<usize>().ok());
    match number.and_then(|number| Some((number, inputs.get(number)?))) {
        Some((number, input)) => format!("job {number}{attempt}: {input}"),
        None => job.to_owned(),
    }
}

/// The number of the first of some jobs, `NAME[FIRST-LAST]` or `NAME[FIRST]`.
fn first_of(jobs: &str) -> usize {
    let numbers = jobs.rsplit_once('[').map_or("", |(_, numbers)| numbers);
    let digits = numbers.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The name of a job that a part counts from 0, with its number among all: `first` more.
fn numbered_from(first: usize, job: &str) -> String {
    let Some((name, rest)) = job.rsplit_once('[') else {
        return job.to_owned();
    };
    let Some((number, attempt)) = rest.split_once(']') else {
        return job.to_owned();
    };
    match number.parse::<usize>() {
        Ok(number) => format!("{name}[{}]{attempt}", first + number),
        Err(_) => job.to_owned(),
    }
}

/// Whether this is not the first attempt of a job: its name then ends with `#` and a number.
fn is_another_attempt(job: &str) -> bool {
    let number = job.rsplit_once(" #").map(|(_, number)| number);
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_says_how_many_run_how_many_of_them_are_not_shown_and_how_many_failed() {
        assert_eq!(counts(0, 0, 0), "0 running");
        assert_eq!(counts(64, 52, 3), "64 running (52 not shown), 3 failed");
    }

    #[test]
    fn a_job_is_described_by_its_number_attempt_and_input() {
        let inputs = ["7".to_owned(), "{\"scene\":3}".to_owned()];
        assert_eq!(described("render[0]", &inputs), "job 0: 7");
        let second = described("render[1] #2", &inputs);
        assert_eq!(second, "job 1, attempt 2: {\"scene\":3}");
        assert_eq!(described("render[9]", &inputs), "render[9]");
    }

    #[test]
    fn a_job_of_a_part_is_numbered_among_all() {
        assert_eq!(first_of("render[1000-1009]"), 1_000);
        assert_eq!(first_of("render[7]"), 7);
        assert_eq!(numbered_from(1_000, "render[4] #2"), "render[1004] #2");
        assert_eq!(numbered_from(0, "render[4]"), "render[4]");
        assert_eq!(numbered_from(9, "render"), "render");
    }

    #[test]
    fn another_attempt_is_told_from_a_first_one() {
        assert!(is_another_attempt("render[4] #2"));
        assert!(!is_another_attempt("render[4]"));
    }
}
