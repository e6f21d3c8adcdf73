//! The public keys of identity providers: from a file once, or from a URL again and again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::{Request, StatusCode, header};
use http_body_util::Full;
use sealgate_access::web_identity::{Provider, WebIdentity, WebIdentityError};
use tokio::sync::Mutex;

use crate::config::{JwksConfig, WebAddress, WebIdentityProviderConfig};
use crate::web_client::WebClient;

/// How long keys are used before they are asked for again.
const FRESH: Duration = Duration::from_mins(5);

/// How long keys are used where the provider cannot be reached. Providers publish new keys long before they use them, and withdraw them late.
const KEPT: Duration = Duration::from_hours(24);

/// The provider is asked no more often than this, whoever sends what.
const PAUSE: Duration = Duration::from_secs(30);

/// The longest answer, in bytes.
const ANSWER_LIMIT: usize = 256 * 1024;

/// Why somebody is not believed.
#[derive(Debug)]
pub(super) enum Disbelief {
    /// The token is not good.
    Token(WebIdentityError),
    /// The provider's keys are not to be had.
    Keys(anyhow::Error),
}

impl From<WebIdentityError> for Disbelief {
    fn from(error: WebIdentityError) -> Self {
        Self::Token(error)
    }
}

/// The keys of one provider.
pub(super) struct KeySet {
    config: WebIdentityProviderConfig,
    keys: Keys,
}

enum Keys {
    Fixed(Arc<Provider>),
    Remote(Box<Remote>),
}

struct Remote {
    url: WebAddress,
    client: WebClient,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Option<(Arc<Provider>, Instant)>,
    tried: Option<Instant>,
}

impl KeySet {
    /// Asks nobody yet.
    pub(super) fn new(config: WebIdentityProviderConfig) -> anyhow::Result<Self> {
        let keys = match &config.keys {
            JwksConfig::File(provider) => Keys::Fixed(Arc::clone(provider)),
            JwksConfig::Url(url) => Keys::Remote(Box::new(Remote {
                // A connection every five minutes is not worth keeping.
                client: WebClient::new(url, 0)
                    .with_context(|| format!("[[web_identity_provider]] {:?}", config.name))?,
                url: url.clone(),
                state: Mutex::default(),
            })),
        };
        Ok(Self { config, keys })
    }

    /// Whether another set is of the same provider, so that what was fetched is good for both.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.config == other.config
    }

    /// Verifies a token at a time, in seconds since 1970. A key that is not known may be new.
    pub(super) async fn verify(&self, token: &str, now: u64) -> Result<WebIdentity, Disbelief> {
        let remote = match &self.keys {
            Keys::Fixed(provider) => return Ok(provider.verify(token, now)?),
            Keys::Remote(remote) => remote,
        };
        let provider = remote.provider(&self.config, FRESH).await?;
        match provider.verify(token, now) {
            Err(WebIdentityError::UnknownKey) => {
                let newer = remote.provider(&self.config, PAUSE).await?;
                Ok(newer.verify(token, now)?)
            }
            outcome => Ok(outcome?),
        }
    }
}

impl Remote {
    /// The keys, asked for again where they are older than that. One request asks, and the others wait for it.
    async fn provider(
        &self,
        config: &WebIdentityProviderConfig,
        fresh: Duration,
    ) -> Result<Arc<Provider>, Disbelief> {
        let mut state = self.state.lock().await;
        let age = state.known.as_ref().map(|(_, since)| since.elapsed());
        let is_paused = state.tried.is_some_and(|tried| tried.elapsed() < PAUSE);
        let outcome = if age.is_some_and(|age| age < fresh) || is_paused && age.is_some() {
            Ok(())
        } else if is_paused {
            Err(anyhow::anyhow!("its keys could not be had a moment ago"))
        } else {
            state.tried = Some(Instant::now());
            self.fetch(config).await.map(|provider| {
                state.known = Some((Arc::new(provider), Instant::now()));
            })
        };
        if let Err(error) = &outcome {
            tracing::warn!(provider = config.name, url = %self.url, cause = format!("{error:#}"), "the keys of an identity provider cannot be had");
        }
        match &state.known {
            Some((provider, since)) if since.elapsed() < KEPT => Ok(Arc::clone(provider)),
            _ => Err(Disbelief::Keys(outcome.err().unwrap_or_else(|| {
                anyhow::anyhow!("its keys are older than {KEPT:?}")
            }))),
        }
    }

    async fn fetch(&self, config: &WebIdentityProviderConfig) -> anyhow::Result<Provider> {
        let request = Request::get(self.url.to_string())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "sealgate")
            .body(Full::default())?;
        let (status, body) = self.client.send(request, ANSWER_LIMIT).await?;
        ensure!(
            status == StatusCode::OK,
            "it answered with the status {status}"
        );
        let text = std::str::from_utf8(&body).context("the answer is no text")?;
        Ok(Provider::new(&config.issuer, &config.audiences, text)?)
    }
}
