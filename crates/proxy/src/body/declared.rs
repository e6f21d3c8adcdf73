//! What a request's headers say about its body, read and checked before the body is polled.

use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

use super::algorithm::Algorithm;
use super::checksum::Checksum;
use super::error::BodyError;
use crate::auth::PayloadMode;

/// Bytes of an MD5.
pub(super) const MD5_LENGTH: usize = 16;

/// Headers that begin like a checksum but carry none.
const NOT_A_CHECKSUM: [&str; 3] = [
    "x-amz-checksum-algorithm",
    "x-amz-checksum-mode",
    "x-amz-checksum-type",
];

/// What a request declares about the plaintext of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) length: u64,
    pub(super) md5: Option<[u8; MD5_LENGTH]>,
    pub(super) checksum: DeclaredChecksum,
}

/// The one flexible checksum of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeclaredChecksum {
    None,
    /// Known from the start.
    Header(Checksum),
    /// To come in a trailer.
    Trailer(Algorithm),
}

impl DeclaredChecksum {
    pub(super) fn algorithm(self) -> Option<Algorithm> {
        match self {
            Self::None => None,
            Self::Header(checksum) => Some(checksum.algorithm()),
            Self::Trailer(algorithm) => Some(algorithm),
        }
    }
}

/// Whether a request without any length is refused or has an empty body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingLength {
    /// 411, as S3 answers uploads.
    Refuse,
    /// Without a `Transfer-Encoding` there is no body (RFC 9112, section 6.3), as for CreateBucket.
    Empty,
}

impl Declared {
    pub(super) fn read(
        headers: &HeaderMap,
        payload: &PayloadMode,
        missing_length: MissingLength,
    ) -> Result<Self, BodyError> {
        let length = declared_length(headers, payload, missing_length)?;
        let checksum = declared_checksum(headers, payload)?;
        let md5 = match single(headers, "content-md5")? {
            None => None,
            Some(text) => Some(parse_md5(text).ok_or_else(|| BodyError::InvalidDigest {
                value: text.to_owned(),
            })?),
        };
        Ok(Self {
            length,
            md5,
            checksum,
        })
    }
}

fn declared_length(
    headers: &HeaderMap,
    payload: &PayloadMode,
    missing_length: MissingLength,
) -> Result<u64, BodyError> {
    let decoded = parse_length(headers, "x-amz-decoded-content-length")?;
    let wire = parse_length(headers, CONTENT_LENGTH.as_str())?;
    match (decoded, wire) {
        (Some(decoded), Some(wire)) if !payload.is_streaming() && decoded != wire => {
            Err(BodyError::invalid_request(
                "x-amz-decoded-content-length and Content-Length differ although the body is not aws-chunked.",
            ))
        }
        (Some(decoded), _) => Ok(decoded),
        (None, Some(wire)) if !payload.is_streaming() => Ok(wire),
        (None, None)
            if missing_length == MissingLength::Empty
                && !headers.contains_key(TRANSFER_ENCODING) =>
        {
            Ok(0)
        }
        (None, _) => Err(BodyError::MissingContentLength),
    }
}

fn parse_length(headers: &HeaderMap, name: &'static str) -> Result<Option<u64>, BodyError> {
    let Some(text) = single(headers, name)? else {
        return Ok(None);
    };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(length) if digits => Ok(Some(length)),
        // S3 takes a length of the plaintext that it cannot read for none.
        _ if name != CONTENT_LENGTH.as_str() => Err(BodyError::MissingContentLength),
        _ => Err(BodyError::invalid_request(format!(
            "The value of {name} must be a number of bytes."
        ))),
    }
}

/// Base64 as S3 reads it: without a look at the bits that are left over.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

fn parse_md5(text: &str) -> Option<[u8; MD5_LENGTH]> {
    // The base64 of 16 bytes; anything longer is not worth decoding.
    if text.len() != 24 {
        return None;
    }
    LENIENT.decode(text).ok()?.try_into().ok()
}

fn declared_checksum(
    headers: &HeaderMap,
    payload: &PayloadMode,
) -> Result<DeclaredChecksum, BodyError> {
    let value = checksum_value(headers)?;
    let trailer = announced_trailer(headers, payload)?;
    let checksum = match (value, trailer) {
        (None, None) => DeclaredChecksum::None,
        (Some(checksum), None) => DeclaredChecksum::Header(checksum),
        (None, Some(algorithm)) => DeclaredChecksum::Trailer(algorithm),
        (Some(_), Some(_)) => return Err(single_checksum_expected()),
    };
    check_sdk_algorithm(headers, checksum)?;
    Ok(checksum)
}

/// The checksum in a header. One in the query is without effect, as S3 has it ("Using presigned URLs"): SDKs that presign an upload put there
/// the checksum of the body that they don't have yet, that is of an empty one.
fn checksum_value(headers: &HeaderMap) -> Result<Option<Checksum>, BodyError> {
    let is_checksum =
        |name: &str| name.starts_with("x-amz-checksum-") && !NOT_A_CHECKSUM.contains(&name);
    // Their number is looked at before their values, as S3 does.
    if headers
        .keys()
        .filter(|name| is_checksum(name.as_str()))
        .count()
        > 1
    {
        return Err(single_checksum_expected());
    }
    let mut found = None;
    for (name, value) in headers {
        let name = name.as_str();
        if !is_checksum(name) {
            continue;
        }
        let algorithm = Algorithm::from_header_name(name).ok_or_else(unsupported)?;
        // Text that is not ASCII is no base64 either, and is refused as such.
        let text = value.to_str().unwrap_or_default();
        let checksum = Checksum::from_base64(algorithm, text).ok_or_else(|| {
            BodyError::invalid_request(format!("Value for {name} header is invalid."))
        })?;
        if found
            .replace(checksum)
            .is_some_and(|before| before != checksum)
        {
            return Err(single_checksum_expected());
        }
    }
    Ok(found)
}

/// The algorithm of the checksum trailer that `x-amz-trailer` announces.
fn announced_trailer(
    headers: &HeaderMap,
    payload: &PayloadMode,
) -> Result<Option<Algorithm>, BodyError> {
    let Some(text) = single(headers, "x-amz-trailer")? else {
        return Ok(None);
    };
    if !payload.has_trailer() {
        return Err(BodyError::invalid_request(
            "x-amz-trailer needs an x-amz-content-sha256 that ends in -TRAILER.",
        ));
    }
    let name = text.trim().to_ascii_lowercase();
    if name.contains(',') {
        return Err(single_checksum_expected());
    }
    match Algorithm::from_header_name(&name) {
        Some(algorithm) => Ok(Some(algorithm)),
        None if name.starts_with("x-amz-checksum-") => Err(unsupported()),
        None => Err(BodyError::invalid_request(
            "The value specified in the x-amz-trailer header is not supported",
        )),
    }
}

fn check_sdk_algorithm(headers: &HeaderMap, checksum: DeclaredChecksum) -> Result<(), BodyError> {
    let Some(name) = single(headers, "x-amz-sdk-checksum-algorithm")? else {
        return Ok(());
    };
    match checksum.algorithm() {
        Some(algorithm) if Algorithm::from_name(name) == Some(algorithm) => Ok(()),
        Some(_) => Err(BodyError::invalid_request(
            "Value for x-amz-sdk-checksum-algorithm header is invalid.",
        )),
        None => Err(BodyError::invalid_request(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
        )),
    }
}

fn single_checksum_expected() -> BodyError {
    BodyError::invalid_request(
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
    )
}

fn unsupported() -> BodyError {
    BodyError::invalid_request(
        "The algorithm type you specified in x-amz-checksum- header is invalid.",
    )
}

/// The one value of a header that must not be there twice.
fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, BodyError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(BodyError::invalid_request(format!(
            "The header {name} occurs twice."
        )));
    }
    value
        .to_str()
        .map(Some)
        .map_err(|_| BodyError::invalid_request(format!("The header {name} must be ASCII.")))
}
