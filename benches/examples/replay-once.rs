//! Replays one history some times, for a profiler or for `benches/replay-pairs`: `replay-once SUBJECT JOBS TIMES [RESULT]`,
//! with results of RESULT bytes, 200 where it is not said.

use std::process::ExitCode;

use aws_durable_execution_sdk::BoxError;
use longhaul_benches::history::Size;
use longhaul_benches::replay::{Replay, Subject, expected};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let subject = args
        .next()
        .and_then(|name| Subject::ALL.into_iter().find(|s| s.name() == name));
    let mut number = |default: Option<usize>| {
        let given = args.next();
        given.map_or(default, |text| text.parse().ok())
    };
    let numbers = (number(None), number(None), number(Some(200)));
    let (Some(subject), (Some(jobs), Some(times), Some(result))) = (subject, numbers) else {
        let names = Subject::ALL.map(Subject::name).join("|");
        eprintln!("usage: replay-once {names} JOBS TIMES [RESULT]");
        return ExitCode::from(2);
    };
    match replay(subject, Size { jobs, result }, times) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {} was not replayed: {error}", subject.name());
            ExitCode::FAILURE
        }
    }
}

fn replay(subject: Subject, size: Size, times: usize) -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let event = runtime.block_on(subject.event(size))?;
    let expected = expected(subject, size);
    let replay = Replay::new(subject)?;
    for _ in 0..times {
        let answer = runtime.block_on(replay.answer(&event))?;
        if answer != expected || replay.calls() > 0 {
            return Err(format!(
                "{} calls, answer {}",
                replay.calls(),
                String::from_utf8_lossy(&answer)
            )
            .into());
        }
    }
    Ok(())
}
