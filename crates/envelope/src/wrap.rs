//! A working key as a key service wrapped it (FORMAT.md, section 2).

use std::fmt;

use crate::decode::Reader;
use crate::error::{Error, Result};
use crate::keys::KeyReference;

/// The most bytes that a wrap's blob may have.
pub const MAXIMUM_BLOB_LENGTH: usize = 1024;

/// The number of a provider that this version does not know: never zero and never that of a known one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UnknownProvider(u8);

/// The kind of key service that made a wrap.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Provider {
    /// AWS KMS, or a server that speaks its protocol.
    AwsKms,
    /// The Transit engine of Vault or OpenBao.
    VaultTransit,
    /// A PKCS#11 token.
    Pkcs11,
    /// A key file on this machine.
    Local,
    /// An offline recovery key; the gateway never opens such a wrap.
    Recovery,
    /// Kept as it is, and never contacted.
    Unknown(UnknownProvider),
}

impl Provider {
    /// The provider of this number.
    ///
    /// # Errors
    /// [`Error::Stored`] for 0, which is no provider.
    pub fn from_code(code: u8) -> Result<Self> {
        Ok(match code {
            0 => return Err(Error::stored("a wrap names provider 0")),
            1 => Self::AwsKms,
            2 => Self::VaultTransit,
            3 => Self::Pkcs11,
            4 => Self::Local,
            5 => Self::Recovery,
            other => Self::Unknown(UnknownProvider(other)),
        })
    }

    /// The number that stands in a wrap.
    pub fn code(self) -> u8 {
        match self {
            Self::AwsKms => 1,
            Self::VaultTransit => 2,
            Self::Pkcs11 => 3,
            Self::Local => 4,
            Self::Recovery => 5,
            Self::Unknown(UnknownProvider(code)) => code,
        }
    }

    /// The name that key references are made of; none for an unknown provider.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::AwsKms => Some("aws-kms"),
            Self::VaultTransit => Some("vault-transit"),
            Self::Pkcs11 => Some("pkcs11"),
            Self::Local => Some("local"),
            Self::Recovery => Some("recovery"),
            Self::Unknown(_) => None,
        }
    }
}

/// A working key, wrapped: which key of which service wrapped it, and what the service returned.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Wrap {
    provider: Provider,
    key_reference: KeyReference,
    blob: Vec<u8>,
}

impl Wrap {
    /// A wrap whose blob has 1 to 1,024 bytes.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the blob is empty or longer.
    pub fn new(provider: Provider, key_reference: KeyReference, blob: Vec<u8>) -> Result<Self> {
        if blob.is_empty() || blob.len() > MAXIMUM_BLOB_LENGTH {
            return Err(Error::misuse(format!(
                "a wrapped key must have 1 to {MAXIMUM_BLOB_LENGTH} bytes, the key service returned {}",
                blob.len()
            )));
        }
        Ok(Self {
            provider,
            key_reference,
            blob,
        })
    }

    /// The kind of key service.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Which key of it.
    pub fn key_reference(&self) -> KeyReference {
        self.key_reference
    }

    /// What the key service returned.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Appends the encoded wrap: 11 bytes and the blob.
    pub fn encode(&self, out: &mut Vec<u8>) {
        // `new` and `decode` keep the blob far below 2^16 bytes.
        let length = u16::try_from(self.blob.len()).unwrap_or(u16::MAX);
        out.push(self.provider.code());
        out.extend_from_slice(self.key_reference.as_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.blob);
    }

    /// Number of bytes that [`encode`](Self::encode) appends.
    pub fn encoded_length(&self) -> usize {
        11 + self.blob.len()
    }

    /// Reads one wrap.
    ///
    /// # Errors
    /// [`Error::Stored`] if it is cut short, its provider is 0 or its blob empty or too long.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let provider = Provider::from_code(reader.u8()?)?;
        let key_reference = KeyReference::from_bytes(reader.array()?);
        let length = usize::from(reader.u16()?);
        if length == 0 || length > MAXIMUM_BLOB_LENGTH {
            return Err(Error::stored("the blob of a wrap is empty or too long"));
        }
        let blob = reader.bytes(length)?.to_vec();
        Ok(Self {
            provider,
            key_reference,
            blob,
        })
    }
}

impl fmt::Debug for Wrap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Wrap")
            .field("provider", &self.provider)
            .field("key_reference", &self.key_reference)
            .field("blob_length", &self.blob.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn wraps_round_trip(code in 1u8.., reference: [u8; 8], blob in proptest::collection::vec(any::<u8>(), 1..1024)) {
            let provider = Provider::from_code(code).unwrap();
            prop_assert_eq!(provider.code(), code);
            let wrap = Wrap::new(provider, KeyReference::from_bytes(reference), blob).unwrap();
            let mut bytes = Vec::new();
            wrap.encode(&mut bytes);
            prop_assert_eq!(bytes.len(), wrap.encoded_length());
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(Wrap::decode(&mut reader).unwrap(), wrap);
            reader.end().unwrap();
        }
    }

    #[test]
    fn wrong_wraps_are_refused() {
        assert!(
            Wrap::new(
                Provider::Local,
                KeyReference::from_bytes([0; 8]),
                Vec::new()
            )
            .is_err()
        );
        assert!(
            Wrap::new(
                Provider::Local,
                KeyReference::from_bytes([0; 8]),
                vec![0; 1025]
            )
            .is_err()
        );
        let mut zero_provider = vec![0; 12];
        zero_provider[10] = 1;
        assert!(Wrap::decode(&mut Reader::new(&zero_provider)).is_err());
        let mut empty_blob = vec![0; 11];
        empty_blob[0] = 1;
        assert!(Wrap::decode(&mut Reader::new(&empty_blob)).is_err());
    }
}
