//! Which actions an operation needs on what: the one place that sorts operations into actions, with no default branch.

use http::{HeaderMap, header::IF_MATCH};
use sealgate_access::Action;

use crate::{
    copy_source::CopySource, object_key::ObjectPath, query_string::QueryString, route::Operation,
};

/// What an operation does to the bucket or the object of its path, and to others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// On the bucket or the object of the path, all of them.
    pub(super) here: Vec<Action>,
    /// For a listing, the prefix that it asks for.
    pub(super) prefix: Option<String>,
    /// The object that a copy reads.
    pub(super) source: Option<Source>,
    /// Whether the answer tells which entity tag the object of the path has, or that there is none: then its name has to be known anyway.
    pub(super) sees_here: bool,
}

/// The object that a copy reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) bucket: String,
    pub(super) key: String,
    /// Whether a version is named, which need not be what the name alone shows.
    pub(super) is_version: bool,
    /// What reading it takes, beside `decrypt`.
    pub(super) read: Action,
    /// Whether it is copied whole and its answer can keep silent about it, so that `copy` is enough.
    pub(super) may_stay_unseen: bool,
}

/// What an operation needs. `None` for one whose action is not known: it is denied.
///
/// The keys of DeleteObjects are in its body: each is decided about when it has been read.
pub(super) fn needs(
    operation: &Operation,
    path: &ObjectPath,
    query: &QueryString,
    headers: &HeaderMap,
) -> Option<Needs> {
    let is_version = query.contains("versionId");
    let of_version = |plain, version| if is_version { version } else { plain };
    let here = match operation {
        Operation::ListBuckets => vec![Action::LIST_ALL_MY_BUCKETS],
        Operation::CreateBucket => {
            let mut actions = vec![Action::CREATE_BUCKET];
            if has_acl(headers) {
                actions.push(Action::PUT_BUCKET_ACL);
            }
            for (header, configuration) in [
                (
                    "x-amz-bucket-object-lock-enabled",
                    "PutObjectLockConfiguration",
                ),
                ("x-amz-object-ownership", "PutBucketOwnershipControls"),
            ] {
                if headers.contains_key(header) {
                    actions.push(Action::of_passed(configuration)?);
                }
            }
            actions
        }
        Operation::DeleteBucket => vec![Action::DELETE_BUCKET],
        Operation::HeadBucket => vec![Action::HEAD_BUCKET],
        Operation::GetBucketLocation => vec![Action::GET_BUCKET_LOCATION],
        Operation::ListObjects | Operation::ListObjectsV2 => vec![Action::LIST_BUCKET],
        Operation::ListObjectVersions => vec![Action::LIST_BUCKET_VERSIONS],
        Operation::ListMultipartUploads => vec![Action::LIST_BUCKET_MULTIPART_UPLOADS],
        Operation::DeleteObjects | Operation::OptionsObject => Vec::new(),
        Operation::PutObject | Operation::CopyObject | Operation::CreateMultipartUpload => {
            let mut actions = vec![Action::PUT_OBJECT, Action::ENCRYPT];
            actions.extend(labels(headers));
            actions
        }
        Operation::UploadPart { .. }
        | Operation::UploadPartCopy { .. }
        | Operation::CompleteMultipartUpload { .. } => vec![Action::PUT_OBJECT, Action::ENCRYPT],
        Operation::GetObject | Operation::HeadObject => vec![
            of_version(Action::GET_OBJECT, Action::GET_OBJECT_VERSION),
            Action::DECRYPT,
        ],
        Operation::GetObjectAttributes => vec![
            of_version(
                Action::GET_OBJECT_ATTRIBUTES,
                Action::GET_OBJECT_VERSION_ATTRIBUTES,
            ),
            Action::DECRYPT,
        ],
        Operation::DeleteObject => {
            let mut actions = vec![of_version(
                Action::DELETE_OBJECT,
                Action::DELETE_OBJECT_VERSION,
            )];
            actions.extend(bypass(headers));
            actions
        }
        Operation::ListParts { .. } => vec![Action::LIST_MULTIPART_UPLOAD_PARTS],
        Operation::AbortMultipartUpload { .. } => vec![Action::ABORT_MULTIPART_UPLOAD],
        Operation::Pass(name) => {
            let mut actions = vec![Action::of_passed(name)?];
            actions.extend(bypass(headers));
            actions
        }
    };
    let prefix = match operation {
        Operation::ListObjects
        | Operation::ListObjectsV2
        | Operation::ListObjectVersions
        | Operation::ListMultipartUploads => Some(
            query
                .unique("prefix")
                .ok()
                .flatten()
                .unwrap_or_default()
                .to_owned(),
        ),
        _ => None,
    };
    let source = match operation {
        // A header that cannot be read fails in the operation, before anything is read.
        Operation::CopyObject | Operation::UploadPartCopy { .. } => source(operation, headers),
        _ => None,
    };
    debug_assert!(path.key().is_some() || source.is_none());
    Some(Needs {
        here,
        prefix,
        source,
        sees_here: path.key().is_some() && operation.writes() && headers.contains_key(IF_MATCH),
    })
}

/// What deleting one of the keys of DeleteObjects takes.
pub(super) fn of_deletion(is_version: bool, headers: &HeaderMap) -> Vec<Action> {
    let mut actions = vec![if is_version {
        Action::DELETE_OBJECT_VERSION
    } else {
        Action::DELETE_OBJECT
    }];
    actions.extend(bypass(headers));
    actions
}

fn source(operation: &Operation, headers: &HeaderMap) -> Option<Source> {
    let source = headers.get("x-amz-copy-source")?.to_str().ok()?;
    let source = CopySource::parse(source).ok()?;
    Some(Source {
        bucket: source.bucket.as_str().to_owned(),
        key: source.key.as_str().to_owned(),
        is_version: source.version_id.is_some(),
        read: if source.version_id.is_some() {
            Action::GET_OBJECT_VERSION
        } else {
            Action::GET_OBJECT
        },
        // Parts tell their checksums when they are listed and completed, and a part may be a range of one byte.
        may_stay_unseen: *operation == Operation::CopyObject,
    })
}

/// What the labels take that a new object is to have.
fn labels(headers: &HeaderMap) -> impl Iterator<Item = Action> {
    let has = |name: &str| headers.contains_key(name);
    let retention = has("x-amz-object-lock-mode") || has("x-amz-object-lock-retain-until-date");
    [
        (has_acl(headers), Action::PUT_OBJECT_ACL),
        (has("x-amz-tagging"), Action::PUT_OBJECT_TAGGING),
        (retention, Action::PUT_OBJECT_RETENTION),
        (
            has("x-amz-object-lock-legal-hold"),
            Action::PUT_OBJECT_LEGAL_HOLD,
        ),
    ]
    .into_iter()
    .filter_map(|(needed, action)| needed.then_some(action))
}

fn has_acl(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        name == "x-amz-acl" || name.starts_with("x-amz-grant-")
    })
}

fn bypass(headers: &HeaderMap) -> Option<Action> {
    // All of them: which one a storage goes by is its own affair.
    headers
        .get_all("x-amz-bypass-governance-retention")
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"false"))
        .then_some(Action::BYPASS_GOVERNANCE_RETENTION)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use sealgate_access::Level;

    use super::*;
    use crate::route::passed_names;

    fn path(text: &str) -> ObjectPath {
        ObjectPath::parse(None, &[], text).unwrap()
    }

    fn of(operation: &Operation, at: &str, query: &str, headers: &[(&'static str, &str)]) -> Needs {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let query = QueryString::parse(Some(query)).unwrap();
        needs(operation, &path(at), &query, &map).unwrap()
    }

    #[test]
    fn every_operation_that_passes_has_an_action_of_its_own_level() {
        let on_objects = [
            "GetObjectAcl",
            "PutObjectAcl",
            "GetObjectLegalHold",
            "PutObjectLegalHold",
            "RestoreObject",
            "GetObjectRetention",
            "PutObjectRetention",
            "GetObjectTagging",
            "PutObjectTagging",
            "DeleteObjectTagging",
        ];
        for name in passed_names() {
            let action = Action::of_passed(name).unwrap_or_else(|| panic!("{name} has no action"));
            let expected = if on_objects.contains(&name) {
                Level::Object
            } else {
                Level::Bucket
            };
            assert_eq!(action.level(), expected, "{name}");
        }
        let nothing = QueryString::default();
        let unknown = Operation::Pass("PutBucketSomethingNew");
        assert_eq!(
            needs(&unknown, &path("/bucket"), &nothing, &HeaderMap::new()),
            None
        );
    }

    #[test]
    fn reading_needs_decrypt_and_writing_encrypt() {
        let get = of(&Operation::GetObject, "/bucket/k", "", &[]);
        assert_eq!(get.here, [Action::GET_OBJECT, Action::DECRYPT]);
        let get = of(&Operation::HeadObject, "/bucket/k", "versionId=1", &[]);
        assert_eq!(get.here, [Action::GET_OBJECT_VERSION, Action::DECRYPT]);
        let put = of(&Operation::PutObject, "/bucket/k", "", &[]);
        assert_eq!(put.here, [Action::PUT_OBJECT, Action::ENCRYPT]);
        let complete = Operation::CompleteMultipartUpload {
            upload_id: "1".to_owned(),
        };
        assert_eq!(of(&complete, "/bucket/k", "", &[]).here, put.here);
    }

    #[test]
    fn labels_of_a_new_object_need_actions_of_their_own() {
        let headers = [
            ("x-amz-grant-read", "id=1"),
            ("x-amz-tagging", "a=b"),
            ("x-amz-object-lock-mode", "GOVERNANCE"),
            ("x-amz-object-lock-legal-hold", "ON"),
        ];
        let put = of(&Operation::PutObject, "/bucket/k", "", &headers);
        for action in [
            Action::PUT_OBJECT_ACL,
            Action::PUT_OBJECT_TAGGING,
            Action::PUT_OBJECT_RETENTION,
            Action::PUT_OBJECT_LEGAL_HOLD,
        ] {
            assert!(put.here.contains(&action), "{action}");
        }
        let delete = of(
            &Operation::DeleteObject,
            "/bucket/k",
            "versionId=1",
            &[("x-amz-bypass-governance-retention", "True")],
        );
        assert_eq!(
            delete.here,
            [
                Action::DELETE_OBJECT_VERSION,
                Action::BYPASS_GOVERNANCE_RETENTION
            ]
        );
    }

    #[test]
    fn a_condition_on_what_is_there_needs_sight_of_it() {
        let conditions = [("if-match", "\"x\"")];
        let writes = [
            Operation::PutObject,
            Operation::DeleteObject,
            Operation::CompleteMultipartUpload {
                upload_id: "1".to_owned(),
            },
        ];
        for operation in writes {
            assert!(of(&operation, "/bucket/k", "", &conditions).sees_here);
            assert!(!of(&operation, "/bucket/k", "", &[]).sees_here);
        }
        let new = [("if-none-match", "*")];
        assert!(!of(&Operation::PutObject, "/bucket/k", "", &new).sees_here);
        assert!(!of(&Operation::GetObject, "/bucket/k", "", &conditions).sees_here);
    }

    #[test]
    fn copies_read_their_source_and_ranges_of_it_are_seen() {
        let headers = [("x-amz-copy-source", "/other/a%20b?versionId=v")];
        let copy = of(&Operation::CopyObject, "/bucket/k", "", &headers)
            .source
            .unwrap();
        assert_eq!((copy.bucket.as_str(), copy.key.as_str()), ("other", "a b"));
        assert_eq!(copy.read, Action::GET_OBJECT_VERSION);
        assert!(copy.may_stay_unseen);
        let part = Operation::UploadPartCopy {
            upload_id: "1".to_owned(),
            number: 1,
        };
        assert!(
            !of(&part, "/bucket/k", "", &headers)
                .source
                .unwrap()
                .may_stay_unseen
        );
    }

    #[test]
    fn listings_are_decided_by_their_prefix() {
        let list = of(
            &Operation::ListObjectsV2,
            "/bucket",
            "list-type=2&prefix=a%2F",
            &[],
        );
        assert_eq!(list.prefix.as_deref(), Some("a/"));
        assert_eq!(
            of(&Operation::ListObjects, "/bucket", "", &[])
                .prefix
                .as_deref(),
            Some("")
        );
        assert_eq!(of(&Operation::HeadBucket, "/bucket", "", &[]).prefix, None);
    }
}
