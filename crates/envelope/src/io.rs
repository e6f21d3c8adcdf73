//! Sealed files over `std::io` (FORMAT.md, section 8).
//!
//! [`SealWriter`] seals whatever is written to it. [`SealedFile`] reads a sealed file's header, and with the working
//! key that the header names becomes an [`OpenReader`], which reads and seeks in the plaintext. A pipe cannot seek to
//! the commit record at its end, so its ciphertext goes through a temporary file first
//! ([`SealedFile::spool`], feature `spool`).
//!
//! Errors of the format come as `std::io::Error` with an [`Error`] inside: `get_ref` finds it.

mod open;
mod seal;
#[cfg(feature = "spool")]
mod spool;

pub use open::{OpenReader, SealedFile};
pub use seal::SealWriter;

use std::io;

use crate::error::{Error, Fault};

/// The first bytes of a sealed file.
pub const FILE_MAGIC: [u8; 8] = *b"SEALGATE";

/// Bytes before the header: magic and the header's length.
const PREAMBLE_LENGTH: usize = 12;

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.fault() {
            Fault::StoredData => io::ErrorKind::InvalidData,
            Fault::Caller => io::ErrorKind::InvalidInput,
            Fault::KeyService | Fault::Machine => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
