//! Where the credentials for the upstream come from: the configuration, or the standard AWS chain.

use std::{fmt, sync::Arc, time::SystemTime};

use arc_swap::ArcSwapOption;
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::{UpstreamError, cause_chain, limits::CREDENTIAL_MARGIN};
use crate::auth::{SecretAccessKey, UpstreamCredentials};

/// A provider of credentials (static, profile, web identity, instance role …) with its latest answer.
#[derive(Clone)]
pub struct CredentialSource {
    inner: Arc<Inner>,
}

struct Inner {
    provider: SharedCredentialsProvider,
    latest: ArcSwapOption<Latest>,
    /// One refresh at a time; the others wait for its result.
    refresh: Mutex<()>,
}

struct Latest {
    credentials: Arc<UpstreamCredentials>,
    expiry: Option<SystemTime>,
}

impl CredentialSource {
    /// Wraps a provider, such as `aws_config`'s default chain or static [`Credentials`].
    pub fn new(provider: impl ProvideCredentials + 'static) -> Self {
        Self {
            inner: Arc::new(Inner {
                provider: SharedCredentialsProvider::new(provider),
                latest: ArcSwapOption::empty(),
                refresh: Mutex::new(()),
            }),
        }
    }

    /// The credentials to sign with now; asks the provider only when there are none or they are about to expire.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::Credentials`] when the provider has none.
    pub async fn current(&self) -> Result<Arc<UpstreamCredentials>, UpstreamError> {
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let _one_at_a_time = self.inner.refresh.lock().await;
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let provided = self
            .inner
            .provider
            .provide_credentials()
            .await
            .map_err(|error| UpstreamError::Credentials(cause_chain(&error)))?;
        let credentials = Arc::new(for_signing(&provided));
        self.inner.latest.store(Some(Arc::new(Latest {
            credentials: Arc::clone(&credentials),
            expiry: provided.expiry(),
        })));
        Ok(credentials)
    }

    fn fresh(&self) -> Option<Arc<UpstreamCredentials>> {
        let latest = self.inner.latest.load();
        let latest = latest.as_ref()?;
        let usable = latest
            .expiry
            .is_none_or(|expiry| SystemTime::now() + CREDENTIAL_MARGIN < expiry);
        usable.then(|| Arc::clone(&latest.credentials))
    }
}

fn for_signing(provided: &Credentials) -> UpstreamCredentials {
    UpstreamCredentials {
        access_key_id: provided.access_key_id().to_owned(),
        secret: SecretAccessKey::new(provided.secret_access_key()),
        session_token: provided
            .session_token()
            .map(|token| Zeroizing::new(token.to_owned())),
    }
}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSource").finish_non_exhaustive()
    }
}
