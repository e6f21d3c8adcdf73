//! The public keys of identity providers: from a file once, or from a URL again and again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use arc_swap::ArcSwapOption;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use sealgate_access::web_identity::{Provider, WebIdentity, WebIdentityError};
use tokio::sync::Mutex;

use crate::config::{JwksConfig, WebAddress, WebIdentityProviderConfig};
use crate::web_client::WebClient;

/// How long keys are used before they are asked for again.
const FRESH: Duration = Duration::from_mins(5);

/// From this age on a request waits for newer keys, if not for long: on a gateway that is seldom asked, keys that were withdrawn meanwhile would else
/// be good once more.
const OLD: Duration = Duration::from_mins(10);

/// How long it waits.
const PATIENCE: Duration = Duration::from_secs(2);

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
    Remote(Arc<Remote>),
}

struct Remote {
    config: WebIdentityProviderConfig,
    url: WebAddress,
    client: WebClient,
    known: ArcSwapOption<Known>,
    /// When the provider was asked last; held while it is asked, by one at a time.
    tried: Arc<Mutex<Option<Instant>>>,
}

struct Known {
    provider: Arc<Provider>,
    since: Instant,
}

impl KeySet {
    /// Asks nobody yet.
    pub(super) fn new(config: WebIdentityProviderConfig) -> anyhow::Result<Self> {
        let keys = match &config.keys {
            JwksConfig::File(provider) => Keys::Fixed(Arc::clone(provider)),
            JwksConfig::Url(url) => Keys::Remote(Arc::new(Remote {
                // A connection every five minutes is not worth keeping.
                client: WebClient::new(url, 0)
                    .with_context(|| format!("[[web_identity_provider]] {:?}", config.name))?,
                url: url.clone(),
                config: config.clone(),
                known: ArcSwapOption::empty(),
                tried: Arc::default(),
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
        match remote.keys().await?.verify(token, now) {
            Err(WebIdentityError::UnknownKey) => {
                let newer = remote.newer(PAUSE).await?;
                Ok(newer.verify(token, now)?)
            }
            outcome => Ok(outcome?),
        }
    }
}

impl Remote {
    /// The keys. Where they are no longer fresh, they are asked for again behind the back of whoever wants them, who waits for a moment at most: a
    /// provider that hangs keeps nobody waiting before they are too old.
    async fn keys(self: &Arc<Self>) -> Result<Arc<Provider>, Disbelief> {
        let Some(known) = self.known() else {
            return self.newer(FRESH).await;
        };
        let age = known.since.elapsed();
        if age >= FRESH
            && let Ok(mut tried) = Arc::clone(&self.tried).try_lock_owned()
            && !is_paused(*tried)
        {
            let remote = Arc::clone(self);
            tokio::spawn(async move { remote.ask(&mut tried).await.ok() });
        }
        if age >= OLD {
            // Whoever asks holds it until the answer is there.
            drop(tokio::time::timeout(PATIENCE, self.tried.lock()).await);
        }
        Ok(Arc::clone(&self.known().unwrap_or(known).provider))
    }

    /// The keys, asked for again where they are older than that. One request asks, and the others wait for it.
    async fn newer(&self, fresh: Duration) -> Result<Arc<Provider>, Disbelief> {
        let mut tried = self.tried.lock().await;
        let age = self.known().map(|known| known.since.elapsed());
        let outcome = if age.is_some_and(|age| age < fresh) {
            Ok(())
        } else if is_paused(*tried) {
            Err(anyhow::anyhow!("its keys could not be had a moment ago"))
        } else {
            self.ask(&mut tried).await
        };
        // Those of before where there are no newer ones.
        match (self.known(), outcome) {
            (Some(known), _) => Ok(Arc::clone(&known.provider)),
            (None, Err(error)) => Err(Disbelief::Keys(error)),
            (None, Ok(())) => Err(Disbelief::Keys(anyhow::anyhow!(
                "its keys are older than {KEPT:?}"
            ))),
        }
    }

    /// Those that may still be used.
    fn known(&self) -> Option<Arc<Known>> {
        let known = self.known.load_full();
        known.filter(|known| known.since.elapsed() < KEPT)
    }

    async fn ask(&self, tried: &mut Option<Instant>) -> anyhow::Result<()> {
        *tried = Some(Instant::now());
        let provider = self.fetch().await.inspect_err(|error| {
            tracing::warn!(provider = self.config.name, url = %self.url, cause = format!("{error:#}"), "the keys of an identity provider cannot be had");
        })?;
        self.known.store(Some(Arc::new(Known {
            provider: Arc::new(provider),
            since: Instant::now(),
        })));
        Ok(())
    }

    async fn fetch(&self) -> anyhow::Result<Provider> {
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
        let config = &self.config;
        Ok(Provider::new(&config.issuer, &config.audiences, text)?)
    }
}

fn is_paused(tried: Option<Instant>) -> bool {
    tried.is_some_and(|tried| tried.elapsed() < PAUSE)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;

    use super::*;

    const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    #[tokio::test]
    async fn a_provider_that_hangs_keeps_nobody_waiting_while_its_keys_are_known() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let (asked, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(1)));
        let (of_server, allowed) = (Arc::clone(&asked), Arc::clone(&answers));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                of_server.fetch_add(1, SeqCst);
                allowed.acquire().await.unwrap().forget();
                let mut head = [0; 4096];
                assert!(stream.read(&mut head).await.unwrap() > 0);
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{JWKS}",
                    JWKS.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let set = KeySet::new(WebIdentityProviderConfig {
            name: "provider".to_owned(),
            issuer: "https://provider.example".to_owned(),
            audiences: vec!["us".to_owned()],
            keys: JwksConfig::Url(WebAddress::parse(&url, None).unwrap()),
        })
        .unwrap();
        let Keys::Remote(remote) = &set.keys else {
            panic!("not at a URL");
        };
        remote.keys().await.unwrap();

        // Old now, and the provider hangs.
        let old = Instant::now().checked_sub(FRESH).unwrap();
        let provider = Arc::clone(&remote.known().unwrap().provider);
        remote.known.store(Some(Arc::new(Known {
            provider,
            since: old,
        })));
        *remote.tried.lock().await = None;
        let within = Duration::from_secs(5);
        for _ in 0..3 {
            tokio::time::timeout(within, remote.keys())
                .await
                .expect("it waits for the provider")
                .unwrap();
        }
        // Very old, and it still hangs: some moments.
        let provider = Arc::clone(&remote.known().unwrap().provider);
        let old = Instant::now().checked_sub(OLD).unwrap();
        remote.known.store(Some(Arc::new(Known {
            provider,
            since: old,
        })));
        let started = Instant::now();
        remote.keys().await.unwrap();
        assert!(started.elapsed() >= PATIENCE);
        // It answers while one waits, who gets the new ones.
        let waiting = tokio::spawn({
            let remote = Arc::clone(remote);
            async move { remote.keys().await.unwrap() }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        answers.add_permits(1);
        let told = waiting.await.unwrap();
        assert!(Arc::ptr_eq(&told, &remote.known().unwrap().provider));
        let renewed = async {
            while remote.known().unwrap().since == old {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(within, renewed).await.unwrap();
        assert_eq!(asked.load(SeqCst), 2);
    }
}
