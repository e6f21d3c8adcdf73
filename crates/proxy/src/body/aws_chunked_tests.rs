//! The decoder on frames as SDKs send them, on every way to cut them, and on frames that are wrong.

use bytes::Bytes;
use proptest::prelude::*;

use super::aws_chunked::{Decoder, Trailer, strip_content_encoding};
use super::error::BodyError;
use super::limits::MAX_TRAILER_LINE_LENGTH;
use crate::auth::published_tests::streaming_example;
use crate::auth::{AmzDate, ChunkSigner, PayloadMode, SecretAccessKey, Signature, SigningKey};

pub(crate) const TRAILER_SIGNATURE: &str =
    "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";

/// The body of S3's published example: 66560 times `a`, in chunks of 64 KiB.
pub(crate) fn published_body(trailer: bool) -> Vec<u8> {
    let [first, second, last] = if trailer {
        [
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        ]
    } else {
        [
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ]
    };
    let mut body = format!("10000;chunk-signature={first}\r\n").into_bytes();
    body.resize(body.len() + 65536, b'a');
    body.extend_from_slice(format!("\r\n400;chunk-signature={second}\r\n").as_bytes());
    body.extend_from_slice(&[b'a'; 1024]);
    body.extend_from_slice(format!("\r\n0;chunk-signature={last}\r\n").as_bytes());
    if trailer {
        let lines = format!(
            "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:{TRAILER_SIGNATURE}\r\n"
        );
        body.extend_from_slice(lines.as_bytes());
    }
    body.extend_from_slice(b"\r\n");
    body
}

fn signer(trailer: bool) -> ChunkSigner {
    match &streaming_example(trailer).payload {
        PayloadMode::StreamingSigned { signer, .. } => signer.clone(),
        other => panic!("{other:?}"),
    }
}

/// Decodes `body` cut into pieces of the given lengths, over and over.
fn decode(
    mut decoder: Decoder,
    body: &[u8],
    cuts: &[usize],
) -> Result<(Vec<u8>, Vec<Trailer>), BodyError> {
    let mut rest = Bytes::copy_from_slice(body);
    let mut plaintext = Vec::new();
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let mut piece = rest.split_to((*cuts.next().unwrap()).clamp(1, rest.len()));
        while let Some(data) = decoder.decode(&mut piece)? {
            assert!(!data.is_empty());
            plaintext.extend_from_slice(&data);
        }
        assert!(piece.is_empty());
    }
    Ok((plaintext, decoder.finish()?.to_vec()))
}

fn unsigned(body: &str) -> Result<(Vec<u8>, Vec<Trailer>), BodyError> {
    let whole = decode(Decoder::unsigned_trailer(), body.as_bytes(), &[usize::MAX]);
    let bytewise = decode(Decoder::unsigned_trailer(), body.as_bytes(), &[1]);
    assert_eq!(format!("{whole:?}"), format!("{bytewise:?}"));
    whole
}

fn crc32(value: &str) -> Vec<Trailer> {
    vec![Trailer {
        name: "x-amz-checksum-crc32".to_owned(),
        value: value.to_owned(),
    }]
}

#[test]
fn the_published_bodies_verify() {
    for cuts in [&[usize::MAX][..], &[1], &[7, 4096, 1], &[65536]] {
        let (plaintext, trailers) = decode(
            Decoder::signed(signer(false), false),
            &published_body(false),
            cuts,
        )
        .unwrap();
        assert_eq!(plaintext, vec![b'a'; 66560]);
        assert!(trailers.is_empty());
        let (plaintext, trailers) = decode(
            Decoder::signed(signer(true), true),
            &published_body(true),
            cuts,
        )
        .unwrap();
        assert_eq!(plaintext, vec![b'a'; 66560]);
        assert_eq!(trailers[0].value, "sOO8/Q==");
        assert_eq!(trailers.len(), 1);
    }
}

#[test]
fn data_is_not_copied() {
    let mut input = Bytes::from_static(b"5\r\nhello\r\n0\r\n\r\n");
    let start = input.as_ptr();
    let data = Decoder::unsigned_trailer()
        .decode(&mut input)
        .unwrap()
        .unwrap();
    assert_eq!(data.as_ptr(), start.wrapping_add(3));
}

#[test]
fn rule_09_every_changed_byte_of_a_signed_body_is_found() {
    for trailer in [false, true] {
        let body = published_body(trailer);
        // All of the framing, and some of the data.
        let framing = (0..90).chain(65500..65800).chain(66600..body.len());
        for position in framing {
            let mut changed = body.clone();
            changed[position] ^= 1;
            let decoder = Decoder::signed(signer(trailer), trailer);
            let result = decode(decoder, &changed, &[usize::MAX]);
            assert!(result.is_err(), "{trailer} {position}");
        }
        for length in (0..200).chain(65500..65700).chain(66500..body.len()) {
            let result = decode(
                Decoder::signed(signer(trailer), trailer),
                &body[..length],
                &[usize::MAX],
            );
            assert!(
                matches!(result, Err(BodyError::IncompleteBody { .. })),
                "{trailer} {length} {result:?}"
            );
        }
    }
}

#[test]
fn chunks_cannot_be_reordered_dropped_or_borrowed() {
    let signature = |body: Vec<u8>, trailer| {
        let result = decode(
            Decoder::signed(signer(trailer), trailer),
            &body,
            &[usize::MAX],
        );
        assert!(
            matches!(result, Err(BodyError::SignatureDoesNotMatch)),
            "{result:?}"
        );
    };
    let body = published_body(false);
    let first = "10000;chunk-signature=".len() + 64 + 2 + 65536 + 2;
    assert_eq!(&body[first..first + 4], b"400;");
    signature(body[first..].to_vec(), false);
    // The same plaintext, signed under another request's seed.
    signature(published_body(true), false);
    let text = String::from_utf8(published_body(true)).unwrap();
    signature(text.replace("sOO8/Q==", "sOO8/g==").into_bytes(), true);
    signature(text.replace("d81f82fc", "d81f82fd").into_bytes(), true);
}

#[test]
fn a_signed_trailer_needs_its_signature() {
    let text = String::from_utf8(published_body(true)).unwrap();
    let signed = |body: String| {
        let decoder = Decoder::signed(signer(true), true);
        decode(decoder, body.as_bytes(), &[usize::MAX])
    };
    let without_digits = signed(text.replace(TRAILER_SIGNATURE, ""));
    assert!(
        matches!(without_digits, Err(BodyError::IncompleteBody { .. })),
        "{without_digits:?}"
    );
    let of_nothing = signed(text.replace("x-amz-checksum-crc32c:sOO8/Q==\r\n", ""));
    assert!(
        matches!(of_nothing, Err(BodyError::MalformedTrailerError { .. })),
        "{of_nothing:?}"
    );
    let line = format!("x-amz-trailer-signature:{TRAILER_SIGNATURE}\r\n");
    let body = text.replace(&line, "");
    let result = decode(
        Decoder::signed(signer(true), true),
        body.as_bytes(),
        &[usize::MAX],
    );
    assert!(
        matches!(result, Err(BodyError::IncompleteBody { .. })),
        "{result:?}"
    );
    let body = format!("{body}\r\n");
    let result = decode(
        Decoder::signed(signer(true), true),
        body.as_bytes(),
        &[usize::MAX],
    );
    assert!(
        matches!(result, Err(BodyError::MalformedTrailerError { .. })),
        "{result:?}"
    );
    let body = text.replace(&line, &format!("{line}x-amz-meta-late:1\r\n"));
    let result = decode(
        Decoder::signed(signer(true), true),
        body.as_bytes(),
        &[usize::MAX],
    );
    assert!(
        matches!(result, Err(BodyError::MalformedTrailerError { .. })),
        "{result:?}"
    );
}

#[test]
fn rule_08_minio_go_framing_is_understood() {
    // It ends trailer lines with a line feed alone and adds an empty line.
    let text = String::from_utf8(published_body(true)).unwrap();
    let body = text.replace("sOO8/Q==\r\n", "sOO8/Q==\n\r\n");
    let (plaintext, trailers) =
        decode(Decoder::signed(signer(true), true), body.as_bytes(), &[3]).unwrap();
    assert_eq!((plaintext.len(), trailers.len()), (66560, 1));
    let (plaintext, trailers) =
        unsigned("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\n\r\n\r\n").unwrap();
    assert_eq!(
        (plaintext.as_slice(), trailers),
        (b"hello".as_slice(), crc32("NhCmhg=="))
    );
}

#[test]
fn rule_08_unsigned_bodies_as_sdks_send_them() {
    let (plaintext, trailers) =
        unsigned("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n").unwrap();
    assert_eq!(
        (plaintext.as_slice(), trailers),
        (b"hello".as_slice(), crc32("NhCmhg=="))
    );
    let (plaintext, trailers) = unsigned("0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n").unwrap();
    assert_eq!(
        (plaintext.as_slice(), trailers),
        (b"".as_slice(), crc32("AAAAAA=="))
    );
    let (plaintext, trailers) = unsigned("00A\r\nhelloworld\r\n0\r\n\r\n").unwrap();
    assert_eq!(
        (plaintext.as_slice(), trailers),
        (b"helloworld".as_slice(), Vec::new())
    );
    let sixteen_digits = "0000000000000005\r\nhello\r\n0\r\n\r\n";
    assert_eq!(unsigned(sixteen_digits).unwrap().0, b"hello");
    let longest = format!("a:{}\r\n", "b".repeat(MAX_TRAILER_LINE_LENGTH - 4));
    let (_, trailers) = unsigned(&format!("0\r\n{longest}\r\n")).unwrap();
    assert_eq!(trailers[0].value.len(), MAX_TRAILER_LINE_LENGTH - 4);
}

#[test]
fn only_the_last_chunk_may_be_short() {
    let chunk = |length: usize| format!("{length:x}\r\n{}\r\n", "a".repeat(length));
    let body = |lengths: &[usize]| {
        let chunks: String = lengths.iter().map(|length| chunk(*length)).collect();
        unsigned(&format!("{chunks}0\r\n\r\n"))
    };
    assert_eq!(body(&[8192, 9000, 1]).unwrap().0.len(), 17_193);
    assert!(matches!(
        body(&[8192, 8191, 8192]),
        Err(BodyError::InvalidChunkSizeError {
            chunk: 2,
            size: 8191
        })
    ));
}

#[test]
fn broken_framing_is_an_incomplete_body() {
    let long = format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(16));
    let extension = format!("5;{}\r\n", "x".repeat(300));
    for body in [
        "",
        "5",
        "5\r\nhell",
        "5\r\nhello",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0",
        "5\r\nhello\r\n0\r\n",
        "5\r\nhello\r\n0\r\n\r\n\r",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "5;a=b\r\nhello\r\n0\r\n\r\n",
        "5;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "0\r\n\r\n\r\n\r\n",
        &long,
        &extension,
    ] {
        let result = unsigned(body);
        assert!(
            matches!(result, Err(BodyError::IncompleteBody { .. })),
            "{body:?} {result:?}"
        );
    }
    let unsigned_chunk = decode(
        Decoder::signed(signer(false), false),
        b"5\r\nhello\r\n0\r\n\r\n",
        &[1],
    );
    assert!(matches!(
        unsigned_chunk,
        Err(BodyError::IncompleteBody { .. })
    ));
}

#[test]
fn broken_trailers_are_named_as_such() {
    let long = format!("a:{}\r\n\r\n", "b".repeat(MAX_TRAILER_LINE_LENGTH - 3));
    let many = "a:1\r\nb:1\r\nc:1\r\nd:1\r\ne:1\r\nf:1\r\ng:1\r\nh:1\r\ni:1\r\n";
    for trailer in [
        "novalue\r\n\r\n",
        ":v\r\n\r\n",
        "a:1\r\na:2\r\n\r\n",
        "\u{1}\u{80}\r\n\r\n",
        &long,
        many,
    ] {
        let result = unsigned(&format!("0\r\n{trailer}"));
        assert!(
            matches!(result, Err(BodyError::MalformedTrailerError { .. })),
            "{trailer:?} {result:?}"
        );
    }
}

#[test]
fn the_framing_is_no_content_encoding() {
    for (value, kept) in [
        ("aws-chunked", None),
        ("AWS-Chunked,", None),
        ("", None),
        ("aws-chunked,gzip", Some("gzip")),
        ("gzip , aws-chunked, br", Some("gzip,br")),
        ("gzip , br", Some("gzip , br")),
        ("gzip", Some("gzip")),
    ] {
        assert_eq!(strip_content_encoding(value).as_deref(), kept, "{value}");
    }
}

#[test]
fn a_failure_is_for_ever() {
    let mut decoder = Decoder::unsigned_trailer();
    assert!(decoder.decode(&mut Bytes::from_static(b"x\r\n")).is_err());
    assert!(
        decoder
            .decode(&mut Bytes::from_static(b"0\r\n\r\n"))
            .is_err()
    );
    assert!(decoder.decode(&mut Bytes::new()).is_err());
    assert!(decoder.finish().is_err());

    let mut decoder = Decoder::unsigned_trailer();
    let bad_trailer = &mut Bytes::from_static(b"0\r\nnovalue\r\n\r\n");
    assert!(decoder.decode(bad_trailer).is_err());
    assert!(matches!(
        decoder.finish(),
        Err(BodyError::MalformedTrailerError { .. })
    ));
}

/// Frames chunks as an SDK does, signed ones with the chain that continues `signer`'s seed.
fn frame(chunks: &[Vec<u8>], signer: Option<&ChunkSigner>) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut previous = signer.map(ChunkSigner::seed);
    let mut body = Vec::new();
    for chunk in chunks
        .iter()
        .map(Vec::as_slice)
        .filter(|chunk| !chunk.is_empty())
        .chain([[].as_slice()])
    {
        body.extend_from_slice(format!("{:x}", chunk.len()).as_bytes());
        if let (Some(signer), Some(before)) = (signer, previous) {
            let signature = signer.sign_chunk(before, &Sha256::digest(chunk).into());
            body.extend_from_slice(format!(";chunk-signature={}", signature.to_hex()).as_bytes());
            previous = Some(signature);
        }
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(chunk);
        if !chunk.is_empty() {
            body.extend_from_slice(b"\r\n");
        }
    }
    body.extend_from_slice(b"\r\n");
    body
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_plaintext(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..5),
        cuts in proptest::collection::vec(1_usize..400, 1..20),
    ) {
        let mut chunks = chunks;
        chunks.retain(|chunk| !chunk.is_empty());
        if let Some((_, before)) = chunks.split_last_mut() {
            for chunk in before {
                chunk.resize(8_192 + chunk.len(), 7);
            }
        }
        let whole = chunks.concat();
        let (plaintext, _) = decode(Decoder::unsigned_trailer(), &frame(&chunks, None), &cuts).unwrap();
        prop_assert_eq!(&plaintext, &whole);
        let signer = signer(false);
        let body = frame(&chunks, Some(&signer));
        let (plaintext, _) = decode(Decoder::signed(signer, false), &body, &cuts).unwrap();
        prop_assert_eq!(&plaintext, &whole);
    }

    #[test]
    fn never_panics(
        body in "([0-9a-f]{0,3}|;chunk-signature=|\r\n|\n|x-amz-trailer-signature:|[a-z]:|.){0,60}",
        cuts in proptest::collection::vec(1_usize..9, 1..5),
    ) {
        let _ = decode(Decoder::unsigned_trailer(), body.as_bytes(), &cuts);
        let _ = decode(Decoder::signed(signer(true), true), body.as_bytes(), &cuts);
    }
}

/// What fuzzing begins with: a seed that is refused shows it nothing of what comes behind, and says so in its name.
#[test]
fn the_seeds_of_fuzzing_decode() {
    let seeds = |target: &str| {
        let fuzz = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds");
        let entries = std::fs::read_dir(format!("{fuzz}/{target}")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let accepted = |path: &std::path::PathBuf| !path.to_str().unwrap().contains("/refused-");
        let paths: Vec<_> = paths.filter(accepted).collect();
        assert!(paths.len() > 2);
        paths.into_iter().map(|path| std::fs::read(path).unwrap())
    };
    for seed in seeds("aws_chunked_unsigned") {
        let decoder = Decoder::unsigned_trailer();
        decode(decoder, &seed[1..], &[usize::from(seed[0])]).unwrap();
    }
    let key = SigningKey::derive(
        &SecretAccessKey::new("fuzz-secret"),
        "20260101",
        "us-east-1",
    );
    let signer = ChunkSigner::new(
        Signature::from_hex(&"5".repeat(64)).unwrap(),
        key,
        &AmzDate::parse("20260101T000000Z").unwrap(),
        "20260101/us-east-1/s3/aws4_request".to_owned(),
    );
    for seed in seeds("aws_chunked_signed") {
        let decoder = Decoder::signed(signer.clone(), seed[0] & 1 == 1);
        decode(decoder, &seed[2..], &[usize::from(seed[1])]).unwrap();
    }
}
