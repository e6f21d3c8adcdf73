//! Opened working keys, bounded in number; what their ages mean is decided here, by arithmetic alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::limits::KeyringLimits;
use crate::key_service::EncryptionContext;
use crate::keys::WorkingKey;
use crate::wrap::Wrap;

/// The most wraps of one key that are remembered to be genuine: those of its record before and after a rewrap.
const GENUINE_WRAPS: usize = 8;

/// What the cache says about a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cached {
    /// Younger than the cache age: use it.
    Fresh(Arc<WorkingKey>),
    /// Older, within the grace, and the last attempt to unwrap it anew met an outage: use it, and try again beside.
    InOutage(Arc<WorkingKey>),
    /// Not there, or too old to be used before the key service has confirmed it.
    Absent,
}

#[derive(Debug)]
struct Entry {
    key: Arc<WorkingKey>,
    genuine: Vec<Wrap>,
    opened: Duration,
    last_use: u64,
    in_outage: bool,
}

/// Working keys by what their wraps are bound to: identifier and domain.
#[derive(Debug)]
pub(super) struct KeyCache {
    entries: HashMap<EncryptionContext, Entry>,
    capacity: usize,
    cache_age: Duration,
    outage_grace: Duration,
    uses: u64,
}

impl KeyCache {
    pub(super) fn new(limits: &KeyringLimits) -> Self {
        Self {
            entries: HashMap::new(),
            capacity: limits.cached_keys,
            cache_age: limits.cache_age,
            outage_grace: limits.outage_grace,
            uses: 0,
        }
    }

    /// Looks a key up; one that is beyond every limit is dropped, and so wiped.
    pub(super) fn look_up(&mut self, context: &EncryptionContext, now: Duration) -> Cached {
        let Some(entry) = self.entries.get_mut(context) else {
            return Cached::Absent;
        };
        let age = now.saturating_sub(entry.opened);
        if age >= self.cache_age.saturating_add(self.outage_grace) && age >= self.cache_age {
            self.entries.remove(context);
            return Cached::Absent;
        }
        self.uses += 1;
        entry.last_use = self.uses;
        match (age < self.cache_age, entry.in_outage) {
            (true, _) => Cached::Fresh(Arc::clone(&entry.key)),
            (false, true) => Cached::InOutage(Arc::clone(&entry.key)),
            (false, false) => Cached::Absent,
        }
    }

    /// Notes that unwrapping anew met an outage; gives the key if it may go on serving.
    pub(super) fn enter_outage(
        &mut self,
        context: &EncryptionContext,
        now: Duration,
    ) -> Option<Arc<WorkingKey>> {
        self.entries.get_mut(context)?.in_outage = true;
        match self.look_up(context, now) {
            Cached::Fresh(key) | Cached::InOutage(key) => Some(key),
            Cached::Absent => None,
        }
    }

    /// The wraps that are known to be of this key, the latest first; none if it is not here.
    pub(super) fn genuine_wraps(&self, context: &EncryptionContext) -> &[Wrap] {
        self.entries
            .get(context)
            .map_or(&[], |entry| entry.genuine.as_slice())
    }

    /// Keeps a key that was opened, or made, at `opened`, and the wraps that proved to be its. The least recently used
    /// key makes room.
    pub(super) fn insert(
        &mut self,
        context: EncryptionContext,
        key: Arc<WorkingKey>,
        mut genuine: Vec<Wrap>,
        opened: Duration,
    ) {
        for known in self.genuine_wraps(&context) {
            if !genuine.contains(known) {
                genuine.push(known.clone());
            }
        }
        genuine.truncate(GENUINE_WRAPS);
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&context) {
            let oldest = self
                .entries
                .iter()
                .min_by_key(|(_, entry)| entry.last_use)
                .map(|(context, _)| context.clone());
            if let Some(oldest) = oldest {
                self.entries.remove(&oldest);
            }
        }
        self.uses += 1;
        self.entries.insert(
            context,
            Entry {
                key,
                genuine,
                opened,
                last_use: self.uses,
                in_outage: false,
            },
        );
    }

    /// Drops the keys that are beyond every limit.
    pub(super) fn drop_expired(&mut self, now: Duration) {
        let longest = self.cache_age.saturating_add(self.outage_grace);
        self.entries
            .retain(|_, entry| now.saturating_sub(entry.opened) < longest);
    }

    /// Drops a key that was taken away from us.
    pub(super) fn remove(&mut self, context: &EncryptionContext) {
        self.entries.remove(context);
    }

    /// Drops every key; each is wiped with its last user.
    pub(super) fn clear(&mut self) -> usize {
        let dropped = self.entries.len();
        self.entries.clear();
        dropped
    }

    /// How long ago the oldest key was opened.
    pub(super) fn oldest(&self, now: Duration) -> Option<Duration> {
        let opened = self.entries.values().map(|entry| entry.opened).min()?;
        Some(now.saturating_sub(opened))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Domain;
    use crate::keys::WorkingKeyId;

    const SECOND: Duration = Duration::from_secs(1);

    fn context(id: u8) -> EncryptionContext {
        EncryptionContext::new(
            Domain::new("d").unwrap(),
            WorkingKeyId::from_bytes([id; 16]),
        )
    }

    fn key(value: u8) -> Arc<WorkingKey> {
        Arc::new(WorkingKey::from_bytes([value; 32]))
    }

    fn cache(capacity: usize, grace: Duration) -> KeyCache {
        KeyCache::new(&KeyringLimits {
            cached_keys: capacity,
            cache_age: SECOND * 10,
            outage_grace: grace,
            ..KeyringLimits::default()
        })
    }

    #[test]
    fn a_key_is_fresh_up_to_the_cache_age_exactly() {
        let mut cache = cache(2, SECOND * 5);
        cache.insert(context(1), key(1), Vec::new(), SECOND);
        assert_eq!(
            cache.look_up(&context(1), Duration::from_nanos(10_999_999_999)),
            Cached::Fresh(key(1))
        );
        assert_eq!(cache.look_up(&context(1), SECOND * 11), Cached::Absent);
        assert_eq!(cache.look_up(&context(2), SECOND), Cached::Absent);
    }

    #[test]
    fn an_outage_prolongs_it_by_the_grace_and_not_further() {
        let mut cache = cache(2, SECOND * 5);
        cache.insert(context(1), key(1), Vec::new(), SECOND);
        assert_eq!(cache.enter_outage(&context(1), SECOND * 11), Some(key(1)));
        assert_eq!(
            cache.look_up(&context(1), Duration::from_nanos(15_999_999_999)),
            Cached::InOutage(key(1))
        );
        assert_eq!(cache.look_up(&context(1), SECOND * 16), Cached::Absent);
        assert_eq!(cache.len(), 0, "a key beyond the grace is dropped");
    }

    #[test]
    fn a_key_that_nobody_asks_for_any_more_is_dropped_all_the_same() {
        let mut cache = cache(2, SECOND * 5);
        cache.insert(context(1), key(1), Vec::new(), SECOND);
        cache.drop_expired(Duration::from_nanos(15_999_999_999));
        assert_eq!(cache.len(), 1);
        cache.drop_expired(SECOND * 16);
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn without_grace_an_outage_prolongs_nothing() {
        let mut cache = cache(2, Duration::ZERO);
        cache.insert(context(1), key(1), Vec::new(), SECOND);
        assert_eq!(cache.enter_outage(&context(1), SECOND * 11), None);
    }

    #[test]
    fn the_least_recently_used_key_makes_room() {
        let mut cache = cache(2, SECOND);
        cache.insert(context(1), key(1), Vec::new(), SECOND);
        cache.insert(context(2), key(2), Vec::new(), SECOND);
        assert_eq!(cache.look_up(&context(1), SECOND), Cached::Fresh(key(1)));
        cache.insert(context(3), key(3), Vec::new(), SECOND);
        assert_eq!(cache.len(), 2);
        assert_eq!(cache.look_up(&context(2), SECOND), Cached::Absent);
        assert_eq!(cache.look_up(&context(1), SECOND), Cached::Fresh(key(1)));
    }

    #[test]
    fn the_domain_is_part_of_the_name() {
        let mut cache = cache(2, SECOND);
        cache.insert(context(1), key(1), Vec::new(), SECOND);
        let elsewhere =
            EncryptionContext::new(Domain::new("e").unwrap(), WorkingKeyId::from_bytes([1; 16]));
        assert_eq!(cache.look_up(&elsewhere, SECOND), Cached::Absent);
    }
}
