//! Flexible checksums of the plaintext: between the gateway's types, the envelope's and S3's headers.

use http::HeaderMap;
use sealgate_envelope::{checksum as sealed, commit::CommitRecord, metadata::Metadata};

use super::{Exchange, headers, named};
use crate::{
    body::{Algorithm, Checksum, ChecksumType},
    error::S3Error,
    xml::checksum_value::ChecksumValue,
};

/// The envelope's name of an algorithm.
pub(super) fn to_sealed_algorithm(algorithm: Algorithm) -> sealed::ChecksumAlgorithm {
    match algorithm {
        Algorithm::Crc32 => sealed::ChecksumAlgorithm::Crc32,
        Algorithm::Crc32c => sealed::ChecksumAlgorithm::Crc32c,
        Algorithm::Crc64Nvme => sealed::ChecksumAlgorithm::Crc64Nvme,
        Algorithm::Sha1 => sealed::ChecksumAlgorithm::Sha1,
        Algorithm::Sha256 => sealed::ChecksumAlgorithm::Sha256,
        Algorithm::Sha512 => sealed::ChecksumAlgorithm::Sha512,
        Algorithm::Md5 => sealed::ChecksumAlgorithm::Md5,
        Algorithm::XxHash64 => sealed::ChecksumAlgorithm::XxHash64,
        Algorithm::XxHash3 => sealed::ChecksumAlgorithm::XxHash3,
        Algorithm::XxHash128 => sealed::ChecksumAlgorithm::XxHash128,
    }
}

/// The gateway's name of an algorithm, where it knows it.
pub(super) fn from_sealed_algorithm(algorithm: sealed::ChecksumAlgorithm) -> Option<Algorithm> {
    Algorithm::ALL
        .into_iter()
        .find(|candidate| to_sealed_algorithm(*candidate) == algorithm)
}

/// A checksum for the envelope.
pub(crate) fn to_sealed(checksum: &Checksum) -> Result<sealed::Checksum, S3Error> {
    Ok(sealed::Checksum::new(
        to_sealed_algorithm(checksum.algorithm()),
        checksum.value().to_vec(),
    )?)
}

/// A checksum from the envelope, where its algorithm is known.
pub(crate) fn from_sealed(checksum: &sealed::Checksum) -> Option<Checksum> {
    Checksum::from_bytes(
        from_sealed_algorithm(checksum.algorithm())?,
        checksum.value(),
    )
}

/// The envelope's name of a checksum type.
pub(super) fn to_sealed_type(checksum_type: ChecksumType) -> sealed::ChecksumType {
    match checksum_type {
        ChecksumType::FullObject => sealed::ChecksumType::FullObject,
        ChecksumType::Composite => sealed::ChecksumType::Composite,
    }
}

/// The gateway's name of a checksum type.
pub(super) fn from_sealed_type(checksum_type: sealed::ChecksumType) -> ChecksumType {
    match checksum_type {
        sealed::ChecksumType::FullObject => ChecksumType::FullObject,
        sealed::ChecksumType::Composite => ChecksumType::Composite,
    }
}

/// Whether the client asks for checksums (S3 API, `x-amz-checksum-mode`).
pub(super) fn asked_for(exchange: &Exchange) -> bool {
    exchange
        .parameter("x-amz-checksum-mode")
        .is_some_and(|mode| mode.eq_ignore_ascii_case("ENABLED"))
}

/// The algorithm that a request wants for the checksum of the object that it makes (S3 API, `x-amz-checksum-algorithm`).
///
/// # Errors
///
/// `InvalidRequest` for one that there is not.
pub(super) fn algorithm_asked_for(exchange: &Exchange) -> Result<Option<Algorithm>, S3Error> {
    exchange
        .parameter("x-amz-checksum-algorithm")
        .map(|name| Algorithm::from_name(&name).ok_or_else(unknown_algorithm))
        .transpose()
}

fn unknown_algorithm() -> S3Error {
    let mut names = Algorithm::ALL.map(Algorithm::name);
    names.sort_unstable();
    S3Error::invalid_request(format!(
        "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [{}]",
        names.join(", ")
    ))
}

/// The checksum of an object, of its bytes or of its parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct ObjectChecksum {
    pub(super) checksum: Checksum,
    pub(super) checksum_type: ChecksumType,
    pub(super) parts: usize,
}

impl ObjectChecksum {
    /// That of an object whose readers need no commit record.
    pub(super) fn of_metadata(metadata: &Metadata) -> Option<Self> {
        let sealed = metadata.checksums().next()?;
        Some(Self {
            checksum: from_sealed(&sealed)?,
            checksum_type: ChecksumType::FullObject,
            parts: 1,
        })
    }

    /// That of any other object.
    pub(super) fn of_record(record: &CommitRecord) -> Option<Self> {
        let found = record.checksum()?;
        Some(Self {
            checksum: from_sealed(&found.checksum)?,
            checksum_type: from_sealed_type(found.r#type),
            parts: record.parts().len(),
        })
    }

    /// Its value as S3 writes it: one of parts ends in their number.
    pub(super) fn text(self) -> String {
        match self.checksum_type {
            ChecksumType::FullObject => self.checksum.to_base64(),
            ChecksumType::Composite => format!("{}-{}", self.checksum, self.parts),
        }
    }

    /// As an element of an answer.
    pub(super) fn to_element(self) -> Option<ChecksumValue> {
        ChecksumValue::new(self.checksum.algorithm().name(), &self.text())
    }
}

/// Adds a checksum and its type to an answer.
pub(super) fn to_answer(checksum: ObjectChecksum, answer: &mut HeaderMap) {
    headers::insert_text(
        answer,
        named(checksum.checksum.algorithm().header_name()),
        &checksum.text(),
    );
    headers::insert_text(
        answer,
        named("x-amz-checksum-type"),
        checksum.checksum_type.name(),
    );
}
