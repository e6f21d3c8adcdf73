//! A sealed object as it lies at the upstream: finding its header, opening it for the expected domain and key, and knowing its parts.
//!
//! Everything that reads an object, for a client or for a copy, goes through [`SealedObject`].

mod clear;
mod commit;
mod fetch;
mod guess;
mod sealed;
mod served_tags;
pub(crate) mod tags;

pub use clear::ClearHead;
pub(crate) use clear::version_query;
pub use commit::CommitCache;
pub(crate) use fetch::ambiguous_tag;
pub use fetch::{Fetched, ObjectRequest, Wanted, fetch, part_range};
pub use sealed::{SealedHead, SealedObject, UpstreamIdentity, open_header};
pub(crate) use served_tags::ServedTags;
