//! Checksums of the ciphertext towards the storage, and a failed upload that leaves no object.

use std::sync::atomic::Ordering;

use http::{HeaderName, Method};

use super::{
    BUCKET, Rig, content, request,
    storage::{Seen, Storage},
    with,
};
use crate::{body::Algorithm, upstream::Verification};

const LARGE: usize = 3 << 20;

fn trailer(seen: &Seen) -> Option<&str> {
    Some(seen.headers.get("x-amz-trailer")?.to_str().unwrap())
}

fn puts(rig: &Rig) -> Vec<Seen> {
    let seen = rig.storage.take_seen();
    seen.into_iter()
        .filter(|seen| seen.method == Method::PUT && seen.bucket == BUCKET)
        .collect()
}

#[tokio::test]
async fn what_the_probe_finds_goes_with_every_body() {
    let rig = Rig::start("").await;
    let found = rig.gateway.upstream.verification();
    let nvme = Some(Algorithm::Crc64Nvme);
    assert_eq!(
        found,
        Verification {
            objects: nvme,
            parts: nvme
        }
    );
    let probes = rig.storage.names(rig.gateway.state.name());
    assert!(
        !probes.iter().any(|name| name.starts_with("probe/")),
        "{probes:?}"
    );
    rig.put("large", content(LARGE)).await.unwrap();
    let seen = puts(&rig);
    assert_eq!(trailer(&seen[0]), Some("x-amz-checksum-crc64nvme"));
    rig.put("small", content(1_000)).await.unwrap();
    let seen = puts(&rig);
    assert_eq!(trailer(&seen[0]), None);
    assert!(seen[0].headers.contains_key("x-amz-checksum-crc64nvme"));
    for (key, length) in [("large", LARGE), ("small", 1_000)] {
        assert_eq!(rig.get(key).await, content(length), "{key}");
    }
}

#[tokio::test]
async fn a_storage_that_does_not_verify_gets_no_checksum() {
    let storage = Storage::default();
    storage
        .behaviour
        .ignores_checksums
        .store(true, Ordering::Relaxed);
    let rig = Rig::start_on(storage, "").await;
    assert_eq!(rig.gateway.upstream.verification(), Verification::default());
    assert_eq!(rig.storage.open_uploads(), 0);
    rig.put("large", content(LARGE)).await.unwrap();
    let seen = puts(&rig);
    assert_eq!(trailer(&seen[0]), None);
    assert_eq!(seen[0].headers["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
    assert!(!seen[0].headers.contains_key("content-md5"));
}

#[tokio::test]
async fn what_is_to_be_locked_goes_with_a_digest_where_no_trailer_is_verified() {
    let rig = Rig::start("checksum_trailer = 'never'").await;
    let locked = |key: &str, length| {
        let put = request(Method::PUT, key).bytes(content(length));
        let put = with(put, "x-amz-object-lock-mode", "GOVERNANCE");
        with(
            put,
            "x-amz-object-lock-retain-until-date",
            "2030-01-01T00:00:00Z",
        )
    };
    // The storage of the test compares.
    rig.call(locked("small", 100_000)).await.unwrap();
    let seen = puts(&rig);
    assert!(seen[0].headers.contains_key("content-md5"));
    assert_eq!(rig.get("small").await, content(100_000));
    let error = rig.call(locked("large", LARGE)).await.unwrap_err();
    assert_eq!(
        (error.status.as_u16(), &*error.code),
        (400, "InvalidRequest")
    );
    assert!(error.message.contains("in parts"), "{}", error.message);
    assert!(
        puts(&rig).is_empty(),
        "it was refused before anything was sent"
    );
    let with_trailer = Rig::start("").await;
    with_trailer.call(locked("large", LARGE)).await.unwrap();
    let seen = puts(&with_trailer);
    assert_eq!(trailer(&seen[0]), Some("x-amz-checksum-crc64nvme"));
}

#[tokio::test]
async fn the_configuration_has_the_last_word() {
    let never = Rig::start("checksum_trailer = 'never'").await;
    assert_eq!(
        never.gateway.upstream.verification(),
        Verification::default()
    );
    let crc32c = Rig::start("checksum_trailer = 'crc32c'").await;
    assert_eq!(
        crc32c.gateway.upstream.verification().parts,
        Some(Algorithm::Crc32c)
    );
}

#[tokio::test]
async fn ciphertext_that_is_damaged_on_its_way_is_refused_and_leaves_no_object() {
    let rig = Rig::start("").await;
    rig.storage
        .behaviour
        .damages_uploads
        .store(true, Ordering::Relaxed);
    for (key, length) in [("large", LARGE), ("small", 100_000)] {
        assert!(rig.put(key, content(length)).await.is_err(), "{key}");
    }
    assert_eq!(rig.storage.names(BUCKET), Vec::<String>::new());
}

#[tokio::test]
async fn a_body_that_does_not_verify_never_gets_its_trailer() {
    let rig = Rig::start("").await;
    let wrong = with(
        request(Method::PUT, "wrong").bytes(content(LARGE)),
        "x-amz-checksum-crc32",
        "AAAAAA==",
    );
    assert_eq!(rig.call(wrong).await.unwrap_err().code, "BadDigest");
    assert_eq!(rig.storage.names(BUCKET), Vec::<String>::new());
    assert!(puts(&rig).is_empty(), "the storage had no whole request");
    let again = with(
        request(Method::HEAD, "wrong"),
        "x-amz-checksum-mode",
        "ENABLED",
    );
    assert_eq!(rig.call(again).await.unwrap_err().status, 404);
}

#[tokio::test]
async fn every_algorithm_is_verified_kept_and_given_back() {
    let rig = Rig::start("").await;
    for algorithm in Algorithm::ALL {
        for length in [1_000, LARGE] {
            let mut hasher = crate::body::Hasher::new(algorithm);
            hasher.update(&content(length));
            let value = hasher.finish().to_base64();
            let name = algorithm.header_name();
            let put = request(Method::PUT, "key").bytes(content(length));
            rig.call(with(put, name, &value)).await.unwrap();
            let head = request(Method::HEAD, "key");
            let head = rig
                .call(with(head, "x-amz-checksum-mode", "ENABLED"))
                .await
                .unwrap();
            assert_eq!(
                head.text(HeaderName::from_static(name)),
                Some(value.as_str())
            );
        }
    }
}
