//! What a client says of the object and its parts when it completes an upload, and whether it is so. Pure.
//!
//! A promise that cannot be verified is refused, never passed over: of a checksum in another algorithm than the upload's only the CRC-64/NVMe is
//! known, because every part has it.

use http::{HeaderMap, StatusCode};
use sealgate_envelope::{
    checksum::{self as sealed, ChecksumKind},
    records::PartRecord,
};

use super::super::checksums;
use crate::{
    body::{Algorithm, Checksum, ChecksumType},
    error::S3Error,
    xml::requests::CompletedPart,
};

/// What the headers of a CompleteMultipartUpload say of the whole object (S3 API, CompleteMultipartUpload).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct DeclaredObject {
    length: Option<u64>,
    checksum_type: Option<ChecksumType>,
    /// The checksum, and the number of parts behind it, where one was given.
    checksum: Option<(Checksum, Option<usize>)>,
}

/// What the object is.
#[derive(Debug, Clone, Copy)]
pub(super) struct ComputedObject {
    pub(super) length: u64,
    pub(super) parts: usize,
    pub(super) checksum: Checksum,
    pub(super) checksum_type: ChecksumType,
    /// Of the whole object, whatever its own checksum is.
    pub(super) crc64nvme: Checksum,
}

impl DeclaredObject {
    /// Reads the headers.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` where they cannot be read or contradict each other.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, S3Error> {
        let text = |name: &str| {
            headers
                .get(name)
                .map(|value| value.to_str().unwrap_or_default())
        };
        let length = text("x-amz-mp-object-size").map(parse_length).transpose()?;
        let checksum_type = text("x-amz-checksum-type")
            .map(|name| ChecksumType::from_name(name).ok_or_else(|| invalid("x-amz-checksum-type")))
            .transpose()?;
        let mut checksum = None;
        for algorithm in Algorithm::ALL {
            for value in headers.get_all(algorithm.header_name()) {
                let read = value
                    .to_str()
                    .ok()
                    .and_then(|text| parse_object_checksum(algorithm, text))
                    .ok_or_else(|| invalid(algorithm.header_name()))?;
                if checksum.replace(read).is_some() {
                    return Err(S3Error::invalid_request(
                        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
                    ));
                }
            }
        }
        Ok(Self {
            length,
            checksum_type,
            checksum,
        })
    }

    /// Whether the headers agree with the upload, before its parts are looked at.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` for another type of checksum than the upload's.
    pub(super) fn agrees_with_upload(&self, kind: Option<ChecksumKind>) -> Result<(), S3Error> {
        let of_upload = kind.map(|kind| checksums::from_sealed_type(kind.r#type));
        match self.checksum_type {
            Some(declared) if of_upload != Some(declared) => {
                let mode = of_upload.map_or("null", ChecksumType::name);
                Err(S3Error::invalid_request(format!(
                    "The upload was created using the {mode} checksum mode. The complete request must use the same checksum mode."
                )))
            }
            _ => Ok(()),
        }
    }

    /// Whether the headers agree with the object.
    ///
    /// # Errors
    ///
    /// `BadDigest` for another checksum, `InvalidRequest` for another size or a checksum that cannot be verified.
    pub(super) fn agrees_with_object(&self, object: &ComputedObject) -> Result<(), S3Error> {
        if let Some(size) = self.length
            && size != object.length
        {
            return Err(S3Error::invalid_request(format!(
                "The provided 'x-amz-mp-object-size' header value {size} does not match what was computed: {}",
                object.length
            )));
        }
        let Some((declared, parts)) = self.checksum else {
            return Ok(());
        };
        let algorithm = declared.algorithm();
        let computed = [object.checksum, object.crc64nvme]
            .into_iter()
            .find(|computed| computed.algorithm() == algorithm)
            .ok_or_else(|| mismatched_algorithm(object.checksum.algorithm(), Some(algorithm)))?;
        let counted = object.checksum_type == ChecksumType::Composite
            && algorithm == object.checksum.algorithm();
        let parts_agree = parts.is_none_or(|parts| counted && parts == object.parts);
        if computed == declared && parts_agree {
            return Ok(());
        }
        Err(S3Error::new(
            StatusCode::BAD_REQUEST,
            "BadDigest",
            format!("The {algorithm} you specified did not match the calculated checksum."),
        ))
    }
}

fn parse_length(text: &str) -> Result<u64, S3Error> {
    text.parse().map_err(|_| {
        let problem = match text.parse::<i64>() {
            Ok(..0) => "less than zero",
            _ => "invalid",
        };
        S3Error::invalid_request(format!(
            "Value for x-amz-mp-object-size header is {problem}: '{text}'"
        ))
    })
}

/// The value of a checksum of a whole object: base64, and `-N` where it is one of checksums.
fn parse_object_checksum(algorithm: Algorithm, text: &str) -> Option<(Checksum, Option<usize>)> {
    let (value, parts) = match text.split_once('-') {
        None => (text, None),
        Some((value, parts)) if algorithm.supports(ChecksumType::Composite) => {
            (value, Some(parts.parse().ok()?))
        }
        Some(_) => return None,
    };
    Some((Checksum::from_base64(algorithm, value)?, parts))
}

/// Whether the checksum that a client repeats of a part is that of the part.
///
/// # Errors
///
/// `InvalidPart` or `BadDigest` where it is another one, `InvalidRequest` where it is missing and must not be (`COMPOSITE`), `InvalidArgument`
/// where it cannot be read.
pub(super) fn check_part(
    declared: &CompletedPart,
    record: &PartRecord,
    kind: Option<ChecksumKind>,
    invalid_part: impl FnOnce() -> S3Error,
) -> Result<(), S3Error> {
    let of_upload = kind.and_then(|kind| checksums::from_sealed_algorithm(kind.algorithm));
    let composite = kind.is_some_and(|kind| kind.r#type == sealed::ChecksumType::Composite);
    let value = match declared.checksums.as_slice() {
        [] => {
            return match of_upload.filter(|_| composite) {
                None => Ok(()),
                Some(algorithm) => Err(S3Error::invalid_request(format!(
                    "The upload was created using a {} checksum. The complete request must include the checksum for each part. It was missing for part {} in the request.",
                    lower(algorithm),
                    declared.number
                ))),
            };
        }
        [one] => one,
        _ => return Err(unreadable_part_checksum()),
    };
    let algorithm = Algorithm::from_name(value.algorithm()).ok_or_else(unreadable_part_checksum)?;
    let sent =
        Checksum::from_base64(algorithm, value.value()).ok_or_else(unreadable_part_checksum)?;
    let recorded = record.checksum.as_ref().and_then(checksums::from_sealed);
    let known = [recorded, Some(Checksum::from_crc64nvme(record.crc64nvme))];
    if known.contains(&Some(sent)) {
        return Ok(());
    }
    if of_upload.is_none_or(|of_upload| of_upload == algorithm) {
        return Err(invalid_part());
    }
    Err(S3Error::new(
        StatusCode::BAD_REQUEST,
        "BadDigest",
        format!(
            "The {} you specified for part {} did not match what we received.",
            lower(algorithm),
            declared.number
        ),
    ))
}

/// Checksums of two algorithms where one is due.
pub(in crate::operation) fn mismatched_algorithm(
    expected: Algorithm,
    actual: Option<Algorithm>,
) -> S3Error {
    let actual = actual.map_or("null", Algorithm::name);
    S3Error::invalid_request(format!(
        "Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {actual}"
    ))
}

fn unreadable_part_checksum() -> S3Error {
    S3Error::invalid_argument("Invalid Base64 or multiple checksums present in request")
        .with_element("ArgumentName", "Checksum")
}

fn invalid(header: &str) -> S3Error {
    S3Error::invalid_request(format!("Value for {header} header is invalid."))
}

/// As S3 writes it in most messages.
fn lower(algorithm: Algorithm) -> String {
    algorithm.name().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use sealgate_envelope::{
        AttemptId,
        object::PartId,
        records::{EtagHash, PartLocation},
    };

    use super::*;
    use crate::{body::Hasher, entity_tag::EntityTag, xml::checksum_value::ChecksumValue};

    fn checksum(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    fn read(headers: &[(&'static str, &str)]) -> Result<DeclaredObject, S3Error> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        DeclaredObject::read(&map)
    }

    fn object(algorithm: Algorithm, checksum_type: ChecksumType) -> ComputedObject {
        ComputedObject {
            length: 3,
            parts: 2,
            checksum: checksum(algorithm, b"abc"),
            checksum_type,
            crc64nvme: checksum(Algorithm::Crc64Nvme, b"abc"),
        }
    }

    fn outcome(headers: &[(&'static str, &str)], object: &ComputedObject) -> String {
        read(headers)
            .and_then(|declared| declared.agrees_with_object(object))
            .map_or_else(|error| error.code.to_string(), |()| "ok".to_owned())
    }

    #[test]
    fn a_checksum_of_the_object_is_verified_in_every_algorithm_and_type() {
        for algorithm in Algorithm::ALL {
            let right = checksum(algorithm, b"abc").to_base64();
            let wrong = checksum(algorithm, b"abd").to_base64();
            let name = algorithm.header_name();
            for checksum_type in [ChecksumType::Composite, ChecksumType::FullObject] {
                if !algorithm.supports(checksum_type) {
                    continue;
                }
                let object = object(algorithm, checksum_type);
                assert_eq!(outcome(&[(name, &right)], &object), "ok");
                assert_eq!(outcome(&[(name, &wrong)], &object), "BadDigest");
                let counted = format!("{right}-2");
                let expected = match (checksum_type, algorithm) {
                    (ChecksumType::Composite, _) => "ok",
                    (_, Algorithm::Crc64Nvme) => "InvalidRequest",
                    _ => "BadDigest",
                };
                assert_eq!(outcome(&[(name, &counted)], &object), expected, "{name}");
                let miscounted = format!("{right}-3");
                assert_ne!(outcome(&[(name, &miscounted)], &object), "ok");
            }
        }
    }

    #[test]
    fn a_checksum_of_another_algorithm_is_verified_or_refused() {
        let object = object(Algorithm::Sha256, ChecksumType::Composite);
        let crc64 = Algorithm::Crc64Nvme.header_name();
        let right = checksum(Algorithm::Crc64Nvme, b"abc").to_base64();
        assert_eq!(outcome(&[(crc64, &right)], &object), "ok");
        assert_eq!(outcome(&[(crc64, "AAAAAAAAAAA=")], &object), "BadDigest");
        let other = checksum(Algorithm::Crc32, b"abc").to_base64();
        assert_eq!(
            outcome(&[("x-amz-checksum-crc32", &other)], &object),
            "InvalidRequest"
        );
    }

    #[test]
    fn headers_that_contradict_each_other_or_the_upload_are_refused() {
        let two = [
            ("x-amz-checksum-crc32", "AAAAAA=="),
            ("x-amz-checksum-crc32c", "AAAAAA=="),
        ];
        let refused: [&[(&'static str, &str)]; 5] = [
            &two,
            &[("x-amz-checksum-crc32", "AAAA")],
            &[("x-amz-checksum-crc32", "AAAAAA==-x")],
            &[("x-amz-checksum-type", "COMPOSED")],
            &[("x-amz-mp-object-size", "-1")],
        ];
        for headers in refused {
            assert_eq!(
                read(headers).unwrap_err().code,
                "InvalidRequest",
                "{headers:?}"
            );
        }
        let object = object(Algorithm::Crc32, ChecksumType::FullObject);
        assert_eq!(
            outcome(&[("x-amz-mp-object-size", "4")], &object),
            "InvalidRequest"
        );
        assert_eq!(outcome(&[("x-amz-mp-object-size", "3")], &object), "ok");
        let kind = ChecksumKind {
            algorithm: sealed::ChecksumAlgorithm::Crc32,
            r#type: sealed::ChecksumType::FullObject,
        };
        let composite = read(&[("x-amz-checksum-type", "COMPOSITE")]).unwrap();
        assert!(composite.agrees_with_upload(Some(kind)).is_err());
        assert!(composite.agrees_with_upload(None).is_err());
        let full = read(&[("x-amz-checksum-type", "FULL_OBJECT")]).unwrap();
        assert!(full.agrees_with_upload(Some(kind)).is_ok());
    }

    fn of_part(
        recorded: Option<Algorithm>,
        kind: Option<(sealed::ChecksumAlgorithm, sealed::ChecksumType)>,
        named: &[(&str, &str)],
    ) -> String {
        let record = PartRecord {
            id: PartId::multipart(1, AttemptId::from_bytes([1; 16])).unwrap(),
            plaintext_length: 3,
            crc64nvme: 0,
            location: PartLocation::Upstream(EtagHash::of("x")),
            checksum: recorded
                .map(|algorithm| checksums::to_sealed(&checksum(algorithm, b"abc")).unwrap()),
        };
        let part = CompletedPart {
            number: 1,
            entity_tag: EntityTag::of_attempt(&[1; 16]),
            checksums: named
                .iter()
                .map(|(name, value)| ChecksumValue::new(name, value).unwrap())
                .collect(),
        };
        let kind = kind.map(|(algorithm, r#type)| ChecksumKind { algorithm, r#type });
        let invalid = || S3Error::new(StatusCode::BAD_REQUEST, "InvalidPart", "");
        check_part(&part, &record, kind, invalid)
            .map_or_else(|error| error.code.to_string(), |()| "ok".to_owned())
    }

    #[test]
    fn the_checksum_of_a_part_is_verified_whatever_its_algorithm() {
        use sealed::{ChecksumAlgorithm::Crc32, ChecksumType as SealedType};
        let right = checksum(Algorithm::Crc32, b"abc").to_base64();
        let composite = Some((Crc32, SealedType::Composite));
        let full = Some((Crc32, SealedType::FullObject));
        let crc = Some(Algorithm::Crc32);
        for kind in [composite, full, None] {
            assert_eq!(of_part(crc, kind, &[("CRC32", &right)]), "ok");
            assert_eq!(of_part(crc, kind, &[("CRC32", "AAAAAA==")]), "InvalidPart");
            assert_eq!(of_part(crc, kind, &[("CRC64NVME", "AAAAAAAAAAA=")]), "ok");
            assert_eq!(of_part(crc, kind, &[("CRC32", "AAAA")]), "InvalidArgument");
            let two = [("CRC32", right.as_str()), ("CRC64NVME", "AAAAAAAAAAA=")];
            assert_eq!(of_part(crc, kind, &two), "InvalidArgument");
        }
        assert_eq!(of_part(crc, composite, &[]), "InvalidRequest");
        assert_eq!(of_part(crc, full, &[]), "ok");
        assert_eq!(of_part(crc, None, &[]), "ok");
        let sha1 = checksum(Algorithm::Sha1, b"abc").to_base64();
        assert_eq!(of_part(crc, full, &[("SHA1", &sha1)]), "BadDigest");
        assert_eq!(of_part(crc, None, &[("SHA1", &sha1)]), "InvalidPart");
    }
}
