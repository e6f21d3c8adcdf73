//! `encoding-type=url`: how listings carry names that XML cannot hold.
//!
//! AWS encodes like a form: letters, digits, `-`, `.`, `_`, `*` and the slash stay, a space becomes `+`, all other bytes become `%XX`
//! (S3 API reference, ListObjectsV2, `EncodingType`).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What is escaped; the space is replaced beforehand by a plus sign, so the plus sign of the text is escaped piece by piece.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'*')
    .remove(b'/');

/// Encodes a name for a listing with `encoding-type=url`.
pub fn encode(name: &str) -> String {
    name.split(' ')
        .map(|piece| utf8_percent_encode(piece, ENCODED).to_string())
        .collect::<Vec<_>>()
        .join("+")
}

/// Decodes a name from a listing with `encoding-type=url`; `None` where it is not UTF-8.
pub fn decode(name: &str) -> Option<String> {
    percent_decode_str(&name.replace('+', " "))
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_encoded_as_aws_does() {
        assert_eq!(
            encode("a b+c/d~e*f-g_h.i\u{1}ü\r"),
            "a+b%2Bc/d%7Ee*f-g_h.i%01%C3%BC%0D"
        );
        assert_eq!(decode("a%20b+c%2B"), Some("a b c+".into()));
        assert_eq!(decode("%ff"), None);
    }

    proptest! {
        #[test]
        fn names_come_back(name in any::<String>()) {
            let encoded = encode(&name);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(decode(&encoded), Some(name));
        }
    }
}
