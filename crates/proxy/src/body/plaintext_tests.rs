//! Every promise of a request about its body: kept, broken, missing, contradictory.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::Full;
use md5::Md5;
use sha2::{Digest, Sha256};

use super::aws_chunked_tests::published_body;
use super::*;
use crate::auth::PayloadMode;
use crate::auth::published_tests::streaming_example;

pub(super) const HELLO: &[u8] = b"hello";
const FRAMED_HELLO: &[u8] = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";

pub(super) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}

pub(super) fn settings() -> BodySettings {
    BodySettings {
        maximum_length: 1 << 20,
        idle_timeout: Duration::from_secs(5),
        minimum_progress: 1,
        missing_length: MissingLength::Refuse,
    }
}

fn open(
    body: &[u8],
    pairs: &[(&str, &str)],
    payload: &PayloadMode,
) -> Result<PlaintextBody<Full<Bytes>>, BodyError> {
    let body = Full::new(Bytes::copy_from_slice(body));
    PlaintextBody::new(body, &headers(pairs), payload, settings())
}

/// Reads all of a body, and checks that its end is final.
fn read(
    body: &[u8],
    pairs: &[(&str, &str)],
    payload: &PayloadMode,
) -> Result<(Bytes, Verified), BodyError> {
    let mut plaintext = open(body, pairs, payload)?;
    block_on(async {
        assert!(plaintext.verified().is_err());
        let collected = plaintext.collect(1 << 20).await;
        match collected {
            Ok(bytes) => {
                assert!(matches!(plaintext.next().await, Ok(None)));
                Ok((bytes, plaintext.verified()?))
            }
            Err(error) => {
                let again = plaintext.next().await.unwrap_err();
                assert_eq!(again.to_string(), error.to_string());
                assert_eq!(
                    plaintext.verified().unwrap_err().to_string(),
                    error.to_string()
                );
                Err(error)
            }
        }
    })
}

pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

pub(super) fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes)
}

#[test]
fn a_plain_body_is_passed_and_summed() {
    let (bytes, verified) =
        read(HELLO, &[("content-length", "5")], &PayloadMode::Unsigned).unwrap();
    assert_eq!(bytes, HELLO);
    assert_eq!(
        verified,
        Verified {
            length: 5,
            client_checksum: None,
            crc64nvme: crc64(HELLO)
        }
    );
    let (bytes, verified) = read(b"", &[("content-length", "0")], &PayloadMode::Unsigned).unwrap();
    assert!(bytes.is_empty());
    assert_eq!(verified.crc64nvme, 0);
}

#[test]
fn rule_10_lengths_are_exact_both_ways() {
    for length in ["4", "6"] {
        let result = read(HELLO, &[("content-length", length)], &PayloadMode::Unsigned);
        assert!(
            matches!(result, Err(BodyError::OtherLength { .. })),
            "{result:?}"
        );
        let result = read(
            FRAMED_HELLO,
            &[
                ("x-amz-decoded-content-length", length),
                ("x-amz-trailer", "x-amz-checksum-crc32"),
            ],
            &PayloadMode::StreamingUnsignedTrailer,
        );
        assert!(
            matches!(result, Err(BodyError::OtherLength { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn rule_10_a_length_is_required() {
    let refused =
        |pairs: &[(&str, &str)], payload: &PayloadMode| open(HELLO, pairs, payload).unwrap_err();
    let unsigned = PayloadMode::Unsigned;
    assert!(matches!(
        refused(&[], &unsigned),
        BodyError::MissingContentLength
    ));
    assert!(matches!(
        refused(&[("transfer-encoding", "chunked")], &unsigned),
        BodyError::MissingContentLength
    ));
    assert!(matches!(
        refused(
            &[("content-length", "47")],
            &PayloadMode::StreamingUnsignedTrailer
        ),
        BodyError::MissingContentLength
    ));
    for bad in ["", "-1", "+5", "5 ", "99999999999999999999", "0x5"] {
        assert!(
            matches!(
                refused(&[("content-length", bad)], &unsigned),
                BodyError::InvalidRequest { .. }
            ),
            "{bad:?}"
        );
    }
    // As S3 has it, a length of the plaintext that cannot be read is none.
    assert!(matches!(
        refused(
            &[
                ("content-length", "5"),
                ("x-amz-decoded-content-length", "five")
            ],
            &unsigned
        ),
        BodyError::MissingContentLength
    ));
    assert!(matches!(
        refused(
            &[("content-length", "5"), ("content-length", "5")],
            &unsigned
        ),
        BodyError::InvalidRequest { .. }
    ));
    assert!(matches!(
        refused(
            &[
                ("content-length", "47"),
                ("x-amz-decoded-content-length", "5")
            ],
            &unsigned
        ),
        BodyError::InvalidRequest { .. }
    ));
    let twice = [
        ("content-length", "5"),
        ("x-amz-decoded-content-length", "5"),
    ];
    assert_eq!(read(HELLO, &twice, &unsigned).unwrap().0, HELLO);
    let framed = [
        ("content-length", "50"),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ];
    let mode = PayloadMode::StreamingUnsignedTrailer;
    assert_eq!(read(FRAMED_HELLO, &framed, &mode).unwrap().0, HELLO);
    let chunked = [
        ("transfer-encoding", "chunked"),
        ("x-amz-decoded-content-length", "5"),
    ];
    assert_eq!(open(HELLO, &chunked, &unsigned).unwrap().length(), 5);
    assert_eq!(read(HELLO, &chunked, &unsigned).unwrap().0, HELLO);
}

#[test]
fn a_missing_length_may_mean_no_body() {
    let settings = BodySettings {
        missing_length: MissingLength::Empty,
        ..settings()
    };
    let open = |body: &'static [u8], pairs: &[(&str, &str)]| {
        PlaintextBody::new(
            Full::new(Bytes::from_static(body)),
            &headers(pairs),
            &PayloadMode::Unsigned,
            settings,
        )
    };
    let mut empty = open(b"", &[]).unwrap();
    assert!(block_on(empty.next()).unwrap().is_none());
    let mut full = open(HELLO, &[]).unwrap();
    assert!(matches!(
        block_on(full.next()),
        Err(BodyError::OtherLength { .. })
    ));
    assert!(matches!(
        open(HELLO, &[("transfer-encoding", "chunked")]),
        Err(BodyError::MissingContentLength)
    ));
}

#[test]
fn rule_23_too_much_is_refused_before_reading() {
    let too_much = (1_u64 << 20) + 1;
    let error = open(
        HELLO,
        &[("content-length", &too_much.to_string())],
        &PayloadMode::Unsigned,
    )
    .unwrap_err();
    assert!(matches!(error, BodyError::EntityTooLarge { maximum, .. } if maximum == 1 << 20));
    let mut body = open(HELLO, &[("content-length", "5")], &PayloadMode::Unsigned).unwrap();
    assert!(matches!(
        block_on(body.collect(4)),
        Err(BodyError::EntityTooLarge { maximum: 4, .. })
    ));
}

#[test]
fn rule_01_the_signed_hash_is_verified() {
    let length = [("content-length", "5")];
    let good = PayloadMode::SignedSha256(Sha256::digest(HELLO).into());
    assert!(read(HELLO, &length, &good).is_ok());
    let result = read(b"hellO", &length, &good);
    assert!(
        matches!(result, Err(BodyError::XAmzContentSHA256Mismatch { .. })),
        "{result:?}"
    );
}

#[test]
fn content_md5_is_verified() {
    let md5 = BASE64.encode(Md5::digest(HELLO));
    let pairs = [("content-length", "5"), ("content-md5", md5.as_str())];
    assert!(read(HELLO, &pairs, &PayloadMode::Unsigned).is_ok());
    let result = read(b"hellO", &pairs, &PayloadMode::Unsigned);
    assert!(
        matches!(
            result,
            Err(BodyError::BadDigest {
                what: "Content-MD5",
                ..
            })
        ),
        "{result:?}"
    );
    for bad in [
        "",
        "abc",
        "5d41402abc4b2a76b9719d911017c592",
        "XUFAKrxLKna5cZ2REBfFkg",
    ] {
        let result = read(
            HELLO,
            &[("content-length", "5"), ("content-md5", bad)],
            &PayloadMode::Unsigned,
        );
        assert!(
            matches!(result, Err(BodyError::InvalidDigest { .. })),
            "{bad} {result:?}"
        );
    }
}

#[test]
fn checksums_in_headers_are_verified() {
    for algorithm in Algorithm::ALL {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(HELLO);
        let checksum = hasher.finish();
        let text = checksum.to_base64();
        let pairs = [
            ("content-length", "5"),
            (algorithm.header_name(), text.as_str()),
            ("x-amz-sdk-checksum-algorithm", algorithm.name()),
        ];
        let (_, verified) = read(HELLO, &pairs, &PayloadMode::Unsigned).unwrap();
        assert_eq!(verified.client_checksum, Some(checksum));
        assert_eq!(verified.crc64nvme, crc64(HELLO));
        let signed = PayloadMode::SignedSha256(Sha256::digest(HELLO).into());
        assert!(read(HELLO, &pairs, &signed).is_ok());
        let result = read(b"hellO", &pairs, &PayloadMode::Unsigned);
        assert!(
            matches!(result, Err(BodyError::BadDigest { what, .. }) if what == algorithm.name()),
            "{algorithm}"
        );
    }
}

#[test]
fn contradictory_checksums_are_refused() {
    let refused: [&[(&str, &str)]; 9] = [
        &[("x-amz-checksum-crc32", "AAAAAA==="), ("x-id", "")],
        &[
            ("x-amz-checksum-crc32", "NhCmhg=="),
            ("x-amz-checksum-crc32c", "mnG7TA=="),
        ],
        &[
            ("x-amz-checksum-crc32", "NhCmhg=="),
            ("x-amz-checksum-crc32", "AAAAAA=="),
        ],
        &[("x-amz-checksum-md4", "XUFAKrxLKna5cZ2REBfFkg==")],
        &[
            ("x-amz-checksum-crc32", "NhCmhg=="),
            ("x-amz-sdk-checksum-algorithm", "SHA256"),
        ],
        &[("x-amz-sdk-checksum-algorithm", "CRC32")],
        &[
            ("x-amz-checksum-crc32", "NhCmhg=="),
            ("x-amz-sdk-checksum-algorithm", "ROT13"),
        ],
        &[("x-amz-checksum-sha256", "NhCmhg==")],
        &[("x-amz-trailer", "x-amz-checksum-crc32")],
    ];
    for pairs in refused {
        let mut pairs = pairs.to_vec();
        pairs.push(("content-length", "5"));
        let result = open(HELLO, &pairs, &PayloadMode::Unsigned);
        assert!(
            matches!(result, Err(BodyError::InvalidRequest { .. })),
            "{pairs:?}"
        );
    }
    // Also where neither of them can be read.
    for value in ["NhCmhg==", ""] {
        let two = [
            ("content-length", "5"),
            ("x-amz-checksum-crc32", value),
            ("x-amz-checksum-sha1", value),
        ];
        let error = open(HELLO, &two, &PayloadMode::Unsigned).unwrap_err();
        assert!(
            error.to_string().contains("a single x-amz-checksum-"),
            "{error}"
        );
    }
    // These say something about checksums and are none.
    let harmless = [
        ("content-length", "5"),
        ("x-amz-checksum-type", "FULL_OBJECT"),
        ("x-amz-checksum-mode", "ENABLED"),
        ("x-amz-checksum-algorithm", "CRC32"),
    ];
    assert!(read(HELLO, &harmless, &PayloadMode::Unsigned).is_ok());
}

/// boto3 over https: unsigned chunks, a CRC32 trailer, length of the plaintext in a header of its own.
const BOTO3: [(&str, &str); 5] = [
    ("content-encoding", "aws-chunked"),
    ("transfer-encoding", "chunked"),
    ("x-amz-decoded-content-length", "5"),
    ("x-amz-sdk-checksum-algorithm", "CRC32"),
    ("x-amz-trailer", "x-amz-checksum-crc32"),
];

#[test]
fn unsigned_trailers_as_boto3_sends_them() {
    let mode = PayloadMode::StreamingUnsignedTrailer;
    let (bytes, verified) = read(FRAMED_HELLO, &BOTO3, &mode).unwrap();
    assert_eq!(bytes, HELLO);
    let algorithm = open(FRAMED_HELLO, &BOTO3, &mode)
        .unwrap()
        .checksum_algorithm();
    assert_eq!(algorithm, Some(Algorithm::Crc32));
    assert_eq!(verified.client_checksum.unwrap().to_base64(), "NhCmhg==");
    let with = |trailer: &str| {
        read(
            format!("5\r\nhello\r\n0\r\n{trailer}\r\n").as_bytes(),
            &BOTO3,
            &mode,
        )
        .unwrap_err()
    };
    assert!(matches!(
        with("x-amz-checksum-crc32:AAAAAA==\r\n"),
        BodyError::BadDigest { what: "CRC32", .. }
    ));
    assert!(matches!(
        with("x-amz-checksum-crc32:AAAA\r\n"),
        BodyError::InvalidRequest { .. }
    ));
    for malformed in [
        "",
        "x-amz-checksum-crc32c:mnG7TA==\r\n",
        "x-amz-checksum-crc32:NhCmhg==\r\nx-amz-meta-a:1\r\n",
        "x-amz-trailer-signature:00\r\n",
    ] {
        let error = with(malformed);
        assert!(
            matches!(error, BodyError::MalformedTrailerError { .. }),
            "{malformed:?} {error:?}"
        );
        let missing = error.reason().unwrap().contains("is missing");
        assert_eq!(missing, malformed.is_empty(), "{error:?}");
    }
}

#[test]
fn a_trailer_must_be_announced() {
    let mode = PayloadMode::StreamingUnsignedTrailer;
    let length = ("x-amz-decoded-content-length", "5");
    let error = read(FRAMED_HELLO, &[length], &mode).unwrap_err();
    assert!(
        matches!(error, BodyError::MalformedTrailerError { .. }),
        "{error:?}"
    );
    // S3 takes an upload that announces nothing and brings nothing.
    assert!(read(b"5\r\nhello\r\n0\r\n\r\n", &[length], &mode).is_ok());
    for (trailer, fault) in [
        ("content-md5", "the x-amz-trailer header is not supported"),
        ("x-amz-checksum-md4", "The algorithm type"),
        ("x-amz-checksum-crc32,x-amz-checksum-sha1", "a single"),
        ("", "the x-amz-trailer header is not supported"),
    ] {
        let error = open(FRAMED_HELLO, &[length, ("x-amz-trailer", trailer)], &mode).unwrap_err();
        assert!(
            matches!(&error, BodyError::InvalidRequest { reason } if reason.contains(fault)),
            "{trailer} {error:?}"
        );
    }
    let both = [
        length,
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("x-amz-checksum-crc32", "NhCmhg=="),
    ];
    let error = open(FRAMED_HELLO, &both, &mode).unwrap_err();
    assert!(
        matches!(error, BodyError::InvalidRequest { .. }),
        "{error:?}"
    );
}

#[test]
fn signed_chunks_are_verified() {
    let length = ("x-amz-decoded-content-length", "66560");
    for trailer in [false, true] {
        let mode = &streaming_example(trailer).payload;
        let mut pairs = vec![length];
        if trailer {
            pairs.push(("x-amz-trailer", "x-amz-checksum-crc32c"));
        }
        let (bytes, verified) = read(&published_body(trailer), &pairs, mode).unwrap();
        assert_eq!(bytes, vec![b'a'; 66560]);
        assert_eq!(verified.client_checksum.is_some(), trailer);
        let mut changed = published_body(trailer);
        changed[1000] = b'b';
        let error = read(&changed, &pairs, mode).unwrap_err();
        assert!(
            matches!(error, BodyError::SignatureDoesNotMatch),
            "{error:?}"
        );
    }
}
