//! What a run of the suite found.

use std::fmt;

use super::{BrokenPromise, Promise};

/// What was found about one promise.
#[derive(Debug)]
pub enum Verdict {
    /// It was kept.
    Kept,
    /// It was broken.
    Broken(BrokenPromise),
    /// The subject says that it cannot be shown, and why.
    Skipped(String),
}

/// The verdict on every promise, in the order of [`Promise::ALL`]. `Display` is one line each.
#[derive(Debug)]
pub struct Report {
    backend: String,
    verdicts: Vec<(Promise, Verdict)>,
}

impl Report {
    pub(super) fn new(backend: &str) -> Self {
        Self {
            backend: backend.to_owned(),
            verdicts: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, promise: Promise, verdict: Verdict) {
        self.verdicts.push((promise, verdict));
    }

    /// Every promise with its verdict.
    #[must_use]
    pub fn verdicts(&self) -> &[(Promise, Verdict)] {
        &self.verdicts
    }

    /// The promises that were kept.
    pub fn kept(&self) -> impl Iterator<Item = Promise> {
        self.verdicts
            .iter()
            .filter_map(|(promise, verdict)| matches!(verdict, Verdict::Kept).then_some(*promise))
    }

    /// The promises that were broken.
    pub fn broken(&self) -> impl Iterator<Item = &BrokenPromise> {
        self.verdicts
            .iter()
            .filter_map(|(_, verdict)| match verdict {
                Verdict::Broken(broken) => Some(broken),
                Verdict::Kept | Verdict::Skipped(_) => None,
            })
    }

    /// The promises that were skipped, with the reasons.
    pub fn skipped(&self) -> impl Iterator<Item = (Promise, &str)> {
        self.verdicts
            .iter()
            .filter_map(|(promise, verdict)| match verdict {
                Verdict::Skipped(reason) => Some((*promise, reason.as_str())),
                Verdict::Kept | Verdict::Broken(_) => None,
            })
    }

    /// Passes when no promise was broken.
    ///
    /// # Panics
    ///
    /// With the whole report, when one was, or when nothing was checked at all.
    #[track_caller]
    #[expect(clippy::panic, reason = "this is the assertion of a test")]
    pub fn assert(&self) {
        if self.broken().next().is_some() || self.kept().next().is_none() {
            panic!("{self}");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let broken = self.broken().count();
        writeln!(
            f,
            "backend `{}`: {} promises kept, {broken} broken, {} skipped",
            self.backend,
            self.kept().count(),
            self.skipped().count()
        )?;
        for (promise, verdict) in &self.verdicts {
            match verdict {
                Verdict::Kept => writeln!(f, "  kept     {promise}")?,
                Verdict::Broken(broken) => writeln!(f, "  BROKEN   {promise}: {}", broken.seen)?,
                Verdict::Skipped(reason) => writeln!(f, "  skipped  {promise}: {reason}")?,
            }
        }
        Ok(())
    }
}
