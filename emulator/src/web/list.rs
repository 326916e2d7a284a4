//! The front page: executions of all functions, newest first.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;

use crate::machine::ExecutionStatus;
use crate::model::Timestamp;
use crate::store::{Overview, Row};

use super::Web;
use super::chrome::{Chrome, Fields, Instant, execution_path, html};
use super::error::PageError;
use super::format::duration;
use super::timeline::{status_class, status_word};

/// Executions on a page.
const PAGE: usize = 50;

/// What the status filter offers: its name in the address, its label, and what it means.
const CHOICES: [(&str, &str, &[ExecutionStatus]); 6] = [
    ("", "All", &[]),
    (
        "open",
        "Open",
        &[
            ExecutionStatus::Running,
            ExecutionStatus::Pausing,
            ExecutionStatus::Paused,
        ],
    ),
    ("succeeded", "Succeeded", &[ExecutionStatus::Succeeded]),
    ("failed", "Failed", &[ExecutionStatus::Failed]),
    ("timed-out", "Timed out", &[ExecutionStatus::TimedOut]),
    ("stopped", "Stopped", &[ExecutionStatus::Stopped]),
];

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage<'a> {
    chrome: Chrome<'a>,
    rows: Vec<RowView>,
    open: u64,
    choices: Vec<Choice>,
    functions: Vec<String>,
    function: &'a str,
    name: &'a str,
    status: &'a str,
    is_filtered: bool,
    is_first_page: bool,
    /// The address of the same list from its beginning.
    newest: String,
    older: Option<String>,
    example: Option<&'a str>,
}

struct Choice {
    label: &'static str,
    href: String,
    is_current: bool,
}

struct RowView {
    name: String,
    function: String,
    href: String,
    status: &'static str,
    class: &'static str,
    started: Instant,
    duration: String,
    /// When it began, for a clock that runs.
    since: Option<i64>,
}

impl RowView {
    fn new(row: &Row, now: Timestamp) -> Self {
        let (function, name) = (row.arn.function().to_owned(), row.arn.name().to_owned());
        Self {
            href: execution_path(&function, &name),
            status: status_word(row.status),
            class: status_class(row.status),
            started: row.started.into(),
            duration: duration(row.ended.unwrap_or(now).since(row.started)),
            since: row.ended.is_none().then(|| row.started.as_millis()),
            function,
            name,
        }
    }
}

pub(super) async fn page(
    State(web): State<Web>,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let text = |name| fields.get(name).unwrap_or_default();
    let (function, name, status) = (text("function"), text("name"), text("status"));
    let (_, _, statuses) = CHOICES
        .into_iter()
        .find(|(key, _, _)| *key == status)
        .ok_or_else(|| PageError::bad("There is no such status to filter by."))?;
    let after = fields.get("after").map(position).transpose()?;
    let wanted = Overview {
        function: Some(function.to_owned()).filter(|it| !it.is_empty()),
        name: Some(name.to_owned()).filter(|it| !it.is_empty()),
        statuses: statuses.to_vec(),
        after,
        limit: PAGE + 1,
    };
    let (mut rows, recorded, open) = web
        .read(move |reader| {
            Ok((
                reader.overview(&wanted)?,
                reader.functions()?,
                reader.open_executions()?,
            ))
        })
        .await?;
    let address = |status: &str, after: Option<String>| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (key, value) in [
            ("function", function),
            ("status", status),
            ("name", name),
            ("after", after.as_deref().unwrap_or_default()),
        ] {
            if !value.is_empty() {
                query.append_pair(key, value);
            }
        }
        match query.finish() {
            query if query.is_empty() => "/".to_owned(),
            query => format!("/?{query}"),
        }
    };
    let is_more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let last = rows.last().filter(|_| is_more);
    let older = last.map(|row| {
        address(
            status,
            Some(format!("{}.{}", row.started.as_millis(), row.key)),
        )
    });
    let mut functions = web.parts.functions.clone();
    functions.extend(recorded);
    functions.sort();
    functions.dedup();
    let now = web.parts.clock.now();
    html(&ListPage {
        chrome: web.chrome("Executions"),
        rows: rows.iter().map(|row| RowView::new(row, now)).collect(),
        open,
        choices: CHOICES
            .into_iter()
            .map(|(key, label, _)| Choice {
                label,
                href: address(key, None),
                is_current: key == status,
            })
            .collect(),
        functions,
        function,
        name,
        status,
        is_filtered: !(function.is_empty() && name.is_empty() && status.is_empty()),
        is_first_page: after.is_none(),
        newest: address(status, None),
        older,
        example: web.parts.functions.first().map(String::as_str),
    })
}

/// Reads where a page begins: behind this start time, in milliseconds, and this key.
fn position(text: &str) -> Result<(Timestamp, i64), PageError> {
    let read = || {
        let (started, key) = text.split_once('.')?;
        Some((
            Timestamp::from_millis(started.parse().ok()?),
            key.parse().ok()?,
        ))
    };
    read().ok_or_else(|| PageError::bad("This page of the list does not exist."))
}
