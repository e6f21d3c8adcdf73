//! Streaming envelope encryption whose master keys live on other machines: authenticated random access, a written format, test vectors

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
