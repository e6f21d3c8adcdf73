//! Request bodies: framing taken off, every promise about the plaintext verified.
//!
//! [`PlaintextBody`] is what operations read. Below it, [`aws_chunked`] is a sans-IO decoder of S3's streaming
//! framing; [`Hasher`] and [`Checksum`] compute and combine the flexible checksums.

mod algorithm;
pub mod aws_chunked;
mod checksum;
mod declared;
mod error;
mod hasher;
pub mod limits;
mod plaintext;

#[cfg(test)]
mod aws_chunked_tests;
#[cfg(test)]
mod plaintext_frame_tests;
#[cfg(test)]
mod plaintext_tests;

pub use algorithm::{Algorithm, ChecksumType};
pub use checksum::{Checksum, CombineError, CompositeChecksum};
pub use declared::MissingLength;
pub use error::BodyError;
pub use hasher::Hasher;
pub use plaintext::{BodySettings, PlaintextBody, Verified};

/// The body of a client's request, or what stands for one: the file of a form.
pub type ClientBody =
    http_body_util::combinators::BoxBody<bytes::Bytes, Box<dyn std::error::Error + Send + Sync>>;
