//! What the machine is, and what this process takes of it.
#![allow(
    clippy::expect_used,
    reason = "a bench that cannot go on has nothing to say"
)]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// One line about the machine, for the head of a table.
pub fn facts() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} × {}, Linux {}, load average {} before",
        model.unwrap_or("unknown CPU").trim(),
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or_default()
    )
}

/// CPU time of this process so far, of all its threads, to the kernel's tick of 10 ms.
pub fn cpu() -> Duration {
    ticks(0)
}

/// The same of all its children, and theirs, that have ended and were waited for.
pub fn cpu_of_children() -> Duration {
    ticks(2)
}

/// utime and stime, or cutime and cstime, which are two fields later (proc(5)).
fn ticks(from: usize) -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("procfs");
    let (_, after) = stat.rsplit_once(") ").expect("a stat line");
    let ticks: u64 = after
        .split(' ')
        .skip(11 + from)
        .take(2)
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Memory that is resident now, in MiB.
pub fn resident_mib() -> f64 {
    memory("VmRSS:")
}

/// The most memory that was ever resident, in MiB.
pub fn peak_mib() -> f64 {
    memory("VmHWM:")
}

fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib: f64 = line
        .and_then(|line| line.trim().split(' ').next()?.parse().ok())
        .expect("a size");
    kib / 1024.0
}

/// Appends of a page that the disk of `folder` makes durable in a second, one after another.
pub fn fsyncs(folder: &Path) -> f64 {
    let path = folder.join("fsync");
    let mut file = File::create(&path).expect("a file");
    let (began, mut count) = (Instant::now(), 0.0);
    while began.elapsed() < Duration::from_secs(1) {
        file.write_all(&[0; 4096]).expect("a write");
        file.sync_data().expect("a sync");
        count += 1.0;
    }
    let rate = count / began.elapsed().as_secs_f64();
    std::fs::remove_file(path).expect("a removal");
    rate
}
