//! The framing of uploads, taken off.

use std::hint::black_box;

use anyhow::anyhow;
use bytes::Bytes;
use http::Request;
use sealgate::auth::{AuthSettings, ChunkSigner, PayloadMode, authenticate};
use sealgate::body::aws_chunked::Decoder;

use crate::Case;
use crate::signatures::{credentials, now, signed as signed_request};

const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 16;
/// What a connection hands over at once.
const PIECE: usize = 16 << 10;
/// The SHA-256 of [`CHUNK`] zeros, and of nothing.
const DIGEST_OF_CHUNK: [u8; 32] = [
    0xde, 0x2f, 0x25, 0x60, 0x64, 0xa0, 0xaf, 0x79, 0x77, 0x47, 0xc2, 0xb9, 0x75, 0x05, 0xdc, 0x0b,
    0x9f, 0x3d, 0xf0, 0xde, 0x4f, 0x48, 0x9e, 0xac, 0x73, 0x1c, 0x23, 0xae, 0x9c, 0xa9, 0xcc, 0x31,
];
const DIGEST_OF_NOTHING: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// Takes the framing off a body in pieces, and has all that it says verified.
fn decode(mut decoder: Decoder, body: &Bytes) -> anyhow::Result<()> {
    let (mut rest, mut length) = (body.clone(), 0);
    while !rest.is_empty() {
        let mut piece = rest.split_to(PIECE.min(rest.len()));
        while let Some(data) = decoder.decode(&mut piece)? {
            length += black_box(data).len();
        }
    }
    decoder.finish()?;
    anyhow::ensure!(length == CHUNKS * CHUNK, "{length} bytes");
    Ok(())
}

/// As SDKs send it over TLS: chunks, and a checksum behind them.
pub(crate) fn unsigned() -> Case {
    let mut body = Vec::new();
    for _ in 0..CHUNKS {
        body.extend_from_slice(format!("{CHUNK:x}\r\n").as_bytes());
        body.resize(body.len() + CHUNK, 0);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n");
    let body = Bytes::from(body);
    Box::new(move || decode(Decoder::unsigned_trailer(), &body))
}

/// Each chunk with a signature.
pub(crate) fn signed() -> anyhow::Result<Case> {
    let signer = signer()?;
    let mut previous = signer.seed();
    let mut body = Vec::new();
    for number in 0..=CHUNKS {
        let is_last = number == CHUNKS;
        let (length, digest) = if is_last {
            (0, &DIGEST_OF_NOTHING)
        } else {
            (CHUNK, &DIGEST_OF_CHUNK)
        };
        previous = signer.sign_chunk(previous, digest);
        body.extend_from_slice(
            format!("{length:x};chunk-signature={}\r\n", previous.to_hex()).as_bytes(),
        );
        body.resize(body.len() + length, 0);
        body.extend_from_slice(b"\r\n");
    }
    let body = Bytes::from(body);
    Ok(Box::new(move || {
        decode(Decoder::signed(signer.clone(), false), &body)
    }))
}

fn signer() -> anyhow::Result<ChunkSigner> {
    let request = Request::put("https://storage.example/bucket/key")
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", CHUNKS * CHUNK);
    let parts = signed_request(request, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")?;
    let caller = authenticate(&parts, &credentials()?, &AuthSettings::default(), now())?;
    match caller.into_inner().payload {
        PayloadMode::StreamingSigned { signer, .. } => Ok(signer),
        other => Err(anyhow!("not what was signed: {other:?}")),
    }
}
