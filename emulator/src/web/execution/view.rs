//! What the page of an execution says, computed before it is written.

use std::collections::HashMap;

use crate::machine::{ExecutionStatus, Gate, Outcome};
use crate::model::operation::{Kind, OperationStatus};
use crate::model::{ErrorObject, Timestamp};

use super::super::chrome::{Instant, execution_path};
use super::super::events::{ErrorView, EventView, Link};
use super::super::format::{Text, duration};
use super::super::scale::{Bar, Gap, Scale, Tick};
use super::super::timeline::{Lane, Span, Timeline, status_class, status_word};
use super::{Choice, Found, LANES, LaneKind, LaneState, LogTail};

/// How much of the input and of the result is shown, in bytes.
const PAYLOAD: usize = 32 * 1024;

/// The deepest indentation of a lane.
const DEEPEST: usize = 6;

/// Everything on the page of one execution.
pub(super) struct View {
    pub(super) path: String,
    pub(super) function: String,
    pub(super) version: String,
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) status: &'static str,
    pub(super) class: &'static str,
    pub(super) is_open: bool,
    pub(super) standing: String,
    pub(super) parent: Option<Link>,
    pub(super) started: Instant,
    pub(super) ended: Option<Instant>,
    pub(super) deadline: Instant,
    pub(super) duration: String,
    pub(super) since: Option<i64>,
    pub(super) invocations: usize,
    pub(super) active: String,
    pub(super) suspended: String,
    pub(super) share: String,
    pub(super) callbacks: Vec<CallbackView>,
    pub(super) ticks: Vec<Tick>,
    pub(super) bars: Vec<Bar>,
    pub(super) gaps: Vec<Gap>,
    pub(super) lanes: Vec<LaneView>,
    pub(super) hidden_lanes: usize,
    pub(super) input: Text,
    pub(super) result: Option<Text>,
    pub(super) error: Option<ErrorView>,
    pub(super) logs: Vec<LogTail>,
    pub(super) events: Vec<EventView>,
    pub(super) total: u64,
    /// The first event that is shown, if there are earlier ones.
    pub(super) earlier: Option<u64>,
    pub(super) is_latest: bool,
}

/// A callback that waits to be completed.
pub(super) struct CallbackView {
    pub(super) operation: String,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) since: i64,
    pub(super) waited: String,
    /// When it times out.
    pub(super) timeout: Option<Moment>,
    /// When it is given up unless a heartbeat comes.
    pub(super) heartbeat: Option<Moment>,
}

/// A moment that is still to come.
pub(super) struct Moment {
    pub(super) at: i64,
    pub(super) left: String,
}

impl Moment {
    fn new(at: Timestamp, now: Timestamp) -> Self {
        Self {
            at: at.as_millis(),
            left: duration(at.since(now)),
        }
    }
}

/// One operation in the timeline.
pub(super) struct LaneView {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) depth: usize,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    pub(super) bars: Vec<Bar>,
    pub(super) duration: String,
    pub(super) since: Option<i64>,
}

impl View {
    /// Where one event is shown whole.
    pub(super) fn event(&self, id: u64) -> String {
        format!("{}/events/{id}", self.path)
    }

    pub(super) fn new(found: Found, choice: Choice, now: Timestamp) -> Self {
        let Found {
            details,
            callbacks,
            timeline,
            events,
            total,
            logs,
        } = found;
        let (row, origin) = (details.row, details.origin);
        let path = execution_path(row.arn.function(), row.arn.name());
        let until = row.ended.unwrap_or(now);
        let is_open = row.ended.is_none();
        let scale = Scale {
            from: row.started,
            to: until,
        };
        let whole = until.since(row.started);
        let active = timeline.active(until);
        let order = in_order(&timeline.lanes);
        let shown = if choice.all_lanes {
            order.len()
        } else {
            order.len().min(LANES)
        };
        let open_callbacks = callbacks
            .iter()
            .filter(|_| is_open)
            .filter(|callback| callback.status == OperationStatus::Started)
            .filter_map(|callback| match &callback.kind {
                Kind::Callback(details) => Some(CallbackView {
                    operation: callback.id.clone(),
                    name: callback
                        .name
                        .clone()
                        .unwrap_or_else(|| "without a name".to_owned()),
                    path: format!("{path}/callbacks/{}", callback.id),
                    since: callback.started.as_millis(),
                    waited: duration(now.since(callback.started)),
                    timeout: details.expires.map(|at| Moment::new(at, now)),
                    heartbeat: details.silent_at.map(|at| Moment::new(at, now)),
                }),
                _ => None,
            })
            .collect();
        let (result, error) = outcome(details.outcome.as_ref(), row.status);
        Self {
            function: row.arn.function().to_owned(),
            version: origin.version.clone(),
            name: row.arn.name().to_owned(),
            arn: row.arn.to_string(),
            status: status_word(row.status),
            class: status_class(row.status),
            is_open,
            standing: standing(row.status, &details.progress.gate, &timeline),
            parent: origin.parent.as_ref().map(|(arn, _)| Link::to(arn)),
            started: row.started.into(),
            ended: row.ended.map(Instant::from),
            deadline: details.progress.deadline(&origin).into(),
            duration: duration(whole),
            since: is_open.then(|| row.started.as_millis()),
            invocations: timeline.invocations.len(),
            active: duration(active),
            suspended: duration(whole.saturating_sub(active)),
            share: share(active, whole),
            callbacks: open_callbacks,
            ticks: scale.ticks(),
            bars: timeline
                .invocations
                .iter()
                .enumerate()
                .map(|(n, span)| scale.bar(span, &format!("invocation {}", n + 1)))
                .collect(),
            gaps: scale.gaps(&timeline.invocations, is_open),
            lanes: order
                .iter()
                .take(shown)
                .map(|(lane, depth)| lane_view(lane, *depth, scale, is_open))
                .collect(),
            hidden_lanes: order.len() - shown,
            input: Text::of(&origin.input, PAYLOAD),
            result,
            error,
            logs,
            earlier: events
                .front()
                .map(|event| event.id)
                .filter(|first| *first > 1),
            events: events.into(),
            total,
            is_latest: choice.before.is_none(),
            path,
        }
    }
}

fn outcome(
    outcome: Option<&Outcome>,
    status: ExecutionStatus,
) -> (Option<Text>, Option<ErrorView>) {
    match outcome {
        Some(Outcome::Succeeded(result)) => (
            Some(Text::of(result.as_deref().unwrap_or("null"), PAYLOAD)),
            None,
        ),
        Some(Outcome::Failed(error) | Outcome::Stopped(error)) => {
            (None, Some(ErrorView::new(error, PAYLOAD)))
        }
        None if status != ExecutionStatus::TimedOut => (None, None),
        Some(Outcome::TimedOut) | None => {
            let error = ErrorObject::message("The execution timeout has passed.");
            (None, Some(ErrorView::new(&error, PAYLOAD)))
        }
    }
}

/// What an open execution is doing, or waits for, in a sentence.
fn standing(status: ExecutionStatus, gate: &Gate, timeline: &Timeline) -> String {
    match status {
        ExecutionStatus::Running => {}
        ExecutionStatus::Paused => return "Paused: not invoked until it is resumed.".to_owned(),
        ExecutionStatus::Pausing => {
            return "Pausing: the invocation runs to its next checkpoint.".to_owned();
        }
        _ => return String::new(),
    }
    match gate {
        Gate::Running(_) => return "The function is running.".to_owned(),
        Gate::Queued => return "Waits for a free execution environment.".to_owned(),
        Gate::Idle => {}
    }
    let mut awaited = timeline
        .lanes
        .iter()
        .filter(|lane| lane.state == LaneState::Open)
        .filter(|lane| lane.kind != LaneKind::Context)
        .map(|lane| called(lane.kind.word(), &lane_name(lane)));
    match (awaited.next(), awaited.count()) {
        (None, _) => "Suspended: the next invocation is not due yet.".to_owned(),
        (Some(one), 0) => format!("Suspended, no compute while it waits for {one}."),
        (Some(one), more) => {
            format!("Suspended, no compute while it waits for {one} and {more} more.")
        }
    }
}

/// What an operation is called in a sentence: many are named after their kind already.
fn called(kind: &str, name: &str) -> String {
    if name.starts_with(kind) {
        name.to_owned()
    } else {
        format!("{kind} {name}")
    }
}

fn lane_name(lane: &Lane) -> String {
    lane.name
        .clone()
        .or_else(|| lane.sub_type.clone())
        .unwrap_or_default()
}

fn lane_view(lane: &Lane, depth: usize, scale: Scale, is_open: bool) -> LaneView {
    let name = lane_name(lane);
    let open = lane.state == LaneState::Open;
    // What the execution's end left open ended with it.
    let (state, class) = if open && !is_open {
        ("left open", "stopped")
    } else if open && lane.spans.last().is_some_and(|span| span.to.is_some()) {
        ("waits for a retry", "open")
    } else {
        (lane.state.word(), lane.state.class())
    };
    let what = called(lane.kind.word(), &name);
    let bar = |(n, span): (usize, &Span)| {
        let what = if lane.spans.len() > 1 {
            format!("{what}, attempt {}", n + 1)
        } else {
            what.clone()
        };
        let mut bar = scale.bar(span, &what);
        if span.to.is_none() && !is_open {
            bar.class = "stopped";
        }
        bar
    };
    LaneView {
        id: lane.id.clone(),
        kind: lane.kind.word(),
        depth: depth.min(DEEPEST),
        state,
        class,
        bars: lane.spans.iter().enumerate().map(bar).collect(),
        duration: duration(lane.until(scale.to).since(lane.started())),
        since: (open && is_open).then(|| lane.started().as_millis()),
        name,
    }
}

/// Lanes with their depths, each context followed by what is in it.
fn in_order(lanes: &[Lane]) -> Vec<(&Lane, usize)> {
    let known: HashMap<&str, ()> = lanes.iter().map(|lane| (lane.id.as_str(), ())).collect();
    let mut inside: HashMap<Option<&str>, Vec<&Lane>> = HashMap::new();
    for lane in lanes {
        // Some SDKs name a parent that is no operation: what is in it is shown outside.
        let parent = lane
            .parent
            .as_deref()
            .filter(|parent| known.contains_key(parent) && *parent != lane.id);
        inside.entry(parent).or_default().push(lane);
    }
    let mut ordered = Vec::with_capacity(lanes.len());
    let mut stack: Vec<(&Lane, usize)> = Vec::new();
    let outer = inside.remove(&None).unwrap_or_default();
    stack.extend(outer.into_iter().rev().map(|lane| (lane, 0)));
    while let Some((lane, depth)) = stack.pop() {
        ordered.push((lane, depth));
        let inner = inside.remove(&Some(lane.id.as_str())).unwrap_or_default();
        stack.extend(inner.into_iter().rev().map(|lane| (lane, depth + 1)));
    }
    ordered
}

/// How much of the time the function was running, in percent.
fn share(active: std::time::Duration, whole: std::time::Duration) -> String {
    if whole.is_zero() {
        return "0 %".to_owned();
    }
    let percent = active.as_secs_f64() / whole.as_secs_f64() * 100.0;
    match percent {
        percent if percent >= 10.0 => format!("{percent:.0} %"),
        percent if percent >= 0.1 => format!("{percent:.1} %"),
        _ => "under 0.1 %".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(id: &str, parent: Option<&str>) -> Lane {
        Lane {
            id: id.to_owned(),
            parent: parent.map(ToOwned::to_owned),
            name: None,
            sub_type: None,
            kind: LaneKind::Context,
            state: LaneState::Open,
            spans: vec![],
        }
    }

    #[test]
    fn what_is_in_a_context_follows_it_and_nothing_is_lost() {
        let lanes = [
            lane("a", None),
            lane("b", None),
            lane("a1", Some("a")),
            lane("b1", Some("b")),
            lane("a2", Some("a")),
            lane("a1x", Some("a1")),
            lane("orphan", Some("nobody")),
            lane("itself", Some("itself")),
        ];
        let order: Vec<_> = in_order(&lanes)
            .into_iter()
            .map(|(lane, depth)| (lane.id.as_str(), depth))
            .collect();
        assert_eq!(
            order,
            [
                ("a", 0),
                ("a1", 1),
                ("a1x", 2),
                ("a2", 1),
                ("b", 0),
                ("b1", 1),
                ("orphan", 0),
                ("itself", 0)
            ]
        );
    }

    #[test]
    fn the_share_of_compute_is_said_in_useful_digits() {
        let share = |active, whole| {
            let seconds = std::time::Duration::from_secs_f64;
            share(seconds(active), seconds(whole))
        };
        assert_eq!(share(1.0, 2.0), "50 %");
        assert_eq!(share(0.34, 8.2), "4.1 %");
        assert_eq!(share(0.1, 3_600.0), "under 0.1 %");
        assert_eq!(share(0.0, 0.0), "0 %");
    }
}
