//! The header `x-amz-copy-source`: which object, in which version, a copy reads (S3 API reference, CopyObject).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use thiserror::Error;

use crate::object_key::{
    BUCKET_NAME_LENGTHS, BucketName, MAX_KEY_BYTES, ObjectKey, ObjectPathError, percent_decode,
};

/// What separates the key from the version.
const VERSION_PARAMETER: &str = "?versionId=";

/// Longest version id accepted, in bytes when decoded; those of AWS have 32.
const MAX_VERSION_BYTES: usize = 1_024;

/// What is escaped in a version id: all but the characters that RFC 3986 leaves unreserved.
const ESCAPED_IN_VERSION: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Longest header accepted: two slashes, the longest bucket name, a key with every byte escaped, and a version.
pub const MAX_COPY_SOURCE_BYTES: usize = 2
    + *BUCKET_NAME_LENGTHS.end()
    + 3 * MAX_KEY_BYTES
    + VERSION_PARAMETER.len()
    + 3 * MAX_VERSION_BYTES;

/// A copy source that is refused: answer 400 `InvalidArgument`, except where a variant says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CopySourceError {
    /// Longer than [`MAX_COPY_SOURCE_BYTES`].
    #[error("x-amz-copy-source has {length} bytes; at most {MAX_COPY_SOURCE_BYTES} are allowed")]
    TooLong {
        /// Length of the header value in bytes.
        length: usize,
    },
    /// An ARN, of an access point for example: answer 501 `NotImplemented`.
    #[error(
        "x-amz-copy-source is an ARN, and access points are not supported; name the source as /bucket/key"
    )]
    Arn,
    /// No slash between bucket and key.
    #[error(
        "x-amz-copy-source must read /bucket/key, percent-encoded, with ?versionId=… where a version is meant"
    )]
    NotBucketAndKey,
    /// A version id that is empty, is followed by more parameters, or cannot be decoded.
    #[error("the versionId in x-amz-copy-source is empty or malformed")]
    InvalidVersion,
    /// Bucket or key is refused; the inner error names the S3 code.
    #[error("x-amz-copy-source: {0}")]
    Path(#[from] ObjectPathError),
}

/// The object that a copy reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// Bucket of the source.
    pub bucket: BucketName,
    /// Key of the source, decoded exactly once.
    pub key: ObjectKey,
    /// Version of the source; `None` is the current one.
    pub version_id: Option<String>,
}

impl CopySource {
    /// Reads the header: `bucket/key` with or without a slash in front, percent-decoded once (`+` stays `+`), then `?versionId=…` if any.
    ///
    /// # Errors
    /// [`CopySourceError`]; its variants name the S3 code.
    pub fn parse(header: &str) -> Result<Self, CopySourceError> {
        if header.len() > MAX_COPY_SOURCE_BYTES {
            return Err(CopySourceError::TooLong {
                length: header.len(),
            });
        }
        let (path, version_id) = match header.rsplit_once(VERSION_PARAMETER) {
            Some((path, version)) => (path, Some(parse_version(version)?)),
            None => (header, None),
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        if percent_decode(path)?
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("arn:"))
        {
            return Err(CopySourceError::Arn);
        }
        let (bucket, key) = split_bucket(path).ok_or(CopySourceError::NotBucketAndKey)?;
        Ok(Self {
            bucket: BucketName::parse(&percent_decode(bucket)?)?,
            key: ObjectKey::from_wire(key)?,
            version_id,
        })
    }

    /// The canonical header value for the upstream.
    pub fn to_header(&self) -> String {
        let mut header = format!("/{}/{}", self.bucket, self.key.to_wire());
        if let Some(version_id) = &self.version_id {
            header.push_str(VERSION_PARAMETER);
            header.extend(percent_encoding::utf8_percent_encode(
                version_id,
                &ESCAPED_IN_VERSION,
            ));
        }
        header
    }
}

/// Splits at the first slash, which some clients escape because they encode the whole header. Neither side is empty.
fn split_bucket(path: &str) -> Option<(&str, &str)> {
    let plain = path.split_once('/');
    let escaped = ["%2F", "%2f"]
        .iter()
        .filter_map(|slash| path.split_once(slash))
        .min_by_key(|(bucket, _)| bucket.len());
    let (bucket, key) = match (plain, escaped) {
        (Some(plain), Some(escaped)) if escaped.0.len() < plain.0.len() => escaped,
        (Some(plain), _) => plain,
        (None, escaped) => escaped?,
    };
    (!bucket.is_empty() && !key.is_empty()).then_some((bucket, key))
}

/// Reads a version id: one non-empty value and nothing behind it.
fn parse_version(version: &str) -> Result<String, CopySourceError> {
    let decoded = percent_decode(version).map_err(|_| CopySourceError::InvalidVersion)?;
    if decoded.is_empty() || decoded.len() > MAX_VERSION_BYTES || version.contains('&') {
        Err(CopySourceError::InvalidVersion)
    } else {
        Ok(decoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(header: &str) -> (String, String, Option<String>) {
        let source = CopySource::parse(header).unwrap();
        (
            source.bucket.to_string(),
            source.key.to_string(),
            source.version_id,
        )
    }

    #[test]
    fn a_version_that_is_accepted_can_be_written_again() {
        let long = "-".repeat(2_000);
        assert!(CopySource::parse(&format!("/bucket/key?versionId={long}")).is_err());
        let longest = "=".repeat(MAX_VERSION_BYTES);
        let source = CopySource::parse(&format!("/bucket/key?versionId={longest}")).unwrap();
        assert_eq!(CopySource::parse(&source.to_header()), Ok(source));
    }

    #[test]
    fn the_leading_slash_is_optional() {
        assert_eq!(parse("/photos/a/b"), ("photos".into(), "a/b".into(), None));
        assert_eq!(parse("photos/a/b"), ("photos".into(), "a/b".into(), None));
        assert_eq!(parse("photos//a"), ("photos".into(), "/a".into(), None));
    }

    #[test]
    fn the_key_is_decoded_once_and_plus_stays() {
        assert_eq!(parse("photos/a%2Bb+c%2525%3Fx").1, "a+b+c%25?x");
        assert_eq!(
            parse("photos%2Fa%2fb/c"),
            ("photos".into(), "a/b/c".into(), None)
        );
    }

    #[test]
    fn versions_are_split_off_before_decoding() {
        assert_eq!(
            parse("/photos/a?versionId=3%2F4"),
            ("photos".into(), "a".into(), Some("3/4".into()))
        );
        assert_eq!(
            parse("/photos/a%3FversionId=3"),
            ("photos".into(), "a?versionId=3".into(), None)
        );
        for header in [
            "/photos/a?versionId=",
            "/photos/a?versionId=1&x=2",
            "/photos/a?versionId=%f",
        ] {
            assert_eq!(
                CopySource::parse(header),
                Err(CopySourceError::InvalidVersion),
                "{header}"
            );
        }
    }

    #[test]
    fn what_is_no_bucket_and_key_is_refused() {
        for header in ["", "/", "photos", "/photos/", "//a"] {
            assert_eq!(
                CopySource::parse(header),
                Err(CopySourceError::NotBucketAndKey),
                "{header}"
            );
        }
        assert!(matches!(
            CopySource::parse("/Photos/a"),
            Err(CopySourceError::Path(
                ObjectPathError::InvalidBucketName { .. }
            ))
        ));
        assert!(matches!(
            CopySource::parse("/photos/%ff"),
            Err(CopySourceError::Path(ObjectPathError::InvalidUri { .. }))
        ));
        assert!(matches!(
            CopySource::parse(&"a".repeat(MAX_COPY_SOURCE_BYTES + 1)),
            Err(CopySourceError::TooLong { .. })
        ));
    }

    #[test]
    fn arns_are_refused_in_every_spelling() {
        let arn = "arn:aws:s3:eu-central-1:123456789012:accesspoint/name/object/key";
        for header in [
            arn.to_owned(),
            format!("/{arn}"),
            arn.replace(':', "%3A"),
            arn.replacen("arn", "ARN", 1),
        ] {
            assert_eq!(
                CopySource::parse(&header),
                Err(CopySourceError::Arn),
                "{header}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_written_header_is_read_back(key in "\\PC{1,60}", version_id in proptest::option::of("[!-~]{1,40}")) {
            let bucket = BucketName::parse("photos").unwrap();
            let key = ObjectKey::new(key).unwrap();
            let source = CopySource { bucket, key, version_id };
            prop_assert_eq!(CopySource::parse(&source.to_header()), Ok(source));
        }

        #[test]
        fn any_header_is_read_without_panic(header in ".{0,80}") {
            let _ = CopySource::parse(&header);
        }
    }
}
