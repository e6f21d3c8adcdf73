//! What an error is about, in elements of its own, as S3 names it (S3 API reference, "Error responses").

use crate::{
    error::S3Error,
    object_key::{BucketName, ObjectKey, ObjectPath},
    route::Operation,
};

/// Names the key, bucket or upload that an error is about.
pub(super) fn named(error: S3Error, path: &ObjectPath, operation: &Operation) -> S3Error {
    let element = match &*error.code {
        // Of a copy it may be the source that is missing.
        "NoSuchKey" | "NoSuchBucket" if is_copy(operation) => None,
        "NoSuchKey" => path.key().map(|key| ("Key", ObjectKey::as_str(key))),
        "NoSuchBucket" | "BucketAlreadyExists" | "BucketAlreadyOwnedByYou" | "BucketNotEmpty" => {
            path.bucket()
                .map(|bucket| ("BucketName", BucketName::as_str(bucket)))
        }
        "NoSuchUpload" => upload_id(operation).map(|id| ("UploadId", id)),
        _ => None,
    };
    match element {
        Some((name, value)) if error.elements.iter().all(|(known, _)| *known != name) => {
            error.with_element(name, value)
        }
        _ => error,
    }
}

fn is_copy(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::CopyObject | Operation::UploadPartCopy { .. }
    )
}

fn upload_id(operation: &Operation) -> Option<&str> {
    match operation {
        Operation::UploadPart { upload_id, .. }
        | Operation::UploadPartCopy { upload_id, .. }
        | Operation::ListParts { upload_id }
        | Operation::CompleteMultipartUpload { upload_id }
        | Operation::AbortMultipartUpload { upload_id } => Some(upload_id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_is_missing() {
        let path = ObjectPath::parse(None, &[], "/bucket/a/b").unwrap();
        let elements =
            |error, operation: &Operation| named(error, &path, operation).elements.clone();
        assert_eq!(
            elements(S3Error::no_such_key(), &Operation::GetObject),
            [("Key", "a/b".to_owned())]
        );
        assert_eq!(elements(S3Error::no_such_key(), &Operation::CopyObject), []);
        assert_eq!(
            elements(S3Error::no_such_bucket(), &Operation::GetObject),
            [("BucketName", "bucket".to_owned())]
        );
        let upload_id = "u".to_owned();
        assert_eq!(
            elements(
                S3Error::no_such_upload(),
                &Operation::ListParts { upload_id }
            ),
            [("UploadId", "u".to_owned())]
        );
        assert_eq!(
            elements(S3Error::precondition_failed(), &Operation::GetObject),
            []
        );
    }
}
