//! The query parameters that choose an operation, sorted by what the gateway does with them (s3-wire-rules, "Operations, sorted").

use http::{HeaderMap, Method};

use crate::query_string::QueryString;

/// Bucket configurations that hold no object bytes: passed with a new signature.
pub const BUCKET_CONFIGURATION: [&str; 24] = [
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "lifecycle",
    "logging",
    "metadataConfiguration",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "tagging",
    "versioning",
    "website",
];

/// Labels of an object that are visible to the storage by design: passed with a new signature.
pub const OBJECT_LABELS: [&str; 5] = ["acl", "legal-hold", "restore", "retention", "tagging"];

/// Bucket configurations that S3 knows how to delete. A storage that does not know a combination of method and parameter may take the
/// request for DeleteBucket.
const DELETABLE_CONFIGURATION: [&str; 15] = [
    "analytics",
    "cors",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "lifecycle",
    "metadataConfiguration",
    "metadataTable",
    "metrics",
    "ownershipControls",
    "policy",
    "publicAccessBlock",
    "replication",
    "tagging",
    "website",
];

/// Parameters that may accompany a configuration or a label. Anything else could make the storage read another operation out of the request:
/// `?tagging&uploadId=…` is an upload of a part for some.
const BESIDE_PASSED: [&str; 4] = ["continuation-token", "id", "versionId", "x-id"];

/// Parameters that change nothing about where bytes go.
const HARMLESS: [&str; 13] = [
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "uploadId",
    "uploads",
    "versionId",
    "x-id",
    "delete",
    "list-type",
];

/// The bucket configuration that a query names.
pub(super) fn bucket_configuration(query: &QueryString) -> Option<&'static str> {
    BUCKET_CONFIGURATION
        .into_iter()
        .find(|name| query.contains(name))
}

/// The label that a query names.
pub(super) fn object_label(query: &QueryString) -> Option<&'static str> {
    OBJECT_LABELS.into_iter().find(|name| query.contains(name))
}

/// Whether an `x-amz-` header may go with a request that passes unread. Those that make a copy, describe an object or carry a key could turn
/// it into another operation, signed by us.
pub fn may_pass(name: &str) -> bool {
    const OF_OBJECTS: [&str; 8] = [
        "x-amz-copy-source",
        "x-amz-meta-",
        "x-amz-metadata-directive",
        "x-amz-rename-source",
        "x-amz-server-side-encryption",
        "x-amz-storage-class",
        "x-amz-tagging",
        "x-amz-write-offset-bytes",
    ];
    !OF_OBJECTS.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether S3 has this operation on a bucket's configuration.
pub(super) fn configurable(method: &Method, name: &str) -> bool {
    match *method {
        Method::GET => true,
        Method::PUT => name != "policyStatus",
        Method::DELETE => DELETABLE_CONFIGURATION.contains(&name),
        _ => false,
    }
}

/// Whether S3 has this operation on an object's label. A storage that does not know a combination may store the body as the object, or serve
/// or delete the object itself: MinIO takes `PUT ?restore` for PutObject.
pub(super) fn labellable(method: &Method, name: &str) -> bool {
    match *method {
        Method::GET | Method::PUT => name != "restore",
        Method::POST => name == "restore",
        Method::DELETE => name == "tagging",
        _ => false,
    }
}

/// The first parameter that may not accompany the configuration or label `passed`.
pub(super) fn beside_passed<'a>(query: &'a QueryString, passed: &str) -> Option<&'a str> {
    query
        .parameters()
        .iter()
        .map(|parameter| parameter.name.as_str())
        .find(|name| {
            let lower = name.to_ascii_lowercase();
            let of_a_header = lower.starts_with("x-amz-") && may_pass(&lower);
            *name != passed && !BESIDE_PASSED.contains(name) && !of_a_header
        })
}

/// Whether a parameter may accompany an operation that carries a body.
pub(super) fn harmless(name: &str) -> bool {
    // Presigned URLs may carry what other requests send as headers.
    HARMLESS.contains(&name) || name.to_ascii_lowercase().starts_with("x-amz-")
}

/// Why a bucket operation is refused.
pub(super) fn refused_on_bucket(query: &QueryString) -> Option<&'static str> {
    query
        .contains("session")
        .then_some("CreateSession is refused: session credentials would go around the gateway. Use a general purpose bucket.")
}

/// Why an object operation is refused.
pub(super) fn refused_on_object(query: &QueryString, headers: &HeaderMap) -> Option<&'static str> {
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
            "RenameObject is refused: an object is bound to its key. Copy it and delete the source.",
        );
    }
    if names("append") || carries("x-amz-write-offset-bytes") {
        return Some(
            "Appending to an object is refused: its end is authenticated. Upload the object again, or in parts.",
        );
    }
    if names("annotation") || names("annotations") {
        return Some("Object annotations are refused: they would be stored in the clear.");
    }
    if names("attributes") {
        return Some(
            "GetObjectAttributes is not supported by this version of the gateway; use HeadObject.",
        );
    }
    if carries("x-amz-request-route") || carries("x-amz-request-token") {
        return Some("WriteGetObjectResponse is refused: it belongs to S3 Object Lambda.");
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
