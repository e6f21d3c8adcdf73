//! A circuit breaker: a key service that fails again and again is spared for a while, so that nobody waits for it.

use std::time::Duration;

/// Outages in a row after which calls are no longer made.
const OUTAGES: u32 = 3;
/// The first pause; it doubles with each further outage.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, and so the longest time that a service which is back goes unnoticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How one key service has done lately.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    outages: u32,
    open_until: Option<Duration>,
}

impl Breaker {
    /// Whether a call may be made. After each pause one may, and if it does not come back, another after the next.
    pub(super) fn admits(&mut self, now: Duration, jitter: u8) -> bool {
        match self.open_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.open_until = Some(now.saturating_add(self.pause(jitter)));
                true
            }
            None => true,
        }
    }

    /// Whether a call would be refused now. It takes nobody's turn to try.
    pub(super) fn holds_back(&self, now: Duration) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }

    /// The service answered, be it with a refusal.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// The service was down or throttled.
    pub(super) fn failed(&mut self, now: Duration, jitter: u8) {
        self.outages = self.outages.saturating_add(1);
        if self.outages >= OUTAGES {
            self.open_until = Some(now.saturating_add(self.pause(jitter)));
        }
    }

    /// Whether calls are held back.
    pub(super) fn is_open(&self) -> bool {
        self.open_until.is_some()
    }

    /// Half of the pause is fixed and half is chance (`jitter`, of 256): replicas that failed together come back one
    /// after the other.
    fn pause(&self, jitter: u8) -> Duration {
        let doublings = self.outages.saturating_sub(OUTAGES).min(16);
        let whole = FIRST_PAUSE
            .saturating_mul(1 << doublings)
            .min(LONGEST_PAUSE);
        whole / 2 + whole / 2 * u32::from(jitter) / 256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn open_at(now: Duration) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..OUTAGES {
            assert!(breaker.admits(now, 255));
            breaker.failed(now, 255);
        }
        breaker
    }

    #[test]
    fn it_opens_after_some_outages_in_a_row_and_lets_one_call_try() {
        let mut breaker = open_at(SECOND);
        assert!(breaker.is_open());
        assert!(!breaker.admits(SECOND, 255));
        assert!(breaker.admits(SECOND * 2, 255));
        assert!(!breaker.admits(SECOND * 2, 255), "one call is enough");
        assert!(breaker.admits(SECOND * 3, 255), "it did not come back");
        breaker.answered();
        assert!(!breaker.is_open() && breaker.admits(SECOND * 3, 0));
    }

    #[test]
    fn an_answer_between_outages_keeps_it_closed() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            breaker.failed(SECOND, 0);
            breaker.failed(SECOND, 0);
            breaker.answered();
        }
        assert!(breaker.admits(SECOND, 0));
    }

    #[test]
    fn pauses_grow_to_a_bound_and_differ_by_chance() {
        let mut breaker = open_at(SECOND);
        assert_eq!(breaker.pause(0), SECOND / 2);
        assert!(breaker.pause(255) > SECOND * 9 / 10);
        for _ in 0..100 {
            breaker.failed(SECOND, 0);
        }
        assert_eq!(breaker.pause(0), LONGEST_PAUSE / 2);
        assert!(breaker.pause(255) <= LONGEST_PAUSE);
    }
}
