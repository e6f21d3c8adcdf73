//! Every bound on what a client may send, in one place, with its source.
//!
//! The numbers are those of Amazon S3 ("Amazon S3 multipart upload limits" and the API pages of the
//! operations) unless the comment gives another reason.

/// The largest body of one PutObject, UploadPart or copy source of CopyObject: 5 GiB.
pub(crate) const MAX_SINGLE_UPLOAD: u64 = 5 << 30;

/// The largest object that CompleteMultipartUpload may assemble: 5 TiB.
pub(crate) const MAX_OBJECT: u64 = 5 << 40;

/// The smallest part that may stand before another one: 5 MiB.
pub(crate) const MIN_PART: u64 = 5 << 20;

/// The highest part number.
pub(crate) const MAX_PART_NUMBER: u16 = 10_000;

/// Names (without `x-amz-meta-`) and values of all user metadata of an object, in bytes.
pub(crate) const MAX_USER_METADATA: usize = 2048;

/// The most entries that one listing of any kind returns.
pub(crate) const MAX_PAGE: usize = 1000;

/// The most keys in one DeleteObjects request.
pub(crate) const MAX_DELETE_KEYS: usize = 1000;

/// The most tags of an object, and the most characters of a tag's key and value.
pub(crate) const MAX_TAGS: usize = 10;
pub(crate) const MAX_TAG_KEY: usize = 128;
pub(crate) const MAX_TAG_VALUE: usize = 256;

/// The largest XML request body that is held in memory: a CompleteMultipartUpload of 10,000 parts
/// with their checksums needs about 3 MiB.
pub(crate) const MAX_XML_BODY: usize = 8 << 20;

/// How much of a body is gathered before a blocking thread hashes and writes it. Two such batches
/// exist at most for each upload, which bounds its memory whatever its size.
pub(crate) const WRITE_BATCH: usize = 256 << 10;

/// How much of a body one blocking read returns.
pub(crate) const READ_CHUNK: usize = 256 << 10;

/// How much of a refused upload is read and dropped, so that a client which is still sending gets to
/// see the answer instead of a reset connection: enough for the parts that SDKs send.
pub(crate) const MAX_DRAIN: u64 = 64 << 20;

/// How often a copy starts again because its source was replaced meanwhile.
pub(crate) const COPY_ATTEMPTS: usize = 5;
