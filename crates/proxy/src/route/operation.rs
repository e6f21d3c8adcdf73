//! What a request asks for.

/// What a request asks for. One variant an operation of the S3 API, except for those that pass unread.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the S3 operation of its name")]
pub enum Operation {
    ListBuckets,
    CreateBucket,
    DeleteBucket,
    HeadBucket,
    GetBucketLocation,
    ListObjects,
    ListObjectsV2,
    ListObjectVersions,
    ListMultipartUploads,
    DeleteObjects,
    PutObject,
    GetObject,
    HeadObject,
    DeleteObject,
    CopyObject,
    CreateMultipartUpload,
    UploadPart {
        upload_id: String,
        number: u16,
    },
    UploadPartCopy {
        upload_id: String,
        number: u16,
    },
    ListParts {
        upload_id: String,
    },
    CompleteMultipartUpload {
        upload_id: String,
    },
    AbortMultipartUpload {
        upload_id: String,
    },
    GetObjectAttributes,
    /// A browser's question whether it may send a request of another origin; unsigned by nature.
    OptionsObject,
    /// A bucket's configuration, or an object's labels (tags, ACL, retention, legal hold, restore): passed with a new signature. The name is
    /// that of the operation.
    Pass(&'static str),
}

impl Operation {
    /// The operation's name, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ListBuckets => "ListBuckets",
            Self::CreateBucket => "CreateBucket",
            Self::DeleteBucket => "DeleteBucket",
            Self::HeadBucket => "HeadBucket",
            Self::GetBucketLocation => "GetBucketLocation",
            Self::ListObjects => "ListObjects",
            Self::ListObjectsV2 => "ListObjectsV2",
            Self::ListObjectVersions => "ListObjectVersions",
            Self::ListMultipartUploads => "ListMultipartUploads",
            Self::DeleteObjects => "DeleteObjects",
            Self::PutObject => "PutObject",
            Self::GetObject => "GetObject",
            Self::HeadObject => "HeadObject",
            Self::DeleteObject => "DeleteObject",
            Self::CopyObject => "CopyObject",
            Self::CreateMultipartUpload => "CreateMultipartUpload",
            Self::UploadPart { .. } => "UploadPart",
            Self::UploadPartCopy { .. } => "UploadPartCopy",
            Self::ListParts { .. } => "ListParts",
            Self::CompleteMultipartUpload { .. } => "CompleteMultipartUpload",
            Self::AbortMultipartUpload { .. } => "AbortMultipartUpload",
            Self::GetObjectAttributes => "GetObjectAttributes",
            Self::OptionsObject => "OptionsObject",
            Self::Pass(name) => name,
        }
    }

    /// Whether the operation changes what is stored. Those run to their end even when the client goes away.
    pub fn writes(&self) -> bool {
        match self {
            Self::ListBuckets
            | Self::HeadBucket
            | Self::GetBucketLocation
            | Self::ListObjects
            | Self::ListObjectsV2
            | Self::ListObjectVersions
            | Self::ListMultipartUploads
            | Self::GetObject
            | Self::HeadObject
            | Self::GetObjectAttributes
            | Self::OptionsObject
            | Self::ListParts { .. } => false,
            Self::CreateBucket
            | Self::DeleteBucket
            | Self::DeleteObjects
            | Self::PutObject
            | Self::DeleteObject
            | Self::CopyObject
            | Self::CreateMultipartUpload
            | Self::UploadPart { .. }
            | Self::UploadPartCopy { .. }
            | Self::CompleteMultipartUpload { .. }
            | Self::AbortMultipartUpload { .. }
            | Self::Pass(_) => true,
        }
    }

    /// What the gateway does with the operation.
    pub fn treatment(&self) -> Treatment {
        match self {
            Self::PutObject
            | Self::GetObject
            | Self::HeadObject
            | Self::GetObjectAttributes
            | Self::CopyObject
            | Self::CreateMultipartUpload
            | Self::UploadPart { .. }
            | Self::UploadPartCopy { .. }
            | Self::CompleteMultipartUpload { .. } => Treatment::Transformed,
            Self::ListBuckets
            | Self::ListObjects
            | Self::ListObjectsV2
            | Self::ListObjectVersions
            | Self::ListMultipartUploads
            | Self::ListParts { .. }
            | Self::AbortMultipartUpload { .. }
            | Self::DeleteObject
            | Self::DeleteObjects => Treatment::Rewritten,
            Self::CreateBucket
            | Self::DeleteBucket
            | Self::HeadBucket
            | Self::GetBucketLocation
            | Self::OptionsObject
            | Self::Pass(_) => Treatment::Passed,
        }
    }
}

/// How much of an operation is the gateway's own work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// The bytes of objects, or what describes them, are sealed or opened.
    Transformed,
    /// Names, sizes, entity tags or ids are exchanged for those that belong on the other side.
    Rewritten,
    /// Sent on with a new signature, and answered as the storage answers.
    Passed,
}

impl Treatment {
    /// The word for it in docs/s3.md.
    pub fn word(self) -> &'static str {
        match self {
            Self::Transformed => "transformed",
            Self::Rewritten => "rewritten",
            Self::Passed => "passed",
        }
    }
}
