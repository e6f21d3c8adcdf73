//! Where a request points: bucket and key, read from the wire path and the host.
//!
//! A key is the wire path percent-decoded exactly once and never normalised: `//`, `.` and `..` are ordinary parts of a key (FORMAT.md, "Keys").
//! The seal of an object is bound to this form, so there must be only one way to get it. The wire form is kept beside it: signatures cover it.
//! A key that would lead out of its bucket, where somebody resolves its `..`, is refused.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

mod aliases;
pub(crate) use aliases::{aliases, places_elsewhere};

/// Longest object key in bytes of UTF-8 (S3 user guide, "Naming Amazon S3 objects").
pub const MAX_KEY_BYTES: usize = 1_024;

/// Shortest and longest bucket name (S3 user guide, "General purpose bucket naming rules").
pub const BUCKET_NAME_LENGTHS: std::ops::RangeInclusive<usize> = 3..=63;

/// What SigV4 encodes in a path: everything but the unreserved characters of RFC 3986 and the slash.
const PATH_ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// A path, bucket name or key that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ObjectPathError {
    /// Not a bucket name: answer 400 `InvalidBucketName`.
    #[error("the bucket name is not valid: {reason}")]
    InvalidBucketName {
        /// The rule that is broken.
        reason: &'static str,
    },
    /// The key is longer than [`MAX_KEY_BYTES`]: answer 400 `KeyTooLongError`.
    #[error("the key has {length} bytes; at most {MAX_KEY_BYTES} are allowed")]
    KeyTooLong {
        /// Length of the decoded key in bytes.
        length: usize,
    },
    /// The key is empty: answer 400 `InvalidArgument`.
    #[error("the key is empty")]
    EmptyKey,
    /// Where somebody resolves its `.` and `..`, it leads out of the bucket, or is the bucket itself: answer 400 `InvalidURI`, as AWS S3 does (S3 user
    /// guide, "Naming Amazon S3 objects").
    #[error(
        "the segments \".\" and \"..\" of the key lead out of the bucket, or to the bucket itself"
    )]
    LeavesBucket,
    /// Some storages keep files of their own there: answer 403 `AccessDenied`.
    #[error(
        "some storages keep files of their own below \"{OF_STORAGE}/\", so no such key is served to clients; use another name"
    )]
    OfStorage,
    /// A broken percent escape, or bytes that are not UTF-8: answer 400 `InvalidURI`.
    #[error("the path cannot be read: {reason}")]
    InvalidUri {
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A valid bucket name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(String);

impl BucketName {
    /// Checks a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens, a letter or digit at both ends, no two dots in a row,
    /// and not of the form of an IPv4 address (S3 user guide, "General purpose bucket naming rules").
    ///
    /// Reserved prefixes and suffixes are left to the upstream, which knows its own.
    ///
    /// # Errors
    /// [`ObjectPathError::InvalidBucketName`] with the broken rule.
    pub fn parse(name: &str) -> Result<Self, ObjectPathError> {
        let refuse = |reason| Err(ObjectPathError::InvalidBucketName { reason });
        let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !BUCKET_NAME_LENGTHS.contains(&name.len()) {
            return refuse("it must have 3 to 63 characters");
        }
        if !name
            .bytes()
            .all(|byte| alphanumeric(byte) || byte == b'.' || byte == b'-')
        {
            return refuse("it may hold lower-case letters, digits, dots and hyphens only");
        }
        if !name.bytes().next().is_some_and(alphanumeric)
            || !name.bytes().next_back().is_some_and(alphanumeric)
        {
            return refuse("it must begin and end with a letter or a digit");
        }
        if name.contains("..") {
            return refuse("it must not hold two dots in a row");
        }
        if name.parse::<std::net::Ipv4Addr>().is_ok() {
            return refuse("it must not look like an IPv4 address");
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An object key: 1 to [`MAX_KEY_BYTES`] bytes of UTF-8, as decoded from the wire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Checks a key that is already decoded, from an XML document for example.
    ///
    /// # Errors
    /// [`ObjectPathError::EmptyKey`] and [`ObjectPathError::KeyTooLong`].
    pub fn new(key: impl Into<String>) -> Result<Self, ObjectPathError> {
        let key = key.into();
        match key.len() {
            0 => Err(ObjectPathError::EmptyKey),
            length if length > MAX_KEY_BYTES => Err(ObjectPathError::KeyTooLong { length }),
            _ => Ok(Self(key)),
        }
    }

    /// Decodes a key from its wire form, exactly once; `+` stays `+`.
    ///
    /// # Errors
    /// Those of [`ObjectKey::new`] and [`check_meaning`], and [`ObjectPathError::InvalidUri`].
    pub fn from_wire(wire: &str) -> Result<Self, ObjectPathError> {
        let key = Self::new(percent_decode(wire)?)?;
        check_meaning(&key.0)?;
        Ok(key)
    }

    /// The decoded key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one canonical wire form of this key, as SigV4 encodes paths: safe to put after `/bucket/` in an upstream request.
    pub fn to_wire(&self) -> String {
        utf8_percent_encode(&self.0, PATH_ENCODED).to_string()
    }
}

/// Where versitygw keeps the parts of open uploads, in each bucket: who could write there would spoil the uploads of others.
const OF_STORAGE: &str = ".sgwtmp";

/// The segments of a key without empty ones and with `.` and `..` resolved, as where objects are files; `None` where that leads out of the bucket.
fn resolved(key: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    for segment in key.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names)
}

/// Whether a file system resolves this segment.
fn is_special(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// Refuses a key that is an object of another bucket, of the gateway's own, the bucket itself, or a storage's own file, where a storage resolves the
/// segments `.` and `..`.
///
/// # Errors
/// [`ObjectPathError::LeavesBucket`] and [`ObjectPathError::OfStorage`].
pub fn check_meaning(key: &str) -> Result<(), ObjectPathError> {
    let names = resolved(key).ok_or(ObjectPathError::LeavesBucket)?;
    match names.first() {
        None if key.split('/').any(is_special) => Err(ObjectPathError::LeavesBucket),
        Some(&OF_STORAGE) => Err(ObjectPathError::OfStorage),
        _ => Ok(()),
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Decodes percent escapes exactly once. Unlike most libraries it refuses broken escapes instead of passing them.
///
/// # Errors
/// [`ObjectPathError::InvalidUri`] for an escape without two hex digits and for bytes that are not UTF-8.
pub fn percent_decode(wire: &str) -> Result<String, ObjectPathError> {
    let mut pieces = wire.as_bytes().split(|&byte| byte == b'%');
    let mut decoded = pieces.next().unwrap_or_default().to_vec();
    for piece in pieces {
        let (digits, rest) = piece
            .split_at_checked(2)
            .ok_or(ObjectPathError::InvalidUri {
                reason: "a percent sign is not followed by two hex digits",
            })?;
        let byte = data_encoding::HEXLOWER_PERMISSIVE
            .decode(digits)
            .map_err(|_| ObjectPathError::InvalidUri {
                reason: "a percent sign is not followed by two hex digits",
            })?;
        decoded.extend(byte);
        decoded.extend(rest);
    }
    String::from_utf8(decoded).map_err(|_| ObjectPathError::InvalidUri {
        reason: "the decoded bytes are not UTF-8",
    })
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The service itself: `/`, for ListBuckets.
    Service,
    /// A bucket.
    Bucket(BucketName),
    /// An object.
    Object(BucketName, ObjectKey),
}

/// How the bucket is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// `/bucket/key`.
    Path,
    /// `bucket.base-domain` as host and `/key` as path.
    VirtualHost,
}

/// A request's path, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPath {
    target: Target,
    addressing: Addressing,
    wire_path: String,
    wire_key: String,
}

impl ObjectPath {
    /// Reads the path of a request, without its query. With a host of the form `bucket.base-domain` the bucket comes from the host;
    /// with any other host it is the first segment of the path.
    ///
    /// `host` is the raw `Host` header or authority, port allowed; `base_domains` are configured, without ports.
    ///
    /// # Errors
    /// [`ObjectPathError`]; its variants name the S3 code.
    pub fn parse(
        host: Option<&str>,
        base_domains: &[String],
        wire_path: &str,
    ) -> Result<Self, ObjectPathError> {
        let path = wire_path
            .strip_prefix('/')
            .ok_or(ObjectPathError::InvalidUri {
                reason: "it does not begin with a slash",
            })?;
        let from_host = host.and_then(|host| bucket_in_host(host, base_domains));
        let (addressing, bucket, wire_key) = if let Some(bucket) = from_host {
            (Addressing::VirtualHost, bucket, path)
        } else {
            let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
            (Addressing::Path, percent_decode(bucket)?, key)
        };
        let target = if addressing == Addressing::Path && path.is_empty() {
            Target::Service
        } else {
            let bucket = BucketName::parse(&bucket)?;
            if wire_key.is_empty() {
                Target::Bucket(bucket)
            } else {
                Target::Object(bucket, ObjectKey::from_wire(wire_key)?)
            }
        };
        Ok(Self {
            target,
            addressing,
            wire_path: wire_path.to_owned(),
            wire_key: wire_key.to_owned(),
        })
    }

    /// What the path names.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How the bucket was given.
    pub fn addressing(&self) -> Addressing {
        self.addressing
    }

    /// The bucket, if any.
    pub fn bucket(&self) -> Option<&BucketName> {
        match &self.target {
            Target::Service => None,
            Target::Bucket(bucket) | Target::Object(bucket, _) => Some(bucket),
        }
    }

    /// The key, if any.
    pub fn key(&self) -> Option<&ObjectKey> {
        match &self.target {
            Target::Object(_, key) => Some(key),
            Target::Service | Target::Bucket(_) => None,
        }
    }

    /// The path verbatim, as the client signed it.
    pub fn wire_path(&self) -> &str {
        &self.wire_path
    }

    /// The key's part of the path verbatim, without the slash before it; empty where there is no key.
    pub fn wire_key(&self) -> &str {
        &self.wire_key
    }
}

/// The bucket in front of the longest configured base domain that the host ends with, in lower case.
fn bucket_in_host(host: &str, base_domains: &[String]) -> Option<String> {
    // An IPv6 literal holds colons of its own and never a bucket.
    if host.starts_with('[') {
        return None;
    }
    let name = host
        .split_once(':')
        .map_or(host, |(name, _port)| name)
        .to_ascii_lowercase();
    base_domains
        .iter()
        .filter_map(|domain| {
            name.strip_suffix(&domain.to_ascii_lowercase())?
                .strip_suffix('.')
        })
        .filter(|_| {
            !base_domains
                .iter()
                .any(|domain| domain.eq_ignore_ascii_case(&name))
        })
        .min_by_key(|bucket| bucket.len())
        .map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(path: &str) -> Result<ObjectPath, ObjectPathError> {
        ObjectPath::parse(None, &[], path)
    }

    fn key(path: &str) -> String {
        parse(path).unwrap().key().unwrap().as_str().to_owned()
    }

    #[test]
    fn path_style_is_split_at_the_second_slash() {
        assert_eq!(parse("/").unwrap().target(), &Target::Service);
        assert_eq!(
            parse("/photos").unwrap().target(),
            &Target::Bucket(BucketName("photos".into()))
        );
        assert_eq!(
            parse("/photos/").unwrap().target(),
            &Target::Bucket(BucketName("photos".into()))
        );
        assert_eq!(key("/photos/a/b"), "a/b");
        assert_eq!(key("/photos//"), "/");
    }

    #[test]
    fn rule_07_keys_are_decoded_once_and_never_normalised() {
        assert_eq!(key("/photos/a//./../b"), "a//./../b");
        assert_eq!(key("/photos/a/%2E%2e/%252F+%2b"), "a/../%2F++");
        assert_eq!(key("/photos/%00"), "\0");
        assert_eq!(key("/photos/gr%C3%BC%C3%9Fe"), "grüße");
        let escaped = parse("/photos/a/b/%2E%2e").unwrap();
        assert_eq!(escaped.wire_key(), "a/b/%2E%2e");
        assert_eq!(escaped.wire_path(), "/photos/a/b/%2E%2e");
    }

    #[test]
    fn broken_paths_are_refused() {
        for path in [
            "",
            "photos",
            "/photos/%",
            "/photos/%4",
            "/photos/%zz",
            "/photos/%+1",
            "/photos/%ff",
            "/pho%",
        ] {
            assert!(
                matches!(parse(path), Err(ObjectPathError::InvalidUri { .. })),
                "{path}"
            );
        }
    }

    #[test]
    fn bucket_names_follow_the_rules() {
        for name in [
            "abc",
            "a-b.c",
            "0a0",
            "my.bucket.example",
            "1.2.3",
            &"a".repeat(63),
        ] {
            assert!(BucketName::parse(name).is_ok(), "{name}");
        }
        for name in [
            "ab",
            "Abc",
            "a_b",
            "-ab",
            "ab-",
            ".ab",
            "a..b",
            "192.168.0.1",
            "a b",
            "a/b",
            "",
            &"a".repeat(64),
            "bücket",
        ] {
            assert!(
                matches!(
                    BucketName::parse(name),
                    Err(ObjectPathError::InvalidBucketName { .. })
                ),
                "{name}"
            );
        }
        assert!(matches!(
            parse("//key"),
            Err(ObjectPathError::InvalidBucketName { .. })
        ));
        assert!(matches!(
            parse("/a%2Fbc/key"),
            Err(ObjectPathError::InvalidBucketName { .. })
        ));
    }

    #[test]
    fn the_length_of_a_key_counts_decoded_bytes() {
        let longest = "%61".repeat(MAX_KEY_BYTES);
        assert_eq!(key(&format!("/photos/{longest}")).len(), MAX_KEY_BYTES);
        assert_eq!(
            parse(&format!("/photos/{longest}a")),
            Err(ObjectPathError::KeyTooLong {
                length: MAX_KEY_BYTES + 1
            })
        );
        assert_eq!(ObjectKey::new(""), Err(ObjectPathError::EmptyKey));
    }

    #[test]
    fn rule_06_virtual_hosts_name_the_bucket() {
        let domains = ["example.com".to_owned(), "s3.example.com".to_owned()];
        let bucket = |host: &str, path: &str| {
            let path = ObjectPath::parse(Some(host), &domains, path).unwrap();
            (
                path.bucket().map(ToString::to_string),
                path.key().map(ToString::to_string),
                path.addressing(),
            )
        };
        assert_eq!(
            bucket("photos.s3.example.com:9000", "/a/b"),
            (
                Some("photos".into()),
                Some("a/b".into()),
                Addressing::VirtualHost
            )
        );
        assert_eq!(
            bucket("My.Photos.S3.Example.com", "/"),
            (Some("my.photos".into()), None, Addressing::VirtualHost)
        );
        assert_eq!(
            bucket("s3.example.com", "/photos/b"),
            (Some("photos".into()), Some("b".into()), Addressing::Path)
        );
        assert_eq!(
            bucket("nots3.example.org", "/photos/b"),
            (Some("photos".into()), Some("b".into()), Addressing::Path)
        );
        assert_eq!(
            bucket("xs3example.com", "/photos"),
            (Some("photos".into()), None, Addressing::Path)
        );
        assert_eq!(
            bucket("[::1]:9000", "/photos"),
            (Some("photos".into()), None, Addressing::Path)
        );
    }

    #[test]
    fn no_key_leads_out_of_its_bucket_or_to_what_a_storage_keeps_there() {
        for key in [
            "..",
            "../other/x",
            "a/../../other/x",
            "./../x",
            "/..",
            "%2E%2e/x",
            "a//../../x",
            ".",
            "./",
            "a/..",
            "a/b/../../",
        ] {
            let outside = Err(ObjectPathError::LeavesBucket);
            assert_eq!(ObjectKey::from_wire(key), outside, "{key}");
        }
        for key in [
            ".sgwtmp",
            ".sgwtmp/multipart/x",
            "/.sgwtmp/x",
            "a/../.sgwtmp",
        ] {
            let of_storage = Err(ObjectPathError::OfStorage);
            assert_eq!(ObjectKey::from_wire(key), of_storage, "{key}");
        }
        for key in [
            "/",
            "a/.",
            "a/.sgwtmp",
            ".sgwtmp2/x",
            "a/../x",
            "a/b/../../x",
            ".../x",
            "..a",
            "%252e%252e/x",
        ] {
            assert!(ObjectKey::from_wire(key).is_ok(), "{key}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_wire_form_is_read_back(text in "\\PC{1,60}|[ -~]{1,60}|[\\x00-\\x1f%+./]{1,60}") {
            let key = ObjectKey::new(text).unwrap();
            prop_assume!(check_meaning(key.as_str()).is_ok());
            prop_assert_eq!(ObjectKey::from_wire(&key.to_wire()), Ok(key.clone()));
            let path = parse(&format!("/photos/{}", key.to_wire())).unwrap();
            prop_assert_eq!(path.key(), Some(&key));
        }

        #[test]
        fn any_path_is_read_without_panic(host in ".{0,30}", path in ".{0,60}") {
            let _ = ObjectPath::parse(Some(&host), &["example.com".to_owned(), String::new()], &path);
        }
    }
}
