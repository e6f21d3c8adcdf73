//! Decisions that were made before and depend on little: see [`dependence`](crate::dependence).

use std::hash::{Hash, Hasher};

use quick_cache::{Equivalent, sync::Cache};

use crate::{action::Action, decision::Decision, question::Resource};

/// How many: some hundred bytes each. Buckets are named by whoever asks, so there is no other bound.
const MAX_DECISIONS: usize = 8_192;

/// What a decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Asked<'a> {
    /// The number of the principal.
    principal: u32,
    action: Action,
    /// Which kind of resource.
    kind: u8,
    bucket: &'a str,
    /// The outcomes of the tests of its key.
    outcomes: u64,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(
        principal: u32,
        action: Action,
        resource: Resource<'a>,
        outcomes: u64,
    ) -> Self {
        let (kind, bucket) = match resource {
            Resource::Service => (0, ""),
            Resource::Bucket(bucket) => (1, bucket),
            Resource::Object { bucket, .. } => (2, bucket),
        };
        Self {
            principal,
            action,
            kind,
            bucket,
            outcomes,
        }
    }
}

/// The same, owned.
#[derive(Debug, Clone)]
struct Key {
    principal: u32,
    action: Action,
    kind: u8,
    bucket: Box<str>,
    outcomes: u64,
}

impl Key {
    fn asked(&self) -> Asked<'_> {
        Asked {
            principal: self.principal,
            action: self.action,
            kind: self.kind,
            bucket: &self.bucket,
            outcomes: self.outcomes,
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.asked().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.asked() == other.asked()
    }
}

impl Eq for Key {}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.asked()
    }
}

/// The decisions.
pub(crate) struct Remembered(Cache<Key, Decision>);

impl Remembered {
    pub(crate) fn new() -> Self {
        Self(Cache::new(MAX_DECISIONS))
    }

    pub(crate) fn get(&self, asked: &Asked<'_>) -> Option<Decision> {
        self.0.get(asked)
    }

    pub(crate) fn insert(&self, asked: &Asked<'_>, decision: Decision) {
        let key = Key {
            principal: asked.principal,
            action: asked.action,
            kind: asked.kind,
            bucket: asked.bucket.into(),
            outcomes: asked.outcomes,
        };
        self.0.insert(key, decision);
    }
}
