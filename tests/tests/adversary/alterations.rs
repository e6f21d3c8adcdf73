//! What an alteration is: a line of docs/adversary.md, and what it makes of an object.

use anyhow::Result;
use sealgate_tests::servers::Planted;

use crate::{judgement::Promise, material::Material};

/// What an object needs so that something can be done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Every object will do.
    Nothing,
    /// This many segments.
    Segments(usize),
    /// A last segment that is full, and one before it.
    FullLast,
    /// This many parts.
    Parts(usize),
    /// The first two parts equally long.
    EqualParts,
    /// Another attempt at a part that reached the storage.
    Attempt,
}

impl Needs {
    /// Why something can't be done to an object; none where it can.
    pub(crate) fn reason(self, of: &Material) -> Option<&'static str> {
        let parts = of.kind.parts();
        let (met, reason) = match self {
            Self::Nothing => (true, ""),
            Self::Segments(least) => (of.segments.len() >= least, "it has fewer segments"),
            Self::FullLast => (
                of.segments.len() > 1
                    && of
                        .segments
                        .last()
                        .is_some_and(|last| last.plaintext.len() == 65_536),
                "its last segment is not full, so no other has its length",
            ),
            Self::Parts(least) => (parts.len() >= least, "it has fewer parts"),
            Self::EqualParts => (
                parts.len() > 1 && parts.first() == parts.get(1),
                "it has no two parts of one length",
            ),
            Self::Attempt => (
                of.replaced.as_ref().is_some_and(|body| !body.is_empty()),
                "no other attempt at a part of it ever reached the storage",
            ),
        };
        (!met).then_some(reason)
    }
}

/// Something that can be done to an object, in one or several ways.
pub(crate) struct Alteration {
    /// Its name in docs/adversary.md.
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    pub(crate) promise: Promise,
    pub(crate) make: fn(&Material) -> Result<Vec<Planted>>,
}

/// Everything that is done to the bodies and headers of objects that are read.
pub(crate) fn all() -> Vec<Alteration> {
    let mut all = crate::bodies::alterations();
    all.extend(crate::headers::alterations());
    all
}
