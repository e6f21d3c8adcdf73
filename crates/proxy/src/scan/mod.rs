//! Goes through everything that is stored: whether all is well, and what still depends on a key.
//!
//! ```text
//! Walk ── bucket by bucket, version by version, in the order of the listing ──▶ Verification: structure, and every byte where that is asked for
//!                                                                           or Retirement: by which keys its working key opens
//!                                                                           or Census: which keys wrap what of a domain, and what of others
//! ```
//!
//! Nothing is written. Objects are read by the code that serves them to clients, so what is well here is well there.

mod buckets;
pub(crate) mod census;
mod checksums;
mod finding;
pub(crate) mod key_name;
mod known_keys;
mod patience;
mod registry;
mod reservoir;
mod retirement;
mod state;
mod structure;
mod trial;
mod verification;
mod walk;

pub(crate) use buckets::{buckets_missing_from, listed_buckets};
pub use finding::{Class, Finding, Findings};
pub(crate) use patience::patiently;
pub(crate) use reservoir::Reservoir;
pub use retirement::{Dependence, Kind, Retirement};
pub(crate) use trial::{Named, Trial};
pub use verification::{Checked, Verification};
pub use walk::{Item, Walk, Walked};
