//! Session tokens in requests: what they are worth is in the token, so that any replica knows it.

use std::fmt;
use std::sync::Arc;

use sealgate_access::token::{Claims, TokenKeys};

use super::error::AuthError;
use super::keys::{SecretAccessKey, Service, SigningKey};

/// A token as it was sent. Absent from `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecurityToken(String);

impl SecurityToken {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecurityToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecurityToken(redacted)")
    }
}

/// An open session, whose secret has to have signed the request that brought the token.
pub(super) struct OpenSession {
    pub(super) claims: Arc<Claims>,
    secret: SecretAccessKey,
    has_ended: bool,
}

impl OpenSession {
    /// Opens a token for the access key id that a request names, also one whose time is over: see [`Self::require_time`].
    ///
    /// # Errors
    /// `InvalidToken`.
    pub(super) fn new(
        keys: Option<&TokenKeys>,
        token: &SecurityToken,
        access_key_id: &str,
        now: u64,
    ) -> Result<Self, AuthError> {
        let keys = keys.ok_or(AuthError::InvalidToken)?;
        let session = keys
            .open_any(token.as_str(), access_key_id, now)
            .map_err(|_| AuthError::InvalidToken)?;
        Ok(Self {
            secret: SecretAccessKey::new(session.secret_access_key.as_str()),
            has_ended: session.claims.has_ended(now),
            claims: Arc::new(session.claims),
        })
    }

    /// Requires that its time is not over. It is asked once the signature has been verified, so that the refusal can name who it was.
    ///
    /// # Errors
    /// `ExpiredToken`.
    pub(super) fn require_time(&self) -> Result<(), AuthError> {
        if self.has_ended {
            let claims = Arc::clone(&self.claims);
            return Err(AuthError::ExpiredToken { claims });
        }
        Ok(())
    }

    pub(super) fn signing_key(&self, service: Service, day: &str, region: &str) -> SigningKey {
        SigningKey::derive_for(service, &self.secret, day, region)
    }
}
