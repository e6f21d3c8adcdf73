//! What is told of open uploads.

use std::sync::atomic::Ordering;

use http::Method;

use super::{BUCKET, Rig, between, content, request, storage::CHARGED, with};
use crate::upstream::{Target, UpstreamRequest};

async fn begin(rig: &Rig, key: &str) -> String {
    let created = rig.text(request(Method::POST, key).query("uploads=")).await;
    between(&created, "<UploadId>", "</UploadId>").to_owned()
}

/// A page of the open uploads, and how many of them the storage was asked about.
async fn page(rig: &Rig, query: &str) -> (String, usize) {
    rig.storage.take_seen();
    let listing = UpstreamRequest::new(Method::GET, Target::bucket(BUCKET));
    let text = rig.text(listing.query(format!("uploads=&{query}"))).await;
    let seen = rig.storage.take_seen();
    let about_uploads = seen
        .iter()
        .filter(|seen| seen.bucket == BUCKET && seen.query.contains("uploadId="));
    (text, about_uploads.count())
}

#[tokio::test]
async fn a_page_of_open_uploads_asks_the_storage_about_those_that_it_shows() {
    let rig = Rig::start("").await;
    for index in 0..30 {
        begin(&rig, &format!("a/{index:02}")).await;
    }
    begin(&rig, "b").await;
    let (mut shown, mut markers) = (Vec::new(), String::new());
    loop {
        let (text, asked) = page(&rig, &format!("max-uploads=7{markers}")).await;
        assert!(asked <= 8, "{asked} questions for a page of 7");
        let entries = text.split("<Upload>").skip(1);
        shown.extend(entries.map(|entry| between(entry, "<Key>", "</Key>").to_owned()));
        if text.contains("<IsTruncated>false</IsTruncated>") {
            break;
        }
        markers = format!(
            "&key-marker={}&upload-id-marker={}",
            between(&text, "<NextKeyMarker>", "</NextKeyMarker>"),
            between(&text, "<NextUploadIdMarker>", "</NextUploadIdMarker>"),
        );
    }
    let mut expected: Vec<_> = (0..30).map(|index| format!("a/{index:02}")).collect();
    expected.push("b".to_owned());
    assert_eq!(shown, expected);
    let (rolled_up, asked) = page(&rig, "delimiter=%2F&max-uploads=2").await;
    assert_eq!(
        between(&rolled_up, "<CommonPrefixes><Prefix>", "</Prefix>"),
        "a/"
    );
    assert_eq!(rolled_up.matches("<Upload>").count(), 1);
    assert!(
        asked <= 4,
        "{asked} questions for one prefix and one upload"
    );
}

#[tokio::test]
async fn uploads_that_the_storage_does_not_know_take_no_room_on_a_page() {
    let rig = Rig::start("").await;
    for index in 0..200 {
        begin(&rig, &format!("a/{index:03}")).await;
    }
    rig.storage.end_uploads();
    begin(&rig, "b").await;
    let (text, _) = page(&rig, "max-uploads=1").await;
    assert_eq!(between(&text, "<Key>", "</Key>"), "b");
    assert!(text.contains("<IsTruncated>false</IsTruncated>"), "{text}");
}

#[tokio::test]
async fn more_than_10_000_uploads_of_others_do_not_hinder_a_listing() {
    let rig = Rig::start("").await;
    let state = rig.gateway.state.name().to_owned();
    for index in 0..10_500 {
        rig.storage
            .plant(&state, format!("uploads/{index:032}/record"));
    }
    begin(&rig, "key").await;
    let (text, asked) = page(&rig, "").await;
    assert_eq!(between(&text, "<Key>", "</Key>"), "key");
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn who_pays_and_how_the_storage_encrypts_is_told_with_every_answer_about_parts() {
    let rig = Rig::start("").await;
    rig.put("source", content(6 << 20)).await.unwrap();
    let upload = begin(&rig, "key").await;
    rig.storage.behaviour.charges.store(true, Ordering::Relaxed);
    let part = |number: u16| {
        request(Method::PUT, "key").query(format!("partNumber={number}&uploadId={upload}"))
    };
    let of_upload = |method: Method| request(method, "key").query(format!("uploadId={upload}"));
    for (name, request) in [
        ("UploadPart", part(1).bytes(content(6 << 20))),
        (
            "UploadPartCopy",
            with(part(2), "x-amz-copy-source", "/bucket/source"),
        ),
        ("ListParts", of_upload(Method::GET)),
        ("AbortMultipartUpload", of_upload(Method::DELETE)),
    ] {
        let answer = rig.call(request).await.unwrap();
        for (header, value) in CHARGED {
            let told = answer.headers().get(header);
            assert_eq!(told.unwrap_or_else(|| panic!("{name}: no {header}")), value);
        }
    }
    let listing = UpstreamRequest::new(Method::GET, Target::bucket(BUCKET)).query("uploads=");
    let listed = rig.call(listing).await.unwrap();
    assert_eq!(listed.headers()["x-amz-request-charged"], "requester");
}

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

#[tokio::test]
async fn a_bucket_that_is_missing_costs_no_working_key() {
    let rig = Rig::start("").await;
    rig.put("source", "content").await.unwrap();
    let state_bucket = rig.gateway.config.state.bucket.clone();
    let before = (
        rig.gateway.keyring.status().sealing_keys,
        rig.storage.names(&state_bucket),
    );
    assert_eq!(before.0, 1);
    for attempt in 0..3 {
        let missing = |method, key: &str| {
            UpstreamRequest::new(method, Target::object(format!("missing-{attempt}"), key))
        };
        for request in [
            missing(Method::PUT, "key").bytes("content"),
            missing(Method::POST, "key").query("uploads="),
            with(
                missing(Method::PUT, "key"),
                "x-amz-copy-source",
                "bucket/source",
            ),
        ] {
            assert_eq!(rig.call(request).await.unwrap_err().code, "NoSuchBucket");
        }
    }
    let after = (
        rig.gateway.keyring.status().sealing_keys,
        rig.storage.names(&state_bucket),
    );
    assert_eq!(before, after);
}
