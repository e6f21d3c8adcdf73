//! Principals: who may sign requests, and for which operations.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::operation::Operation;

/// Longest access key id and principal name, in bytes.
const MAX_NAME: usize = 128;
/// Shortest secret, in bytes: what is shorter is a typing error rather than a secret.
const MIN_SECRET: usize = 8;
/// Longest secret, in bytes.
const MAX_SECRET: usize = 1024;

/// The operations that a principal may call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Permissions {
    /// Every operation.
    All,
    /// The listed operations alone.
    Only(BTreeSet<Operation>),
}

impl Permissions {
    /// Reads a list of names; `*` (or `kms:*`) stands for all of them.
    ///
    /// # Errors
    ///
    /// [`PrincipalError`] for a name that is no operation, and for an empty list.
    pub fn from_names<'a>(
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PrincipalError> {
        let mut allowed = BTreeSet::new();
        let mut all = false;
        for name in names {
            if name == "*" || name == "kms:*" {
                all = true;
            } else {
                allowed.insert(
                    name.parse()
                        .map_err(|error| PrincipalError(format!("{error}; '*' stands for all")))?,
                );
            }
        }
        match (all, allowed.is_empty()) {
            (true, _) => Ok(Self::All),
            (false, false) => Ok(Self::Only(allowed)),
            (false, true) => Err(PrincipalError(
                "a principal needs at least one operation; '*' stands for all".to_owned(),
            )),
        }
    }

    /// Whether the operation is among them.
    pub fn allow(&self, operation: Operation) -> bool {
        match self {
            Self::All => true,
            Self::Only(allowed) => allowed.contains(&operation),
        }
    }
}

/// A principal's settings do not make sense.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct PrincipalError(pub(crate) String);

/// Someone who may call the server: a name, an access key with its secret, and the operations allowed.
#[derive(Clone)]
pub struct Principal {
    name: String,
    access_key_id: String,
    secret: Zeroizing<String>,
    permissions: Permissions,
}

impl Principal {
    /// A principal.
    ///
    /// # Errors
    ///
    /// [`PrincipalError`] when the name or the access key id is empty, longer than 128 bytes or not made of the
    /// characters that AWS allows there, or when the secret is shorter than 8 or longer than 1024 bytes.
    pub fn new(
        name: impl Into<String>,
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
        permissions: Permissions,
    ) -> Result<Self, PrincipalError> {
        let name = name.into();
        let access_key_id = access_key_id.into();
        let secret = Zeroizing::new(secret_access_key.into());
        let user_name = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(user_name) {
            return Err(PrincipalError(format!(
                "the principal name {name:?} is not usable: 1 to {MAX_NAME} letters, digits or +=,.@_-"
            )));
        }
        let key_id = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if access_key_id.is_empty()
            || access_key_id.len() > MAX_NAME
            || !access_key_id.chars().all(key_id)
        {
            return Err(PrincipalError(format!(
                "the access key id {access_key_id:?} of principal {name} is not usable: 1 to {MAX_NAME} letters, digits, _ or -"
            )));
        }
        if secret.len() < MIN_SECRET || secret.len() > MAX_SECRET {
            return Err(PrincipalError(format!(
                "the secret access key of principal {name} has {} bytes; it must have {MIN_SECRET} to {MAX_SECRET}",
                secret.len()
            )));
        }
        Ok(Self {
            name,
            access_key_id,
            secret,
            permissions,
        })
    }

    /// A principal that may call every operation.
    ///
    /// # Errors
    ///
    /// As [`Principal::new`].
    pub fn with_all_operations(
        name: impl Into<String>,
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
    ) -> Result<Self, PrincipalError> {
        Self::new(name, access_key_id, secret_access_key, Permissions::All)
    }

    /// The name, as it appears in the request log and in the principal's ARN.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The access key id.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The operations allowed.
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Principal")
            .field("name", &self.name)
            .field("access_key_id", &self.access_key_id)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

/// The principals of a server, found by access key id.
#[derive(Debug, Default)]
pub(crate) struct Principals(HashMap<String, Principal>);

impl Principals {
    pub(crate) fn new(principals: Vec<Principal>) -> Result<Self, PrincipalError> {
        let mut found = HashMap::with_capacity(principals.len());
        for principal in principals {
            if let Some(other) = found.insert(principal.access_key_id.clone(), principal) {
                return Err(PrincipalError(format!(
                    "two principals have the access key id {}; each needs one of its own",
                    other.access_key_id
                )));
            }
        }
        if found.is_empty() {
            return Err(PrincipalError(
                "no principal: nobody could sign a request; give at least one access key"
                    .to_owned(),
            ));
        }
        Ok(Self(found))
    }

    pub(crate) fn get(&self, access_key_id: &str) -> Option<&Principal> {
        self.0.get(access_key_id)
    }
}

/// One principal as a credentials file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrincipalEntry {
    name: String,
    access_key_id: String,
    secret_access_key: String,
    operations: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    principals: Vec<PrincipalEntry>,
}

/// Reads a credentials file: JSON, `{"principals": [{"name", "access_key_id", "secret_access_key", "operations"}]}`.
///
/// # Errors
///
/// [`PrincipalError`] for text that is not such a document, and for what [`Principal::new`] refuses. No message repeats
/// a secret.
pub fn read_principals(text: &str) -> Result<Vec<Principal>, PrincipalError> {
    let file: CredentialsFile = serde_json::from_str(text).map_err(|error| {
        // The message of serde_json can quote a value, and a value can be a secret: only the place is told.
        PrincipalError(format!(
            "line {}, column {}: not a credentials document; expected {{\"principals\": [{{\"name\": …, \
             \"access_key_id\": …, \"secret_access_key\": …, \"operations\": [\"*\"]}}]}}",
            error.line(),
            error.column()
        ))
    })?;
    file.principals
        .into_iter()
        .map(|entry| {
            let permissions = Permissions::from_names(entry.operations.iter().map(String::as_str))
                .map_err(|error| PrincipalError(format!("principal {}: {error}", entry.name)))?;
            Principal::new(
                entry.name,
                entry.access_key_id,
                entry.secret_access_key,
                permissions,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_credentials_file() {
        let text = r#"{"principals": [
            {"name": "a", "access_key_id": "AKIA1", "secret_access_key": "secret-of-a", "operations": ["*"]},
            {"name": "b", "access_key_id": "AKIA2", "secret_access_key": "secret-of-b",
             "operations": ["Decrypt", "kms:DescribeKey"]}]}"#;
        let principals = read_principals(text).unwrap();
        assert!(principals[0].permissions().allow(Operation::CreateKey));
        assert!(principals[1].permissions().allow(Operation::DescribeKey));
        assert!(!principals[1].permissions().allow(Operation::Encrypt));
    }

    #[test]
    fn neither_debug_nor_errors_tell_the_secret() {
        let principal = Principal::with_all_operations("a", "AKIA1", "hush-hush").unwrap();
        assert!(!format!("{principal:?}").contains("hush"));
        let error =
            read_principals(r#"{"principals": [{"secret_access_key": "hush-hush", "name": 7}]}"#)
                .unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
        assert!(
            Principal::with_all_operations("a", "AKIA1", "hush").is_err(),
            "too short"
        );
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        assert!(Permissions::from_names([]).is_err());
        assert!(Permissions::from_names(["Decrypt", "Sign"]).is_err());
        let one = || Principal::with_all_operations("a", "AKIA1", "hush-hush").unwrap();
        assert!(Principals::new(vec![one(), one()]).is_err());
        assert!(Principals::new(vec![]).is_err());
        assert!(Principal::with_all_operations("a b", "AKIA1", "hush-hush").is_err());
        assert!(Principal::with_all_operations("a", "AKIA/1", "hush-hush").is_err());
    }
}
