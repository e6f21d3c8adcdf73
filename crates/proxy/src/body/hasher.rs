//! Computing flexible checksums piece by piece.

use std::fmt;
use std::hash::Hasher as _;

use crc_fast::{CrcAlgorithm, Digest as CrcDigest};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use twox_hash::{XxHash3_64, XxHash3_128, XxHash64};

use super::algorithm::Algorithm;
use super::checksum::Checksum;

/// Computes one checksum over bytes that arrive piece by piece.
pub struct Hasher {
    algorithm: Algorithm,
    state: State,
}

enum State {
    Crc(CrcDigest),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
    Md5(Md5),
    XxHash64(XxHash64),
    // Their states hold half a kibibyte.
    XxHash3(Box<XxHash3_64>),
    XxHash128(Box<XxHash3_128>),
}

impl Hasher {
    /// A hasher for one body.
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Crc32 => State::Crc(CrcDigest::new(CrcAlgorithm::Crc32IsoHdlc)),
            Algorithm::Crc32c => State::Crc(CrcDigest::new(CrcAlgorithm::Crc32Iscsi)),
            Algorithm::Crc64Nvme => State::Crc(CrcDigest::new(CrcAlgorithm::Crc64Nvme)),
            Algorithm::Sha1 => State::Sha1(Sha1::new()),
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
            Algorithm::Md5 => State::Md5(Md5::new()),
            Algorithm::XxHash64 => State::XxHash64(XxHash64::with_seed(0)),
            Algorithm::XxHash3 => State::XxHash3(Box::new(XxHash3_64::new())),
            Algorithm::XxHash128 => State::XxHash128(Box::new(XxHash3_128::new())),
        };
        Self { algorithm, state }
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Crc(crc) => crc.update(bytes),
            State::Sha1(hash) => hash.update(bytes),
            State::Sha256(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
            State::Md5(hash) => hash.update(bytes),
            State::XxHash64(hash) => hash.write(bytes),
            State::XxHash3(hash) => hash.write(bytes),
            State::XxHash128(hash) => hash.write(bytes),
        }
    }

    /// The checksum of all bytes.
    pub fn finish(self) -> Checksum {
        let algorithm = self.algorithm;
        match self.state {
            State::Crc(crc) => Checksum::from_crc(algorithm, crc.finalize()),
            State::Sha1(hash) => Checksum::from_hash(algorithm, &hash.finalize()),
            State::Sha256(hash) => Checksum::from_hash(algorithm, &hash.finalize()),
            State::Sha512(hash) => Checksum::from_hash(algorithm, &hash.finalize()),
            State::Md5(hash) => Checksum::from_hash(algorithm, &hash.finalize()),
            State::XxHash64(hash) => Checksum::from_hash(algorithm, &hash.finish().to_be_bytes()),
            State::XxHash3(hash) => Checksum::from_hash(algorithm, &hash.finish().to_be_bytes()),
            State::XxHash128(hash) => {
                Checksum::from_hash(algorithm, &hash.finish_128().to_be_bytes())
            }
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hasher")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checksum(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The check values of the CRC catalogue, FIPS 180 and RFC 1321 for `123456789` and `abc`; those of XXH are what the AWS common runtime
    /// (awscrt 0.38.1) computes, which is what SDKs send.
    #[test]
    fn published_values() {
        let hex = |algorithm, bytes: &[u8]| {
            data_encoding::HEXLOWER.encode(checksum(algorithm, bytes).value())
        };
        assert_eq!(hex(Algorithm::Crc32, b"123456789"), "cbf43926");
        assert_eq!(hex(Algorithm::Crc32c, b"123456789"), "e3069283");
        assert_eq!(hex(Algorithm::Crc64Nvme, b"123456789"), "ae8b14860a799888");
        assert_eq!(
            hex(Algorithm::Sha1, b"abc"),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(
            hex(Algorithm::Sha256, b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            hex(Algorithm::Sha512, b"abc"),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        );
        assert_eq!(
            hex(Algorithm::Md5, b"abc"),
            "900150983cd24fb0d6963f7d28e17f72"
        );
        assert_eq!(hex(Algorithm::XxHash64, b"123456789"), "8cb841db40e6ae83");
        assert_eq!(hex(Algorithm::XxHash3, b"123456789"), "72dcb18b67a17dff");
        assert_eq!(
            hex(Algorithm::XxHash128, b"123456789"),
            "33119477ede5dcd5e9716427681d5860"
        );
        assert_eq!(checksum(Algorithm::Crc32, b"").to_base64(), "AAAAAA==");
    }

    proptest! {
        #[test]
        fn pieces_give_the_same_as_the_whole(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 0..6),
        ) {
            for algorithm in Algorithm::ALL {
                let mut hasher = Hasher::new(algorithm);
                for piece in &pieces {
                    hasher.update(piece);
                }
                let value = hasher.finish();
                prop_assert_eq!(value, checksum(algorithm, &pieces.concat()));
                prop_assert_eq!(value.value().len(), algorithm.width());
            }
        }
    }
}
