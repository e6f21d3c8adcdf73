//! Uploads of 10,000 parts, and the state of uploads.

use std::{fmt::Write as _, sync::atomic::Ordering};

use http::Method;
use sealgate_envelope::{
    AttemptId, OsRandom,
    layout::MINIMUM_PART_LENGTH,
    object::PartId,
    records::{EtagHash, PartLocation, PartRecord},
};

use super::{BUCKET, Rig, between, content, request, storage::Part};
use crate::{
    entity_tag::EntityTag,
    policy,
    state::{UploadId, UploadReference},
    upstream::{Target, UpstreamRequest},
};

/// Begins an upload and returns the id that clients see.
async fn begin(rig: &Rig, key: &str) -> String {
    let text = rig.text(request(Method::POST, key).query("uploads=")).await;
    between(&text, "<UploadId>", "</UploadId>").to_owned()
}

async fn upload_part(rig: &Rig, key: &str, upload: &str, number: u16, length: usize) -> String {
    let part = request(Method::PUT, key)
        .query(format!("partNumber={number}&uploadId={upload}"))
        .bytes(content(length));
    let answer = rig.call(part).await.unwrap();
    answer.text(http::header::ETAG).unwrap().to_owned()
}

/// The parts of an upload by number and the tag that clients see, most of them without their bytes: 50 GiB would take the test minutes, and to
/// complete them costs the same. The first and the last are really uploaded.
async fn ten_thousand_parts(rig: &Rig, key: &str, upload: &str) -> Vec<(u16, String)> {
    let length = usize::try_from(MINIMUM_PART_LENGTH).unwrap();
    let mut parts = vec![(1, upload_part(rig, key, upload, 1, length).await)];
    let permit = policy::permit_self_check();
    let reference = UploadReference {
        bucket: BUCKET,
        key,
        upload_id: upload,
        rule: &rig.gateway.config.domain_for(BUCKET, key),
        fresh: true,
    };
    let uploads = &rig.gateway.uploads;
    let open = uploads
        .open(&rig.gateway, &permit, &reference)
        .await
        .unwrap();
    let mut at_the_storage = Vec::new();
    for number in 2..10_000_u16 {
        let attempt = AttemptId::generate(&mut OsRandom).unwrap();
        let tag = format!("\"part-{number}\"");
        let record = PartRecord {
            id: PartId::multipart(number, attempt).unwrap(),
            plaintext_length: MINIMUM_PART_LENGTH,
            crc64nvme: u64::from(number),
            location: PartLocation::Upstream(EtagHash::of(&tag)),
            checksum: None,
        };
        let name = record
            .seal_name(&open.secrets, open.id.hash(), &mut OsRandom)
            .unwrap();
        rig.storage.plant(rig.gateway.state.name(), name);
        let part = Part {
            tag,
            length: MINIMUM_PART_LENGTH + 28 * 80,
            ..Part::default()
        };
        at_the_storage.push((number, part));
        parts.push((
            number,
            EntityTag::of_attempt(attempt.as_bytes()).to_string(),
        ));
    }
    let id = UploadId::parse(upload).unwrap().upstream;
    rig.storage.plant_parts(&id, at_the_storage);
    parts.push((10_000, upload_part(rig, key, upload, 10_000, 1_000).await));
    parts
}

fn list(parts: &[(u16, String)]) -> String {
    let mut text = String::from("<CompleteMultipartUpload>");
    for (number, tag) in parts {
        write!(
            text,
            "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
        )
        .unwrap();
    }
    text + "</CompleteMultipartUpload>"
}

async fn complete(rig: &Rig, key: &str, upload: &str, parts: &[(u16, String)]) -> String {
    let complete = request(Method::POST, key)
        .query(format!("uploadId={upload}"))
        .bytes(list(parts));
    // Whatever the status: an error's document says which part.
    let answer = rig.client.send(complete).await.unwrap();
    let document = answer.document(1 << 20).await.unwrap();
    String::from_utf8(document.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn completing_10_000_parts_takes_at_most_40_requests_to_the_storage_and_leaves_no_state() {
    let rig = Rig::start("").await;
    let upload = begin(&rig, "large").await;
    let parts = ten_thousand_parts(&rig, "large", &upload).await;
    assert_eq!(parts.len(), 10_000);
    rig.storage.take_seen();
    let answer = complete(&rig, "large", &upload, &parts).await;
    assert!(
        answer.contains("<CompleteMultipartUploadResult"),
        "{answer}"
    );
    let seen = rig.storage.take_seen();
    assert!(seen.len() <= 40, "{} requests: {seen:#?}", seen.len());
    let left = rig.storage.names(rig.gateway.state.name());
    let left: Vec<_> = left
        .iter()
        .filter(|name| name.starts_with("uploads/"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(rig.storage.open_uploads(), 0);
    let head = rig.call(request(Method::HEAD, "large")).await.unwrap();
    assert!(head.text(http::header::ETAG).unwrap().ends_with("-10000\""));
}

#[tokio::test]
async fn state_that_the_storage_does_not_delete_is_no_failure_of_the_upload_and_is_deleted_by_the_next_that_asks()
 {
    let rig = Rig::start("").await;
    let upload = begin(&rig, "kept").await;
    let tag = upload_part(&rig, "kept", &upload, 1, 10).await;
    rig.storage
        .behaviour
        .keeps_everything
        .store(true, Ordering::Relaxed);
    let answer = complete(&rig, "kept", &upload, &[(1, tag.clone())]).await;
    assert!(
        answer.contains("<CompleteMultipartUploadResult"),
        "{answer}"
    );
    assert_eq!(rig.get("kept").await, content(10));
    let failed = rig.gateway.state.delete(&["uploads/x".to_owned()]).await;
    assert_eq!(failed.unwrap_err().code, "ServiceUnavailable");
    let kept = rig.storage.names(rig.gateway.state.name());
    assert!(
        kept.iter().any(|name| name.ends_with("/record")),
        "{kept:?}"
    );
    rig.storage
        .behaviour
        .keeps_everything
        .store(false, Ordering::Relaxed);
    // The upload is gone, and is found to have become the object.
    let again = complete(&rig, "kept", &upload, &[(1, tag)]).await;
    assert!(again.contains("<CompleteMultipartUploadResult"), "{again}");
}

#[tokio::test]
async fn listing_open_uploads_reads_every_record_once() {
    let rig = Rig::start("").await;
    for index in 0..20 {
        begin(&rig, &format!("a/{index}")).await;
        begin(&rig, &format!("b/{index}")).await;
    }
    let reads = |rig: &Rig| {
        let seen = rig.storage.take_seen();
        let state = rig.gateway.state.name();
        seen.iter()
            .filter(|seen| {
                seen.bucket == state && seen.method == Method::GET && seen.query.is_empty()
            })
            .count()
    };
    let list = |prefix: &str| {
        UpstreamRequest::new(Method::GET, Target::bucket(BUCKET))
            .query(format!("uploads=&prefix={prefix}"))
    };
    rig.storage.take_seen();
    let first = rig.text(list("a%2F")).await;
    assert_eq!(first.matches("<Upload>").count(), 20);
    assert_eq!(reads(&rig), 40);
    assert_eq!(rig.text(list("a%2F")).await, first);
    assert_eq!(reads(&rig), 0, "what is known is not read again");
    assert_eq!(rig.text(list("")).await.matches("<Upload>").count(), 40);
    assert_eq!(reads(&rig), 0, "begun here, so in memory");
}
