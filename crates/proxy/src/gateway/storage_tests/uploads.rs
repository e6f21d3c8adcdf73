//! What is told of open uploads.

use http::Method;

use super::{BUCKET, Rig, between, request, with};
use crate::upstream::{Target, UpstreamRequest};

#[tokio::test]
async fn an_open_upload_shows_the_storage_class_that_the_storage_tells() {
    let rig = Rig::start("").await;
    for (class, shown) in [(Some("GLACIER_IR"), "GLACIER_IR"), (None, "STANDARD")] {
        let key = class.unwrap_or("none");
        let create = request(Method::POST, key).query("uploads=");
        let create = match class {
            Some(class) => with(create, "x-amz-storage-class", class),
            None => create,
        };
        let created = rig.text(create).await;
        let upload = between(&created, "<UploadId>", "</UploadId>");
        let parts = request(Method::GET, key).query(format!("uploadId={upload}"));
        let uploads = UpstreamRequest::new(Method::GET, Target::bucket(BUCKET))
            .query(format!("uploads=&prefix={key}"));
        for answer in [rig.text(parts).await, rig.text(uploads).await] {
            let found = between(&answer, "<StorageClass>", "</StorageClass>");
            assert_eq!(found, shown, "{answer}");
        }
    }
}

#[tokio::test]
async fn the_type_of_a_checksum_is_taken_in_any_case_and_looked_at_first() {
    let rig = Rig::start("").await;
    let create = |kind: &str| {
        let create = request(Method::POST, "typed").query("uploads=");
        with(create, "x-amz-checksum-type", kind)
    };
    let refused = rig.call(create("half")).await.unwrap_err();
    assert_eq!(
        refused.message,
        "Value for x-amz-checksum-type header is invalid."
    );
    let refused = rig.call(create("composite")).await.unwrap_err();
    assert!(
        refused.message.contains("can only be used with"),
        "{refused}"
    );
    let algorithm = with(create("Composite"), "x-amz-checksum-algorithm", "crc32");
    let created = rig.call(algorithm).await.unwrap();
    assert_eq!(created.headers()["x-amz-checksum-type"], "COMPOSITE");
    assert_eq!(created.headers()["x-amz-checksum-algorithm"], "CRC32");
    let created = created.document(1 << 20).await.unwrap();
    let upload = between(
        std::str::from_utf8(&created).unwrap(),
        "<UploadId>",
        "</UploadId>",
    );
    let part = request(Method::PUT, "typed")
        .query(format!("partNumber=1&uploadId={upload}"))
        .bytes("x");
    let sha1 = "EfbSK3oVLQGu9GXlWCXxUCvcwsU=";
    let refused = rig.call(with(part, "x-amz-checksum-sha1", sha1)).await;
    assert_eq!(
        refused.unwrap_err().message,
        "Checksum Type mismatch occurred, expected checksum Type: CRC32, actual checksum Type: SHA1"
    );
}

#[tokio::test]
async fn a_bucket_that_is_missing_is_the_first_fault_of_a_request_for_attributes() {
    let rig = Rig::start("").await;
    for (bucket, code) in [(BUCKET, "InvalidRequest"), ("missing", "NoSuchBucket")] {
        let target = Target::object(bucket, "key");
        let nothing = UpstreamRequest::new(Method::GET, target).query("attributes=");
        assert_eq!(rig.call(nothing).await.unwrap_err().code, code);
    }
}
