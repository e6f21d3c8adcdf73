//! Streaming envelope encryption whose master keys live on other machines: authenticated random access, a written format, test vectors

pub mod domain;
pub mod error;
pub mod keys;
pub mod label;
pub mod layout;
pub mod random;
pub mod suite;
pub mod wrap;

mod decode;

pub use domain::{Domain, Place};
pub use error::{Error, Fault, KeyServiceFailure, Result};
pub use keys::{AttemptId, DataKey, KeyReference, ObjectId, WorkingKey, WorkingKeyId};
pub use random::{OsRandom, Random};
pub use suite::{Backend, Suite};
pub use wrap::{Provider, Wrap};
