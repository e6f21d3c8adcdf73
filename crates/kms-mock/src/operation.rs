//! The operations of the server and their names on the wire.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands before the operation's name in the `X-Amz-Target` header.
pub(crate) const TARGET_PREFIX: &str = "TrentService.";

macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        /// An operation of the AWS KMS API that this server offers.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum Operation {
            $(#[doc = concat!("`", stringify!($name), "`")] $name,)*
        }

        impl Operation {
            /// Every operation, in alphabetical order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name as it stands in `X-Amz-Target` after `TrentService.`, and in a policy after `kms:`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

operations!(
    CancelKeyDeletion,
    CreateAlias,
    CreateKey,
    Decrypt,
    DeleteAlias,
    DescribeKey,
    DisableKey,
    EnableKey,
    Encrypt,
    GenerateDataKey,
    GenerateDataKeyWithoutPlaintext,
    GenerateRandom,
    ListAliases,
    ListKeyRotations,
    ListKeys,
    ReEncrypt,
    ReplicateKey,
    RotateKeyOnDemand,
    ScheduleKeyDeletion,
);

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// No operation of this server has that name.
#[derive(Clone, Debug, thiserror::Error)]
#[error("'{0}' is not an operation of this server; it offers {list}", list = names())]
pub struct UnknownOperation(pub String);

impl FromStr for Operation {
    type Err = UnknownOperation;

    /// Takes the name with or without the prefix `kms:` that policies use.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let bare = name.strip_prefix("kms:").unwrap_or(name);
        Self::ALL
            .iter()
            .copied()
            .find(|operation| operation.as_str() == bare)
            .ok_or_else(|| UnknownOperation(name.to_owned()))
    }
}

fn names() -> String {
    Operation::ALL
        .iter()
        .map(|operation| operation.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for &operation in Operation::ALL {
            assert_eq!(operation.as_str().parse::<Operation>().unwrap(), operation);
            assert_eq!(
                format!("kms:{operation}").parse::<Operation>().unwrap(),
                operation
            );
        }
        assert!("Sign".parse::<Operation>().is_err());
        assert!(
            "decrypt".parse::<Operation>().is_err(),
            "names are case-sensitive"
        );
    }
}
