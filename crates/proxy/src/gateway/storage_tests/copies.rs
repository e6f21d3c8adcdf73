//! Copies within a domain: no byte of the body passes the gateway.

use std::sync::atomic::Ordering;

use http::Method;

use super::{Rig, between, content, request, storage::Seen, with};

const LENGTH: usize = 12 << 20;

/// What reading a commit record takes, with room to spare.
const A_COMMIT_RECORD: u64 = 64 << 10;

fn copy(from: &str, to: &str) -> crate::upstream::UpstreamRequest {
    with(
        request(Method::PUT, to),
        "x-amz-copy-source",
        &format!("/bucket/{from}"),
    )
}

/// Bytes of bodies that went to and came from the bucket.
fn traffic(seen: &[Seen]) -> (u64, u64) {
    let of_bucket = || seen.iter().filter(|seen| seen.bucket == super::BUCKET);
    (
        of_bucket()
            .filter(|seen| seen.method == Method::PUT)
            .map(|seen| seen.received)
            .sum(),
        of_bucket()
            .filter(|seen| seen.method == Method::GET)
            .map(|seen| seen.sent)
            .sum(),
    )
}

#[tokio::test]
async fn a_copy_of_any_length_reads_and_sends_no_body() {
    for (settings, parts) in [("", 0), ("largest_copy = '5 MiB'", 3)] {
        let rig = Rig::start(settings).await;
        rig.put("source", content(LENGTH)).await.unwrap();
        rig.storage.take_seen();
        let answer = rig.text(copy("source", "target")).await;
        assert!(answer.contains("<ChecksumCRC64NVME>"), "{answer}");
        let seen = rig.storage.take_seen();
        let (sent, read) = traffic(&seen);
        assert_eq!(sent, 0, "{settings}");
        assert!(read <= 2 * A_COMMIT_RECORD, "{read} bytes were read");
        let ranges = seen
            .iter()
            .filter(|seen| seen.headers.contains_key("x-amz-copy-source-range"));
        assert_eq!(ranges.count(), parts);
        assert_eq!(rig.get("target").await, content(LENGTH));
        assert_eq!(rig.storage.open_uploads(), 0);
    }
}

#[tokio::test]
async fn tags_go_along_with_a_copy_however_it_is_made() {
    let whole = "largest_copy = '5 GiB'";
    let in_parts = "largest_copy = '5 MiB'";
    for (settings, algorithm, counts_no_tags) in [
        (whole, "CRC64NVME", false),
        // The bytes are sealed anew.
        (whole, "SHA256", false),
        (whole, "SHA256", true),
        (in_parts, "CRC64NVME", false),
        (in_parts, "CRC64NVME", true),
    ] {
        let rig = Rig::start(settings).await;
        let behaviour = &rig.storage.behaviour.counts_no_tags;
        behaviour.store(counts_no_tags, Ordering::Relaxed);
        let tagged = with(
            request(Method::PUT, "source"),
            "x-amz-tagging",
            "a=b%20c&d=",
        );
        rig.call(tagged.bytes(content(LENGTH))).await.unwrap();
        rig.put("bare", content(LENGTH)).await.unwrap();
        let asked =
            |from: &str, to: &str| with(copy(from, to), "x-amz-checksum-algorithm", algorithm);
        rig.call(asked("source", "kept")).await.unwrap();
        let others = with(
            asked("source", "others"),
            "x-amz-tagging-directive",
            "REPLACE",
        );
        rig.call(with(others, "x-amz-tagging", "e=f"))
            .await
            .unwrap();
        let none = with(
            asked("source", "none"),
            "x-amz-tagging-directive",
            "REPLACE",
        );
        rig.call(none).await.unwrap();
        // Tags of its own are not asked for without the directive.
        let ignored = with(asked("bare", "ignored"), "x-amz-tagging", "e=f");
        rig.call(ignored).await.unwrap();
        for (key, expected) in [
            ("kept", "a=b c,d="),
            ("others", "e=f"),
            ("none", ""),
            ("ignored", ""),
        ] {
            let answer = rig.text(request(Method::GET, key).query("tagging=")).await;
            let tags = answer.split("<Tag>").skip(1);
            let tags = tags.map(|tag| {
                let name = between(tag, "<Key>", "</Key>");
                format!("{name}={}", between(tag, "<Value>", "</Value>"))
            });
            let found: Vec<String> = tags.collect();
            assert_eq!(
                found.join(","),
                expected,
                "{key} with {settings}, {algorithm}"
            );
        }
    }
}

#[tokio::test]
async fn a_copy_in_parts_keeps_to_its_conditions_and_leaves_nothing_when_it_fails() {
    let rig = Rig::start("largest_copy = '5 MiB'").await;
    let stored = rig.put("source", content(LENGTH)).await.unwrap();
    let tag = stored.text(http::header::ETAG).unwrap().to_owned();
    rig.put("target", "old").await.unwrap();
    let onto_new = with(copy("source", "target"), "if-none-match", "*");
    let refused = rig.call(onto_new).await.unwrap_err();
    assert_eq!(refused.code, "PreconditionFailed");
    let of_another = with(
        copy("source", "target"),
        "x-amz-copy-source-if-match",
        "\"00000000000000000000000000000000-01\"",
    );
    let refused = rig.call(of_another).await.unwrap_err();
    assert_eq!(refused.code, "PreconditionFailed");
    assert_eq!(rig.get("target").await, "old");
    assert_eq!(rig.storage.open_uploads(), 0, "what was begun is aborted");
    let of_this = with(copy("source", "target"), "x-amz-copy-source-if-match", &tag);
    rig.call(of_this).await.unwrap();
    assert_eq!(rig.get("target").await, content(LENGTH));
}

#[tokio::test]
async fn metadata_can_be_replaced_and_another_checksum_be_asked_for() {
    let rig = Rig::start("largest_copy = '5 MiB'").await;
    let put = with(
        request(Method::PUT, "source").bytes(content(LENGTH)),
        "x-amz-meta-name",
        "old",
    );
    rig.call(put).await.unwrap();
    let replacing = with(
        copy("source", "target"),
        "x-amz-metadata-directive",
        "REPLACE",
    );
    rig.call(with(replacing, "x-amz-meta-name", "new"))
        .await
        .unwrap();
    let head = rig.call(request(Method::HEAD, "target")).await.unwrap();
    assert_eq!(
        head.text(http::HeaderName::from_static("x-amz-meta-name")),
        Some("new")
    );
    let hashed = with(
        copy("source", "hashed"),
        "x-amz-checksum-algorithm",
        "SHA256",
    );
    let answer = rig.text(hashed).await;
    assert!(answer.contains("<ChecksumSHA256>"), "{answer}");
    let head = with(
        request(Method::HEAD, "hashed"),
        "x-amz-checksum-mode",
        "ENABLED",
    );
    let head = rig.call(head).await.unwrap();
    let sha256 = head
        .text(http::HeaderName::from_static("x-amz-checksum-sha256"))
        .unwrap()
        .to_owned();
    assert!(answer.contains(&sha256), "{answer}");
}

#[tokio::test]
async fn a_copy_onto_itself_has_to_change_something_that_shows() {
    let rig = Rig::start("").await;
    rig.put("source", "content").await.unwrap();
    let refused = rig.call(copy("source", "source")).await.unwrap_err();
    assert_eq!(refused.code, "InvalidRequest");
    for (name, value) in [
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-website-redirect-location", "/elsewhere"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-metadata-directive", "REPLACE"),
    ] {
        let changing = with(copy("source", "source"), name, value);
        rig.call(changing)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(rig.get("source").await, "content");
    }
}
