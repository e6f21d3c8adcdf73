//! What is stored.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, header};

use crate::{
    body::Content,
    regenerated::{KEPT_END, Keys, is_regenerated},
};

/// Keys that begin so have no content: uploads can go on for ever.
const DISCARDED: &str = "discard/";

/// An object.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) content: Content,
    pub(crate) headers: HeaderMap,
    pub(crate) entity_tag: String,
    pub(crate) modified: SystemTime,
}

/// An upload that is not complete.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) headers: HeaderMap,
    pub(crate) parts: BTreeMap<u32, (Content, String)>,
}

/// Everything behind the lock.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) buckets: BTreeMap<String, BTreeMap<String, Object>>,
    pub(crate) uploads: HashMap<String, Upload>,
}

/// The storage.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    counter: AtomicU64,
    /// What makes content anew, if it may be.
    pub(crate) keys: Option<Keys>,
    pub(crate) verbose: bool,
}

impl Store {
    /// An empty one.
    pub(crate) fn new(keys: Option<Keys>, verbose: bool) -> Self {
        Self {
            state: Mutex::default(),
            counter: AtomicU64::new(0),
            keys,
            verbose,
        }
    }

    /// What is stored, for a moment.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing else has it.
    pub(crate) fn unique(&self) -> String {
        format!("{:032x}", self.counter.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// An entity tag. It has the form of one of an object in parts, so that nobody takes it for an MD5.
    pub(crate) fn entity_tag(&self, parts: usize) -> String {
        format!("\"{}-{parts}\"", self.unique())
    }

    /// An object that is stored now.
    pub(crate) fn object(&self, content: Content, headers: HeaderMap, parts: usize) -> Object {
        Object {
            content,
            headers,
            entity_tag: self.entity_tag(parts),
            modified: SystemTime::now(),
        }
    }
}

/// How much of the end of this object, or of a part of it, is kept.
pub(crate) fn kept_length(key: &str) -> usize {
    if key.starts_with(DISCARDED) {
        0
    } else if is_regenerated(key) {
        KEPT_END
    } else {
        usize::MAX
    }
}

/// The headers that a GET gives back.
pub(crate) fn kept_headers(headers: &HeaderMap) -> HeaderMap {
    const KEPT: [HeaderName; 5] = [
        header::CACHE_CONTROL,
        header::CONTENT_DISPOSITION,
        header::CONTENT_LANGUAGE,
        header::CONTENT_TYPE,
        header::EXPIRES,
    ];
    headers
        .iter()
        .filter(|(name, _)| KEPT.contains(name) || name.as_str().starts_with("x-amz-meta-"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Puts parts together, in the order of their numbers. Of the end, as much is kept as was kept of the parts without a gap.
pub(crate) fn joined(parts: impl Iterator<Item = Content>) -> Content {
    let mut bytes = BytesMut::new();
    let mut length = 0;
    for part in parts {
        if (part.bytes.len() as u64) < part.length {
            bytes.clear();
        }
        bytes.extend_from_slice(&part.bytes);
        length += part.length;
    }
    Content {
        bytes: bytes.freeze(),
        length,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn the_end_of_parts_has_no_gap() {
        let part = |bytes: &'static str, length| Content {
            bytes: Bytes::from_static(bytes.as_bytes()),
            length,
        };
        let whole = joined([part("ab", 2), part("cd", 2)].into_iter());
        assert_eq!((&whole.bytes[..], whole.length), (&b"abcd"[..], 4));
        let end = joined([part("ab", 9), part("cd", 9), part("e", 1)].into_iter());
        assert_eq!((&end.bytes[..], end.length), (&b"cde"[..], 19));
    }
}
