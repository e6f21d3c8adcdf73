//! How requests name a key: key id, key ARN, alias name or alias ARN.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id>

use uuid::Uuid;

use crate::error::{ErrorCode, KmsError};

/// What every alias name begins with.
pub(crate) const ALIAS_PREFIX: &str = "alias/";

/// The account and region that a server plays.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Realm {
    pub(crate) region: String,
    pub(crate) account: String,
    /// Whether it is one of the further regions, where there is nothing but replicas of multi-Region keys.
    pub(crate) of_replicas: bool,
}

impl Realm {
    pub(crate) fn key_arn(&self, id: Uuid) -> String {
        format!(
            "arn:aws:kms:{}:{}:key/{}",
            self.region,
            self.account,
            id_text(id)
        )
    }

    /// The ARN of an alias, whose name begins with `alias/`.
    pub(crate) fn alias_arn(&self, name: &str) -> String {
        format!("arn:aws:kms:{}:{}:{name}", self.region, self.account)
    }

    pub(crate) fn principal_arn(&self, name: &str) -> String {
        format!("arn:aws:iam::{}:user/{name}", self.account)
    }
}

/// A key as a request names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum KeyIdentifier {
    /// By its id, alone or at the end of a key ARN.
    Id(Uuid),
    /// By the name of an alias, with its prefix, alone or at the end of an alias ARN.
    Alias(String),
}

impl KeyIdentifier {
    /// Reads a key id, key ARN, alias name or alias ARN of this realm.
    ///
    /// # Errors
    ///
    /// `NotFoundException` for what names no key by its form or names another region, `InvalidArnException` for an ARN
    /// that is not one of KMS, `AccessDeniedException` for a key of another account.
    pub(crate) fn parse(text: &str, realm: &Realm) -> Result<Self, KmsError> {
        let Some(arn) = text.strip_prefix("arn:") else {
            return Self::parse_resource(text)
                .ok_or_else(|| not_found(format!("Invalid keyId '{text}'")));
        };
        let mut parts = arn.splitn(5, ':');
        let (Some("aws"), Some("kms"), Some(region), Some(account), Some(resource)) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(KmsError::new(
                ErrorCode::InvalidArn,
                format!("{text} is not a valid ARN of a KMS key or alias"),
            ));
        };
        if region != realm.region {
            return Err(not_found(format!("Invalid arn {region}")));
        }
        if account != realm.account {
            return Err(KmsError::new(
                ErrorCode::AccessDenied,
                format!(
                    "{text} belongs to account {account}: the resource does not exist in this Region, or no \
                     resource-based policy allows access; this server holds the keys of account {} alone",
                    realm.account
                ),
            ));
        }
        if let Some(id) = resource.strip_prefix("key/") {
            return parse_id(id)
                .map(Self::Id)
                .ok_or_else(|| not_found(format!("Invalid keyId '{id}'")));
        }
        match Self::parse_resource(resource) {
            Some(alias @ Self::Alias(_)) => Ok(alias),
            _ => Err(KmsError::new(
                ErrorCode::InvalidArn,
                format!("{text} names neither a key nor an alias"),
            )),
        }
    }

    /// Reads what only key ids and key ARNs are allowed for; the operations that manage keys refuse aliases.
    pub(crate) fn parse_id_or_arn(text: &str, realm: &Realm) -> Result<Uuid, KmsError> {
        match Self::parse(text, realm)? {
            Self::Id(id) => Ok(id),
            Self::Alias(_) => Err(not_found(format!("Invalid keyId '{text}'"))),
        }
    }

    fn parse_resource(text: &str) -> Option<Self> {
        match text.strip_prefix(ALIAS_PREFIX) {
            Some(name) if !name.is_empty() => Some(Self::Alias(text.to_owned())),
            Some(_) => None,
            None => parse_id(text).map(Self::Id),
        }
    }
}

/// What the id of a multi-Region key begins with.
const MULTI_REGION_PREFIX: &str = "mrk-";
/// The version of the UUIDs that stand for multi-Region keys here (RFC 9562, section 5.8); those of other keys are random ones.
const MULTI_REGION_VERSION: usize = 8;

/// A fresh id of a multi-Region key.
pub(crate) fn new_multi_region_id() -> Uuid {
    uuid::Builder::from_custom_bytes(*Uuid::new_v4().as_bytes()).into_uuid()
}

pub(crate) fn is_multi_region(id: Uuid) -> bool {
    id.get_version_num() == MULTI_REGION_VERSION
}

/// A key id as clients see it: a UUID, or `mrk-` and 32 hexadecimal digits.
pub(crate) fn id_text(id: Uuid) -> String {
    if is_multi_region(id) {
        format!("{MULTI_REGION_PREFIX}{}", id.simple())
    } else {
        id.hyphenated().to_string()
    }
}

/// Reads a key id in the one form that [`id_text`] writes: identifiers are compared as text by clients.
pub(crate) fn parse_id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text.strip_prefix(MULTI_REGION_PREFIX).unwrap_or(text)).ok()?;
    (id_text(id) == text).then_some(id)
}

pub(crate) fn not_found(message: String) -> KmsError {
    KmsError::new(ErrorCode::NotFound, message)
}

/// Refuses an alias name that breaks KMS's rules (length and characters are checked before).
///
/// # Errors
///
/// `ValidationException` without the prefix, `NotAuthorizedException` for the names of AWS's own keys,
/// `InvalidAliasNameException` for a name that is empty after the prefix or has a colon.
pub(crate) fn check_alias_name(name: &str) -> Result<(), KmsError> {
    let Some(rest) = name.strip_prefix(ALIAS_PREFIX) else {
        return Err(KmsError::validation("Invalid identifier"));
    };
    if rest.starts_with("aws/") {
        return Err(KmsError::new(
            ErrorCode::NotAuthorized,
            format!("{name} is reserved: names that begin with alias/aws/ belong to AWS"),
        ));
    }
    if rest.is_empty() || rest.contains(':') {
        return Err(KmsError::new(
            ErrorCode::InvalidAliasName,
            format!(
                "{name} contains invalid characters for an alias or has no name after {ALIAS_PREFIX}"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

    fn realm() -> Realm {
        Realm {
            region: "us-east-1".to_owned(),
            account: "111122223333".to_owned(),
            of_replicas: false,
        }
    }

    fn code(text: &str) -> ErrorCode {
        KeyIdentifier::parse(text, &realm()).unwrap_err().code()
    }

    #[test]
    fn four_ways_to_name_a_key() {
        let id = Uuid::try_parse(ID).unwrap();
        let parse = |text: &str| KeyIdentifier::parse(text, &realm()).unwrap();
        assert_eq!(parse(ID), KeyIdentifier::Id(id));
        assert_eq!(parse(&realm().key_arn(id)), KeyIdentifier::Id(id));
        assert_eq!(
            parse("alias/a/b"),
            KeyIdentifier::Alias("alias/a/b".to_owned())
        );
        assert_eq!(
            parse(&realm().alias_arn("alias/a")),
            KeyIdentifier::Alias("alias/a".to_owned())
        );
    }

    #[test]
    fn refusals() {
        assert_eq!(code("fake-key-id"), ErrorCode::NotFound);
        assert_eq!(code(&ID.to_uppercase()), ErrorCode::NotFound);
        assert_eq!(code(&ID.replace('-', "")), ErrorCode::NotFound);
        assert_eq!(code("alias/"), ErrorCode::NotFound);
        assert_eq!(
            code(&format!("arn:aws:kms:eu-west-1:111122223333:key/{ID}")),
            ErrorCode::NotFound
        );
        assert_eq!(
            code(&format!("arn:aws:kms:us-east-1:999999999999:key/{ID}")),
            ErrorCode::AccessDenied
        );
        assert_eq!(code("arn:aws:s3:::bucket"), ErrorCode::InvalidArn);
        assert_eq!(
            code(&format!("arn:aws:kms:us-east-1:111122223333:{ID}")),
            ErrorCode::InvalidArn
        );
        assert!(KeyIdentifier::parse_id_or_arn("alias/a", &realm()).is_err());
    }

    #[test]
    fn alias_names() {
        assert!(check_alias_name("alias/sealgate-dev").is_ok());
        let code = |name: &str| check_alias_name(name).unwrap_err().code();
        assert_eq!(code("sealgate-dev"), ErrorCode::Validation);
        assert_eq!(code("alias/aws/s3"), ErrorCode::NotAuthorized);
        assert_eq!(code("alias/"), ErrorCode::InvalidAliasName);
        assert_eq!(code("alias/a:b"), ErrorCode::InvalidAliasName);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            if let Ok(KeyIdentifier::Alias(name)) = KeyIdentifier::parse(&text, &realm()) {
                prop_assert!(name.starts_with(ALIAS_PREFIX) && text.ends_with(&name));
            }
        }
    }
}
