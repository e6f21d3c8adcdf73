//! What goes on to the storage with a request, and what stays behind.

use http::Method;

use super::{BUCKET, Rig, between, content, request, storage::Seen, with};
use crate::{
    body::{Algorithm, Hasher},
    operation::content_md5,
    upstream::{Target, UpstreamRequest},
};

/// Another bucket, with another owner.
const SOURCE: &str = "source";

const OWNER: &str = "111122223333";
const OWNER_OF_SOURCE: &str = "444455556666";

/// What a request that stores sealed bytes may have, beside its place: signature, length, framing, checksum, and the sealed header.
const MINIMAL: [&str; 14] = [
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "user-agent",
    "x-amz-checksum-crc64nvme",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-meta-sealgate",
    "x-amz-storage-class",
    "x-amz-trailer",
];

const EXPECTED: &str = "x-amz-expected-bucket-owner";
const EXPECTED_OF_SOURCE: &str = "x-amz-source-expected-bucket-owner";

async fn rig() -> Rig {
    let rig = Rig::start("").await;
    let create = UpstreamRequest::new(Method::PUT, Target::bucket(SOURCE));
    rig.call(create).await.unwrap();
    let source = UpstreamRequest::new(Method::PUT, Target::object(SOURCE, "key"));
    rig.call(source.bytes(content(1_000))).await.unwrap();
    rig.put("there", content(1_000)).await.unwrap();
    rig.storage.own(BUCKET, OWNER);
    rig.storage.own(SOURCE, OWNER_OF_SOURCE);
    rig.storage.take_seen();
    rig
}

fn bucket(method: Method, query: &str) -> UpstreamRequest {
    UpstreamRequest::new(method, Target::bucket(BUCKET)).query(query)
}

async fn begin(rig: &Rig) -> String {
    let created = rig
        .text(request(Method::POST, "parts").query("uploads="))
        .await;
    between(&created, "<UploadId>", "</UploadId>").to_owned()
}

/// One request of each kind, by name.
async fn requests(rig: &Rig) -> Vec<(&'static str, UpstreamRequest)> {
    let upload = begin(rig).await;
    let part = |number: u16| {
        request(Method::PUT, "parts").query(format!("partNumber={number}&uploadId={upload}"))
    };
    let copy = |request: UpstreamRequest, source: &str| {
        with(
            with(request, "x-amz-copy-source", source),
            EXPECTED_OF_SOURCE,
            if source.starts_with("/source") {
                OWNER_OF_SOURCE
            } else {
                OWNER
            },
        )
    };
    let of_upload = |method: Method| request(method, "parts").query(format!("uploadId={upload}"));
    let attributes = request(Method::GET, "there").query("attributes=");
    let one = "<Delete><Object><Key>none</Key></Object></Delete>";
    vec![
        ("HeadBucket", bucket(Method::HEAD, "")),
        ("ListObjectsV2", bucket(Method::GET, "list-type=2")),
        ("ListMultipartUploads", bucket(Method::GET, "uploads=")),
        ("PutObject, small", request(Method::PUT, "new").bytes("x")),
        (
            "PutObject, large",
            request(Method::PUT, "large").bytes(content(3 << 20)),
        ),
        ("GetObject", request(Method::GET, "there")),
        (
            "GetObject of a range",
            with(request(Method::GET, "there"), "range", "bytes=5-9"),
        ),
        ("HeadObject", request(Method::HEAD, "there")),
        (
            "GetObjectAttributes",
            with(attributes, "x-amz-object-attributes", "ObjectSize"),
        ),
        (
            "GetObjectTagging",
            request(Method::GET, "there").query("tagging="),
        ),
        (
            "CopyObject within the bucket",
            copy(request(Method::PUT, "copied"), "/bucket/there"),
        ),
        (
            "CopyObject",
            copy(request(Method::PUT, "copied"), "/source/key"),
        ),
        (
            "CreateMultipartUpload",
            request(Method::POST, "begun").query("uploads="),
        ),
        ("UploadPart", part(1).bytes("part")),
        ("UploadPartCopy", copy(part(2), "/source/key")),
        ("ListParts", of_upload(Method::GET)),
        ("AbortMultipartUpload", of_upload(Method::DELETE)),
        ("DeleteObjects", bucket(Method::POST, "delete=").bytes(one)),
        ("DeleteObject", request(Method::DELETE, "none")),
    ]
}

#[tokio::test]
async fn the_expected_owner_goes_with_every_request_about_the_bucket_and_with_none_about_the_gateways()
 {
    let rig = rig().await;
    for (name, request) in requests(&rig).await {
        rig.storage.take_seen();
        let answer = rig.call(with(request, EXPECTED, OWNER)).await;
        answer.unwrap_or_else(|error| panic!("{name}: {error}"));
        let seen = rig.storage.take_seen();
        let about = |bucket: &str| -> Vec<&Seen> {
            seen.iter().filter(|seen| seen.bucket == bucket).collect()
        };
        assert!(!about(BUCKET).is_empty(), "{name} asks the storage nothing");
        for (bucket, owner) in [(BUCKET, OWNER), (SOURCE, OWNER_OF_SOURCE)] {
            for seen in about(bucket) {
                let told = seen.headers.get(EXPECTED);
                assert_eq!(
                    told.unwrap_or_else(|| panic!("{name}: {seen:?}")),
                    owner,
                    "{name}"
                );
            }
        }
        for seen in about(rig.gateway.state.name()) {
            assert!(!seen.headers.contains_key(EXPECTED), "{name}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_bucket_of_another_owner_is_refused_to_every_operation_and_changed_by_none() {
    let rig = rig().await;
    let requests = requests(&rig).await;
    let before = rig.storage.names(BUCKET);
    for (name, request) in requests {
        let error = rig.call(with(request, EXPECTED, "777788889999")).await;
        let error = error.err().unwrap_or_else(|| panic!("{name} succeeds"));
        assert_eq!(error.status, 403, "{name}: {error}");
    }
    assert_eq!(rig.storage.names(BUCKET), before);
    // The same of a copy's source, which the gateway reads itself.
    let upload = begin(&rig).await;
    let part = request(Method::PUT, "parts").query(format!("partNumber=1&uploadId={upload}"));
    for request in [request(Method::PUT, "copied"), part] {
        let copy = with(request, "x-amz-copy-source", "/source/key");
        let error = rig.call(with(copy, EXPECTED_OF_SOURCE, OWNER)).await;
        assert_eq!(error.err().unwrap().status, 403);
    }
    assert_eq!(rig.storage.names(BUCKET), before);
}

#[tokio::test]
async fn the_size_that_an_object_must_have_to_be_deleted_is_told_as_the_storage_knows_it() {
    let rig = rig().await;
    let sealed = rig.storage.length(BUCKET, "there").to_string();
    let delete = request(Method::DELETE, "there");
    rig.call(with(delete, "x-amz-if-match-size", "1000"))
        .await
        .unwrap();
    let seen = rig.storage.take_seen();
    assert_eq!(seen[0].headers["x-amz-if-match-size"], sealed.as_str());
    let delete = with(
        request(Method::DELETE, "there"),
        "x-amz-if-match-size",
        "-1",
    );
    assert_eq!(rig.call(delete).await.unwrap_err().code, "InvalidArgument");
    assert!(rig.storage.take_seen().is_empty());
}

#[tokio::test]
async fn rule_12_what_is_stored_has_a_length_and_no_header_about_the_plaintext() {
    let rig = rig().await;
    let upload = begin(&rig).await;
    let part = format!("partNumber=1&uploadId={upload}");
    for (key, query, length) in [
        ("small", "", 1_000),
        ("large", "", 3 << 20),
        ("parts", &*part, 6 << 20),
    ] {
        let body = content(length);
        let digest = content_md5(&body);
        let put = request(Method::PUT, key).query(query).bytes(body);
        let mut put = with(put, "content-md5", &digest);
        if query.is_empty() {
            for (name, value) in [
                ("cache-control", "no-store"),
                ("content-language", "fr"),
                ("content-type", "text/x"),
                ("expires", "Thu, 01 Jan 2032 00:00:00 GMT"),
                ("x-amz-meta-colour", "blue"),
                ("x-amz-storage-class", "STANDARD_IA"),
            ] {
                put = with(put, name, value);
            }
        }
        rig.storage.take_seen();
        rig.call(put).await.unwrap();
        let seen = rig.storage.take_seen();
        let of_the_key = |seen: &&Seen| seen.bucket == BUCKET && seen.method == Method::PUT;
        let seen = seen.iter().find(of_the_key).unwrap();
        let told = seen.headers["content-length"].to_str().unwrap();
        assert_eq!(told, seen.received.to_string(), "{key}");
        let unexpected: Vec<_> = seen
            .headers
            .iter()
            .filter(|(name, _)| !MINIMAL.contains(&name.as_str()))
            .collect();
        assert!(unexpected.is_empty(), "{key}: {unexpected:?}");
        assert_eq!(
            seen.headers.contains_key("x-amz-storage-class"),
            query.is_empty()
        );
    }
}

#[tokio::test]
async fn rule_15_the_wish_for_a_digest_behind_the_body_stays_behind() {
    let rig = rig().await;
    for (name, request) in requests(&rig).await {
        rig.storage.take_seen();
        let answer = rig.call(with(request, "x-amz-te", "append-md5")).await;
        answer.unwrap_or_else(|error| panic!("{name}: {error}"));
        let seen = rig.storage.take_seen();
        let told = |seen: &Seen| seen.headers.contains_key("x-amz-te");
        assert!(!seen.iter().any(told), "{name}: {seen:?}");
    }
}

#[tokio::test]
async fn rule_24_deletions_go_on_with_a_content_md5() {
    let rig = rig().await;
    let document = "<Delete><Quiet>true</Quiet><Object><Key>there</Key></Object></Delete>";
    let delete = bucket(Method::POST, "delete=").bytes(document);
    // As newer SDKs send it: with a checksum and without a Content-MD5.
    let delete = with(delete, "x-amz-checksum-crc32", &crc32(document));
    rig.call(delete).await.unwrap();
    let seen = rig.storage.take_seen();
    assert_eq!(seen.len(), 1);
    // The storage has verified it, or it would have refused.
    assert!(seen[0].headers.contains_key("content-md5"), "{seen:?}");
    assert!(!rig.storage.names(BUCKET).contains(&"there".to_owned()));
}

fn crc32(text: &str) -> String {
    let mut hasher = Hasher::new(Algorithm::Crc32);
    hasher.update(text.as_bytes());
    hasher.finish().to_base64()
}
