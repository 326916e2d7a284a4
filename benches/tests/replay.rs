//! That what the benches measure is a replay.
#![allow(clippy::unwrap_used, reason = "tests")]

use longhaul_benches::history::Size;
use longhaul_benches::replay::{Replay, Subject, expected};

#[tokio::test]
async fn every_subject_reads_all_results_and_calls_nobody() {
    for subject in Subject::ALL {
        for (jobs, result) in [(1, 200), (10, 4096), (100, 200)] {
            let size = Size { jobs, result };
            let replay = Replay::new(subject).unwrap();
            let event = subject.event(size).await.unwrap();
            let answer = replay.answer(&event).await.unwrap();
            assert_eq!(
                String::from_utf8(answer).unwrap(),
                String::from_utf8(expected(subject, size)).unwrap(),
                "{subject:?}"
            );
            assert_eq!(replay.calls(), 0, "{subject:?}");
        }
    }
}

#[tokio::test]
async fn a_job_that_has_not_been_started_is_noticed() {
    for subject in [
        Subject::SdkRaw,
        Subject::SdkWait,
        Subject::OurWait,
        Subject::Run,
        Subject::RunAll,
    ] {
        let size = Size {
            jobs: 2,
            result: 20,
        };
        let event = subject.event(size).await.unwrap();
        let mut event: serde_json::Value = serde_json::from_slice(&event).unwrap();
        let state = &mut event["InitialExecutionState"]["Operations"];
        state.as_array_mut().unwrap().truncate(3);
        let replay = Replay::new(subject).unwrap();
        let answer = replay.answer(event.to_string().as_bytes()).await;
        assert_ne!(answer.ok(), Some(expected(subject, size)), "{subject:?}");
        assert!(replay.calls() > 0, "{subject:?}");
    }
}
