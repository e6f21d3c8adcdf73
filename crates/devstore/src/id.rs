//! Random names, so that no name on the disk depends on what a client sent.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The random name of a body or of a body file: 16 bytes, 32 lower-case hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id([u8; Id::LENGTH]);

/// The text is not 32 lower-case hex digits, or the bytes are not 16.
#[derive(Debug, thiserror::Error)]
#[error("not a name of the store")]
pub(crate) struct MalformedId;

impl Id {
    pub(crate) const LENGTH: usize = 16;

    /// Stands in the list of a body's files for a part without bytes, which has no file.
    pub(crate) const NONE: Self = Self([0; Self::LENGTH]);

    pub(crate) fn random() -> Self {
        Self(uuid::Uuid::new_v4().into_bytes())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Id {
    type Error = MalformedId;

    fn try_from(bytes: &[u8]) -> Result<Self, MalformedId> {
        bytes.try_into().map(Self).map_err(|_| MalformedId)
    }
}

impl FromStr for Id {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| MalformedId)?;
        Self::try_from(bytes.as_slice())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_round_trip() {
        let id = Id::random();
        assert_eq!(id.to_string().len(), 32);
        assert_eq!(id.to_string().parse::<Id>().unwrap(), id);
        assert_eq!(Id::try_from(id.as_bytes().as_slice()).unwrap(), id);
        assert_ne!(id, Id::random());
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "00",
            "zz",
            &"0".repeat(31),
            &"0".repeat(34),
            &"A".repeat(32),
            "../../etc/passwd",
        ] {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }
}
