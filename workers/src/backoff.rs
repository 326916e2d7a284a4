//! How long to wait before the same call is tried again.

use std::time::Duration;

use rand::Rng;

/// The first wait.
const START: Duration = Duration::from_millis(200);

/// The longest wait.
pub(crate) const CAP: Duration = Duration::from_secs(10);

/// Waits that double, each somewhere between half and all of its length, so that many workers
/// that lost the same service do not come back in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    cap: Duration,
}

impl Backoff {
    /// Waits of 200 ms doubling to `cap`, which is at most 10 s.
    pub(crate) fn new(cap: Duration) -> Self {
        let cap = cap.min(CAP);
        Self {
            next: START.min(cap),
            cap,
        }
    }

    /// The next wait.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.cap);
        wait.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_keep_to_half_of_it_at_least() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        for full in [200, 400, 800, 1000, 1000] {
            let wait = backoff.wait();
            let full = Duration::from_millis(full);
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
        }
    }

    #[test]
    fn a_cap_below_the_first_wait_holds() {
        let mut backoff = Backoff::new(Duration::from_millis(50));
        assert!(backoff.wait() <= Duration::from_millis(50));
    }
}
