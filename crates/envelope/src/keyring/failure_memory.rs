//! Unwraps that failed a moment ago, so that the same forged header does not call the key service again and again.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::limits::KeyringLimits;
use crate::error::{Error, KeyServiceFailure};
use crate::key_service::{EncryptionContext, failure_of, serves_cached};
use crate::wrap::Wrap;

/// One way of opening one working key: its context together with the wraps at hand.
///
/// The wraps are part of it, so that a forged header with the identifier of a real working key spoils nothing for the
/// genuine ones: neither its failure nor its wait is shared with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Attempt([u8; 32]);

impl Attempt {
    pub(super) fn new(context: &EncryptionContext, wraps: &[Wrap]) -> Self {
        let mut hash = Sha256::new();
        hash.update(context.working_key_id().as_bytes());
        let domain = context.domain().as_str().as_bytes();
        hash.update((domain.len() as u64).to_be_bytes());
        hash.update(domain);
        let mut encoded = Vec::new();
        for wrap in wraps {
            wrap.encode(&mut encoded);
        }
        hash.update(&encoded);
        Self(hash.finalize().into())
    }
}

/// Failures with an expiry, bounded in number; the oldest makes room.
#[derive(Debug)]
pub(super) struct FailureMemory {
    failures: HashMap<Attempt, (Error, Duration)>,
    order: VecDeque<Attempt>,
    capacity: usize,
    refusal_memory: Duration,
    outage_memory: Duration,
    /// When refusals by key services stop to count, the oldest first.
    refusals: VecDeque<Duration>,
    recent_refusals: usize,
}

impl FailureMemory {
    pub(super) fn new(limits: &KeyringLimits) -> Self {
        Self {
            failures: HashMap::new(),
            order: VecDeque::new(),
            capacity: limits.remembered_failures,
            refusal_memory: limits.refusal_memory,
            outage_memory: limits.outage_memory,
            refusals: VecDeque::new(),
            recent_refusals: limits.recent_refusals,
        }
    }

    pub(super) fn look_up(&self, attempt: &Attempt, now: Duration) -> Option<Error> {
        self.failures
            .get(attempt)
            .filter(|(_, expiry)| now < *expiry)
            .map(|(error, _)| error.clone())
    }

    pub(super) fn clear(&mut self) {
        self.failures.clear();
        self.order.clear();
        self.refusals.clear();
    }

    /// Whether so many different wraps were refused a moment ago that no other one is to be tried that nobody knows.
    pub(super) fn is_flooded(&mut self, now: Duration) -> bool {
        while self.refusals.front().is_some_and(|expiry| *expiry <= now) {
            self.refusals.pop_front();
        }
        self.refusals.len() >= self.recent_refusals
    }

    pub(super) fn remember(&mut self, attempt: Attempt, error: Error, now: Duration) {
        let duration = if serves_cached(&error) {
            self.outage_memory
        } else {
            self.refusal_memory
        };
        let refused = matches!(
            failure_of(&error),
            Some(KeyServiceFailure::Refused | KeyServiceFailure::WrapWithdrawn)
        );
        if refused {
            self.refusals.push_back(now.saturating_add(duration));
        }
        if self
            .failures
            .insert(attempt, (error, now.saturating_add(duration)))
            .is_none()
        {
            self.order.push_back(attempt);
        }
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.failures.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Domain;
    use crate::error::KeyServiceFailure;
    use crate::key_service::key_service_error;
    use crate::keys::{KeyReference, WorkingKeyId};
    use crate::wrap::Provider;

    const SECOND: Duration = Duration::from_secs(1);

    fn attempt(id: u8, blobs: &[u8]) -> Attempt {
        let wraps: Vec<_> = blobs
            .iter()
            .map(|blob| {
                Wrap::new(
                    Provider::Local,
                    KeyReference::from_bytes([0; 8]),
                    vec![*blob],
                )
                .unwrap()
            })
            .collect();
        Attempt::new(
            &EncryptionContext::new(
                Domain::new("d").unwrap(),
                WorkingKeyId::from_bytes([id; 16]),
            ),
            &wraps,
        )
    }

    fn memory(capacity: usize) -> FailureMemory {
        FailureMemory::new(&KeyringLimits {
            remembered_failures: capacity,
            ..KeyringLimits::default()
        })
    }

    #[test]
    fn attempts_differ_by_identifier_and_wraps() {
        let all = [
            attempt(1, &[]),
            attempt(1, &[1]),
            attempt(1, &[2]),
            attempt(1, &[1, 2]),
            attempt(2, &[1]),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all[index + 1..].iter().all(|other| other != one));
        }
    }

    #[test]
    fn failures_expire_by_their_kind() {
        let mut memory = memory(10);
        memory.remember(
            attempt(1, &[1]),
            key_service_error(KeyServiceFailure::Refused, "forged"),
            SECOND,
        );
        memory.remember(
            attempt(2, &[1]),
            key_service_error(KeyServiceFailure::Unavailable, "down"),
            SECOND,
        );
        assert!(memory.look_up(&attempt(1, &[1]), SECOND * 10).is_some());
        assert!(memory.look_up(&attempt(1, &[1]), SECOND * 11).is_none());
        assert!(memory.look_up(&attempt(2, &[1]), SECOND * 2).is_some());
        assert!(memory.look_up(&attempt(2, &[1]), SECOND * 3).is_none());
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let mut memory = memory(2);
        for id in 1..=3 {
            memory.remember(attempt(id, &[1]), Error::stored("x"), SECOND);
        }
        assert_eq!((memory.failures.len(), memory.order.len()), (2, 2));
        assert!(memory.look_up(&attempt(1, &[1]), SECOND).is_none());
        assert!(memory.look_up(&attempt(3, &[1]), SECOND).is_some());
        memory.remember(attempt(3, &[1]), Error::stored("y"), SECOND);
        assert_eq!(memory.order.len(), 2);
    }
}
