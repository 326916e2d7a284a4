//! The wrappers keep every promise that the backend within keeps.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use super::memory::Memory;
use super::subject::MemorySubject;
use crate::conformance::{Cannot, Promise, run_all};
use crate::wrap::{Fallback, Limit, Rate, Traced};

#[tokio::test]
async fn limit_keeps_every_promise() {
    let memory = Arc::new(Memory::new("memory"));
    let rate = Rate::one_each(Duration::from_millis(1)).with_burst(NonZeroU32::MIN);
    let limit = Limit::new(Arc::clone(&memory))
        .with_in_flight(NonZeroUsize::MIN)
        .with_rate(rate);
    let subject = MemorySubject {
        backend: &limit,
        locate: Some(&limit),
        ..MemorySubject::of(&memory)
    };
    run_all(&subject).await.assert();
}

#[tokio::test]
async fn traced_keeps_every_promise() {
    let memory = Arc::new(Memory::new("memory"));
    let traced = Traced::new(Arc::clone(&memory));
    let subject = MemorySubject {
        backend: &traced,
        locate: Some(&traced),
        ..MemorySubject::of(&memory)
    };
    run_all(&subject).await.assert();
    let counts = traced.counts();
    assert!(counts.starts.succeeded > 20 && counts.locates.succeeded > 2);
}

#[tokio::test]
async fn fallback_keeps_every_promise_wherever_the_jobs_go() {
    let pairs = [
        (Memory::new("first"), Memory::new("second")),
        (Memory::full("first"), Memory::new("second")),
    ];
    for (first, second) in pairs {
        let (first, second) = (Arc::new(first), Arc::new(second));
        let fallback = Fallback::new("both", Arc::<Memory>::clone(&first))
            .then(Arc::<Memory>::clone(&second))
            .unwrap();
        let subject = MemorySubject {
            backend: &fallback,
            locate: None,
            places: vec![&first, &second],
            cannot: vec![Cannot::new(
                Promise::StartedJobIsLocated,
                "a fallback is none to fall back on",
            )],
            quick: false,
        };
        run_all(&subject).await.assert();
    }
}
