//! The query parameters that choose an operation, sorted by what the gateway does with them (s3-wire-rules, "Operations, sorted").

use http::HeaderMap;

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
