//! The operations that pass unread, with a new signature: configurations of buckets and labels of objects. They hold no object bytes.
//!
//! Each is one line, method included: a storage that does not know a combination may take the request for another one. MinIO stores the body
//! of `PUT ?restore` as the object, and takes `DELETE ?unknown` for DeleteBucket.

use http::Method;

use crate::query_string::QueryString;

/// An operation that passes: the query parameter that chooses it, its method, its name.
type Line = (&'static str, Method, &'static str);

/// On buckets. What has an `id` for one of many is listed without it, see [`LISTS`].
const ON_BUCKETS: [Line; 65] = [
    ("abac", Method::GET, "GetBucketAbac"),
    ("abac", Method::PUT, "PutBucketAbac"),
    (
        "accelerate",
        Method::GET,
        "GetBucketAccelerateConfiguration",
    ),
    (
        "accelerate",
        Method::PUT,
        "PutBucketAccelerateConfiguration",
    ),
    ("acl", Method::GET, "GetBucketAcl"),
    ("acl", Method::PUT, "PutBucketAcl"),
    (
        "analytics",
        Method::DELETE,
        "DeleteBucketAnalyticsConfiguration",
    ),
    ("analytics", Method::GET, "GetBucketAnalyticsConfiguration"),
    ("analytics", Method::PUT, "PutBucketAnalyticsConfiguration"),
    ("cors", Method::DELETE, "DeleteBucketCors"),
    ("cors", Method::GET, "GetBucketCors"),
    ("cors", Method::PUT, "PutBucketCors"),
    ("encryption", Method::DELETE, "DeleteBucketEncryption"),
    ("encryption", Method::GET, "GetBucketEncryption"),
    ("encryption", Method::PUT, "PutBucketEncryption"),
    (
        "intelligent-tiering",
        Method::DELETE,
        "DeleteBucketIntelligentTieringConfiguration",
    ),
    (
        "intelligent-tiering",
        Method::GET,
        "GetBucketIntelligentTieringConfiguration",
    ),
    (
        "intelligent-tiering",
        Method::PUT,
        "PutBucketIntelligentTieringConfiguration",
    ),
    (
        "inventory",
        Method::DELETE,
        "DeleteBucketInventoryConfiguration",
    ),
    ("inventory", Method::GET, "GetBucketInventoryConfiguration"),
    ("inventory", Method::PUT, "PutBucketInventoryConfiguration"),
    ("lifecycle", Method::DELETE, "DeleteBucketLifecycle"),
    ("lifecycle", Method::GET, "GetBucketLifecycleConfiguration"),
    ("lifecycle", Method::PUT, "PutBucketLifecycleConfiguration"),
    ("logging", Method::GET, "GetBucketLogging"),
    ("logging", Method::PUT, "PutBucketLogging"),
    (
        "metadataAnnotationTable",
        Method::PUT,
        "UpdateBucketMetadataAnnotationTableConfiguration",
    ),
    (
        "metadataConfiguration",
        Method::DELETE,
        "DeleteBucketMetadataConfiguration",
    ),
    (
        "metadataConfiguration",
        Method::GET,
        "GetBucketMetadataConfiguration",
    ),
    (
        "metadataConfiguration",
        Method::POST,
        "CreateBucketMetadataConfiguration",
    ),
    (
        "metadataInventoryTable",
        Method::PUT,
        "UpdateBucketMetadataInventoryTableConfiguration",
    ),
    (
        "metadataJournalTable",
        Method::PUT,
        "UpdateBucketMetadataJournalTableConfiguration",
    ),
    (
        "metadataTable",
        Method::DELETE,
        "DeleteBucketMetadataTableConfiguration",
    ),
    (
        "metadataTable",
        Method::GET,
        "GetBucketMetadataTableConfiguration",
    ),
    (
        "metadataTable",
        Method::POST,
        "CreateBucketMetadataTableConfiguration",
    ),
    (
        "metrics",
        Method::DELETE,
        "DeleteBucketMetricsConfiguration",
    ),
    ("metrics", Method::GET, "GetBucketMetricsConfiguration"),
    ("metrics", Method::PUT, "PutBucketMetricsConfiguration"),
    (
        "notification",
        Method::GET,
        "GetBucketNotificationConfiguration",
    ),
    (
        "notification",
        Method::PUT,
        "PutBucketNotificationConfiguration",
    ),
    ("object-lock", Method::GET, "GetObjectLockConfiguration"),
    ("object-lock", Method::PUT, "PutObjectLockConfiguration"),
    (
        "ownershipControls",
        Method::DELETE,
        "DeleteBucketOwnershipControls",
    ),
    (
        "ownershipControls",
        Method::GET,
        "GetBucketOwnershipControls",
    ),
    (
        "ownershipControls",
        Method::PUT,
        "PutBucketOwnershipControls",
    ),
    ("policy", Method::DELETE, "DeleteBucketPolicy"),
    ("policy", Method::GET, "GetBucketPolicy"),
    ("policy", Method::PUT, "PutBucketPolicy"),
    ("policyStatus", Method::GET, "GetBucketPolicyStatus"),
    (
        "publicAccessBlock",
        Method::DELETE,
        "DeletePublicAccessBlock",
    ),
    ("publicAccessBlock", Method::GET, "GetPublicAccessBlock"),
    ("publicAccessBlock", Method::PUT, "PutPublicAccessBlock"),
    ("replication", Method::DELETE, "DeleteBucketReplication"),
    ("replication", Method::GET, "GetBucketReplication"),
    ("replication", Method::PUT, "PutBucketReplication"),
    ("requestPayment", Method::GET, "GetBucketRequestPayment"),
    ("requestPayment", Method::PUT, "PutBucketRequestPayment"),
    ("tagging", Method::DELETE, "DeleteBucketTagging"),
    ("tagging", Method::GET, "GetBucketTagging"),
    ("tagging", Method::PUT, "PutBucketTagging"),
    ("versioning", Method::GET, "GetBucketVersioning"),
    ("versioning", Method::PUT, "PutBucketVersioning"),
    ("website", Method::DELETE, "DeleteBucketWebsite"),
    ("website", Method::GET, "GetBucketWebsite"),
    ("website", Method::PUT, "PutBucketWebsite"),
];

/// What a GET without `id` asks for.
const LISTS: [(&str, &str); 4] = [
    ("analytics", "ListBucketAnalyticsConfigurations"),
    (
        "intelligent-tiering",
        "ListBucketIntelligentTieringConfigurations",
    ),
    ("inventory", "ListBucketInventoryConfigurations"),
    ("metrics", "ListBucketMetricsConfigurations"),
];

/// On objects: labels that are visible to the storage by design.
const ON_OBJECTS: [Line; 10] = [
    ("acl", Method::GET, "GetObjectAcl"),
    ("acl", Method::PUT, "PutObjectAcl"),
    ("legal-hold", Method::GET, "GetObjectLegalHold"),
    ("legal-hold", Method::PUT, "PutObjectLegalHold"),
    ("restore", Method::POST, "RestoreObject"),
    ("retention", Method::GET, "GetObjectRetention"),
    ("retention", Method::PUT, "PutObjectRetention"),
    ("tagging", Method::DELETE, "DeleteObjectTagging"),
    ("tagging", Method::GET, "GetObjectTagging"),
    ("tagging", Method::PUT, "PutObjectTagging"),
];

/// Parameters that may accompany a configuration or a label. Anything else could make the storage read another operation out of the request:
/// `?tagging&uploadId=…` is an upload of a part for some.
const BESIDE: [&str; 4] = ["continuation-token", "id", "versionId", "x-id"];

/// What a query that names a configuration or a label asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// This operation.
    Operation(&'static str),
    /// S3 has no operation of this method there.
    NoSuchMethod,
    /// Two parameters that must not stand together.
    Ambiguous(&'static str, String),
}

/// The configuration that a query names, if any.
pub(super) fn on_bucket(method: &Method, query: &QueryString) -> Option<Passed> {
    let passed = find(&ON_BUCKETS, method, query)?;
    let listed = LISTS
        .iter()
        .find(|(parameter, _)| query.contains(parameter) && !query.contains("id"));
    match (passed, listed) {
        (Passed::Operation(_), Some((_, name))) if *method == Method::GET => {
            Some(Passed::Operation(name))
        }
        (passed, _) => Some(passed),
    }
}

/// The label that a query names, if any.
pub(super) fn on_object(method: &Method, query: &QueryString) -> Option<Passed> {
    find(&ON_OBJECTS, method, query)
}

fn find(lines: &[Line], method: &Method, query: &QueryString) -> Option<Passed> {
    let (parameter, ..) = lines
        .iter()
        .find(|(parameter, ..)| query.contains(parameter))?;
    let line = lines
        .iter()
        .find(|(candidate, allowed, _)| candidate == parameter && allowed == method);
    let Some((_, _, name)) = line else {
        return Some(Passed::NoSuchMethod);
    };
    Some(match beside(query, parameter) {
        Some(other) => Passed::Ambiguous(parameter, other.to_owned()),
        None => Passed::Operation(name),
    })
}

/// The first parameter that may not accompany `passed`.
fn beside<'a>(query: &'a QueryString, passed: &str) -> Option<&'a str> {
    query
        .parameters()
        .iter()
        .map(|parameter| parameter.name.as_str())
        .find(|name| {
            let lower = name.to_ascii_lowercase();
            let of_a_header = lower.starts_with("x-amz-") && may_pass(&lower);
            *name != passed && !BESIDE.contains(name) && !of_a_header
        })
}

/// Whether a parameter of a request that passes goes upstream. The others that [`beside`] allows say nothing to a storage, or are headers again
/// where they came from a presigned URL.
pub(super) fn goes_upstream(name: &str) -> bool {
    let chooses = |line: &Line| line.0 == name;
    name != "x-id"
        && (BESIDE.contains(&name)
            || ON_BUCKETS.iter().any(chooses)
            || ON_OBJECTS.iter().any(chooses))
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

/// The names of all of them.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let lines = ON_BUCKETS.into_iter().chain(ON_OBJECTS);
    let lists = LISTS.into_iter().map(|(_, name)| name);
    lines.map(|(_, _, name)| name).chain(lists)
}
