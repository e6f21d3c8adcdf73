//! AWS Signature Version 4 for S3, both ways: verifying what clients send, signing what goes upstream.
//!
//! [`authenticate`] is the only maker of [`Authenticated`], and needs the head of a request alone, so that a body is
//! polled only for callers who proved themselves. Rules and their reasons are those of the Amazon S3 API Reference,
//! "Authenticating Requests (AWS Signature Version 4)", with one addition: an `x-amz-*` header that the signature does
//! not cover is refused, because a proxy that signs anew would lend it the signer's authority.

mod authenticate;
mod authorization;
pub mod canonical;
mod claim;
mod credentials;
mod error;
mod form;
mod host;
mod keys;
pub mod limits;
mod payload;
mod presigned;
mod redaction;
mod session;
mod signing;
mod stored;
mod sts;
mod timestamp;

/// The host that a request names, in `Host` or as the authority of HTTP/2; `None` where it names none, or several. Nothing is proven by it.
pub(crate) fn received_host(parts: &http::request::Parts) -> Option<&str> {
    host::received(parts).ok()
}

#[cfg(test)]
mod botocore_tests;
#[cfg(test)]
mod differential_tests;
#[cfg(test)]
pub(crate) mod published_tests;
#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod suite_tests;

pub use authenticate::{
    AuthSettings, Authenticated, Caller, anonymous, authenticate, claims_identity,
};
pub use authorization::{Authorization, parse_authorization};
pub use claim::{ClaimedCredential, SignedHeaders};
pub(crate) use credentials::Entry;
pub use credentials::{Credential, CredentialError, CredentialStore};
pub use error::{AuthError, ErrorElement};
pub use form::{PolicyClaim, authenticate_form};
pub use keys::{SecretAccessKey, Service, Signature, SigningKey};
pub use payload::{ChunkSigner, PayloadMode};
pub use presigned::{PresignedQuery, parse_presigned_query, strip_auth_query};
pub use redaction::redacted_uri;
pub use session::SecurityToken;
pub use signing::{SigningError, UpstreamCredentials, sign, sign_for};
pub(crate) use stored::{Origin, Standing, StoredKeys};
pub use sts::authenticate_sts;
pub use timestamp::AmzDate;
