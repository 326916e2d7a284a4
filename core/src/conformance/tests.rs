//! The suite against a backend that keeps every promise, and against ones that break each.

mod flaw;
mod memory;
mod subject;
#[cfg(feature = "wrappers")]
mod wrappers;

use std::collections::BTreeSet;
use std::error::Error;

use flaw::Flaw;
use memory::Memory;
use subject::MemorySubject;

use super::*;

#[tokio::test]
async fn a_correct_backend_keeps_every_promise() {
    let memory = Memory::new("memory");
    let report = run_all(&MemorySubject::of(&memory)).await;
    report.assert();
    assert_eq!(report.kept().count(), Promise::ALL.len(), "{report}");
}

#[tokio::test]
async fn every_flaw_is_found_as_the_promise_that_it_breaks() {
    for &flaw in Flaw::ALL {
        for &promise in flaw.breaks() {
            let memory = Memory::with_flaw(flaw);
            let mut subject = MemorySubject::of(&memory);
            subject.quick = true;
            let Err(broken) = check(&subject, promise).await else {
                panic!("{flaw:?} was not found as {promise:?}");
            };
            assert_eq!(broken.promise, promise, "{flaw:?}");
            let text = broken.to_string();
            assert!(text.starts_with(&format!("broken promise: {promise}: ")));
        }
    }
}

#[test]
fn every_promise_has_a_flaw_that_breaks_it() {
    let broken: BTreeSet<Promise> = Flaw::ALL.iter().flat_map(|f| f.breaks()).copied().collect();
    assert_eq!(broken, Promise::ALL.into_iter().collect());
}

#[tokio::test]
async fn a_broken_promise_never_shows_the_token_that_it_found() {
    for flaw in [
        Flaw::TokenInHandle,
        Flaw::TokenInDebug,
        Flaw::TokenInStatus,
        Flaw::TokenInTags,
        Flaw::TokenInCommand,
        Flaw::TokenInError,
        Flaw::TokenInCauseOfError,
    ] {
        let memory = Memory::with_flaw(flaw);
        let broken = the_token_shows_nowhere(&MemorySubject::of(&memory))
            .await
            .unwrap_err();
        let text = format!("{broken} {broken:?}");
        assert!(text.contains("«the token»"), "{flaw:?}: {text}");
        for token in memory.tokens() {
            assert!(!text.contains(&token), "{flaw:?}: {text}");
        }
    }
}

#[tokio::test]
async fn the_suite_leaves_nothing_running_whatever_it_finds() {
    for flaw in [None]
        .into_iter()
        .chain(Flaw::ALL.iter().copied().map(Some))
    {
        // Where a cancel does nothing, fails or knows no handle, nobody can clean up.
        if matches!(
            flaw,
            Some(Flaw::CancelDoesNothing | Flaw::CancelFails | Flaw::HandleKnownByAddress)
        ) {
            continue;
        }
        let memory = flaw.map_or_else(|| Memory::new("memory"), Memory::with_flaw);
        let mut subject = MemorySubject::of(&memory);
        subject.quick = true;
        for promise in Promise::ALL {
            let _ = check(&subject, promise).await;
            assert_eq!(memory.running(), 0, "{flaw:?} {promise:?}");
        }
    }
}

#[tokio::test]
async fn what_the_subject_cannot_show_is_skipped_with_the_reason_and_nothing_else_is() {
    let memory = Memory::with_flaw(Flaw::NoLimit);
    let mut subject = MemorySubject::of(&memory);
    subject.cannot = vec![Cannot::new(
        Promise::SpecBeyondTheLimitStartsNothing,
        "memory is endless",
    )];
    let report = run_all(&subject).await;
    report.assert();
    let skipped: Vec<_> = report.skipped().collect();
    assert_eq!(
        skipped,
        [(
            Promise::SpecBeyondTheLimitStartsNothing,
            "memory is endless"
        )]
    );
    assert!(report.to_string().contains("memory is endless"));
}

/// A subject that has nothing to offer but its backend.
struct Bare(Memory);

#[async_trait::async_trait]
impl Subject for Bare {
    fn backend(&self) -> &dyn crate::ComputeBackend {
        &self.0
    }
    fn long_job(&self) -> crate::JobSpec {
        MemorySubject::of(&self.0).long_job()
    }
    fn job_that_exits(&self, _: i32) -> Option<crate::JobSpec> {
        None
    }
    fn unknown_handle(&self) -> crate::JobHandle {
        MemorySubject::of(&self.0).unknown_handle()
    }
    fn patience(&self) -> Patience {
        MemorySubject::of(&self.0).patience()
    }
}

#[tokio::test]
async fn what_is_missing_and_not_declared_is_a_failure_that_says_what_to_declare() {
    let report = run_all(&Bare(Memory::new("memory"))).await;
    let broken: BTreeSet<Promise> = report.broken().map(|broken| broken.promise).collect();
    let expected = [
        Promise::StartedJobIsLocated,
        Promise::CancelOfAFinishedJob,
        Promise::FinishedJobHasItsExitCode,
        Promise::SpecAtTheLimitStarts,
        Promise::SpecBeyondTheLimitStartsNothing,
        Promise::UnicodeArrivesUnchanged,
    ];
    assert_eq!(broken, expected.into_iter().collect(), "{report}");
    for promise in expected {
        if promise != Promise::UnicodeArrivesUnchanged {
            let line = format!("`Subject::cannot` for `Promise::{promise:?}`");
            assert!(report.to_string().contains(&line), "{report}");
        }
    }
}

#[tokio::test]
#[should_panic(expected = "BROKEN   cancel stops a running job")]
async fn a_report_with_a_broken_promise_fails_the_test_and_names_it() {
    let memory = Memory::with_flaw(Flaw::CancelSaysAlreadyEnded);
    run_all(&MemorySubject::of(&memory)).await.assert();
}

#[tokio::test]
#[should_panic(expected = "0 promises kept, 0 broken, 21 skipped")]
async fn a_report_in_which_nothing_was_checked_fails_the_test() {
    let memory = Memory::new("memory");
    let mut subject = MemorySubject::of(&memory);
    subject.cannot = Promise::ALL
        .into_iter()
        .map(|promise| Cannot::new(promise, "because"))
        .collect();
    run_all(&subject).await.assert();
}

#[tokio::test]
async fn a_broken_promise_keeps_the_backends_error_as_its_source() {
    let memory = Memory::with_flaw(Flaw::CancelFails);
    let broken = cancel_stops_a_running_job(&MemorySubject::of(&memory))
        .await
        .unwrap_err();
    assert!(broken.source().is_some());
    assert!(broken.to_string().contains("answered Denied"), "{broken}");
}
