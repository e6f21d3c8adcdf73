//! A key-encryption key as wraps name it, for reports and for what an operator types.

use std::{fmt, str::FromStr};

use sealgate_envelope::{KeyReference, Provider, Wrap};
use serde::{Deserialize, Serialize};

/// Provider and reference: `aws-kms 0011223344556677`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct KeyName(String);

impl KeyName {
    pub(crate) fn new(provider: Provider, reference: KeyReference) -> Self {
        Self(match provider.name() {
            Some(name) => format!("{name} {reference}"),
            None => format!("provider-{} {reference}", provider.code()),
        })
    }

    pub(crate) fn of(wrap: &Wrap) -> Self {
        Self::new(wrap.provider(), wrap.key_reference())
    }

    /// Whether it is that of an offline recovery key.
    pub(crate) fn is_recovery(&self) -> bool {
        self.0.starts_with("recovery ")
    }

    /// Whether it is that of a service which speaks the protocol of AWS KMS.
    pub(crate) fn is_at_aws_kms(&self) -> bool {
        self.0.starts_with("aws-kms ")
    }

    /// What wraps call it, beside its provider.
    pub(crate) fn reference(&self) -> Option<KeyReference> {
        let (_, reference) = self.0.split_once(' ')?;
        reference.parse().ok()
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = text.split_once(' ').is_some_and(|(provider, reference)| {
            let legal =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !provider.is_empty()
                && provider.bytes().all(legal)
                && reference.parse::<KeyReference>().is_ok()
        });
        if is_name {
            Ok(Self(text.to_owned()))
        } else {
            Err(
                "write a key as reports name it: its provider, a space and 16 hexadecimal digits"
                    .to_owned(),
            )
        }
    }
}

impl TryFrom<String> for KeyName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_provider_and_reference_and_nothing_else() {
        let name = KeyName::new(Provider::Local, KeyReference::from_bytes([0xab; 8]));
        assert_eq!(name.to_string(), "local abababababababab");
        assert_eq!(name.to_string().parse(), Ok(name));
        for wrong in [
            "",
            "local",
            "local ab",
            "LOCAL abababababababab",
            " abababababababab",
        ] {
            assert!(wrong.parse::<KeyName>().is_err(), "{wrong}");
        }
    }
}
