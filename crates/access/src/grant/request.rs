//! What somebody asks for, and what others sign.

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    action::Action,
    canonical::{self, CanonicalError},
    signature::{PrivateKey, PublicKey, Signature, SignatureError},
    token::CARRIED_LIMIT,
};

use super::verification::GrantError;

/// The namespace of signatures that approve: `ssh-keygen -Y sign -n sealgate-grant`.
pub const GRANT_NAMESPACE: &str = "sealgate-grant";

/// The namespace of signatures that deny: `ssh-keygen -Y sign -n sealgate-grant-denial`.
pub const DENIAL_NAMESPACE: &str = "sealgate-grant-denial";

/// The random bytes that a request takes.
pub const NONCE_ENTROPY: usize = 16;

/// Bytes of an id: of so long a hash nobody finds two texts.
const ID_BYTES: usize = 20;

/// Characters of an id: its bytes in base32.
const ID_LENGTH: usize = 32;

/// What is hashed for an id begins so.
const ID_CONTEXT: &[u8] = b"sealgate grant 1\0";

/// The farthest ahead that a grant may begin when it is asked for, in seconds: nobody remembers longer why they approved.
const FARTHEST: u64 = 7 * 24 * 3_600;

/// The version of the document.
pub(super) const VERSION: u8 = 1;

/// The most bytes of a request. A session token carries it, and with it a header of every request.
pub(super) const REQUEST_LIMIT: usize = 2 * 1024;

/// The most actions of one request.
const ACTIONS_LIMIT: usize = 24;

/// The most bytes of one approval by itself.
const APPROVAL_LIMIT: usize = 1024;

/// The characters of a public key of Ed25519 in a `.pub` file, and of a signature in base64url.
const KEY_TEXT_LENGTH: usize = 80;
const SIGNATURE_TEXT_LENGTH: usize = 86;

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
    /// Its id: a hash of everything else, so whoever names it means this text and no other.
    pub id: String,
    /// Random characters, so that no two requests are the same.
    pub nonce: String,
    /// The identity that asks, and that will have the rights.
    pub requester: String,
    /// What it is to be allowed.
    pub scope: Scope,
    /// Why, for approvers and auditors.
    pub reason: String,
    /// The ticket that it is about; empty for none.
    pub ticket: String,
    /// When it was made, in seconds since 1970.
    pub made: u64,
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
    /// Whether it has an action on an object or, for a listing, on what lies below a prefix.
    pub fn allows(&self, action: Action, bucket: &str, key: &str) -> bool {
        self.bucket == bucket
            && key.starts_with(&self.prefix)
            && self.actions.iter().any(|name| name == action.name())
    }
}

/// Whether a character is not shown as what it is: controls, what Unicode calls format characters and separators of lines (category Cf, Zl, Zp), and
/// others that are not seen: joiners, fillers, variation selectors and the blank of Braille.
fn deceives(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e01ef}'
        )
}

/// The random characters of a request.
pub fn nonce_of(entropy: &[u8; NONCE_ENTROPY]) -> String {
    BASE32_NOPAD.encode(entropy)
}

/// Whether a text may be an id: 32 of `A-Z2-7`. Ids are parts of names in the storage.
pub fn is_id(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7');
    text.len() == ID_LENGTH && text.bytes().all(legal)
}

impl GrantRequest {
    /// The version that is written.
    pub const VERSION: u8 = VERSION;

    /// The same with the id that follows from the rest.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`], which no request leads to.
    pub fn identified(mut self) -> Result<Self, CanonicalError> {
        self.id = self.derived_id()?;
        Ok(self)
    }

    fn derived_id(&self) -> Result<String, CanonicalError> {
        let nameless = Self {
            id: String::new(),
            ..self.clone()
        };
        let text = canonical::write(&nameless)?;
        let hash = Sha256::new().chain_update(ID_CONTEXT).chain_update(text);
        let hash = hash.finalize();
        Ok(BASE32_NOPAD.encode(hash.get(..ID_BYTES).unwrap_or_default()))
    }

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

    /// Whether credentials could be made of it when so many have approved it. The grant travels in the token of a session, which has a limit, and
    /// is text within text there: JSON writes a quotation mark of a reason as two bytes, and at the next layer as four.
    ///
    /// # Errors
    ///
    /// [`CanonicalError::TooLong`].
    pub fn fits_a_token(&self, approvals: usize) -> Result<(), CanonicalError> {
        let approval = Approval {
            key: "A".repeat(KEY_TEXT_LENGTH),
            signature: "A".repeat(SIGNATURE_TEXT_LENGTH),
        };
        let grant = Grant {
            request: self.to_text()?,
            approvals: vec![approval; approvals],
        };
        let length = canonical::write(&grant.to_text()?)?.len();
        if length > CARRIED_LIMIT {
            return Err(CanonicalError::TooLong {
                length,
                limit: CARRIED_LIMIT,
            });
        }
        Ok(())
    }

    /// Whether its id is its own and its texts are what they may be. Approvers read them on terminals, which obey some characters and turn the order
    /// of others.
    ///
    /// # Errors
    ///
    /// [`GrantError::Unsound`].
    pub fn check_texts(&self) -> Result<(), GrantError> {
        let unsound = |part, fix| Err(GrantError::Unsound { part, fix });
        if !is_id(&self.id) || self.derived_id()? != self.id {
            return unsound("id", "the hash of everything else in it");
        }
        if self.not_before < self.made || self.not_before - self.made > FARTHEST {
            return unsound(
                "beginning",
                "not before it is asked for, and at most 7 days after",
            );
        }
        let Scope {
            bucket,
            prefix,
            actions,
        } = &self.scope;
        let legal = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_')
        };
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(legal) {
            return unsound("bucket", "the name of one bucket");
        }
        let known = |name: &String| Action::named(name).is_some();
        if actions.is_empty() || actions.len() > ACTIONS_LIMIT || !actions.iter().all(known) {
            return unsound("list of actions", "some of `sealgate policy actions`");
        }
        if self.reason.trim().is_empty() {
            return unsound("reason", "say what it is for");
        }
        let texts = [
            ("deployment", &self.deployment),
            ("nonce", &self.nonce),
            ("requester", &self.requester),
            ("prefix", prefix),
            ("reason", &self.reason),
            ("ticket", &self.ticket),
        ];
        for (part, text) in texts {
            if text.chars().any(deceives) {
                return unsound(
                    part,
                    "no control characters, and none that are invisible or turn the order of text",
                );
            }
        }
        Ok(())
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

    /// Reads what an approver's machine handed over: the JSON document, with or without white space.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`].
    pub fn of_text(text: &str) -> Result<Self, CanonicalError> {
        canonical::read_lenient(text, APPROVAL_LIMIT)
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

/// One approver's signature that they deny a request. It says nothing against approvals that others gave: whoever wants a grant to end revokes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// The approver's public key, as in a `.pub` file without its comment.
    pub key: String,
    /// The signature, in base64url without padding.
    pub signature: String,
}

impl Denial {
    /// Signs that a request is denied.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Invalid`], which no request leads to.
    pub fn sign(request: &str, key: &PrivateKey) -> Result<Self, SignatureError> {
        let signature = key.sign(DENIAL_NAMESPACE, request.as_bytes())?;
        Ok(Self {
            key: key.public_key().to_string(),
            signature: signature.encode(),
        })
    }

    /// Takes over what `ssh-keygen -Y sign -n sealgate-grant-denial` wrote beside the request.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Invalid`], also where the signature is not of this request.
    pub fn of_openssh(request: &str, armored: &str) -> Result<Self, SignatureError> {
        let (key, signature) = Signature::of_openssh(armored, DENIAL_NAMESPACE)?;
        key.verify(DENIAL_NAMESPACE, request.as_bytes(), &signature)?;
        Ok(Self {
            key: key.to_string(),
            signature: signature.encode(),
        })
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
