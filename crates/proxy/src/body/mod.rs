//! Request bodies: framing taken off, every promise about the plaintext verified.
//!
//! [`PlaintextBody`] is what operations read. Below it, [`aws_chunked`] is a sans-IO decoder of S3's streaming
//! framing and [`checksum`] knows the flexible checksums.

pub mod aws_chunked;
pub mod checksum;
mod declared;
mod error;
pub mod limits;
mod plaintext;

#[cfg(test)]
mod aws_chunked_tests;
#[cfg(test)]
mod plaintext_tests;

pub use checksum::{Algorithm, Checksum, ChecksumType, CombineError, CompositeChecksum, Hasher};
pub use declared::MissingLength;
pub use error::BodyError;
pub use plaintext::{BodySettings, PlaintextBody, Verified};
