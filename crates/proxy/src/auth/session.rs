//! Session tokens in requests: what they are worth is in the token, so that any replica knows it.

use std::fmt;
use std::sync::Arc;

use sealgate_access::token::{Claims, TokenError, TokenKeys};

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
}

impl OpenSession {
    /// Opens a token for the access key id that a request names.
    ///
    /// # Errors
    /// `InvalidToken` and `ExpiredToken`.
    pub(super) fn new(
        keys: Option<&TokenKeys>,
        token: &SecurityToken,
        access_key_id: &str,
        now: u64,
    ) -> Result<Self, AuthError> {
        let keys = keys.ok_or(AuthError::InvalidToken)?;
        let session =
            keys.open(token.as_str(), access_key_id, now)
                .map_err(|error| match error {
                    TokenError::Expired => AuthError::ExpiredToken,
                    _ => AuthError::InvalidToken,
                })?;
        Ok(Self {
            secret: SecretAccessKey::new(session.secret_access_key.as_str()),
            claims: Arc::new(session.claims),
        })
    }

    pub(super) fn signing_key(&self, service: Service, day: &str, region: &str) -> SigningKey {
        SigningKey::derive_for(service, &self.secret, day, region)
    }
}
