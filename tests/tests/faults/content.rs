//! What clients write: every write has bytes of its own, cut from one long row of them, so that thousands of contents cost no memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use sealgate_tests::content::pattern;

/// Contents begin at different places, this far from each other.
const STEP: usize = 8;

/// Places at which a content can begin.
const PLACES: usize = 1 << 19;

/// The bytes of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    place: usize,
    /// How many they are.
    pub(crate) length: usize,
}

/// Where contents come from.
#[derive(Debug)]
pub(crate) struct Source {
    row: Bytes,
    given: AtomicUsize,
}

impl Source {
    /// For contents of up to this length.
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            row: pattern(7, longest + PLACES * STEP).into(),
            given: AtomicUsize::new(0),
        }
    }

    /// A content that nobody has written yet.
    pub(crate) fn fresh(&self, length: usize) -> Content {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        Content {
            place: number % PLACES * STEP,
            length,
        }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self, content: Content) -> Bytes {
        self.row
            .slice(content.place..content.place + content.length)
    }
}
