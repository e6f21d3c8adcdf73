//! Computing flexible checksums piece by piece.

use std::fmt;

use crc_fast::Digest as CrcDigest;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::algorithm::Algorithm;
use super::checksum::Checksum;

/// Computes one checksum over bytes that arrive piece by piece.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Crc(Algorithm, CrcDigest),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    /// A hasher for one body.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Crc32 | Algorithm::Crc32c | Algorithm::Crc64Nvme => {
                State::Crc(algorithm, CrcDigest::new(algorithm.crc()))
            }
            Algorithm::Sha1 => State::Sha1(Sha1::new()),
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
        })
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Crc(_, crc) => crc.update(bytes),
            State::Sha1(hash) => hash.update(bytes),
            State::Sha256(hash) => hash.update(bytes),
        }
    }

    /// The checksum of all bytes.
    pub fn finish(self) -> Checksum {
        match self.0 {
            State::Crc(algorithm, crc) => Checksum::from_crc(algorithm, crc.finalize()),
            State::Sha1(hash) => Checksum::from_hash(Algorithm::Sha1, &hash.finalize()),
            State::Sha256(hash) => Checksum::from_hash(Algorithm::Sha256, &hash.finalize()),
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
    use super::*;

    fn checksum(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The check values of the CRC catalogue and of FIPS 180 for `123456789` and `abc`.
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
        assert_eq!(checksum(Algorithm::Crc32, b"").to_base64(), "AAAAAA==");
    }
}
