//! The state bucket: records of open uploads and of working keys (FORMAT.md, sections 9 and 10), what operators tell gateways, and requests for grants. A replica keeps nothing that another one needs.

mod bucket;
pub(crate) mod control;
pub(crate) mod grants;
pub(crate) mod recognition;
mod registry;
mod upload_memory;
mod uploads;

pub use bucket::{Entry, RecordVersion, StateBucket};
pub use registry::{ReadOnlyRegistry, S3Registry};
pub use upload_memory::UploadMemory;
pub use uploads::{Claim, OpenUpload, StoredPart, UploadId, UploadReference, UploadState, Uploads};
