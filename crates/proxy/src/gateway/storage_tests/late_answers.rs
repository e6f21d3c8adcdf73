//! Completions and copies whose outcome is known late, or is told behind a status of 200.

use std::time::Duration;

use http::{Method, StatusCode, header};

use super::{BUCKET, Rig, between, request, with};
use crate::upstream::UpstreamRequest;

/// The requests that the storage may answer late: a completion of an upload with one part, and a copy.
async fn requests(rig: &Rig) -> [UpstreamRequest; 2] {
    rig.put("source", "content").await.unwrap();
    let copy = with(
        request(Method::PUT, "copy"),
        "x-amz-copy-source",
        &format!("/{BUCKET}/source"),
    );
    [completion(rig).await, copy]
}

async fn completion(rig: &Rig) -> UpstreamRequest {
    let created = rig
        .text(request(Method::POST, "key").query("uploads="))
        .await;
    let upload = between(&created, "<UploadId>", "</UploadId>").to_owned();
    let part = request(Method::PUT, "key")
        .query(format!("partNumber=1&uploadId={upload}"))
        .bytes("content");
    let part = rig.call(part).await.unwrap();
    let tag = part.text(header::ETAG).unwrap();
    request(Method::POST, "key")
        .query(format!("uploadId={upload}"))
        .bytes(format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
        ))
}

#[tokio::test]
async fn rule_19_an_error_behind_a_200_has_the_status_of_its_code() {
    for (code, status) in [
        ("PreconditionFailed", StatusCode::PRECONDITION_FAILED),
        ("ConditionalRequestConflict", StatusCode::CONFLICT),
        ("NoSuchKey", StatusCode::NOT_FOUND),
        ("InvalidRequest", StatusCode::BAD_REQUEST),
        ("AccessDenied", StatusCode::FORBIDDEN),
        ("SomethingElse", StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        let rig = Rig::start("").await;
        for asked in requests(&rig).await {
            *rig.storage.behaviour.late_error.lock().unwrap() = Some(code);
            let error = rig.call(asked).await.unwrap_err();
            assert_eq!((error.status, error.code.as_ref()), (status, code));
            *rig.storage.behaviour.late_error.lock().unwrap() = None;
        }
        assert!(!rig.storage.names(BUCKET).contains(&"copy".to_owned()));
    }
}

/// A little more than the gateway waits before it begins its answer.
const LATE: Duration = Duration::from_millis(11_500);

#[tokio::test]
async fn rule_19_a_late_completion_is_white_space_and_then_its_result() {
    let rig = Rig::start("").await;
    let completion = completion(&rig).await;
    *rig.storage.behaviour.completes_after.lock().unwrap() = LATE;
    let text = rig.text(completion).await;
    assert!(text.starts_with("<?xml"), "{text}");
    assert!(text.contains("<CompleteMultipartUploadResult"), "{text}");
    assert!(text.contains("<ChecksumCRC64NVME>"), "{text}");
    assert_eq!(rig.get("key").await, "content");
}

#[tokio::test]
async fn rule_19_a_completion_that_fails_late_is_an_error_document_and_no_object() {
    let rig = Rig::start("").await;
    let completion = completion(&rig).await;
    *rig.storage.behaviour.completes_after.lock().unwrap() = LATE;
    *rig.storage.behaviour.late_error.lock().unwrap() = Some("InternalError");
    let text = rig.text(completion).await;
    assert!(text.contains("<Code>InternalError</Code>"), "{text}");
    assert!(text.contains("<RequestId>"), "{text}");
    assert!(!text.contains("CompleteMultipartUploadResult"), "{text}");
    let missing = rig.call(request(Method::GET, "key")).await.unwrap_err();
    assert_eq!(missing.code, "NoSuchKey");
}
