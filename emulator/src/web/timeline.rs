//! An execution's history as bars over time: one lane for its invocations, one for each operation.

use std::collections::HashMap;
use std::time::Duration;

use crate::machine::{ExecutionStatus, Gate};
use crate::model::{Event, EventDetails, EventOperation, Timestamp};

/// What kind of operation a lane is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneKind {
    Context,
    Step,
    Wait,
    Callback,
    Invoke,
}

impl LaneKind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Step => "step",
            Self::Wait => "wait",
            Self::Callback => "callback",
            Self::Invoke => "invoke",
        }
    }
}

/// Where an operation, an attempt or an invocation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// A failed attempt that is followed by another one.
    Retried,
    Succeeded,
    Failed,
    TimedOut,
    Cancelled,
    Stopped,
}

impl State {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Retried => "retried",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Cancelled => "cancelled",
            Self::Stopped => "stopped",
        }
    }

    /// As a class of the style sheet.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Retried => "retried",
            Self::Succeeded => "succeeded",
            Self::Failed | Self::TimedOut => "failed",
            Self::Cancelled | Self::Stopped => "stopped",
        }
    }
}

/// A stretch of time in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Timestamp,
    /// Not yet, while it lasts.
    pub(super) to: Option<Timestamp>,
    pub(super) state: State,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) id: String,
    pub(super) parent: Option<String>,
    pub(super) name: Option<String>,
    pub(super) sub_type: Option<String>,
    pub(super) kind: LaneKind,
    pub(super) state: State,
    /// Attempts of a step; one span for everything else.
    pub(super) spans: Vec<Span>,
}

impl Lane {
    pub(super) fn started(&self) -> Timestamp {
        self.spans
            .first()
            .map_or(Timestamp::default(), |span| span.from)
    }

    fn ended(&self) -> Option<Timestamp> {
        self.spans.last().and_then(|span| span.to)
    }

    /// When it ended, if it has, or `now`.
    pub(super) fn until(&self, now: Timestamp) -> Timestamp {
        if self.state == State::Open {
            now
        } else {
            self.ended().unwrap_or(now)
        }
    }
}

/// What a history tells over time. Fed with events in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Timeline {
    pub(super) lanes: Vec<Lane>,
    pub(super) invocations: Vec<Span>,
    positions: HashMap<String, usize>,
}

impl Timeline {
    pub(super) fn take(&mut self, event: &Event) {
        if let EventDetails::InvocationCompleted {
            start_timestamp,
            end_timestamp,
            error,
            ..
        } = &event.details
        {
            self.invocations.push(Span {
                from: *start_timestamp,
                to: Some(*end_timestamp),
                state: if error.is_some() {
                    State::Failed
                } else {
                    State::Succeeded
                },
            });
            return;
        }
        let Some(operation) = &event.operation else {
            return;
        };
        match &event.details {
            EventDetails::ContextStarted {} => self.begin(operation, LaneKind::Context, event.at),
            EventDetails::StepStarted {} => self.begin(operation, LaneKind::Step, event.at),
            EventDetails::WaitStarted { .. } => self.begin(operation, LaneKind::Wait, event.at),
            EventDetails::CallbackStarted { .. } => {
                self.begin(operation, LaneKind::Callback, event.at);
            }
            EventDetails::ChainedInvokeStarted { .. } => {
                self.begin(operation, LaneKind::Invoke, event.at);
            }
            EventDetails::StepFailed { retry_details, .. }
            | EventDetails::StepSucceeded { retry_details, .. }
                if retry_details.next_attempt_delay_seconds.is_some() =>
            {
                self.end(operation, event.at, State::Retried);
            }
            EventDetails::ContextSucceeded { .. }
            | EventDetails::StepSucceeded { .. }
            | EventDetails::WaitSucceeded { .. }
            | EventDetails::CallbackSucceeded { .. }
            | EventDetails::ChainedInvokeSucceeded { .. } => {
                self.end(operation, event.at, State::Succeeded);
            }
            EventDetails::ContextFailed { .. }
            | EventDetails::StepFailed { .. }
            | EventDetails::CallbackFailed { .. }
            | EventDetails::ChainedInvokeFailed { .. } => {
                self.end(operation, event.at, State::Failed);
            }
            EventDetails::CallbackTimedOut { .. } | EventDetails::ChainedInvokeTimedOut { .. } => {
                self.end(operation, event.at, State::TimedOut);
            }
            EventDetails::WaitCancelled { .. } => {
                self.end(operation, event.at, State::Cancelled);
            }
            EventDetails::ChainedInvokeStopped { .. } => {
                self.end(operation, event.at, State::Stopped);
            }
            _ => {}
        }
    }

    fn begin(&mut self, operation: &EventOperation, kind: LaneKind, at: Timestamp) {
        let span = Span {
            from: at,
            to: None,
            state: State::Open,
        };
        if let Some(lane) = self.lane(&operation.id) {
            lane.state = State::Open;
            lane.spans.push(span);
            return;
        }
        self.positions
            .insert(operation.id.clone(), self.lanes.len());
        self.lanes.push(Lane {
            id: operation.id.clone(),
            parent: operation.parent_id.clone(),
            name: operation.name.clone(),
            sub_type: operation.sub_type.clone(),
            kind,
            state: State::Open,
            spans: vec![span],
        });
    }

    fn end(&mut self, operation: &EventOperation, at: Timestamp, state: State) {
        if let Some(lane) = self.lane(&operation.id) {
            // A retry is still to come: the operation itself is open.
            lane.state = if state == State::Retried {
                State::Open
            } else {
                state
            };
            if let Some(span) = lane.spans.last_mut() {
                span.to = Some(at);
                span.state = state;
            }
        }
    }

    fn lane(&mut self, id: &str) -> Option<&mut Lane> {
        self.positions
            .get(id)
            .and_then(|position| self.lanes.get_mut(*position))
    }

    /// Adds the invocation that runs now, which has no event yet.
    pub(super) fn running(&mut self, gate: &Gate) {
        if let Gate::Running(running) = gate {
            self.invocations.push(Span {
                from: running.started,
                to: None,
                state: State::Open,
            });
        }
    }

    /// How long invocations ran, up to `until`.
    pub(super) fn active(&self, until: Timestamp) -> Duration {
        self.invocations
            .iter()
            .map(|span| span.to.unwrap_or(until).min(until).since(span.from))
            .sum()
    }
}

/// How the status of an execution is drawn.
pub(super) const fn status_class(status: ExecutionStatus) -> &'static str {
    match status {
        ExecutionStatus::Running | ExecutionStatus::Pausing => "open",
        ExecutionStatus::Paused => "paused",
        ExecutionStatus::Succeeded => "succeeded",
        ExecutionStatus::Failed | ExecutionStatus::TimedOut => "failed",
        ExecutionStatus::Stopped | ExecutionStatus::Deleting => "stopped",
    }
}

/// How the status of an execution is said.
pub(super) const fn status_word(status: ExecutionStatus) -> &'static str {
    match status {
        ExecutionStatus::Running => "running",
        ExecutionStatus::Pausing => "pausing",
        ExecutionStatus::Paused => "paused",
        ExecutionStatus::Succeeded => "succeeded",
        ExecutionStatus::Failed => "failed",
        ExecutionStatus::TimedOut => "timed out",
        ExecutionStatus::Stopped => "stopped",
        ExecutionStatus::Deleting => "being deleted",
    }
}

#[cfg(test)]
mod tests {
    use super::super::scale::Scale;
    use super::*;
    use crate::model::{ErrorObject, EventError, EventResult, RetryDetails};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn event(id: Option<&str>, millis: i64, details: EventDetails) -> Event {
        Event {
            id: 1,
            at: at(millis),
            operation: id.map(|id| EventOperation {
                id: id.to_owned(),
                parent_id: None,
                name: Some(format!("the {id}")),
                sub_type: None,
            }),
            details,
        }
    }

    fn invocation(from: i64, to: i64) -> Event {
        let details = EventDetails::InvocationCompleted {
            start_timestamp: at(from),
            end_timestamp: at(to),
            request_id: "r".to_owned(),
            error: None,
        };
        event(None, to, details)
    }

    fn failed(retry: Option<u64>) -> EventDetails {
        EventDetails::StepFailed {
            error: EventError::new(ErrorObject::new("E", "no")),
            retry_details: RetryDetails::new(1, retry),
        }
    }

    fn timeline(events: &[Event]) -> Timeline {
        let mut timeline = Timeline::default();
        for event in events {
            timeline.take(event);
        }
        timeline
    }

    #[test]
    fn each_attempt_of_a_step_is_a_bar_and_a_retried_step_stays_open() {
        let mut events = vec![
            event(Some("s"), 0, EventDetails::StepStarted {}),
            event(Some("s"), 10, failed(Some(5))),
        ];
        let before = timeline(&events);
        assert_eq!(before.lanes[0].state, State::Open);
        assert_eq!(before.lanes[0].until(at(99)), at(99));
        events.push(event(Some("s"), 5_010, EventDetails::StepStarted {}));
        let result = EventResult::new(None);
        let details = EventDetails::StepSucceeded {
            result,
            retry_details: RetryDetails::new(2, None),
        };
        events.push(event(Some("s"), 5_020, details));
        let lane = &timeline(&events).lanes[0];
        let spans: Vec<_> = lane
            .spans
            .iter()
            .map(|span| (span.from, span.state))
            .collect();
        assert_eq!(
            spans,
            [(at(0), State::Retried), (at(5_010), State::Succeeded)]
        );
        assert_eq!(
            (lane.state, lane.until(at(9_999))),
            (State::Succeeded, at(5_020))
        );
    }

    #[test]
    fn suspended_time_is_what_lies_between_invocations() {
        let timeline = timeline(&[invocation(0, 100), invocation(8_000, 8_100)]);
        assert_eq!(timeline.active(at(10_000)), Duration::from_millis(200));
        let scale = Scale {
            from: at(0),
            to: at(11_000),
        };
        let closed = scale.gaps(&timeline.invocations, false);
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0].text, "suspended 7.9 s");
        assert_eq!(closed[0].middle, 36.82);
        let open = scale.gaps(&timeline.invocations, true);
        assert_eq!(open[1].text, "suspended 2.9 s");
    }

    #[test]
    fn an_invocation_under_way_lasts_until_now() {
        let mut timeline = timeline(&[invocation(0, 100)]);
        timeline.running(&Gate::Idle);
        assert_eq!(timeline.invocations.len(), 1);
        timeline.running(&Gate::Running(crate::machine::Running {
            request_id: "r".to_owned(),
            token: crate::model::id::CheckpointToken::parse("dG9rZW4=").unwrap(),
            started: at(1_000),
        }));
        assert_eq!(timeline.active(at(1_500)), Duration::from_millis(600));
        let scale = Scale {
            from: at(0),
            to: at(2_000),
        };
        let bar = scale.bar(&timeline.invocations[1], "invocation");
        assert_eq!((bar.x, bar.width, bar.class), (50.0, 50.0, "open"));
    }
}
