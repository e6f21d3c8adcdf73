//! Which object this replica has served under an entity tag.
//!
//! Who reads in ranges, or goes on where a download broke off, puts pieces together because they have one entity tag (`If-Match`, `If-Range`). The
//! tag is the storage's to choose: one that gives two versions the same tag could have a client put together a file that nobody ever wrote, each
//! piece of it authentic. So a tag that has stood for two objects holds no condition any more. Other replicas do not know what this one has served.

use quick_cache::{Weighter, sync::Cache};
use sealgate_envelope::keys::ObjectId;

use super::SealedObject;
use crate::entity_tag::EntityTag;

/// The most bytes that names and tags take, and the most of both.
const MEMORY: u64 = 8 << 20;

/// What an entry takes besides its name, about.
const ENTRY_BYTES: u64 = 128;

/// An estimate for the cache's own bookkeeping.
const ENTRIES: usize = 16_384;

/// What a tag has stood for. An object keeps its id when its working key is wrapped anew, and its tag with some storages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Served {
    One {
        object: ObjectId,
        sealed_length: u64,
    },
    Several,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<String, Served> for Bytes {
    fn weight(&self, name: &String, _served: &Served) -> u64 {
        name.len() as u64 + ENTRY_BYTES
    }
}

/// The tags that were served last, with their objects. Versions do not tell them apart: a condition names none.
pub(crate) struct ServedTags(Cache<String, Served, Bytes>);

impl Default for ServedTags {
    fn default() -> Self {
        Self(Cache::with_weighter(ENTRIES, MEMORY, Bytes))
    }
}

impl ServedTags {
    /// Notes that an object is about to be served, and says whether its tag has always stood for it, as far as is remembered.
    pub(crate) fn stands_for(&self, bucket: &str, key: &str, object: &SealedObject) -> bool {
        let identity = &object.identity;
        let name = name(bucket, key, &identity.entity_tag);
        let served = Served::One {
            object: object.opened.object_id(),
            sealed_length: identity.sealed_length,
        };
        self.note(name, served)
    }

    fn note(&self, name: String, served: Served) -> bool {
        let inserted = self
            .0
            .get_or_insert_with(&name, || Ok::<_, std::convert::Infallible>(served));
        if inserted == Ok(served) {
            return true;
        }
        self.0.insert(name, Served::Several);
        false
    }
}

/// What a condition names: the tag as clients see it, however the storage writes it.
fn name(bucket: &str, key: &str, entity_tag: &str) -> String {
    let seen = EntityTag::parse(entity_tag).to_client();
    format!("{bucket}/{}:{key}{seen}", key.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(number: u8, sealed_length: u64) -> Served {
        Served::One {
            object: ObjectId::from_bytes([number; 16]),
            sealed_length,
        }
    }

    #[test]
    fn a_tag_that_stood_for_two_objects_stands_for_none_any_more() {
        let tags = ServedTags::default();
        let note = |name: &str, served| tags.note(name.to_owned(), served);
        assert!(note("b/k \"t\"", object(1, 9)));
        assert!(note("b/k \"t\"", object(1, 9)));
        assert!(note("b/k \"u\"", object(2, 9)));
        assert!(note("b/l \"t\"", object(2, 9)));
        assert!(!note("b/k \"t\"", object(2, 9)));
        assert!(!note("b/k \"t\"", object(1, 9)), "the first is no better");
        // The parts of one upload, put together in two ways.
        assert!(!note("b/l \"t\"", object(2, 10)));
    }

    #[test]
    fn a_tag_is_one_however_it_is_written() {
        let named = |tag| name("b", "k", tag);
        assert_eq!(named("\"t\""), named("t"));
        assert_ne!(named("\"t\""), named("\"u\""));
        assert_ne!(name("b", "k", "t"), name("b", "l", "t"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let tags = ServedTags::default();
        for number in 0..20_000 {
            tags.note(format!("{number:01000}"), object(1, 1));
        }
        assert!(tags.0.weight() <= MEMORY);
        assert!(tags.0.len() > 1_000);
    }
}
