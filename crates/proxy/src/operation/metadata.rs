//! What is sealed with an object beside its bytes: content headers, user metadata and checksums.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sealgate_envelope::metadata::Metadata;

use super::{Exchange, headers};
use crate::{body::aws_chunked::strip_content_encoding, error::S3Error};

/// The longest name of user metadata that a sealed header holds: 255 bytes, less the two that mark user metadata (FORMAT.md, section 3).
const MAXIMUM_NAME_LENGTH: usize = 253;

/// What S3 says of an object that was stored without a content type.
const DEFAULT_CONTENT_TYPE: HeaderValue = HeaderValue::from_static("binary/octet-stream");

/// The metadata of a new object, from the request that makes it.
///
/// # Errors
///
/// `InvalidArgument` for user metadata in our own namespace.
pub(super) fn of_request(exchange: &Exchange) -> Result<Metadata, S3Error> {
    of_headers(&exchange.headers)
}

/// As [`of_request`], for an object that was never sealed: from the headers that it is served with.
pub(crate) fn of_headers(source: &HeaderMap) -> Result<Metadata, S3Error> {
    headers::refuse_own_metadata(source)?;
    let mut metadata = Metadata::new();
    for name in headers::SEALED {
        let Some(value) = source.get(&name) else {
            continue;
        };
        if name == header::CONTENT_ENCODING {
            if let Some(encoding) = value.to_str().ok().and_then(strip_content_encoding) {
                metadata.insert(name.as_str(), encoding)?;
            }
        } else {
            metadata.insert(name.as_str(), value.as_bytes())?;
        }
    }
    for (name, values) in user_metadata(source) {
        if name.len() > MAXIMUM_NAME_LENGTH {
            return Err(name_too_long(name));
        }
        metadata.insert_user(name, values)?;
    }
    Ok(metadata)
}

fn name_too_long(name: &str) -> S3Error {
    S3Error::new(
        StatusCode::BAD_REQUEST,
        "MetadataTooLarge",
        "Your metadata headers exceed the maximum allowed metadata size",
    )
    .with_element(
        "Reason",
        format!("The name of user metadata may have {MAXIMUM_NAME_LENGTH} bytes behind x-amz-meta-; use a shorter one."),
    )
    .with_element("Size", name.len().to_string())
    .with_element("MaxSizeAllowed", MAXIMUM_NAME_LENGTH.to_string())
}

/// User metadata by name, several values of one name joined by commas as S3 does.
fn user_metadata(headers: &HeaderMap) -> Vec<(&str, Vec<u8>)> {
    let named = headers
        .keys()
        .filter_map(|name| Some((name, name.as_str().strip_prefix(headers::USER_METADATA)?)));
    named
        .map(|(full, name)| {
            let values: Vec<&[u8]> = headers
                .get_all(full)
                .iter()
                .map(HeaderValue::as_bytes)
                .collect();
            (name, values.join(&b','))
        })
        .collect()
}

/// Adds an object's sealed headers and user metadata to an answer.
pub(crate) fn to_answer(metadata: &Metadata, answer: &mut HeaderMap) {
    answer.insert(header::CONTENT_TYPE, DEFAULT_CONTENT_TYPE);
    for name in headers::SEALED {
        if let Some(value) = metadata
            .value(name.as_str())
            .and_then(|value| HeaderValue::from_bytes(value).ok())
        {
            answer.insert(name, value);
        }
    }
    for (name, value) in metadata.user() {
        let name = HeaderName::from_bytes(format!("{}{name}", headers::USER_METADATA).as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            answer.insert(name, value);
        }
    }
}

/// Applies `response-*` parameters (S3 API, GetObject).
pub(super) fn override_answer(exchange: &Exchange, answer: &mut HeaderMap) {
    for name in headers::SEALED {
        if let Ok(Some(value)) = exchange.query.unique(&format!("response-{name}")) {
            headers::insert_text(answer, name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_values_of_one_name_are_joined() {
        let mut headers = HeaderMap::new();
        headers.append("x-amz-meta-a", HeaderValue::from_static("1"));
        headers.append("x-amz-meta-a", HeaderValue::from_static("2"));
        headers.append("content-type", HeaderValue::from_static("text/plain"));
        assert_eq!(user_metadata(&headers), vec![("a", b"1,2".to_vec())]);
    }
}
