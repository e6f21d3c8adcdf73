//! Sealing what was there before the gateway, in place; and the way back, [`export`].
//!
//! ```text
//! versioned bucket      read ─▶ seal ─▶ new version (If-Match) ─▶ read back ─▶ delete the clear version by its id
//! other bucket          read ─▶ seal ─▶ staged copy ─▶ read back ─▶ under its key (If-Match) ─▶ read back ─▶ delete the staged copy
//! ```
//!
//! At no time is there neither the object in the clear nor a sealed one of which every byte was decrypted and compared: in a bucket without
//! versions the staged copy, in the state bucket, is that one until the object under its key has been read back too. A staged copy bears the
//! header of the object that it will be, so its bytes are stored under the key as they are.
//!
//! All state is derived, and a command that was killed is simply run again: an object that has a header is done; where its staged copy is still
//! there, it is read back once more first; an older version in the clear whose next newer one is the same, sealed, is what a killed command left.

mod body;
pub(crate) mod copied;
pub mod export;
mod labels;
mod listing;
mod one;
mod pace;
mod preflight;
mod report;
mod run;
mod seal;
mod staged;
mod staged_copies;
mod store;
mod verify;
mod versions;

pub use listing::Entry;
pub(crate) use listing::{Entries, Listing, is_listed};
pub use pace::{Pace, STEP};
pub use preflight::Versioning;
pub(crate) use preflight::versioning;
pub use report::{Failure, NamedFailure, Outcome, Report};
pub use run::{Migration, Mode, Settings};
pub(crate) use seal::Home;
pub(crate) use verify::{Located, Opened, open_sealed};

use sealgate_envelope::key_service::UnwrapPermit;

/// Gives the permit to open what a command wrote or exports; the command line, which is the decision, provides it.
pub type PermitIssuer = fn(&str) -> UnwrapPermit;
