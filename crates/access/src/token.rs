//! Session tokens: short-lived credentials that any replica verifies without shared state.
//!
//! ```text
//! token = base64url( version 1 | key id 4 | salt 16 | sealed claims | tag 16 )
//! master = HKDF-SHA256-Extract(salt = "sealgate session tokens 1" ‖ deployment, secret)
//! key    = HKDF-SHA256-Expand(master, "token" ‖ salt)           seals the claims with AES-256-GCM, nonce zero: each key seals one token
//! secret access key = HKDF-SHA256-Expand(master, "secret access key" ‖ salt)
//! ```
//!
//! The secret comes from the configuration, the same on every replica of a deployment. Who has it can make credentials for anybody, as who has
//! the configuration can; who has a token can read nothing of it and change nothing in it.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD, HEXLOWER};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::canonical;

/// The first byte of a token.
const VERSION: u8 = 1;

/// Bytes in front of what is sealed: version, key id and salt.
const HEAD_LENGTH: usize = 1 + KEY_ID_LENGTH + SALT_LENGTH;

const KEY_ID_LENGTH: usize = 4;
const SALT_LENGTH: usize = 16;
const TAG_LENGTH: usize = 16;

/// Random bytes of an access key id: with the salt they make the entropy of a token.
const ID_LENGTH: usize = 10;

/// The random bytes that a token takes.
pub const TOKEN_ENTROPY: usize = SALT_LENGTH + ID_LENGTH;

/// The most bytes of claims: a grant with all its approvals, and the rest.
const CLAIMS_LIMIT: usize = 5 * 1024;

/// The most bytes of a grant in claims, so that names and times find room beside it.
pub(crate) const CARRIED_LIMIT: usize = 4 * 1024;

/// The most characters of a token. A header section has 8 KiB in all.
const TOKEN_LIMIT: usize = (HEAD_LENGTH + CLAIMS_LIMIT + TAG_LENGTH).div_ceil(3) * 4;

/// The fewest bytes of the secret.
pub const SECRET_MINIMUM: usize = 32;

/// The longest that a session may last, in seconds: that of AWS STS, GetSessionToken.
pub const LONGEST_SESSION: u64 = 36 * 60 * 60;

/// How far clocks of replicas may be apart, in seconds.
const SKEW: u64 = 60;

/// What the access key id of a session begins with.
const ACCESS_KEY_PREFIX: &str = "SGT";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The identity whose rights the session has.
    pub identity: String,
    /// The name of the session, for logs; empty for none.
    pub session: String,
    /// Who got it, where that is not the identity itself: another identity, or the issuer and the subject of a web identity.
    pub source: String,
    /// The access key id that belongs to the token.
    pub access_key_id: String,
    /// The access key id that signed for it, so that its revocation ends the session; empty where a web identity or a grant stands behind it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signed_by: String,
    /// When it was made, in seconds since 1970.
    pub issued: u64,
    /// Until when it is good, in seconds since 1970; that second is outside.
    pub expires: u64,
    /// The text of a break-glass grant, to be verified on every use; empty for none.
    pub grant: String,
}

impl Claims {
    /// Whether its time is over.
    pub fn has_ended(&self, now: u64) -> bool {
        now >= self.expires
    }
}

/// What a new session is to be.
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    /// The identity whose rights it has.
    pub identity: &'a str,
    /// Its name, for logs; empty for none.
    pub session: &'a str,
    /// Who gets it, where that is not the identity itself; empty else.
    pub source: &'a str,
    /// The access key id that signed for it; empty where none did.
    pub signed_by: &'a str,
    /// How long it lasts, in seconds.
    pub lifetime: u64,
    /// The text of a break-glass grant; empty for none.
    pub grant: &'a str,
}

/// Credentials of a session: what an S3 client is given, or what a token turned out to hold.
pub struct Session {
    /// What the token says.
    pub claims: Claims,
    /// The secret that signs requests.
    pub secret_access_key: Zeroizing<String>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// Why a token is not made, or not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The secret of the deployment is too short.
    #[error("a secret for session tokens has at least {SECRET_MINIMUM} bytes")]
    Secret,
    /// It would last too long, or not at all.
    #[error("a session lasts from 1 to {LONGEST_SESSION} seconds")]
    Lifetime,
    /// It would be too long.
    #[error("the session's grant is too long for a token")]
    TooLong,
    /// It is none of ours, or was changed. Which of them, nobody is told.
    #[error("the token is invalid")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
}

/// The keys that make and open tokens.
pub struct TokenKeys(Vec<TokenKey>);

struct TokenKey {
    id: [u8; KEY_ID_LENGTH],
    master: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.0.iter().map(|key| HEXLOWER.encode(&key.id)).collect();
        f.debug_tuple("TokenKeys").field(&ids).finish()
    }
}

impl TokenKeys {
    /// Derives keys from secrets: the first makes tokens, all of them open some, so that a secret can be replaced without a pause.
    ///
    /// # Errors
    ///
    /// [`TokenError::Secret`], also where there is none.
    pub fn new(deployment: &str, secrets: &[&[u8]]) -> Result<Self, TokenError> {
        if secrets.is_empty() {
            return Err(TokenError::Secret);
        }
        let salt = [b"sealgate session tokens 1", deployment.as_bytes()].concat();
        let keys = secrets.iter().map(|secret| {
            if secret.len() < SECRET_MINIMUM {
                return Err(TokenError::Secret);
            }
            let (master, _) = Hkdf::<Sha256>::extract(Some(&salt), secret);
            let master = Zeroizing::new(<[u8; 32]>::from(master));
            let mut id = [0; KEY_ID_LENGTH];
            let digest = Sha256::new()
                .chain_update(b"sealgate token key id")
                .chain_update(master.as_slice())
                .finalize();
            for (to, from) in id.iter_mut().zip(digest) {
                *to = from;
            }
            Ok(TokenKey { id, master })
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// Makes a token and its credentials.
    ///
    /// # Errors
    ///
    /// [`TokenError::Lifetime`] and [`TokenError::TooLong`].
    pub fn issue(
        &self,
        new: &NewSession<'_>,
        now: u64,
        entropy: &[u8; TOKEN_ENTROPY],
    ) -> Result<(String, Session), TokenError> {
        if !(1..=LONGEST_SESSION).contains(&new.lifetime) {
            return Err(TokenError::Lifetime);
        }
        let key = self.0.first().ok_or(TokenError::Secret)?;
        let (salt, id) = entropy
            .split_first_chunk::<SALT_LENGTH>()
            .ok_or(TokenError::Invalid)?;
        let claims = Claims {
            identity: new.identity.to_owned(),
            session: new.session.to_owned(),
            source: new.source.to_owned(),
            signed_by: new.signed_by.to_owned(),
            access_key_id: format!("{ACCESS_KEY_PREFIX}{}", BASE32_NOPAD.encode(id)),
            issued: now,
            expires: now.saturating_add(new.lifetime),
            grant: new.grant.to_owned(),
        };
        let text = canonical::write(&claims).map_err(|_| TokenError::Invalid)?;
        if text.len() > CLAIMS_LIMIT {
            return Err(TokenError::TooLong);
        }
        let mut token = vec![VERSION];
        token.extend_from_slice(&key.id);
        token.extend_from_slice(salt);
        let head = token.clone();
        let mut sealed = text.into_bytes();
        key.cipher(salt)?
            .seal_in_place_append_tag(nonce(), Aad::from(&head), &mut sealed)
            .map_err(|_| TokenError::Invalid)?;
        token.append(&mut sealed);
        let session = Session {
            claims,
            secret_access_key: key.secret_access_key(salt)?,
        };
        Ok((BASE64URL_NOPAD.encode(&token), session))
    }

    /// Opens a token for the access key id that a request names, if its time is not over. A token of another one is invalid: its secret must not sign
    /// for this one.
    ///
    /// # Errors
    ///
    /// [`TokenError::Invalid`] and [`TokenError::Expired`].
    pub fn open(&self, token: &str, access_key_id: &str, now: u64) -> Result<Session, TokenError> {
        let session = self.open_any(token, access_key_id, now)?;
        if session.claims.has_ended(now) {
            return Err(TokenError::Expired);
        }
        Ok(session)
    }

    /// As [`Self::open`], also where its time is over, which is for the caller to ask: who it is that comes too late can be told once the
    /// signature has been verified.
    ///
    /// # Errors
    ///
    /// [`TokenError::Invalid`].
    pub fn open_any(
        &self,
        token: &str,
        access_key_id: &str,
        now: u64,
    ) -> Result<Session, TokenError> {
        if token.len() > TOKEN_LIMIT {
            return Err(TokenError::Invalid);
        }
        let bytes = BASE64URL_NOPAD
            .decode(token.as_bytes())
            .map_err(|_| TokenError::Invalid)?;
        let (head, sealed) = bytes
            .split_at_checked(HEAD_LENGTH)
            .ok_or(TokenError::Invalid)?;
        let (version, rest) = head.split_first().ok_or(TokenError::Invalid)?;
        let (id, salt) = rest
            .split_first_chunk::<KEY_ID_LENGTH>()
            .ok_or(TokenError::Invalid)?;
        if *version != VERSION {
            return Err(TokenError::Invalid);
        }
        let key = self
            .0
            .iter()
            .find(|key| key.id == *id)
            .ok_or(TokenError::Invalid)?;
        let mut sealed = sealed.to_vec();
        let text = key
            .cipher(salt)?
            .open_in_place(nonce(), Aad::from(head), &mut sealed)
            .map_err(|_| TokenError::Invalid)?;
        let text = std::str::from_utf8(text).map_err(|_| TokenError::Invalid)?;
        let claims: Claims =
            canonical::read(text, CLAIMS_LIMIT).map_err(|_| TokenError::Invalid)?;
        if claims.access_key_id != access_key_id {
            return Err(TokenError::Invalid);
        }
        // A clock that was set back does not lengthen a session from before.
        if claims.issued > now.saturating_add(SKEW) {
            return Err(TokenError::Invalid);
        }
        Ok(Session {
            claims,
            secret_access_key: key.secret_access_key(salt)?,
        })
    }
}

/// Whether an access key id is that of a session, whose request has to bring its token.
pub fn is_session_key(access_key_id: &str) -> bool {
    access_key_id
        .strip_prefix(ACCESS_KEY_PREFIX)
        .is_some_and(|id| id.len() == ID_LENGTH * 8 / 5)
}

impl TokenKey {
    fn expand<const LENGTH: usize>(
        &self,
        purpose: &[u8],
        salt: &[u8],
    ) -> Result<Zeroizing<[u8; LENGTH]>, TokenError> {
        let mut output = Zeroizing::new([0; LENGTH]);
        Hkdf::<Sha256>::from_prk(self.master.as_slice())
            .map_err(|_| TokenError::Invalid)?
            .expand_multi_info(&[purpose, salt], output.as_mut_slice())
            .map_err(|_| TokenError::Invalid)?;
        Ok(output)
    }

    fn cipher(&self, salt: &[u8]) -> Result<LessSafeKey, TokenError> {
        let key = self.expand::<32>(b"token", salt)?;
        UnboundKey::new(&AES_256_GCM, key.as_slice())
            .map(LessSafeKey::new)
            .map_err(|_| TokenError::Invalid)
    }

    fn secret_access_key(&self, salt: &[u8]) -> Result<Zeroizing<String>, TokenError> {
        let bytes = self.expand::<30>(b"secret access key", salt)?;
        Ok(Zeroizing::new(BASE64URL_NOPAD.encode(bytes.as_slice())))
    }
}

/// Each key seals one token, so its nonce may be constant.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000;
    const NEW: NewSession<'_> = NewSession {
        identity: "app",
        session: "batch-7",
        source: "",
        signed_by: "SGAKMAKER",
        lifetime: 3_600,
        grant: "",
    };

    fn keys(deployment: &str, secrets: &[u8]) -> TokenKeys {
        let secrets: Vec<_> = secrets.iter().map(|byte| [*byte; 32]).collect();
        let secrets: Vec<_> = secrets.iter().map(<[u8; 32]>::as_slice).collect();
        TokenKeys::new(deployment, &secrets).unwrap()
    }

    fn issue(keys: &TokenKeys, entropy: u8) -> (String, Session) {
        keys.issue(&NEW, NOW, &[entropy; TOKEN_ENTROPY]).unwrap()
    }

    #[test]
    fn any_replica_with_the_secret_opens_a_token_and_knows_its_secret_access_key() {
        let (token, made) = issue(&keys("d", &[1]), 7);
        let id = made.claims.access_key_id.as_str();
        let opened = keys("d", &[1]).open(&token, id, NOW + 3_599).unwrap();
        assert_eq!(opened.claims, made.claims);
        assert_eq!(opened.secret_access_key, made.secret_access_key);
        assert_eq!(made.secret_access_key.len(), 40);
        assert!(is_session_key(&made.claims.access_key_id), "{made:?}");
        assert!(!format!("{made:?}").contains(made.secret_access_key.as_str()));
    }

    #[test]
    fn a_token_expires_by_itself_and_does_not_come_from_the_future() {
        let keys = keys("d", &[1]);
        let (token, made) = issue(&keys, 7);
        let id = made.claims.access_key_id.as_str();
        assert_eq!(
            keys.open(&token, id, NOW + 3_600).unwrap_err(),
            TokenError::Expired
        );
        assert_eq!(
            keys.open(&token, id, NOW - 61).unwrap_err(),
            TokenError::Invalid
        );
        assert!(keys.open(&token, id, NOW - 60).is_ok());
    }

    #[test]
    fn a_token_is_good_for_its_own_access_key_id_alone() {
        let keys = keys("d", &[1]);
        let (token, _) = issue(&keys, 7);
        let (_, other) = issue(&keys, 8);
        for id in [other.claims.access_key_id.as_str(), "AKIA", ""] {
            assert_eq!(keys.open(&token, id, NOW).unwrap_err(), TokenError::Invalid);
        }
    }

    #[test]
    fn a_session_that_nobody_signed_for_says_nothing_of_it() {
        let keys = keys("d", &[1]);
        let new = NewSession {
            signed_by: "",
            ..NEW
        };
        let (token, made) = keys.issue(&new, NOW, &[7; TOKEN_ENTROPY]).unwrap();
        let text = canonical::write(&made.claims).unwrap();
        assert!(!text.contains("signed_by"), "{text}");
        let opened = keys.open(&token, &made.claims.access_key_id, NOW).unwrap();
        assert_eq!(opened.claims, made.claims);
    }

    #[test]
    fn another_deployment_or_secret_opens_nothing() {
        let (token, made) = issue(&keys("d", &[1]), 7);
        let id = made.claims.access_key_id.as_str();
        assert_eq!(
            keys("e", &[1]).open(&token, id, NOW).unwrap_err(),
            TokenError::Invalid
        );
        assert_eq!(
            keys("d", &[2]).open(&token, id, NOW).unwrap_err(),
            TokenError::Invalid
        );
    }

    #[test]
    fn a_secret_is_replaced_without_a_pause() {
        let (old, made) = issue(&keys("d", &[1]), 7);
        let id = made.claims.access_key_id.as_str();
        let both = keys("d", &[2, 1]);
        assert!(both.open(&old, id, NOW).is_ok());
        let (new, made) = issue(&both, 7);
        let id = made.claims.access_key_id.as_str();
        assert!(keys("d", &[2]).open(&new, id, NOW).is_ok());
    }

    #[test]
    fn tokens_have_nothing_in_common() {
        let keys = keys("d", &[1]);
        let (first, of_first) = issue(&keys, 7);
        let (second, of_second) = issue(&keys, 8);
        assert_ne!(first, second);
        assert_ne!(of_first.secret_access_key, of_second.secret_access_key);
        assert_ne!(
            of_first.claims.access_key_id,
            of_second.claims.access_key_id
        );
    }

    #[test]
    fn what_is_too_short_or_too_long_is_refused() {
        assert_eq!(
            TokenKeys::new("d", &[&[1; 31]]).unwrap_err(),
            TokenError::Secret
        );
        assert_eq!(TokenKeys::new("d", &[]).unwrap_err(), TokenError::Secret);
        let keys = keys("d", &[1]);
        for lifetime in [0, LONGEST_SESSION + 1] {
            let new = NewSession { lifetime, ..NEW };
            let error = keys.issue(&new, NOW, &[0; TOKEN_ENTROPY]).unwrap_err();
            assert_eq!(error, TokenError::Lifetime);
        }
        let grant = "g".repeat(CLAIMS_LIMIT);
        let new = NewSession {
            grant: &grant,
            ..NEW
        };
        assert_eq!(
            keys.issue(&new, NOW, &[0; TOKEN_ENTROPY]).unwrap_err(),
            TokenError::TooLong
        );
        assert_eq!(
            keys.open(&"A".repeat(TOKEN_LIMIT + 1), "SGT", NOW)
                .unwrap_err(),
            TokenError::Invalid
        );
    }

    proptest! {
        #[test]
        fn every_changed_bit_and_every_cut_is_found(position in 0_usize..1_000, bit in 0_u32..8) {
            let keys = keys("d", &[1]);
            let (token, made) = issue(&keys, 7);
            let id = made.claims.access_key_id.as_str();
            let mut bytes = BASE64URL_NOPAD.decode(token.as_bytes()).unwrap();
            let position = position % bytes.len();
            bytes[position] ^= 1 << bit;
            prop_assert_eq!(keys.open(&BASE64URL_NOPAD.encode(&bytes), id, NOW).unwrap_err(), TokenError::Invalid);
            prop_assert!(keys.open(&token[..token.len() - 1 - position % token.len().saturating_sub(1)], id, NOW).is_err());
        }

        #[test]
        fn no_text_is_a_token(text in ".{0,200}") {
            prop_assert!(keys("d", &[1]).open(&text, "SGT", NOW).is_err());
        }
    }
}
