//! Drawing spans of time: bars, gaps and the axis, in percent of the whole width.

use std::time::Duration;

use crate::model::Timestamp;

use super::format::duration;
use super::timeline::Span;

/// The least part of the whole that a bar takes, so that a short one can be seen.
const LEAST: f64 = 0.45;

/// The least part of the whole that a gap must take for its length to be written into it.
const ROOM: f64 = 20.0;

/// The stretch of time that a drawing shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// A rectangle: percentages of the whole width.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    pub(super) x: f64,
    pub(super) width: f64,
    pub(super) class: &'static str,
    pub(super) title: String,
}

/// A stretch without an invocation, with its length if there is room for it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gap {
    pub(super) middle: f64,
    pub(super) text: String,
}

/// A line of the time axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) x: f64,
    pub(super) text: String,
}

impl Scale {
    fn millis(self) -> f64 {
        as_f64(self.to.since(self.from)).max(1.0)
    }

    fn at(self, at: Timestamp) -> f64 {
        (as_f64(at.since(self.from)) / self.millis() * 100.0).clamp(0.0, 100.0)
    }

    /// The bar of a span, inside the whole and wide enough to be seen.
    pub(super) fn bar(self, span: &Span, what: &str) -> Bar {
        let end = span.to.unwrap_or(self.to);
        let width = (self.at(end) - self.at(span.from)).max(LEAST);
        let x = self.at(span.from).min(100.0 - width);
        let after = duration(span.from.since(self.from));
        let lasted = duration(end.since(span.from));
        Bar {
            x: round(x),
            width: round(width),
            class: span.state.class(),
            title: format!(
                "{what}: {} after {lasted}, began at {after}",
                span.state.word()
            ),
        }
    }

    /// What lies between invocations, and after the last one while the execution is open.
    pub(super) fn gaps(self, invocations: &[Span], is_open: bool) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut end = None;
        let stops = invocations
            .iter()
            .map(|span| (span.from, span.to.unwrap_or(self.to)));
        for (from, to) in stops.chain(is_open.then_some((self.to, self.to))) {
            if let Some(before) = end
                && self.at(from) - self.at(before) >= ROOM
            {
                gaps.push(Gap {
                    middle: round(f64::midpoint(self.at(before), self.at(from))),
                    text: format!("suspended {}", duration(from.since(before))),
                });
            }
            end = Some(to);
        }
        gaps
    }

    /// Four to eight lines at round times.
    pub(super) fn ticks(self) -> Vec<Tick> {
        let millis = self.to.since(self.from).as_millis();
        let step = STEPS
            .into_iter()
            .find(|step| millis / step < 7)
            .unwrap_or_else(|| (millis / 6).max(1));
        (0..=millis / step)
            .map(|n| {
                let at = u64::try_from(n * step).unwrap_or(u64::MAX);
                let x = as_f64(Duration::from_millis(at)) / self.millis() * 100.0;
                Tick {
                    x: round(x),
                    text: tick(at),
                }
            })
            .filter(|tick| tick.x <= 97.0)
            .collect()
    }
}

/// Distances between ticks, in milliseconds: 10 ms to 30 days.
const STEPS: [u128; 27] = [
    10,
    20,
    50,
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    14_400_000,
    28_800_000,
    43_200_000,
    86_400_000,
    172_800_000,
    604_800_000,
    2_592_000_000,
];

/// A round time as short as it can be: `0`, `200 ms`, `1.5 s`, `90 s`, `15 min`, `2 h`, `3 d`.
fn tick(millis: u64) -> String {
    let [second, minute, hour, day] = [1_000, 60_000, 3_600_000, 86_400_000];
    match millis {
        0 => "0".to_owned(),
        _ if millis < second => format!("{millis} ms"),
        _ if !millis.is_multiple_of(second) => {
            format!("{}.{} s", millis / second, millis % second / 100)
        }
        _ if millis.is_multiple_of(day) => format!("{} d", millis / day),
        _ if millis.is_multiple_of(hour) => format!("{} h", millis / hour),
        _ if millis.is_multiple_of(minute) => format!("{} min", millis / minute),
        _ => format!("{} s", millis / second),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of 366 days are exact in an f64"
)]
fn as_f64(duration: Duration) -> f64 {
    duration.as_millis() as f64
}

/// Two digits are enough for a screen, and keep the page small.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::super::timeline::State;
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn every_bar_can_be_seen_and_none_leaves_the_drawing() {
        let scale = Scale {
            from: at(0),
            to: at(1_000_000),
        };
        for (from, to) in [
            (0, Some(0)),
            (1_000_000, Some(1_000_000)),
            (999_999, None),
            (-5, Some(2_000_000)),
        ] {
            let span = Span {
                from: at(from),
                to: to.map(at),
                state: State::Open,
            };
            let bar = scale.bar(&span, "x");
            assert!(bar.width >= LEAST && bar.x >= 0.0, "{bar:?}");
            assert!(bar.x + bar.width <= 100.001, "{bar:?}");
        }
    }

    #[test]
    fn the_axis_has_a_few_round_times_whatever_the_length() {
        for millis in [
            0,
            1,
            9,
            340,
            8_200,
            61_000,
            3_600_000,
            86_400_000 * 3,
            31_622_400_000,
        ] {
            let scale = Scale {
                from: at(0),
                to: at(millis),
            };
            let ticks = scale.ticks();
            assert!((1..=14).contains(&ticks.len()), "{millis}: {ticks:?}");
            assert_eq!(ticks[0].text, "0");
        }
        let scale = Scale {
            from: at(0),
            to: at(8_200),
        };
        let texts: Vec<_> = scale.ticks().into_iter().map(|tick| tick.text).collect();
        assert_eq!(texts, ["0", "2 s", "4 s", "6 s"]);
        assert_eq!(tick(1_500), "1.5 s");
        assert_eq!(tick(90_000), "90 s");
        assert_eq!(tick(5_400_000), "90 min");
    }
}
