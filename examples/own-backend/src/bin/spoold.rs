//! The daemon: `spoold SPOOL SLOTS [WORKER…]` runs the jobs that are queued in a folder.

use std::process::ExitCode;
use std::time::Duration;

use own_backend::Spool;
use own_backend::daemon::{Daemon, INTERVAL, Settings};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(folder), Some(Ok(slots))) = (words.next(), words.next().map(|word| word.parse()))
    else {
        eprintln!("usage: spoold SPOOL SLOTS [WORKER...]");
        return ExitCode::from(2);
    };
    let settings = Settings {
        slots,
        worker: words.collect(),
        grace: Duration::from_secs(30),
    };
    match run(&folder, settings) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("error: the queue in {folder} is no longer worked off: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &str, settings: Settings) -> std::io::Result<std::convert::Infallible> {
    let mut daemon = Daemon::new(Spool::open(folder)?, settings)?;
    loop {
        daemon.turn()?;
        std::thread::sleep(INTERVAL);
    }
}
