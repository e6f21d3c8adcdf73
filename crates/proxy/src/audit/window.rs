//! How many records a second there may be of requests that were refused at the door, so that nobody fills the log with them.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// Records a second of one kind of refusal. More are counted, and the count is recorded.
const REFUSALS_A_SECOND: u64 = 100;

/// The second that is running, and how many records it has.
#[derive(Debug, Default)]
pub(super) struct Window(Mutex<(u64, u64)>);

impl Window {
    /// Whether this second has room for another record.
    pub(super) fn admits(&self) -> bool {
        let since = SystemTime::UNIX_EPOCH.elapsed();
        self.admits_in(since.unwrap_or(Duration::ZERO).as_secs())
    }

    fn admits_in(&self, second: u64) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.0 != second {
            *window = (second, 0);
        }
        window.1 += 1;
        window.1 <= REFUSALS_A_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_room_for_a_hundred_records_and_the_next_one_for_as_many() {
        let window = Window::default();
        let admitted = |second| (0..250).filter(|_| window.admits_in(second)).count();
        assert_eq!(admitted(7), 100);
        assert_eq!(admitted(7), 0);
        assert_eq!(admitted(8), 100);
    }
}
