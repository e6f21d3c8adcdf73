//! What is uploaded: bytes that any other process can make again, and their checksums.

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::ValueEnum;
use crc_fast::CrcAlgorithm;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// How an upload is signed and checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Payload {
    /// `UNSIGNED-PAYLOAD`
    Unsigned,
    /// The SHA-256 of the body is part of the signature
    Signed,
    /// A CRC-64/NVME follows the body, as SDKs send it over TLS
    Crc64nvme,
    /// A CRC-32C follows the body
    Crc32c,
}

/// A body as it goes out, and the headers that tell how.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    /// The value of `x-amz-content-sha256`.
    pub(crate) hash: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The content alone.
    pub(crate) length: usize,
}

/// `size` bytes that look random, always the same: xorshift.
pub(crate) fn content(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

impl Body {
    /// Frames `bytes` as `payload` says.
    pub(crate) fn new(bytes: Vec<u8>, payload: Payload) -> Self {
        let length = bytes.len();
        match payload {
            Payload::Unsigned => Self {
                bytes,
                hash: "UNSIGNED-PAYLOAD".to_owned(),
                headers: Vec::new(),
                length,
            },
            Payload::Signed => Self {
                hash: HEXLOWER.encode(&Sha256::digest(&bytes)),
                bytes,
                headers: Vec::new(),
                length,
            },
            Payload::Crc64nvme => {
                let sum = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &bytes).to_be_bytes();
                Self::trailed(&bytes, "x-amz-checksum-crc64nvme", &STANDARD.encode(sum))
            }
            Payload::Crc32c => {
                let sum = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, &bytes).to_be_bytes();
                // A CRC of 32 bits is in the last four bytes.
                let (_, sum) = sum.split_at(4);
                Self::trailed(&bytes, "x-amz-checksum-crc32c", &STANDARD.encode(sum))
            }
        }
    }

    /// Chunks of 64 KiB, as SDKs make them, and a trailer.
    fn trailed(content: &[u8], name: &'static str, value: &str) -> Self {
        let mut bytes = Vec::with_capacity(content.len() + content.len() / 4096 + 128);
        for chunk in content.chunks(64 << 10) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("0\r\n{name}:{value}\r\n\r\n").as_bytes());
        Self {
            bytes,
            hash: "STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(),
            headers: vec![
                ("content-encoding", "aws-chunked".to_owned()),
                ("x-amz-decoded-content-length", content.len().to_string()),
                ("x-amz-trailer", name.to_owned()),
            ],
            length: content.len(),
        }
    }
}
