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

use crate::body::Content;

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
    pub(crate) verbose: bool,
}

impl Store {
    /// An empty one.
    pub(crate) fn new(verbose: bool) -> Self {
        Self {
            state: Mutex::default(),
            counter: AtomicU64::new(0),
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

/// Whether the content of this object is kept.
pub(crate) fn is_kept(key: &str) -> bool {
    !key.starts_with(DISCARDED)
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

/// Puts parts together, in the order of their numbers.
pub(crate) fn joined(parts: impl Iterator<Item = Content>) -> Content {
    let mut bytes = BytesMut::new();
    let mut length = 0;
    for part in parts {
        bytes.extend_from_slice(&part.bytes);
        length += part.length;
    }
    Content {
        bytes: bytes.freeze(),
        length,
    }
}
