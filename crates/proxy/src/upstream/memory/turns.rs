//! Whose turn it is, where documents want more memory than is free.
//!
//! - Requests that hold nothing wait in the order in which they came, and nobody overtakes: small documents would otherwise take each byte that becomes free,
//!   and a large one would never find enough.
//! - A request that holds some and needs more goes before them, the oldest first: only when it ends, memory becomes free.
//! - Where all that hold any wait for more, none of them would ever end. Then the youngest is refused, until the oldest can go on.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use tokio::sync::Notify;

use super::DocumentMemoryExhausted;

/// One request; of two, the older one has the smaller number.
pub(super) type RequestNumber = u64;

/// The memory, who holds how much of it, and who waits.
pub(super) struct Turns {
    capacity: usize,
    free: usize,
    held: HashMap<RequestNumber, usize>,
    waiting: BTreeMap<Turn, Waiting>,
    /// How many have asked.
    asked: u64,
}

/// A place in the order of those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    holds_nothing: bool,
    request: RequestNumber,
    serial: u64,
}

struct Waiting {
    wanted: usize,
    decision: Option<Decision>,
    decided: Arc<Notify>,
}

/// What becomes of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Granted,
    Refused,
}

impl Turns {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            free: capacity,
            held: HashMap::new(),
            waiting: BTreeMap::new(),
            asked: 0,
        }
    }

    /// Wants so many bytes more for a request. What tells when that is decided may have told already.
    ///
    /// # Errors
    ///
    /// Where the request would then hold more than there is.
    pub(super) fn ask(
        &mut self,
        request: RequestNumber,
        wanted: usize,
    ) -> Result<(Turn, Arc<Notify>), DocumentMemoryExhausted> {
        let held = self.held.get(&request).copied().unwrap_or_default();
        if held.saturating_add(wanted) > self.capacity {
            return Err(DocumentMemoryExhausted);
        }
        let turn = Turn {
            holds_nothing: held == 0,
            request,
            serial: self.asked,
        };
        self.asked = self.asked.wrapping_add(1);
        let decided = Arc::new(Notify::new());
        self.waiting.insert(
            turn,
            Waiting {
                wanted,
                decision: None,
                decided: Arc::clone(&decided),
            },
        );
        self.decide();
        Ok((turn, decided))
    }

    /// What was decided.
    pub(super) fn decision(&self, turn: Turn) -> Option<Decision> {
        self.waiting.get(&turn).and_then(|waiting| waiting.decision)
    }

    /// Takes a wish out of the order. Whether it was granted, so that the request holds the bytes now.
    pub(super) fn take(&mut self, turn: Turn) -> bool {
        let wish = self.waiting.remove(&turn);
        let decision = wish.and_then(|wish| wish.decision);
        if decision.is_none() {
            // Others may have waited for it alone.
            self.decide();
        }
        decision == Some(Decision::Granted)
    }

    /// Takes a wish out of the order, and gives back what was granted.
    pub(super) fn withdraw(&mut self, turn: Turn) {
        let wanted = self.waiting.get(&turn).map(|wish| wish.wanted);
        if self.take(turn) {
            self.give_back(turn.request, wanted.unwrap_or_default());
        }
    }

    /// A request holds so many bytes less.
    pub(super) fn give_back(&mut self, request: RequestNumber, bytes: usize) {
        if let Some(held) = self.held.get_mut(&request) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                self.held.remove(&request);
            }
        }
        self.free = self.free.saturating_add(bytes).min(self.capacity);
        self.decide();
    }

    /// Grants what can be granted, in order, and refuses the youngest where those that hold any all wait.
    fn decide(&mut self) {
        for (turn, wish) in &mut self.waiting {
            if wish.decision.is_some() {
                continue;
            }
            if wish.wanted > self.free {
                break;
            }
            self.free -= wish.wanted;
            *self.held.entry(turn.request).or_default() += wish.wanted;
            wish.settle(Decision::Granted);
        }
        let undecided =
            |(turn, wish): &(&Turn, &Waiting)| wish.decision.is_none() && !turn.holds_nothing;
        let waiting = self.waiting.iter().filter(undecided);
        let requests: HashSet<RequestNumber> = waiting.map(|(turn, _)| turn.request).collect();
        if requests.is_empty() || self.held.keys().any(|holder| !requests.contains(holder)) {
            return;
        }
        let youngest = self.waiting.iter().rfind(undecided).map(|(turn, _)| *turn);
        if let Some(wish) = youngest.and_then(|turn| self.waiting.get_mut(&turn)) {
            wish.settle(Decision::Refused);
        }
    }
}

impl Waiting {
    fn settle(&mut self, decision: Decision) {
        self.decision = Some(decision);
        self.decided.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks, and tells what was decided at once.
    fn ask(turns: &mut Turns, request: RequestNumber, wanted: usize) -> (Turn, Option<Decision>) {
        let (turn, _) = turns.ask(request, wanted).unwrap();
        (turn, turns.decision(turn))
    }

    fn holding(capacity: usize, held: &[(RequestNumber, usize)]) -> Turns {
        let mut turns = Turns::new(capacity);
        for (request, bytes) in held {
            let (turn, _) = ask(&mut turns, *request, *bytes);
            assert!(turns.take(turn));
        }
        turns
    }

    #[test]
    fn nobody_overtakes_a_large_one_that_waits() {
        let mut turns = holding(10, &[(1, 4), (2, 4)]);
        let (large, decision) = ask(&mut turns, 3, 8);
        assert_eq!(decision, None);
        let (small, decision) = ask(&mut turns, 4, 1);
        assert_eq!(decision, None, "there is room for it, and it came later");
        turns.give_back(1, 4);
        assert_eq!(turns.decision(small), None);
        turns.give_back(2, 4);
        assert_eq!(turns.decision(large), Some(Decision::Granted));
        assert_eq!(turns.decision(small), Some(Decision::Granted));
    }

    #[test]
    fn who_gives_up_keeps_nobody_waiting_and_nothing() {
        let mut turns = holding(10, &[(1, 5)]);
        let (large, _) = ask(&mut turns, 2, 8);
        let (small, _) = ask(&mut turns, 3, 5);
        turns.withdraw(large);
        assert_eq!(turns.decision(small), Some(Decision::Granted));
        // It was granted, and whoever asked is gone.
        turns.withdraw(small);
        assert_eq!(ask(&mut turns, 4, 5).1, Some(Decision::Granted));
    }

    #[test]
    fn who_holds_some_goes_before_who_holds_nothing_and_the_oldest_first() {
        let mut turns = holding(10, &[(1, 3), (2, 3), (3, 4)]);
        let (newcomer, _) = ask(&mut turns, 0, 2);
        let (younger, _) = ask(&mut turns, 2, 2);
        let (older, _) = ask(&mut turns, 1, 2);
        turns.give_back(3, 2);
        let decisions = [older, younger, newcomer].map(|turn| turns.decision(turn));
        assert_eq!(decisions, [Some(Decision::Granted), None, None]);
        turns.give_back(3, 2);
        let decisions = [younger, newcomer].map(|turn| turns.decision(turn));
        assert_eq!(decisions, [Some(Decision::Granted), None]);
    }

    #[test]
    fn where_all_that_hold_some_wait_the_youngest_is_refused() {
        let mut turns = holding(10, &[(1, 3), (2, 3), (3, 3)]);
        let (first, _) = ask(&mut turns, 1, 4);
        let (third, _) = ask(&mut turns, 3, 4);
        assert_eq!(turns.decision(third), None, "the second may end");
        let (second, _) = ask(&mut turns, 2, 4);
        let decisions = [first, second, third].map(|turn| turns.decision(turn));
        assert_eq!(decisions, [None, None, Some(Decision::Refused)]);
        // It holds some until it has ended.
        assert!(!turns.take(third));
        turns.give_back(3, 3);
        assert_eq!(turns.decision(first), Some(Decision::Granted));
        assert_eq!(turns.decision(second), None);
    }

    #[test]
    fn what_never_fits_is_refused_at_once() {
        let mut turns = holding(10, &[(1, 3)]);
        assert!(turns.ask(1, 8).is_err());
        assert!(turns.ask(2, 11).is_err());
        assert_eq!(ask(&mut turns, 1, 7).1, Some(Decision::Granted));
    }
}
