//! Sealing and opening asynchronous byte streams.
//!
//! [`SealStream`] turns a stream of plaintext into a stream of stored bytes, [`OpenStream`] the stored bytes that a
//! [`RangePlan`](crate::parts::RangePlan) asked for into plaintext. Both keep to one segment of memory beside what the
//! source gives, and both can be dropped at any time: a stream that did not end was not completed.

mod open;
mod seal;

pub use open::OpenStream;
pub use seal::SealStream;

use crate::error::Error;

/// The error of a stream: its source's, or this crate's.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamError<E> {
    /// The source failed.
    #[error("the source of the stream failed")]
    Source(#[source] E),
    /// Sealing or opening failed.
    #[error(transparent)]
    Envelope(#[from] Error),
}
