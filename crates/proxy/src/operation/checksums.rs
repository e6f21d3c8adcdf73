//! Flexible checksums of the plaintext: between the gateway's types, the envelope's and S3's headers.

use http::{HeaderMap, HeaderName};
use sealgate_envelope::checksum as sealed;

use super::{Exchange, headers, named};
use crate::{
    body::{Algorithm, Checksum, ChecksumType},
    error::S3Error,
};

/// The envelope's name of an algorithm.
pub(super) fn to_sealed_algorithm(algorithm: Algorithm) -> sealed::ChecksumAlgorithm {
    match algorithm {
        Algorithm::Crc32 => sealed::ChecksumAlgorithm::Crc32,
        Algorithm::Crc32c => sealed::ChecksumAlgorithm::Crc32c,
        Algorithm::Crc64Nvme => sealed::ChecksumAlgorithm::Crc64Nvme,
        Algorithm::Sha1 => sealed::ChecksumAlgorithm::Sha1,
        Algorithm::Sha256 => sealed::ChecksumAlgorithm::Sha256,
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
pub(super) fn from_sealed(checksum: &sealed::Checksum) -> Option<Checksum> {
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

/// A checksum as headers and documents show it: a composite one ends in the number of its parts.
pub(super) fn text(checksum: &Checksum, checksum_type: ChecksumType, parts: usize) -> String {
    match checksum_type {
        ChecksumType::FullObject => checksum.to_base64(),
        ChecksumType::Composite => format!("{}-{parts}", checksum.to_base64()),
    }
}

/// Adds a checksum and its type to an answer.
pub(super) fn to_answer(
    checksum: &Checksum,
    checksum_type: ChecksumType,
    parts: usize,
    answer: &mut HeaderMap,
) {
    let text = text(checksum, checksum_type, parts);
    if let Ok(name) = HeaderName::from_bytes(checksum.algorithm().header_name().as_bytes()) {
        headers::insert_text(answer, name, &text);
    }
    headers::insert_text(answer, named("x-amz-checksum-type"), checksum_type.name());
}
