//! What somebody asks for, and what others sign.

use serde::{Deserialize, Serialize};

use crate::{
    action::Action,
    canonical::{self, CanonicalError},
    signature::{PrivateKey, PublicKey, Signature, SignatureError},
};

/// The namespace of signatures that approve: `ssh-keygen -Y sign -n sealgate-grant`.
pub const GRANT_NAMESPACE: &str = "sealgate-grant";

/// The version of the document.
pub(super) const VERSION: u8 = 1;

/// The most bytes of a request. A session token carries it, and with it a header of every request.
pub(super) const REQUEST_LIMIT: usize = 2 * 1024;

/// The most bytes of a grant.
const GRANT_LIMIT: usize = 4 * 1024;

/// What somebody asks for. The text that approvers sign is its one canonical encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    /// The version of this document: 1.
    pub version: u8,
    /// The deployment that it is about.
    pub deployment: String,
    /// Its id: 26 random characters.
    pub id: String,
    /// The identity that asks, and that will have the rights.
    pub requester: String,
    /// What it is to be allowed.
    pub scope: Scope,
    /// Why, for approvers and auditors.
    pub reason: String,
    /// The ticket that it is about; empty for none.
    pub ticket: String,
    /// From when, in seconds since 1970.
    pub not_before: u64,
    /// Until when, in seconds since 1970; that second is outside.
    pub expires: u64,
}

/// What a grant allows, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The bucket.
    pub bucket: String,
    /// How keys begin; empty for the whole bucket.
    pub prefix: String,
    /// The names of actions.
    pub actions: Vec<String>,
}

impl Scope {
    pub(super) fn allows(&self, action: Action, bucket: &str, key: &str) -> bool {
        self.bucket == bucket
            && key.starts_with(&self.prefix)
            && self.actions.iter().any(|name| name == action.name())
    }
}

impl GrantRequest {
    /// The text that is signed.
    ///
    /// # Errors
    ///
    /// [`CanonicalError::TooLong`].
    pub fn to_text(&self) -> Result<String, CanonicalError> {
        let text = canonical::write(self)?;
        if text.len() > REQUEST_LIMIT {
            return Err(CanonicalError::TooLong {
                length: text.len(),
                limit: REQUEST_LIMIT,
            });
        }
        Ok(text)
    }

    /// Reads the text that is signed.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`].
    pub fn of_text(text: &str) -> Result<Self, CanonicalError> {
        canonical::read(text, REQUEST_LIMIT)
    }
}

/// One approver's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The approver's public key, as in a `.pub` file without its comment.
    pub key: String,
    /// The signature, in base64url without padding.
    pub signature: String,
}

impl Approval {
    /// Signs a request.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Invalid`], which no request leads to.
    pub fn sign(request: &str, key: &PrivateKey) -> Result<Self, SignatureError> {
        let signature = key.sign(GRANT_NAMESPACE, request.as_bytes())?;
        Ok(Self::new(key.public_key(), &signature))
    }

    /// Takes over what `ssh-keygen -Y sign -n sealgate-grant` wrote beside the request.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Invalid`], also where the signature is not of this request.
    pub fn of_openssh(request: &str, armored: &str) -> Result<Self, SignatureError> {
        let (key, signature) = Signature::of_openssh(armored, GRANT_NAMESPACE)?;
        key.verify(GRANT_NAMESPACE, request.as_bytes(), &signature)?;
        Ok(Self::new(key, &signature))
    }

    fn new(key: PublicKey, signature: &Signature) -> Self {
        Self {
            key: key.to_string(),
            signature: signature.encode(),
        }
    }
}

/// A request with the approvals that it has got so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The text of the request, byte for byte what was signed.
    pub request: String,
    /// Who approved it.
    pub approvals: Vec<Approval>,
}

impl Grant {
    /// Its one encoding.
    ///
    /// # Errors
    ///
    /// [`CanonicalError::TooLong`].
    pub fn to_text(&self) -> Result<String, CanonicalError> {
        let text = canonical::write(self)?;
        if text.len() > GRANT_LIMIT {
            return Err(CanonicalError::TooLong {
                length: text.len(),
                limit: GRANT_LIMIT,
            });
        }
        Ok(text)
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`].
    pub fn of_text(text: &str) -> Result<Self, CanonicalError> {
        canonical::read(text, GRANT_LIMIT)
    }
}
