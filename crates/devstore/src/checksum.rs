//! MD5 and the flexible checksums of S3, computed as the bytes pass.
//!
//! Source: "Checking object integrity in Amazon S3" (user guide) for the five algorithms, for what a
//! COMPOSITE and a FULL_OBJECT checksum of a multipart object is, and for the default, CRC-64/NVME.

use std::collections::BTreeMap;

use crc_fast::{CrcAlgorithm, checksum_combine};
use data_encoding::{BASE64, HEXLOWER};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5, Sha1, Sha256};
use s3s::dto;
use serde::{Deserialize, Serialize};

/// A checksum algorithm of S3.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    /// What S3 computes when the client names none.
    #[default]
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// As `x-amz-checksum-algorithm` writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header and trailer that carries the value, in lower case.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The value's length in bytes, before base64.
    pub(crate) fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    pub(crate) fn from_header(header: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.header().eq_ignore_ascii_case(header))
    }

    /// Whether `value` can be one of this algorithm: base64 of the right length.
    pub(crate) fn accepts(self, value: &str) -> bool {
        BASE64
            .decode(value.as_bytes())
            .is_ok_and(|bytes| bytes.len() == self.length())
    }

    /// The kind of a multipart object's checksum when the client names none.
    pub(crate) fn default_kind(self) -> ChecksumKind {
        match self {
            Self::Crc64Nvme => ChecksumKind::FullObject,
            _ => ChecksumKind::Composite,
        }
    }

    /// Whether S3 offers this kind for multipart uploads with this algorithm.
    pub(crate) fn allows(self, kind: ChecksumKind) -> bool {
        match self {
            Self::Crc32 | Self::Crc32c => true,
            Self::Crc64Nvme => kind == ChecksumKind::FullObject,
            Self::Sha1 | Self::Sha256 => kind == ChecksumKind::Composite,
        }
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }
}

/// What the checksum of an object covers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChecksumKind {
    /// All bytes, as if they had come in one piece.
    #[default]
    FullObject,
    /// The checksums of the parts.
    Composite,
}

impl ChecksumKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FullObject => dto::ChecksumType::FULL_OBJECT,
            Self::Composite => dto::ChecksumType::COMPOSITE,
        }
    }

    pub(crate) fn to_dto(self) -> dto::ChecksumType {
        dto::ChecksumType::from_static(self.name())
    }
}

/// Checksum values in base64 by algorithm; those of a multipart object may end in `-` and the number of
/// parts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Checksums(BTreeMap<Algorithm, String>);

impl Checksums {
    pub(crate) fn single(algorithm: Algorithm, value: String) -> Self {
        Self(BTreeMap::from([(algorithm, value)]))
    }

    pub(crate) fn get(&self, algorithm: Algorithm) -> Option<&str> {
        self.0.get(&algorithm).map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Algorithm, &str)> {
        self.0
            .iter()
            .map(|(algorithm, value)| (*algorithm, value.as_str()))
    }

    /// Only the value of one algorithm.
    #[must_use]
    pub(crate) fn only(&self, algorithm: Algorithm) -> Self {
        self.get(algorithm)
            .map(|value| Self::single(algorithm, value.to_owned()))
            .unwrap_or_default()
    }

    fn insert(&mut self, algorithm: Algorithm, value: Option<String>) {
        if let Some(value) = value {
            self.0.insert(algorithm, value);
        }
    }

    pub(crate) fn to_dto(&self) -> dto::Checksum {
        let value = |algorithm| self.get(algorithm).map(str::to_owned);
        dto::Checksum {
            checksum_crc32: value(Algorithm::Crc32),
            checksum_crc32c: value(Algorithm::Crc32c),
            checksum_crc64nvme: value(Algorithm::Crc64Nvme),
            checksum_sha1: value(Algorithm::Sha1),
            checksum_sha256: value(Algorithm::Sha256),
            checksum_type: None,
        }
    }
}

impl From<dto::Checksum> for Checksums {
    fn from(values: dto::Checksum) -> Self {
        let mut checksums = Self::default();
        checksums.insert(Algorithm::Crc32, values.checksum_crc32);
        checksums.insert(Algorithm::Crc32c, values.checksum_crc32c);
        checksums.insert(Algorithm::Crc64Nvme, values.checksum_crc64nvme);
        checksums.insert(Algorithm::Sha1, values.checksum_sha1);
        checksums.insert(Algorithm::Sha256, values.checksum_sha256);
        checksums
    }
}

/// Collects the five checksum fields that many inputs of s3s have.
macro_rules! checksums_of {
    ($input:expr) => {
        $crate::checksum::Checksums::from(s3s::dto::Checksum {
            checksum_crc32: $input.checksum_crc32.clone(),
            checksum_crc32c: $input.checksum_crc32c.clone(),
            checksum_crc64nvme: $input.checksum_crc64nvme.clone(),
            checksum_sha1: $input.checksum_sha1.clone(),
            checksum_sha256: $input.checksum_sha256.clone(),
            checksum_type: None,
        })
    };
}
pub(crate) use checksums_of;

/// Sets the five checksum fields that many outputs of s3s have.
macro_rules! set_checksums {
    ($output:expr, $checksums:expr) => {{
        let values = $checksums.to_dto();
        $output.checksum_crc32 = values.checksum_crc32;
        $output.checksum_crc32c = values.checksum_crc32c;
        $output.checksum_crc64nvme = values.checksum_crc64nvme;
        $output.checksum_sha1 = values.checksum_sha1;
        $output.checksum_sha256 = values.checksum_sha256;
    }};
}
pub(crate) use set_checksums;

/// Computes MD5 and chosen checksums of a body as it passes.
pub(crate) struct Digester {
    md5: Md5,
    checksums: ChecksumHasher,
}

impl Digester {
    pub(crate) fn new(algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let mut checksums = ChecksumHasher::default();
        for algorithm in algorithms {
            match algorithm {
                Algorithm::Crc32 => checksums.crc32 = Some(s3s::crypto::Crc32::new()),
                Algorithm::Crc32c => checksums.crc32c = Some(s3s::crypto::Crc32c::new()),
                Algorithm::Crc64Nvme => checksums.crc64nvme = Some(s3s::crypto::Crc64Nvme::new()),
                Algorithm::Sha1 => checksums.sha1 = Some(Sha1::new()),
                Algorithm::Sha256 => checksums.sha256 = Some(Sha256::new()),
            }
        }
        Self {
            md5: Md5::new(),
            checksums,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.checksums.update(bytes);
    }

    pub(crate) fn finish(self) -> Digests {
        Digests {
            md5: self.md5.finalize(),
            checksums: self.checksums.finalize().into(),
        }
    }
}

/// What a [`Digester`] found.
#[derive(Debug, Clone)]
pub(crate) struct Digests {
    pub(crate) md5: [u8; 16],
    pub(crate) checksums: Checksums,
}

impl Digests {
    /// The ETag of a body that came in one piece.
    pub(crate) fn etag(&self) -> String {
        HEXLOWER.encode(&self.md5)
    }
}

/// The ETag of a multipart object from the ETags of its parts: the MD5 of their MD5s and their number.
/// None where an ETag is not an MD5.
pub(crate) fn multipart_etag<'a>(etags: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut md5 = Md5::new();
    let mut count = 0_usize;
    for etag in etags {
        md5.update(&HEXLOWER.decode(etag.as_bytes()).ok()?);
        count += 1;
    }
    Some(format!("{}-{count}", HEXLOWER.encode(&md5.finalize())))
}

/// The checksum of a multipart object from the values and lengths of its parts. None where a value is
/// missing or malformed, or the algorithm has no checksum of that kind.
pub(crate) fn multipart_checksum<'a>(
    algorithm: Algorithm,
    kind: ChecksumKind,
    parts: impl IntoIterator<Item = (&'a Checksums, u64)>,
) -> Option<String> {
    let values = parts.into_iter().map(|(checksums, length)| {
        let bytes = BASE64.decode(checksums.get(algorithm)?.as_bytes()).ok()?;
        (bytes.len() == algorithm.length()).then_some((bytes, length))
    });
    match kind {
        ChecksumKind::Composite => {
            let values = values.collect::<Option<Vec<_>>>()?;
            let mut digester = Digester::new([algorithm]);
            for (bytes, _) in &values {
                digester.update(bytes);
            }
            let value = digester.finish().checksums.get(algorithm)?.to_owned();
            Some(format!("{value}-{}", values.len()))
        }
        ChecksumKind::FullObject => {
            let crc = algorithm.crc()?;
            let mut whole: Option<u64> = None;
            for value in values {
                let (bytes, length) = value?;
                let part = bytes
                    .iter()
                    .fold(0, |number, byte| number << 8 | u64::from(*byte));
                whole =
                    Some(whole.map_or(part, |before| checksum_combine(crc, before, part, length)));
            }
            let bytes = whole?.to_be_bytes();
            Some(BASE64.encode(bytes.get(bytes.len() - algorithm.length()..)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digests(bytes: &[u8]) -> Digests {
        let mut digester = Digester::new(Algorithm::ALL);
        digester.update(bytes);
        digester.finish()
    }

    #[test]
    fn known_values() {
        // The check values of the CRC catalogue, and FIPS 180 for "abc".
        let check = digests(b"123456789");
        assert_eq!(check.checksums.get(Algorithm::Crc32), Some("y/Q5Jg=="));
        assert_eq!(check.checksums.get(Algorithm::Crc32c), Some("4waSgw=="));
        assert_eq!(
            check.checksums.get(Algorithm::Crc64Nvme),
            Some("rosUhgp5mIg=")
        );
        let abc = digests(b"abc");
        assert_eq!(
            abc.checksums.get(Algorithm::Sha256),
            Some("ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=")
        );
        assert_eq!(
            abc.checksums.get(Algorithm::Sha1),
            Some("qZk+NkcGgWq6PiVxeFDCbJzQ2J0=")
        );
        assert_eq!(abc.etag(), "900150983cd24fb0d6963f7d28e17f72");
    }

    #[test]
    fn names_headers_and_values() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::from_header(algorithm.header()), Some(algorithm));
            let value = digests(b"x").checksums.get(algorithm).unwrap().to_owned();
            assert!(algorithm.accepts(&value));
            assert!(!algorithm.accepts(&value[1..]));
            assert!(algorithm.allows(algorithm.default_kind()));
        }
        assert_eq!(Algorithm::from_name("MD5"), None);
    }

    #[test]
    fn multipart_etags_count_their_parts() {
        let one = digests(b"a").etag();
        let two = digests(b"b").etag();
        let expected = [digests(b"a").md5, digests(b"b").md5].concat();
        assert_eq!(
            multipart_etag([one.as_str(), two.as_str()]).unwrap(),
            digests(&expected).etag() + "-2"
        );
        assert_eq!(multipart_etag(["not hex"]), None);
    }

    #[test]
    fn a_missing_part_value_gives_no_checksum() {
        let known = digests(b"a").checksums;
        let parts = [(&known, 1), (&Checksums::default(), 1)];
        for algorithm in Algorithm::ALL {
            assert_eq!(
                multipart_checksum(algorithm, algorithm.default_kind(), parts),
                None
            );
        }
    }

    proptest! {
        #[test]
        fn full_object_checksums_equal_those_of_the_whole(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..5)) {
            let found: Vec<_> = parts.iter().map(|part| (digests(part).checksums, part.len() as u64)).collect();
            let whole = digests(&parts.concat()).checksums;
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
                let combined = multipart_checksum(
                    algorithm,
                    ChecksumKind::FullObject,
                    found.iter().map(|(checksums, length)| (checksums, *length)),
                );
                prop_assert_eq!(combined.as_deref(), whole.get(algorithm));
            }
        }
    }
}
