//! What the state machine promises, case by case.

mod endings;
mod invocations;
mod steps;

use super::testing::Bench;

/// A bench whose first invocation runs.
fn running() -> Bench {
    let mut bench = Bench::new();
    bench.begin();
    bench
}
