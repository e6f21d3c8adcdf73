//! Browser uploads: `multipart/form-data` with a file, authorised by a signed policy (S3 API, "POST Object").
//!
//! ```text
//! body ─ Parser ─▶ fields ─▶ signature of the policy (auth) ─▶ Policy::check ─▶ headers of a PutObject
//!           └────▶ FileBody, the file's bytes as they arrive ──────────────────▶ its body
//! ```
//!
//! The general parsers buffer as much as a fast client sends, and none of them says where the file begins; but a sealed PutObject must declare
//! its length, which only that position gives away. So the framing is read here, in some hundred lines.

mod fields;
mod multipart;
mod policy;
mod reader;

pub use fields::{Fields, Success};
pub use policy::Policy;
pub use reader::{FileBody, Form, is_form, read};

use std::time::Duration;

use http::StatusCode;
use thiserror::Error;

use crate::error::S3Error;

/// Everything in front of the file, in bytes (S3 API, "POST Object": 20 KB).
pub const MAXIMUM_FIELDS_LENGTH: u64 = 20 * 1_024;

/// The longest boundary, in bytes (RFC 2046, section 5.1.1).
pub const MAXIMUM_BOUNDARY_LENGTH: usize = 70;

/// A form that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FormError {
    /// Not `multipart/form-data` as RFC 7578 has it.
    #[error("The body of your POST request is not well-formed multipart/form-data.")]
    Malformed(&'static str),
    /// More than [`MAXIMUM_FIELDS_LENGTH`].
    #[error(
        "Your POST request fields preceding the upload file were too large: at most {MAXIMUM_FIELDS_LENGTH} bytes may precede it."
    )]
    FieldsTooLong,
    /// No file.
    #[error("POST requires exactly one file upload per request.")]
    NoFile,
    /// Fields that a form must have once.
    #[error("The form field {0:?} occurs more than once.")]
    Duplicate(String),
    /// The body stopped.
    #[error(
        "You did not provide the number of bytes specified by the Content-Length HTTP header: {0}."
    )]
    Incomplete(String),
    /// Silence.
    #[error("Your socket connection to the server was not read from or written to within {0:?}.")]
    Idle(Duration),
    /// No length.
    #[error("You must provide the Content-Length HTTP header.")]
    MissingContentLength,
}

impl From<FormError> for S3Error {
    fn from(error: FormError) -> Self {
        let code = match &error {
            FormError::Malformed(_) => "MalformedPOSTRequest",
            FormError::FieldsTooLong => "MaxPostPreDataLengthExceededError",
            FormError::NoFile | FormError::Duplicate(_) => "InvalidArgument",
            FormError::Incomplete(_) => "IncompleteBody",
            FormError::Idle(_) => "RequestTimeout",
            FormError::MissingContentLength => "MissingContentLength",
        };
        let status = match &error {
            FormError::MissingContentLength => StatusCode::LENGTH_REQUIRED,
            _ => StatusCode::BAD_REQUEST,
        };
        let answer = Self::new(status, code, error.to_string());
        match error {
            FormError::Malformed(reason) => answer.with_element("Reason", reason),
            FormError::NoFile => answer.with_element("ArgumentName", "file"),
            _ => answer,
        }
    }
}
