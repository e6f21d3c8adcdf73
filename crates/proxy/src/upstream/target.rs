//! What a request to the upstream is about, and how its URL names that.

use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// How a bucket is named towards the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// `https://endpoint/bucket/key`.
    Path,
    /// `https://bucket.endpoint/key`.
    VirtualHost,
}

/// The bucket and key that a request is about, the key in its percent-encoded wire form, which is passed on byte for byte.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The bucket; none for ListBuckets.
    pub bucket: Option<String>,
    /// The key as on the wire, without the slash in front; none for bucket operations.
    pub key: Option<String>,
    /// Headers that say whose bucket it must be and who pays: they go with every request about it, also with those that only we need.
    pub requester: HeaderMap,
}

impl Target {
    /// No bucket and no key: the service.
    pub fn service() -> Self {
        Self::default()
    }

    /// A bucket.
    pub fn bucket(bucket: impl Into<String>) -> Self {
        Self {
            bucket: Some(bucket.into()),
            ..Self::default()
        }
    }

    /// An object, its key in wire form.
    pub fn object(bucket: impl Into<String>, wire_key: impl Into<String>) -> Self {
        Self {
            bucket: Some(bucket.into()),
            key: Some(wire_key.into()),
            ..Self::default()
        }
    }

    /// The same, on behalf of somebody.
    #[must_use]
    pub fn for_requester(mut self, requester: HeaderMap) -> Self {
        self.requester = requester;
        self
    }
}

/// What stands in a path unencoded (Signature Version 4, "URI encode").
const PATH: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// A key as storages write it to verify a signature: they encode what they have decoded, so a client's own way to write it, such as a bare
/// parenthesis, would not match. The key stays the same; slashes and dots are left alone.
fn canonical(wire_key: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(wire_key).collect();
    percent_encode(&decoded, &PATH).to_string()
}

/// Host and path of a target.
pub(super) fn locate(addressing: Addressing, authority: &str, target: &Target) -> (String, String) {
    let key = target.key.as_deref().map(canonical);
    match (addressing, target.bucket.as_deref()) {
        (_, None) => (authority.to_owned(), "/".to_owned()),
        (Addressing::Path, Some(bucket)) => {
            let path = key.map_or_else(|| format!("/{bucket}"), |key| format!("/{bucket}/{key}"));
            (authority.to_owned(), path)
        }
        (Addressing::VirtualHost, Some(bucket)) => (
            format!("{bucket}.{authority}"),
            format!("/{}", key.unwrap_or_default()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_as_storages_verify_it() {
        for (wire, canonical_form) in [
            ("a-b_c.d~e/f", "a-b_c.d~e/f"),
            ("a//./../b/", "a//./../b/"),
            ("(1)!*'", "%281%29%21%2A%27"),
            ("a+b%2bc%20d", "a%2Bb%2Bc%20d"),
            ("%c3%bc%41%7E", "%C3%BCA~"),
            ("%25%2528", "%25%2528"),
        ] {
            assert_eq!(canonical(wire), canonical_form);
            assert_eq!(canonical(canonical_form), canonical_form);
        }
    }

    #[test]
    fn rule_06_a_target_is_addressed_by_path_or_by_host() {
        let object = Target::object("bucket", "a%20b//c/../d");
        assert_eq!(
            locate(Addressing::Path, "s3:9000", &object),
            ("s3:9000".into(), "/bucket/a%20b//c/../d".into())
        );
        assert_eq!(
            locate(Addressing::VirtualHost, "s3:9000", &object),
            ("bucket.s3:9000".into(), "/a%20b//c/../d".into())
        );
        assert_eq!(
            locate(Addressing::Path, "s3", &Target::bucket("b")),
            ("s3".into(), "/b".into())
        );
        assert_eq!(
            locate(Addressing::VirtualHost, "s3", &Target::bucket("b")),
            ("b.s3".into(), "/".into())
        );
        assert_eq!(
            locate(Addressing::VirtualHost, "s3", &Target::service()),
            ("s3".into(), "/".into())
        );
    }
}
