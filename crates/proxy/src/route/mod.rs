//! From method, path, query and headers to one [`Operation`], or a refusal. There is no default branch that lets a body through.
//!
//! The sorting follows one rule: what stores or serves object bytes is transformed, what only names objects is rewritten, what configures a
//! bucket or labels an object passes with a new signature, and everything that could store plaintext unseen is refused with its reason.

mod subresource;

pub use subresource::{BUCKET_CONFIGURATION, OBJECT_LABELS, may_pass};

use http::{HeaderMap, Method};

use crate::{
    auth::{Authenticated, Caller},
    error::S3Error,
    object_key::{BucketName, ObjectKey, ObjectPath, Target},
    query_string::QueryString,
};

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
    /// A bucket's configuration, or an object's labels (tags, ACL, retention, legal hold, restore): passed with a new signature.
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
}

/// Decides what an authenticated request asks for.
///
/// # Errors
///
/// `NotImplemented` with the reason for what is refused by design, `MethodNotAllowed` and `InvalidArgument` for what S3 does not know.
pub fn route(
    _proof: &Authenticated<Caller>,
    method: &Method,
    path: &ObjectPath,
    query: &QueryString,
    headers: &HeaderMap,
) -> Result<Operation, S3Error> {
    query
        .refuse_duplicates()
        .map_err(|error| S3Error::invalid_argument(error.to_string()))?;
    match path.target() {
        Target::Service => service(method, query),
        Target::Bucket(bucket) => on_bucket(method, bucket, query),
        Target::Object(_, key) => on_object(method, key, query, headers),
    }
}

fn service(method: &Method, query: &QueryString) -> Result<Operation, S3Error> {
    match *method {
        Method::GET if query.contains("x-directoryBuckets") => Err(S3Error::not_implemented(
            "ListDirectoryBuckets is refused: session credentials of directory buckets would go around the gateway.",
        )),
        Method::GET => Ok(Operation::ListBuckets),
        _ => Err(method_not_allowed()),
    }
}

fn on_bucket(
    method: &Method,
    _bucket: &BucketName,
    query: &QueryString,
) -> Result<Operation, S3Error> {
    if let Some(refusal) = subresource::refused_on_bucket(query) {
        return Err(S3Error::not_implemented(refusal));
    }
    if let Some(name) = subresource::bucket_configuration(query) {
        return passed(query, name, subresource::configurable(method, name));
    }
    match *method {
        Method::GET if query.contains("location") => Ok(Operation::GetBucketLocation),
        Method::GET if query.contains("uploads") => Ok(Operation::ListMultipartUploads),
        Method::GET if query.contains("versions") => Ok(Operation::ListObjectVersions),
        Method::GET
            if query
                .unique("list-type")
                .is_ok_and(|value| value == Some("2")) =>
        {
            Ok(Operation::ListObjectsV2)
        }
        Method::GET => Ok(Operation::ListObjects),
        Method::HEAD => Ok(Operation::HeadBucket),
        Method::PUT if unknown(query).is_none() => Ok(Operation::CreateBucket),
        Method::DELETE if unknown(query).is_none() => Ok(Operation::DeleteBucket),
        Method::POST if query.contains("delete") => Ok(Operation::DeleteObjects),
        Method::POST => Err(S3Error::not_implemented(
            "Browser uploads by POST policy forms are not supported by this version of the gateway; use a presigned PUT.",
        )),
        Method::PUT | Method::DELETE => Err(unknown_subresource(query)),
        _ => Err(method_not_allowed()),
    }
}

fn on_object(
    method: &Method,
    _key: &ObjectKey,
    query: &QueryString,
    headers: &HeaderMap,
) -> Result<Operation, S3Error> {
    if let Some(refusal) = subresource::refused_on_object(query, headers) {
        return Err(S3Error::not_implemented(refusal));
    }
    if let Some(name) = subresource::object_label(query) {
        return passed(query, name, subresource::labellable(method, name));
    }
    let upload_id = query.unique("uploadId").ok().flatten();
    let copies = headers.contains_key("x-amz-copy-source");
    match (method, upload_id) {
        (&Method::PUT, Some(upload_id)) => {
            let number = part_number(query)?;
            let upload_id = upload_id.to_owned();
            Ok(if copies {
                Operation::UploadPartCopy { upload_id, number }
            } else {
                Operation::UploadPart { upload_id, number }
            })
        }
        (&Method::GET, Some(upload_id)) => Ok(Operation::ListParts {
            upload_id: upload_id.to_owned(),
        }),
        (&Method::POST, Some(upload_id)) => Ok(Operation::CompleteMultipartUpload {
            upload_id: upload_id.to_owned(),
        }),
        (&Method::DELETE, Some(upload_id)) => Ok(Operation::AbortMultipartUpload {
            upload_id: upload_id.to_owned(),
        }),
        (&Method::POST, None) if query.contains("uploads") => Ok(Operation::CreateMultipartUpload),
        (&Method::PUT, None) if unknown(query).is_some() => Err(unknown_subresource(query)),
        (&Method::PUT, None) if query.contains("partNumber") => Err(S3Error::invalid_argument(
            "This operation does not accept a query-string with partNumber and without uploadId.",
        )),
        (&Method::PUT, None) if copies => Ok(Operation::CopyObject),
        (&Method::PUT, None) => Ok(Operation::PutObject),
        (&Method::GET, None) => Ok(Operation::GetObject),
        (&Method::HEAD, _) => Ok(Operation::HeadObject),
        (&Method::DELETE, None) => Ok(Operation::DeleteObject),
        (&Method::POST, None) => Err(unknown_subresource(query)),
        _ => Err(method_not_allowed()),
    }
}

/// A request that passes unread must mean one thing only, to us and to every storage.
fn passed(
    query: &QueryString,
    name: &'static str,
    is_operation: bool,
) -> Result<Operation, S3Error> {
    if !is_operation {
        return Err(method_not_allowed());
    }
    match subresource::beside_passed(query, name) {
        None => Ok(Operation::Pass(name)),
        Some(other) => Err(S3Error::invalid_argument(format!(
            "The query parameters {name:?} and {other:?} cannot be used together."
        ))),
    }
}

/// A part number from 1 to 10,000 (S3 API, UploadPart).
fn part_number(query: &QueryString) -> Result<u16, S3Error> {
    query
        .unique("partNumber")
        .ok()
        .flatten()
        .and_then(|text| text.parse().ok())
        .filter(|number| (1..=10_000).contains(number))
        .ok_or_else(|| {
            S3Error::invalid_argument(
                "Part number must be an integer between 1 and 10000, inclusive",
            )
        })
}

/// The first query parameter that no operation with a body knows. The parameters of a presigned URL have been stripped before.
fn unknown(query: &QueryString) -> Option<&str> {
    query
        .parameters()
        .iter()
        .map(|parameter| parameter.name.as_str())
        .find(|name| !subresource::harmless(name))
}

fn unknown_subresource(query: &QueryString) -> S3Error {
    let name = unknown(query).unwrap_or("(none)");
    S3Error::not_implemented(format!(
        "A request with the query parameter {name:?} is refused: the gateway does not know it, and it could store data in the clear."
    ))
}

fn method_not_allowed() -> S3Error {
    S3Error::new(
        http::StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_data(method: &Method, path: &str, query: &str) -> Result<Operation, S3Error> {
        let query = QueryString::parse(Some(query)).unwrap();
        query
            .refuse_duplicates()
            .map_err(|error| S3Error::invalid_argument(error.to_string()))?;
        match ObjectPath::parse(None, &[], path).unwrap().target() {
            Target::Service => service(method, &query),
            Target::Bucket(bucket) => on_bucket(method, bucket, &query),
            Target::Object(_, key) => on_object(method, key, &query, &HeaderMap::new()),
        }
    }

    fn passes(method: &Method, path: &str, query: &str) -> bool {
        matches!(on_data(method, path, query), Ok(Operation::Pass(_)))
    }

    #[test]
    fn labels_pass_with_the_methods_that_s3_has_for_them() {
        for (method, query) in [
            (Method::GET, "acl"),
            (Method::PUT, "acl"),
            (Method::GET, "tagging&versionId=1"),
            (Method::PUT, "tagging&x-id=PutObjectTagging"),
            (Method::DELETE, "tagging"),
            (
                Method::PUT,
                "retention&x-amz-bypass-governance-retention=true",
            ),
            (Method::PUT, "legal-hold"),
            (Method::POST, "restore&versionId=1"),
        ] {
            assert!(passes(&method, "/data/k", query), "{method} {query}");
        }
    }

    #[test]
    fn no_label_takes_an_object_past_the_gateway() {
        for (method, query) in [
            // MinIO takes these for PutObject, GetObject and DeleteObject.
            (Method::PUT, "restore"),
            (Method::GET, "restore"),
            (Method::DELETE, "acl"),
            (Method::DELETE, "legal-hold"),
            (Method::POST, "tagging"),
            // And these for operations of a multipart upload.
            (Method::POST, "acl&uploads"),
            (Method::POST, "restore&uploads"),
            (Method::PUT, "tagging&partNumber=1&uploadId=x"),
            (Method::PUT, "tagging&partNumber=1&upload%49d=x"),
            (Method::POST, "restore&uploadId=x"),
            (Method::GET, "tagging&attributes"),
            (Method::PUT, "acl&tagging"),
            (Method::PUT, "acl&x-amz-copy-source=%2Fb%2Fk"),
            (Method::PUT, "acl&X-Amz-Meta-A=b"),
            (Method::PUT, "acl&anything"),
        ] {
            assert!(
                on_data(&method, "/data/k", query).is_err(),
                "{method} {query}"
            );
        }
    }

    #[test]
    fn configurations_pass_alone() {
        assert!(passes(
            &Method::GET,
            "/data",
            "inventory&continuation-token=x"
        ));
        assert!(passes(&Method::PUT, "/data", "lifecycle"));
        assert!(passes(&Method::DELETE, "/data", "cors"));
        for (method, query) in [
            (Method::DELETE, "versioning"),
            (Method::PUT, "policyStatus"),
            (Method::POST, "acl"),
            (Method::GET, "acl&versions"),
            (Method::GET, "policy&list-type=2"),
            (Method::PUT, "acl&delete"),
        ] {
            assert!(
                on_data(&method, "/data", query).is_err(),
                "{method} {query}"
            );
        }
    }
}
