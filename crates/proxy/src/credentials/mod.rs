//! Access keys that `sealgate credentials` makes: a directory with a small file for each, written by commands and read by every gateway.
//!
//! ```text
//! sealgate credentials ── lock, write beside, rename ──▶ DIRECTORY/ACCESS_KEY_ID.toml ──▶ gateways look every second
//!                                                          identity, times     as they are
//!                                                          secret              sealed
//! ```
//!
//! Signatures need the secret itself, so it cannot be hashed. It is sealed as an object is (FORMAT.md): under a working key of a domain that no
//! object can have, which the key services of the deployment have wrapped, bound to identity and access key id. Who takes the directory away
//! takes names and times. The wraps stand in each file, so that a directory needs nothing beside a key service, and files that share a
//! working key cost a gateway one call together.

mod directory;
mod file;
mod seal;

pub(crate) use self::directory::{Directory, Look, Mark, Turn};
#[cfg(test)]
pub(crate) use self::file::SealedSecret;
pub(crate) use self::file::{CredentialFile, Moment};
pub(crate) use self::seal::{
    Place, SealingKey, domain, header, is_stored_id, new_access_key_id, new_secret, open, seal,
    used_key,
};

/// What follows the deployment in the names of domains that no `[[domain]]` may have: a bucket's name has no colon.
pub(crate) const RESERVED_DOMAINS: &str = "/:";
