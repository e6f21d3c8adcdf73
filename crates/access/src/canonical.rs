//! Documents that are signed or sealed: JSON with one encoding only, so that there is nothing to argue about in a signed text.

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// A document that is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CanonicalError {
    /// Too long.
    #[error("has {length} bytes; at most {limit} are read")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The most that are read.
        limit: usize,
    },
    /// No document of its kind.
    #[error("cannot be read: {0}")]
    Malformed(String),
    /// It says the same as another text would. Nobody needs a second way to write it.
    #[error(
        "is not in its canonical form: no white space, fields in their order, nothing escaped that needs not be"
    )]
    NotCanonical,
}

/// Writes a document in its one encoding.
///
/// # Errors
///
/// [`CanonicalError::Malformed`] for what JSON cannot hold; none of ours.
pub(crate) fn write(document: &impl Serialize) -> Result<String, CanonicalError> {
    serde_json::to_string(document).map_err(|error| CanonicalError::Malformed(error.to_string()))
}

/// Reads a document that is not signed itself, so that it may be written in any way.
pub(crate) fn read_lenient<T: DeserializeOwned>(
    text: &str,
    limit: usize,
) -> Result<T, CanonicalError> {
    if text.len() > limit {
        return Err(CanonicalError::TooLong {
            length: text.len(),
            limit,
        });
    }
    serde_json::from_str(text).map_err(|error| CanonicalError::Malformed(error.to_string()))
}

/// Reads a document, which has to be what [`write`] would write.
pub(crate) fn read<T: DeserializeOwned + Serialize>(
    text: &str,
    limit: usize,
) -> Result<T, CanonicalError> {
    let document: T = read_lenient(text, limit)?;
    if write(&document)? == text {
        Ok(document)
    } else {
        Err(CanonicalError::NotCanonical)
    }
}
