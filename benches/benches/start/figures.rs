//! Times in order, the processor time of this process and its children, and the machine.

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

/// The processor time of this process and of all its children that have ended, in steps of 10 ms.
pub(crate) fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(") ").expect("a stat");
    // utime, stime, cutime and cstime (proc(5)).
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(4)
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(ticks * 10)
}

/// The machine and how busy it was.
pub(crate) fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown CPU", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cpus} × {model}, Linux {}, load average {} before",
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or_default()
    )
}
