//! What is refused by design, each with its reason (s3-wire-rules, "Operations, sorted").

use http::{HeaderMap, Method};

use crate::query_string::QueryString;

/// The path of WriteGetObjectResponse, which names no bucket.
const OBJECT_LAMBDA_PATH: &str = "/WriteGetObjectResponse";

/// Why a request is refused whatever its path names.
pub(super) fn anywhere(path: &str, headers: &HeaderMap) -> Option<&'static str> {
    let of_object_lambda = path == OBJECT_LAMBDA_PATH
        || headers.contains_key("x-amz-request-route")
        || headers.contains_key("x-amz-request-token");
    of_object_lambda.then_some(
        "WriteGetObjectResponse is refused: it belongs to S3 Object Lambda, whose functions would see ciphertext only.",
    )
}

/// Operations that MinIO adds to those of a bucket or of the service, by their parameter: events as they happen, and the state of replication.
/// A storage that does not know one answers with a listing.
const OF_MINIO: [&str; 5] = [
    "events",
    "replication-check",
    "replication-metrics",
    "replication-reset",
    "replication-reset-status",
];

/// Why what only MinIO has is refused.
fn of_minio(query: &QueryString) -> Option<&'static str> {
    OF_MINIO.iter().any(|name| query.contains(name)).then_some(
        "Listening to events and asking about replication are refused: they are MinIO's own and not of S3, and tell of ciphertext. Ask the storage itself.",
    )
}

/// Why a request about the service is refused.
pub(super) fn on_service(query: &QueryString) -> Option<&'static str> {
    if let Some(why) = of_minio(query) {
        return Some(why);
    }
    let asked = query.contains("max-directory-buckets")
        || query.contains("x-directoryBuckets")
        || query.unique("x-id") == Ok(Some("ListDirectoryBuckets"));
    asked.then_some(
        "ListDirectoryBuckets is refused: session credentials of directory buckets would go around the gateway. Use general purpose buckets.",
    )
}

/// Why a bucket operation is refused.
pub(super) fn on_bucket(query: &QueryString) -> Option<&'static str> {
    if query.contains("session") {
        return Some(
            "CreateSession is refused: session credentials would go around the gateway. Use a general purpose bucket.",
        );
    }
    of_minio(query)
}

/// Why an object operation is refused.
pub(super) fn on_object(
    method: &Method,
    query: &QueryString,
    headers: &HeaderMap,
) -> Option<&'static str> {
    let names = |name: &str| query.contains(name);
    let carries = |name: &str| headers.contains_key(name);
    if names("select") {
        return Some(
            "SelectObjectContent is refused: the storage holds only ciphertext and cannot query it. Read the object and query it locally.",
        );
    }
    if names("torrent") {
        return Some(
            "GetObjectTorrent is refused: it would publish ciphertext under the name of the plaintext.",
        );
    }
    if names("renameObject") {
        return Some(
            "RenameObject is refused: an object is bound to its key. Copy it, which moves no bytes within a bucket, and delete the source.",
        );
    }
    if names("encryption") {
        return Some(
            "UpdateObjectEncryption is refused: a storage that does not know it would store the request in place of the object. The storage's own encryption of the ciphertext is set when an object is written.",
        );
    }
    if names("append") || carries("x-amz-write-offset-bytes") {
        return Some(
            "Appending to an object is refused: its end is authenticated. Upload the object again, or in parts.",
        );
    }
    if names("annotation") || names("annotations") {
        return Some(annotation(method, query));
    }
    if carries("x-amz-server-side-encryption-customer-algorithm")
        || carries("x-amz-server-side-encryption-customer-key")
        || carries("x-amz-copy-source-server-side-encryption-customer-algorithm")
        || carries("x-amz-copy-source-server-side-encryption-customer-key")
    {
        return Some(
            "SSE-C is refused: the gateway encrypts with keys of its own key service and never passes a key on in the clear.",
        );
    }
    if carries("x-amz-meta-snowball-auto-extract") || carries("x-minio-extract") {
        return Some(
            "Snowball auto-extract is refused: the storage holds only ciphertext and cannot unpack it.",
        );
    }
    None
}

/// Annotations are bodies of up to 1 MiB beside an object, which this version of the format has no place for.
fn annotation(method: &Method, query: &QueryString) -> &'static str {
    match *method {
        Method::PUT => {
            "PutObjectAnnotation is refused: an annotation would be stored in the clear. Use user metadata, or an object of its own."
        }
        Method::DELETE => {
            "DeleteObjectAnnotation is refused: through the gateway there are no annotations, because they would be stored in the clear."
        }
        _ if query.contains("annotationName") => {
            "GetObjectAnnotation is refused: through the gateway there are no annotations, because they would be stored in the clear."
        }
        _ => {
            "ListObjectAnnotations is refused: through the gateway there are no annotations, because they would be stored in the clear."
        }
    }
}
