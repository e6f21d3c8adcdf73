//! What several answers have in common: errors with headers, times, page sizes.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use s3s::dto::{ETag, Owner, Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use crate::index::records::ObjectRecord;
use crate::limits::MAX_PAGE;

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// A time of the index as s3s writes it.
pub(crate) fn timestamp(milliseconds: i64) -> Option<Timestamp> {
    let nanoseconds = i128::from(milliseconds) * 1_000_000;
    time::OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .ok()
        .map(Timestamp::from)
}

pub(crate) fn etag(record: &ObjectRecord) -> ETag {
    ETag::Strong(record.etag.clone())
}

/// A size as s3s writes it.
pub(crate) fn signed(size: u64) -> Option<i64> {
    i64::try_from(size).ok()
}

/// A count as s3s writes it.
pub(crate) fn count(count: usize) -> Option<i32> {
    i32::try_from(count).ok()
}

/// The only owner there is.
pub(crate) fn owner() -> Owner {
    Owner {
        display_name: Some("sealgate".to_owned()),
        id: Some("sealgate-devstore".to_owned()),
    }
}

/// The size of a page: at most [`MAX_PAGE`], which is also the default.
pub(crate) fn page_size(asked: Option<i32>, parameter: &str) -> S3Result<usize> {
    match asked.map(usize::try_from) {
        None => Ok(MAX_PAGE),
        Some(Ok(size)) => Ok(size.min(MAX_PAGE)),
        Some(Err(_)) => Err(s3_error!(
            InvalidArgument,
            "{parameter} must not be negative"
        )),
    }
}

pub(crate) fn precondition_failed() -> S3Error {
    s3_error!(
        PreconditionFailed,
        "At least one of the pre-conditions you specified did not hold"
    )
}

/// 304 with the headers that RFC 9110, section 15.4.5, demands.
pub(crate) fn not_modified(record: &ObjectRecord) -> S3Error {
    let mut headers = HeaderMap::new();
    if let Ok(value) = etag(record).to_http_header() {
        headers.insert(header::ETAG, value);
    }
    let mut text = Vec::new();
    let formatted = timestamp(record.modified)
        .is_some_and(|time| time.format(TimestampFormat::HttpDate, &mut text).is_ok());
    if let (true, Ok(value)) = (formatted, HeaderValue::from_bytes(&text)) {
        headers.insert(header::LAST_MODIFIED, value);
    }
    let mut error = S3Error::new(S3ErrorCode::NotModified);
    error.set_headers(headers);
    error
}

/// 416 that tells the size of the object.
pub(crate) fn range_not_satisfiable(total: u64) -> S3Error {
    let mut headers = HeaderMap::from_iter([(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    )]);
    if let Ok(value) = HeaderValue::try_from(format!("bytes */{total}")) {
        headers.insert(header::CONTENT_RANGE, value);
    }
    let mut error = s3_error!(InvalidRange, "The requested range is not satisfiable");
    error.set_headers(headers);
    error
}

pub(crate) fn part_not_satisfiable() -> S3Error {
    let code = S3ErrorCode::Custom("InvalidPartNumber".into());
    let mut error = S3Error::with_message(code, "The requested partnumber is not satisfiable");
    error.set_status_code(StatusCode::RANGE_NOT_SATISFIABLE);
    error
}

/// Nothing is versioned here: every object has only the version `null`.
pub(crate) fn check_version(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("null") => Ok(()),
        Some(_) => Err(s3_error!(
            NoSuchVersion,
            "The specified version does not exist."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes_are_bounded() {
        assert_eq!(page_size(None, "max-keys").unwrap(), 1000);
        assert_eq!(page_size(Some(5000), "max-keys").unwrap(), 1000);
        assert_eq!(page_size(Some(0), "max-keys").unwrap(), 0);
        assert_eq!(
            page_size(Some(-1), "max-keys").unwrap_err().code(),
            &S3ErrorCode::InvalidArgument
        );
    }

    #[test]
    fn only_the_null_version_exists() {
        assert!(check_version(None).is_ok() && check_version(Some("null")).is_ok());
        assert_eq!(
            check_version(Some("1")).unwrap_err().code(),
            &S3ErrorCode::NoSuchVersion
        );
    }
}
