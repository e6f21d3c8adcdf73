//! Canonical request and string to sign of Signature Version 4, as S3 wants them.
//!
//! Pure functions over text that came from the wire; the verifier and the upstream signer share them.
//! Source: Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header".

use http::HeaderMap;
use sha2::{Digest, Sha256};

use super::keys::{DIGEST_LENGTH, SCOPE_TERMINATOR, Service, Signature, SigningKey, encode_hex};
use super::timestamp::AmzDate;

/// The name of the signing method in the header, in the query and in the string to sign.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The payload hash of a request whose body is not signed.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// A header that the signature lists is not in the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingSignedHeader(pub String);

/// What a signature covers, borrowed from the request.
#[derive(Debug, Clone, Copy)]
pub struct CanonicalRequest<'a> {
    /// The method as it was sent.
    pub method: &'a str,
    /// The path as it is on the wire. It is never decoded, encoded or normalised.
    pub path: &'a str,
    /// The canonical query, from [`canonical_query`].
    pub query: &'a str,
    /// All headers of the request.
    pub headers: &'a HeaderMap,
    /// The value to sign for the name `host`, whatever the headers say.
    pub host: &'a str,
    /// The signed names, lower case, separated by `;`, in the order to sign them in.
    pub signed_headers: &'a str,
    /// The hexadecimal SHA-256 of the body, or one of the words that stand for it.
    pub payload_hash: &'a str,
}

impl CanonicalRequest<'_> {
    /// Hands the canonical request to `sink`, piece by piece.
    ///
    /// # Errors
    /// A listed header that the request does not have; `sink` has then seen a part.
    pub fn write(&self, mut sink: impl FnMut(&[u8])) -> Result<(), MissingSignedHeader> {
        sink(self.method.as_bytes());
        sink(b"\n");
        sink(if self.path.is_empty() {
            b"/"
        } else {
            self.path.as_bytes()
        });
        sink(b"\n");
        sink(self.query.as_bytes());
        sink(b"\n");
        for name in self.signed_headers.split(';') {
            sink(name.as_bytes());
            sink(b":");
            if name == "host" {
                sink(self.host.as_bytes());
            } else {
                let mut values = self.headers.get_all(name).iter();
                let first = values
                    .next()
                    .ok_or_else(|| MissingSignedHeader(name.to_owned()))?;
                write_folded(first.as_bytes(), &mut sink);
                for value in values {
                    sink(b",");
                    write_folded(value.as_bytes(), &mut sink);
                }
            }
            sink(b"\n");
        }
        sink(b"\n");
        sink(self.signed_headers.as_bytes());
        sink(b"\n");
        sink(self.payload_hash.as_bytes());
        Ok(())
    }

    /// The SHA-256 of the canonical request, without building it.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn digest(&self) -> Result<[u8; DIGEST_LENGTH], MissingSignedHeader> {
        let mut hash = Sha256::new();
        self.write(|piece| hash.update(piece))?;
        Ok(hash.finalize().into())
    }

    /// The signature of this request.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn sign(
        &self,
        key: &SigningKey,
        date: &AmzDate,
        scope: &str,
    ) -> Result<Signature, MissingSignedHeader> {
        let digest = encode_hex(&self.digest()?);
        Ok(key.sign(&[
            ALGORITHM.as_bytes(),
            b"\n",
            date.as_str().as_bytes(),
            b"\n",
            scope.as_bytes(),
            b"\n",
            digest.as_bytes(),
        ]))
    }
}

/// The credential scope `DAY/REGION/s3/aws4_request`.
pub fn credential_scope(day: &str, region: &str) -> String {
    credential_scope_for(Service::S3, day, region)
}

/// The credential scope of a service.
pub(super) fn credential_scope_for(service: Service, day: &str, region: &str) -> String {
    format!("{day}/{region}/{}/{SCOPE_TERMINATOR}", service.name())
}

/// Writes a header value without its outer blanks and with inner runs of spaces folded into one.
fn write_folded(value: &[u8], sink: &mut impl FnMut(&[u8])) {
    let mut value = trim_blanks(value);
    while let Some(double) = memchr::memmem::find(value, b"  ") {
        let (kept, rest) = value.split_at_checked(double + 1).unwrap_or((value, &[]));
        sink(kept);
        let next = rest
            .iter()
            .position(|byte| *byte != b' ')
            .unwrap_or(rest.len());
        value = rest.get(next..).unwrap_or_default();
    }
    sink(value);
}

fn trim_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The canonical query of a raw one: names and values decoded and encoded again the one way that SigV4 knows, sorted
/// by name, then by value. `X-Amz-Signature` is left out, since no signature can cover itself.
///
/// `+` is a blank, as S3 and form decoding have it; a `%` that begins no escape stands for itself.
pub fn canonical_query(raw: &str) -> String {
    let mut buffer = String::with_capacity(raw.len() + raw.len() / 4);
    let mut pairs = Vec::new();
    for part in raw.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if decode(name).eq(b"X-Amz-Signature".iter().copied()) {
            continue;
        }
        let start = buffer.len();
        encode_into(decode(name), &mut buffer);
        let middle = buffer.len();
        encode_into(decode(value), &mut buffer);
        pairs.push((start..middle, middle..buffer.len()));
    }
    let text = |range: &std::ops::Range<usize>| buffer.get(range.clone()).unwrap_or_default();
    pairs.sort_by(|(left_name, left_value), (right_name, right_value)| {
        (text(left_name), text(left_value)).cmp(&(text(right_name), text(right_value)))
    });
    let mut canonical = String::with_capacity(buffer.len() + 2 * pairs.len());
    for (name, value) in &pairs {
        if !canonical.is_empty() {
            canonical.push('&');
        }
        canonical.push_str(text(name));
        canonical.push('=');
        canonical.push_str(text(value));
    }
    canonical
}

/// The bytes that an encoded query name or value stands for.
pub(super) fn decode(encoded: &str) -> impl Iterator<Item = u8> {
    let mut rest = encoded.as_bytes();
    std::iter::from_fn(move || {
        let (first, tail) = rest.split_first()?;
        if let ([high, low, after @ ..], b'%') = (tail, first)
            && let (Some(high), Some(low)) = (hex_value(*high), hex_value(*low))
        {
            rest = after;
            return Some(high << 4 | low);
        }
        rest = tail;
        Some(if *first == b'+' { b' ' } else { *first })
    })
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn encode_into(bytes: impl Iterator<Item = u8>, target: &mut String) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            target.push(char::from(byte));
        } else {
            target.push('%');
            target.push(upper_hex_digit(byte >> 4));
            target.push(upper_hex_digit(byte & 0x0f));
        }
    }
}

fn upper_hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16)
        .unwrap_or('0')
        .to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn folded(value: &str) -> String {
        let mut out = Vec::new();
        write_folded(value.as_bytes(), &mut |piece| out.extend_from_slice(piece));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn header_values_are_trimmed_and_folded() {
        assert_eq!(folded("  a   b  c \t"), "a b c");
        assert_eq!(folded(" "), "");
        assert_eq!(folded("a b"), "a b");
        assert_eq!(folded("\"a   b\""), "\"a b\"");
    }

    #[test]
    fn queries_are_sorted_and_encoded_one_way() {
        assert_eq!(
            canonical_query("prefix=J&max-keys=2"),
            "max-keys=2&prefix=J"
        );
        assert_eq!(canonical_query("lifecycle"), "lifecycle=");
        assert_eq!(canonical_query("a-b=1&a=2"), "a=2&a-b=1");
        assert_eq!(canonical_query("a=2&a=1&A=3"), "A=3&a=1&a=2");
        assert_eq!(
            canonical_query("p=a+b%20c%2fd%2Fe/f&&q=%zz%"),
            "p=a%20b%20c%2Fd%2Fe%2Ff&q=%25zz%25"
        );
        assert_eq!(canonical_query("%7e=~&e=%C3%a9"), "e=%C3%A9&~=~");
        assert_eq!(canonical_query("=x"), "=x");
        assert_eq!(
            canonical_query("X-Amz-Signature=1&X-Amz-%53ignature=2&x=3"),
            "x=3"
        );
    }

    #[test]
    fn the_request_is_written_as_published() {
        let mut headers = HeaderMap::new();
        headers.insert("range", HeaderValue::from_static("bytes=0-9"));
        headers.append("x-amz-meta-two", HeaderValue::from_static(" one "));
        headers.append("x-amz-meta-two", HeaderValue::from_static("t  wo"));
        let request = CanonicalRequest {
            method: "GET",
            path: "/a//../b%2f.txt",
            query: "",
            headers: &headers,
            host: "examplebucket.s3.amazonaws.com",
            signed_headers: "host;range;x-amz-meta-two",
            payload_hash: UNSIGNED_PAYLOAD,
        };
        let mut text = Vec::new();
        request
            .write(|piece| text.extend_from_slice(piece))
            .unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "GET\n/a//../b%2f.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\nx-amz-meta-two:one,t wo\n\n\
             host;range;x-amz-meta-two\nUNSIGNED-PAYLOAD"
        );
        let missing = CanonicalRequest {
            signed_headers: "host;x-amz-date",
            ..request
        };
        assert_eq!(
            missing.digest(),
            Err(MissingSignedHeader("x-amz-date".to_owned()))
        );
    }

    proptest! {
        #[test]
        fn canonical_queries_are_a_fixed_point(raw in ".{0,80}") {
            let once = canonical_query(&raw);
            prop_assert_eq!(canonical_query(&once), once);
        }

        #[test]
        fn encoding_loses_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut encoded = String::new();
            encode_into(bytes.iter().copied(), &mut encoded);
            prop_assert_eq!(decode(&encoded).collect::<Vec<_>>(), bytes);
        }
    }
}
