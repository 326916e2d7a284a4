//! Times in order, as rows of a table.

use std::time::Duration;

/// Times, to be asked for percentiles.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    fn percentile(&self, percent: usize) -> Duration {
        self.0[(self.0.len() - 1) * percent / 100]
    }
}

/// A row of a table: what, p50 and p99 in milliseconds, how many.
pub(crate) fn row(what: &str, times: Vec<Duration>) {
    let times = Times::new(times);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "| {what} | {:.3} ms | {:.3} ms | {} |",
        ms(times.percentile(50)),
        ms(times.percentile(99)),
        times.0.len()
    );
}

pub(crate) fn head() {
    println!("| what | p50 | p99 | measured |\n| --- | ---: | ---: | ---: |");
}
