//! What is known of a key: what it holds for certain, or what it may hold. Only one client writes to a key, one thing after the other, so the
//! model is exact.
//!
//! A request that was not acknowledged may still be on its way, and may come true at any later moment: S3 promises no order to writes of which
//! one began before the other had an answer. So nothing else is written to such a key, and it has to hold what was there before or what was
//! asked for last, whole, for ever.

use std::fmt::Write as _;

use crate::{
    content::{Content, Source},
    timeline::Timeline,
};

/// Lines of a key's history that a failure shows.
const SHOWN: usize = 40;

/// A key, and what is known of it.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its name.
    pub(crate) key: String,
    acknowledged: Option<Content>,
    /// At most one: nothing is done after it.
    unacknowledged: Vec<Option<Content>>,
    is_retired: bool,
    history: Vec<String>,
}

impl Known {
    /// A key that was never written to.
    pub(crate) fn new(key: String) -> Self {
        Self {
            key,
            acknowledged: None,
            unacknowledged: Vec::new(),
            is_retired: false,
            history: Vec::new(),
        }
    }

    /// Notes what was done.
    pub(crate) fn note(&mut self, timeline: &Timeline, what: &str) {
        self.history.push(format!("{} {what}", timeline.now()));
    }

    /// A write, or with `None` a deletion, was acknowledged.
    pub(crate) fn acknowledge(&mut self, content: Option<Content>) {
        self.acknowledged = content;
        self.unacknowledged.clear();
    }

    /// A write, or a deletion, was given up without an answer that acknowledges it.
    pub(crate) fn give_up(&mut self, content: Option<Content>) {
        self.unacknowledged.push(content);
        self.retire();
    }

    /// Nothing more is written to it: something may be on its way.
    pub(crate) fn retire(&mut self) {
        self.is_retired = true;
    }

    /// Whether nothing more is to be written to it.
    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired
    }

    /// What it holds, where that is certain.
    pub(crate) fn certain(&self) -> Option<Content> {
        self.acknowledged.filter(|_| self.unacknowledged.is_empty())
    }

    fn candidates(&self) -> impl Iterator<Item = Option<Content>> {
        std::iter::once(self.acknowledged).chain(self.unacknowledged.iter().copied())
    }

    /// Whether there may be no such object.
    pub(crate) fn may_be_absent(&self) -> bool {
        self.candidates().any(|candidate| candidate.is_none())
    }

    /// Whether an object of this length may be there.
    pub(crate) fn may_have_length(&self, length: usize) -> bool {
        self.candidates()
            .flatten()
            .any(|candidate| candidate.length == length)
    }

    /// The shortest that it may be.
    pub(crate) fn shortest(&self) -> Option<usize> {
        self.candidates()
            .flatten()
            .map(|candidate| candidate.length)
            .min()
    }

    /// Whether the object, or its range, may be these bytes. `Some(true)` where they are what was not acknowledged.
    pub(crate) fn may_be(
        &self,
        source: &Source,
        range: Option<(usize, usize)>,
        bytes: &[u8],
    ) -> Option<bool> {
        let is = |candidate: Content| {
            let whole = source.bytes(candidate);
            let (first, end) = range.map_or((0, whole.len()), |(first, last)| (first, last + 1));
            whole.get(first..end.min(whole.len())) == Some(bytes)
        };
        if self.acknowledged.is_some_and(is) {
            Some(false)
        } else if self.unacknowledged.iter().copied().flatten().any(is) {
            Some(true)
        } else {
            None
        }
    }

    /// What a failure has to tell.
    pub(crate) fn story(&self, timeline: &Timeline) -> String {
        let mut text = format!(
            "key {}: acknowledged {:?}, unacknowledged {:?}\n",
            self.key, self.acknowledged, self.unacknowledged
        );
        let skipped = self.history.len().saturating_sub(SHOWN);
        for line in self.history.iter().skip(skipped) {
            writeln!(text, "  {line}").ok();
        }
        text.push_str(&timeline.story());
        text
    }
}
