//! How members of requests and responses stand in JSON: blobs as base64, times as seconds since 1970.

use std::fmt;

use data_encoding::BASE64;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// A blob, in JSON as base64. Erased from memory when dropped, as it may be a key.
#[derive(Clone)]
pub(crate) struct Blob(pub(crate) Zeroizing<Vec<u8>>);

impl Blob {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(BASE64.encode(&self.0)))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Blob;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a base64 string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                BASE64
                    .decode(text.as_bytes())
                    .map(Blob::new)
                    .map_err(|_| E::custom("not base64"))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A time, in JSON as seconds since 1970 with milliseconds behind the point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timestamp(pub(crate) OffsetDateTime);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seconds = i32::try_from(self.0.unix_timestamp()).map_or(f64::from(i32::MAX), f64::from);
        serializer.serialize_f64(seconds + f64::from(self.0.millisecond()) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_milliseconds() {
        let time = OffsetDateTime::from_unix_timestamp_nanos(1_790_000_000_123_456_789).unwrap();
        assert_eq!(
            serde_json::to_string(&Timestamp(time)).unwrap(),
            "1790000000.123"
        );
    }

    #[test]
    fn blobs_are_strict_base64() {
        let read = |text: &str| serde_json::from_str::<Blob>(text).map(|blob| blob.0.to_vec());
        assert_eq!(read(r#""YWI=""#).unwrap(), b"ab");
        assert_eq!(
            serde_json::to_string(&Blob::new(b"ab".to_vec())).unwrap(),
            r#""YWI=""#
        );
        for wrong in [r#""YWI""#, r#""YW I=""#, r#""YWJ=""#, "7", r#""_-8=""#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
