//! The records of the state bucket: of open uploads and of working keys (FORMAT.md, sections 9 and 10).
//!
//! A record that was only parsed is *unverified*: a type of its own, which shows just what is needed to find the key
//! that verifies it.

mod part;
mod registry;
mod upload;

pub use part::{
    EtagHash, PartLocation, PartRecord, PartRecordName, part_record_prefix, stash_name,
};
pub use registry::{RegistryRecord, UnverifiedRegistryRecord, registry_name, registry_prefix};
pub use upload::{UnverifiedUploadRecord, UploadRecord, upload_prefix, upload_record_name};

use crate::error::{Error, Result};
use crate::label::MAC_LENGTH;

/// The most bytes of an upload or registry record.
pub const MAXIMUM_RECORD_LENGTH: usize = 65_536;

/// Refuses what is too long, and splits off the MAC.
fn split_mac(bytes: &[u8]) -> Result<(&[u8], &[u8; MAC_LENGTH])> {
    if bytes.len() > MAXIMUM_RECORD_LENGTH {
        return Err(Error::stored("a record is too long"));
    }
    bytes
        .split_last_chunk::<MAC_LENGTH>()
        .ok_or_else(|| Error::stored("a record is cut short"))
}

/// Refuses to write what no reader would accept.
fn check_length(bytes: Vec<u8>) -> Result<Vec<u8>> {
    if bytes.len() > MAXIMUM_RECORD_LENGTH {
        return Err(Error::misuse(format!(
            "a record must have at most {MAXIMUM_RECORD_LENGTH} bytes, this one would have {}",
            bytes.len()
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
