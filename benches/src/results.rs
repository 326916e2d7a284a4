//! What criterion measured of replays, from its files.

use std::path::PathBuf;

use crate::replay::Subject;

/// How many jobs have ended in what is measured.
pub const JOBS: [usize; 4] = [1, 10, 100, 1_000];

/// How long their results are, in bytes of JSON.
pub const RESULTS: [usize; 2] = [200, 4096];

/// The median time of a replay and the bounds of its 95 % confidence interval, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Median {
    /// The median.
    pub is: f64,
    /// The lower bound.
    pub from: f64,
    /// The upper bound.
    pub to: f64,
}

/// What criterion wrote of `subject`, if it has measured it. `CRITERION_HOME`, `CARGO_TARGET_DIR` and the workspace's
/// `target` are where it looks, in this order.
#[must_use]
pub fn median(result: usize, subject: Subject, jobs: usize) -> Option<Median> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from);
    let home = folder("CRITERION_HOME").unwrap_or_else(|| {
        let target = folder("CARGO_TARGET_DIR")
            .unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")));
        target.join("criterion")
    });
    let name = subject.name();
    let file = home.join(format!("replay-{result}/{name}/{jobs}/new/estimates.json"));
    let estimates: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let median = &estimates["median"];
    let bound = |name: &str| median["confidence_interval"][name].as_f64();
    Some(Median {
        is: median["point_estimate"].as_f64()?,
        from: bound("lower_bound")?,
        to: bound("upper_bound")?,
    })
}
