//! The state bucket: records of open uploads and of working keys (FORMAT.md, sections 9 and 10), and what operators tell gateways. A replica keeps nothing that another one needs.

mod bucket;
pub(crate) mod control;
mod registry;
mod upload_memory;
mod uploads;

pub use bucket::{Entry, RecordVersion, StateBucket};
pub use registry::S3Registry;
pub use upload_memory::UploadMemory;
pub use uploads::{Claim, OpenUpload, StoredPart, UploadId, UploadReference, UploadState, Uploads};
