//! One execution: where it stands, its timeline, what went in and came out, its logs and its events.

mod view;

use std::collections::VecDeque;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;

use crate::model::operation::Operation;
use crate::model::{Event, EventDetails, ExecutionArn, Timestamp};
use crate::store::{Details, Reader, StoreError};

use super::Web;
use super::chrome::{Chrome, Fields, html};
use super::error::PageError;
use super::events::EventView;
use super::logs::{LogTail, RecordedStep};
use super::timeline::{LaneKind, State as LaneState, Timeline};
use view::View;

/// Events on a page.
const EVENTS: usize = 100;

/// Operations in a timeline, unless all are asked for.
const LANES: usize = 150;

/// How many steps are asked for logs, newest first.
const STEPS: usize = 64;

/// The largest result of a step that is looked at for logs, in bytes: what names a thing is short.
const RECORD: usize = 16 * 1024;

/// How many logs are shown, and how much of each, in bytes.
const LOGS: usize = 4;
const LOG: usize = 16 * 1024;

#[derive(Template)]
#[template(path = "execution.html")]
struct ExecutionPage<'a> {
    chrome: Chrome<'a>,
    view: View,
}

/// What is shown of an execution, as a request chooses.
#[derive(Debug, Clone, Copy)]
struct Choice {
    all_lanes: bool,
    /// Events before this one.
    before: Option<u64>,
}

/// What the state has of an execution, reduced to what a page shows.
struct Found {
    details: Details,
    callbacks: Vec<Operation>,
    timeline: Timeline,
    events: VecDeque<EventView>,
    total: u64,
    logs: Vec<LogTail>,
}

pub(super) async fn page(
    State(web): State<Web>,
    Path((function, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let before = fields
        .get("before")
        .map(str::parse)
        .transpose()
        .map_err(|_| PageError::bad("This page of the events does not exist."))?;
    let choice = Choice {
        all_lanes: fields.get("operations") == Some("all"),
        before,
    };
    let logs = web.parts.page.logs.clone();
    let wanted = name.clone();
    let found = web
        .read(move |reader| {
            let tails = |step: &RecordedStep<'_>| match &logs {
                Some(logs) => logs.tails(step, LOG),
                None => Vec::new(),
            };
            find(reader, &function, &wanted, choice, tails)
        })
        .await?
        .ok_or_else(|| {
            PageError::not_found(
                "There is no such execution. Executions that have ended are kept for the retention period of their function.",
            )
        })?;
    let view = View::new(found, choice, web.parts.clock.now());
    let chrome = web.chrome(format!("{name}: {}", view.status));
    html(&ExecutionPage { chrome, view })
}

fn find(
    reader: &Reader,
    function: &str,
    name: &str,
    choice: Choice,
    tails: impl Fn(&RecordedStep<'_>) -> Vec<LogTail>,
) -> Result<Option<Found>, StoreError> {
    let Some(arn) = reader.named(function, name)? else {
        return Ok(None);
    };
    // What is read first is the oldest: the history read after the callbacks knows of all of them, and the details read after
    // the history know if it has ended.
    let callbacks = reader.callbacks(&arn)?;
    let mut gathered = Gathered::default();
    reader.each_event(&arn, |event| gathered.take(&event, choice.before))?;
    let Some(details) = reader.details(&arn)? else {
        return Ok(None);
    };
    let mut timeline = gathered.timeline;
    timeline.running(&details.progress.gate);
    Ok(Some(Found {
        callbacks,
        events: gathered.events,
        total: gathered.total,
        logs: newest_logs(&arn, &gathered.steps, tails),
        timeline,
        details,
    }))
}

/// What remains of a history that is read event by event.
#[derive(Default)]
struct Gathered {
    started: Timestamp,
    timeline: Timeline,
    events: VecDeque<EventView>,
    total: u64,
    /// The names and results of the last steps that succeeded.
    steps: VecDeque<(Option<String>, String)>,
}

impl Gathered {
    fn take(&mut self, event: &Event, before: Option<u64>) {
        if self.total == 0 {
            self.started = event.at;
        }
        self.total = event.id;
        self.timeline.take(event);
        if before.is_none_or(|before| event.id < before) {
            push(
                &mut self.events,
                EventView::new(event, self.started),
                EVENTS,
            );
        }
        if let EventDetails::StepSucceeded { result, .. } = &event.details
            && let Some(result) = result.payload.as_ref().filter(|it| it.len() <= RECORD)
        {
            let name = event.operation.as_ref().and_then(|it| it.name.clone());
            push(&mut self.steps, (name, result.clone()), STEPS);
        }
    }
}

/// Adds to a queue that keeps the last `most`.
fn push<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// The logs of the newest steps that have any.
fn newest_logs(
    arn: &ExecutionArn,
    steps: &VecDeque<(Option<String>, String)>,
    tails: impl Fn(&RecordedStep<'_>) -> Vec<LogTail>,
) -> Vec<LogTail> {
    let mut found = Vec::new();
    for (name, result) in steps.iter().rev() {
        found.extend(tails(&RecordedStep::new(arn, name.as_deref(), result)));
        if found.len() >= LOGS {
            break;
        }
    }
    found
}
