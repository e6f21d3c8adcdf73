//! The storage behind the gateway: one S3 endpoint, spoken to over pooled HTTP/1.1 connections with requests that are signed anew.
//!
//! [`Upstream::send`] does exactly one thing: sign, send, and hand back whatever status came. [`Upstream::call`] adds what most operations
//! want: an answer that is not a success becomes the [`S3Error`](crate::error::S3Error) that the upstream meant, with nothing in it that leads a client around us.

mod answer;
mod client;
mod credentials;
mod expectation;
mod framing;
mod limits;
mod local;
mod memory;
mod progress;
mod repeat;
mod replay;
mod resolver;
mod target;
mod tls;
mod trailer;
mod waiting;

pub use answer::{Answer, AnswerBody};
pub use client::{Upstream, UpstreamRequest, UpstreamSettings};
pub use credentials::CredentialSource;
pub use limits::{MAX_DOCUMENT_LENGTH, Timeouts};
pub use local::{LocalBody, LocalRequest, LocalStorage};
pub(crate) use memory::of_one_request;
pub use memory::{DocumentMemory, DocumentMemoryExhausted, DocumentShare, HeldDocument};
pub use target::{Addressing, Target};
pub(crate) use tls::client_config;
pub use trailer::{TrailerBody, Verification};

use std::error::Error as StdError;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use thiserror::Error;

/// The error type of bodies that pass through the gateway.
pub type BodyFailure = Box<dyn StdError + Send + Sync>;

/// A body on its way to the upstream.
pub type RequestBody = UnsyncBoxBody<Bytes, BodyFailure>;

/// No body.
pub fn empty_body() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is in memory as a whole.
pub fn full_body(bytes: impl Into<Bytes>) -> RequestBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// What can go wrong between the gateway and its upstream, before there is an answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// No connection, or it broke before the answer.
    #[error("the upstream cannot be reached: {0}")]
    Connection(String),
    /// No answer in time.
    #[error("the upstream did not answer within {0:?} (limits.upstream_response_timeout)")]
    Timeout(std::time::Duration),
    /// The body of an answer comes too slowly, or not at all.
    #[error(
        "the upstream sent less than {progress} KiB of its answer, and not its end, within {0:?} of waiting (limits.idle_timeout)",
        progress = limits::MIN_ANSWER_PROGRESS >> 10
    )]
    Stalled(std::time::Duration),
    /// The answer to what takes long has begun, and does not end.
    #[error(
        "the upstream has begun its answer, and not told within {0:?} of waiting what became of the request"
    )]
    Unfinished(std::time::Duration),
    /// There are no credentials to sign with.
    #[error("no credentials for the upstream: {0}")]
    Credentials(String),
    /// The request could not be built: a fault of ours.
    #[error("a request to the upstream could not be built: {0}")]
    Request(String),
    /// The body of an answer is longer than its limit.
    #[error("the upstream sent a document of more than {0} bytes")]
    TooLong(usize),
    /// There is no memory for another document now.
    #[error(transparent)]
    Busy(#[from] DocumentMemoryExhausted),
    /// The answer is not what S3 says it should be.
    #[error("the upstream's answer is malformed: {0}")]
    Malformed(String),
    /// A redirect, which is never followed: it could lead around the gateway, or to another server.
    #[error(
        "the upstream redirects to {location}; set its final endpoint and region in the configuration"
    )]
    Redirect {
        /// Where to, in the upstream's words.
        location: String,
        /// Whether it says that this will pass (302, 307), as while AWS makes a new bucket known.
        is_temporary: bool,
    },
}

/// The innermost causes say most ("connection refused"), the outermost least ("client error").
pub(crate) fn cause_chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = cause.source();
    }
    text
}
