//! Streaming envelope encryption whose master keys live on other machines: authenticated random access, a written
//! format, test vectors.
//!
//! ```text
//!   key service          this machine                                     storage
//!  ┌───────────┐   ┌────────────────────────────────────────────┐   ┌──────────────────┐
//!  │    KEK    │   │ WK ── seals ──▶ DEK ── derives ──▶ header, │   │ header           │
//!  │ never     │◀─▶│ working key     data key           metadata│──▶│  wk_id, wraps,   │
//!  │ leaves it │   │ of one domain   of one object      and body│   │  sealed DEK, MAC │
//!  └───────────┘   └────────────────────────────────────────────┘   ├──────────────────┤
//!    wraps and        plaintext ─▶ Sealer ─▶ 64 KiB segments ──────▶│ segment, segment,│
//!    unwraps WK       plaintext ◀─ Opener ◀─ RangePlan ◀────────────│ …, commit record │
//!                                                                   └──────────────────┘
//! ```
//!
//! An object is a [header](header::Header) and a body. The header seals a fresh data key under a working key, which a
//! key service on another machine has wrapped, and is bound to the object's place. The body is a row of segments, each
//! authenticated by itself, so that any range can be read, and a [commit record](commit::CommitRecord), which proves
//! that the object was completed and of which parts. The stored length is an exact function of the plaintext length
//! ([`layout`]). FORMAT.md in the repository specifies every byte.
//!
//! # Example
//!
//! ```
//! use sealgate_envelope::commit::{CommitRecord, CommitSearch};
//! use sealgate_envelope::header::{Header, HeaderBuilder, HeaderKey};
//! use sealgate_envelope::object::{Body, PartId};
//! use sealgate_envelope::opener::Opener;
//! use sealgate_envelope::sealer::Sealer;
//! use sealgate_envelope::{Domain, KeyReference, OsRandom, Place, Provider, WorkingKey, WorkingKeyId, Wrap};
//!
//! # fn main() -> sealgate_envelope::Result<()> {
//! // A key service makes the working key and wraps it; see `keyring`.
//! let key = WorkingKey::generate(&mut OsRandom)?;
//! let wraps = [Wrap::new(Provider::Local, KeyReference::of(Provider::Local, "a key id")?, vec![0; 61])?];
//! let key_id = WorkingKeyId::generate(&mut OsRandom)?;
//!
//! // Seal: a header, the segments, the commit region.
//! let domain = Domain::new("deployment/bucket")?;
//! let place = Place::new(&domain, "greeting.txt")?;
//! let plaintext = b"Hello, storage that must not read this.";
//! let header_key = HeaderKey { id: key_id, key: &key, wraps: &wraps };
//! let sealed = HeaderBuilder::new(place, header_key, 1_764_000_000_000)
//!     .seal(Body::Single { plaintext_length: plaintext.len() as u64 }, &mut OsRandom)?;
//! let mut body = Vec::new();
//! let mut sealer = Sealer::new(&sealed.secrets, PartId::single(sealed.secrets.object_id()))?;
//! sealer.push(plaintext, &mut body)?;
//! sealer.finish(&mut body)?;
//! body.extend(CommitRecord::single(&sealed.secrets, None)?.seal_region(&sealed.secrets)?);
//! let stored_header = sealed.header.to_text();
//!
//! // Open: the header in its place, the commit record, then any range.
//! let opened = Header::from_text(&stored_header)?.open(&key, place)?;
//! let CommitSearch::Found(record) = CommitRecord::open_suffix(opened.secrets(), &body, body.len() as u64)? else {
//!     unreachable!("all of the body was given");
//! };
//! let plan = record.layout().plan(7..14)?;
//! let mut segment = body[plan.ciphertext().start as usize..plan.ciphertext().end as usize].to_vec();
//! let mut opener = Opener::new(opened.secrets(), plan)?;
//! let released = opener.open_segment(&mut segment)?;
//! assert_eq!(&segment[released], b"storage");
//! opener.finish()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! Three layers; each uses only those before it.
//!
//! 1. **Pure**: bytes and numbers in, bytes and numbers out; randomness is a parameter ([`Random`]), time too.
//!    [`layout`] all arithmetic on lengths · [`suite`] the AEADs behind one trait, from two libraries · [`keys`],
//!    [`wrap`], [`domain`] · [`header`] and [`metadata`] · [`object`] the secrets of an opened object · [`commit`] ·
//!    [`parts`] where everything lies · [`records`] of open uploads and of working keys · [`error`].
//! 2. **Machines**, without IO, in place on the caller's buffers: [`segment`] and [`sealer`] seal, [`opener`] opens.
//! 3. **Drivers**, each behind a feature: `io` for files, `stream` for asynchronous byte streams, `keyring` with
//!    `key_service` for working keys.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `aws-lc` (default) | the AEADs of aws-lc-rs |
//! | `rustcrypto` | the AEADs of RustCrypto, in pure Rust; at least one of the two is needed |
//! | `io`, `spool` (default) | sealed files over `std::io`; from a pipe, through a temporary file |
//! | `stream` (default) | sealing and opening `futures` streams of `bytes` |
//! | `keyring` | working keys: made, cached, rotated, found again |
//! | `local` (default), `aws-kms` | key services: a key file, AWS KMS |
//!
//! # What is guaranteed
//!
//! - Nothing unauthenticated is released, and after one failure nothing more, ever.
//! - What is not finished does not open: the last segment says that it is the last, the commit record comes at the end,
//!   and `finish` consumes.
//! - Secrets are zeroized when they are dropped, never appear in `Debug`, and are compared in constant time. Buffers
//!   with plaintext belong to the caller.
//! - Every failure that stored bytes cause looks alike to clients; [`Error::detail`] tells operators why.
//! - No input panics, and no length that a peer chose allocates before it was checked.
//!
//! What the storage can still do is in the repository's SECURITY.md: serve an old version, hide, delete, and see names
//! and sizes.
//!
//! # Cancel safety
//!
//! The core has nothing to cancel. Dropping a machine or a stream is harmless at any time: what was sealed without
//! `finish` never opens, and what was read without `finish` is authentic but incomplete.

pub mod checksum;
pub mod commit;
pub mod domain;
pub mod error;
pub mod header;
#[cfg(feature = "io")]
pub mod io;
#[cfg(feature = "keyring")]
pub mod key_service;
#[cfg(feature = "keyring")]
pub mod keyring;
pub mod keys;
pub mod label;
pub mod layout;
pub mod metadata;
pub mod object;
pub mod opener;
pub mod parts;
pub mod random;
pub mod records;
pub mod sealer;
#[cfg(feature = "local")]
pub mod secret_file;
pub mod segment;
#[cfg(feature = "stream")]
pub mod stream;
pub mod suite;
pub mod wrap;

mod decode;

pub use domain::{Domain, Place};
pub use error::{Error, Fault, KeyServiceFailure, Result};
pub use keys::{AttemptId, DataKey, KeyReference, ObjectId, UploadHash, WorkingKey, WorkingKeyId};
pub use random::{OsRandom, Random};
pub use suite::{Backend, Suite};
pub use wrap::{Provider, Wrap};
