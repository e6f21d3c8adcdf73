//! From the configuration to a running gateway.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use anyhow::{Context, ensure};
use arc_swap::ArcSwap;
use aws_credential_types::Credentials;
use sealgate_envelope::{
    Suite,
    key_service::KeyService,
    keyring::{Keyring, KeyringBuilder, KeyringLimits, RecordWrapper, registry::RegistryStore},
};
use tokio::sync::Semaphore;

use super::{
    Gateway, RecoverySenders, key_services::key_service, key_watch::KeyChecks, live::Live,
    no_keys::NoKeys, pages, quorum, storage_watch::StorageChecks,
    stored_credentials::StoredCredentials, verification,
};
use crate::{
    admin::Health,
    auth::AuthSettings,
    config::{self, CipherSuite, Config, LimitsConfig, Mode, UpstreamConfig},
    grants::{Authority, Clock, last_written},
    metrics::Metrics,
    object::{CommitCache, ServedTags},
    state::{
        ReadOnlyRegistry, S3Registry, StateBucket, Uploads,
        recognition::{other_states_beside, which_deployment},
    },
    upstream::{
        Addressing, CredentialSource, DocumentMemory, LocalStorage, Timeouts, Upstream,
        UpstreamSettings,
    },
};

/// Bytes of a host id: enough that no two replicas ever share one, and without padding in base64.
const HOST_ID_LENGTH: usize = 24;

/// What stands for the endpoint of a copy, in journals.
const COPY: &str = "http://copied-files.invalid";

impl Gateway {
    /// Prepares everything that a gateway needs, and makes sure that the state bucket exists.
    ///
    /// A storage or key service that is away does not keep the gateway from starting: what is cached nowhere yet fails until they are back, and
    /// the log says so.
    ///
    /// # Errors
    ///
    /// When the configuration names files or keys that cannot be used.
    pub async fn start(config: Arc<Config>) -> anyhow::Result<Arc<Self>> {
        let storage = Storage::of(&config).await?;
        let reached = storage.state.ensure().await;
        if let Err(error) = &reached {
            tracing::error!(bucket = storage.state.name(), %error, "the state bucket cannot be reached: objects can be read, and not be written");
        }
        if reached.is_ok() {
            warn_of_other_states(&storage.state).await;
        }
        verification::learn(&config, &storage.upstream, &storage.state, reached.is_ok()).await;
        let key_services = key_services(&config).await?;
        let keys = quorum::configured_keys(&config, &key_services).await?;
        quorum::check_quorums(&config, &keys)?;
        for table in &config.migrating {
            tracing::warn!(
                places = %table,
                "objects without a sealed header are served in the clear here, so whoever can write to the storage can plant some: run `sealgate migrate`, and remove [[migrating]] when nothing is left to seal"
            );
        }
        let gateway = Self::assemble(config, storage, key_services)?;
        tracing::info!(host_id = %gateway.host_id, "the id of this gateway in its answers, x-amz-id-2");
        Ok(gateway)
    }

    /// As [`start`](Self::start), for a command that only looks: nothing is made or tried out at the storage, so its account need not be
    /// allowed to write.
    ///
    /// # Errors
    ///
    /// When the configuration names files or keys that cannot be used, or there is no state bucket.
    pub(crate) async fn observer(config: Config) -> anyhow::Result<Arc<Self>> {
        Self::looking(config, true).await
    }

    /// As [`observer`](Self::observer), for a command that tries out what gateways would do here, which may never have run.
    ///
    /// # Errors
    ///
    /// When the configuration names files or keys that cannot be used.
    pub(crate) async fn rehearsal(config: Config) -> anyhow::Result<Arc<Self>> {
        Self::looking(config, false).await
    }

    async fn looking(config: Config, needs_state: bool) -> anyhow::Result<Arc<Self>> {
        // In boxes: commands hold the future of all of this on their stack.
        let storage = Box::pin(Storage::of(&config)).await?;
        // A storage that is away shows itself where it is asked for more.
        ensure!(
            !needs_state || Box::pin(storage.state.exists()).await.unwrap_or(true),
            "there is no state bucket {}: `deployment`, or `bucket` of [state], is another one than the gateways', or it is lost (docs/keys.md, \"The state bucket is lost\")",
            storage.state.name()
        );
        let key_services = Box::pin(key_services(&config)).await?;
        let registry = Arc::new(ReadOnlyRegistry::new(storage.state.clone()));
        Self::assemble_on(Arc::new(config), storage, key_services, registry)
    }

    /// As [`start`](Self::start), for a command that reads by other key services than the configuration's: nothing is made or tried out at the
    /// storage, and one key service is enough.
    ///
    /// # Errors
    ///
    /// When the configuration names files or keys that cannot be used.
    pub(crate) async fn reader(
        config: Config,
        key_services: Vec<Arc<dyn KeyService>>,
    ) -> anyhow::Result<Arc<Self>> {
        let storage = Storage::of(&config).await?;
        Self::assemble(Arc::new(as_reader(config)), storage, key_services)
    }

    /// As [`reader`](Self::reader), of what was copied from the storage: nobody is contacted.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be used.
    pub(crate) fn reader_of_copy(
        config: Config,
        key_services: Vec<Arc<dyn KeyService>>,
        copy: Arc<dyn LocalStorage>,
    ) -> anyhow::Result<Arc<Self>> {
        let storage = Storage::of_copy(&config, copy)?;
        Self::assemble(Arc::new(as_reader(config)), storage, key_services)
    }

    /// As [`reader`](Self::reader), for a command that takes objects as they are stored and opens none.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be used.
    pub(crate) async fn without_keys(config: Config) -> anyhow::Result<Arc<Self>> {
        Self::reader(config, vec![Arc::new(NoKeys)]).await
    }

    fn assemble(
        config: Arc<Config>,
        storage: Storage,
        key_services: Vec<Arc<dyn KeyService>>,
    ) -> anyhow::Result<Arc<Self>> {
        let registry = Arc::new(S3Registry::new(storage.state.clone()));
        Self::assemble_on(config, storage, key_services, registry)
    }

    fn assemble_on(
        config: Arc<Config>,
        storage: Storage,
        key_services: Vec<Arc<dyn KeyService>>,
        registry: Arc<dyn RegistryStore>,
    ) -> anyhow::Result<Arc<Self>> {
        let Storage {
            upstream,
            state,
            memory,
        } = storage;
        let recovery = Arc::new(RecoverySenders::of(&config)?);
        let metrics = Metrics::new().context("metrics")?;
        let measured = key_services
            .into_iter()
            .enumerate()
            .map(|(place, service)| {
                // A command brings services of its own, which have no names.
                let name = config
                    .key_service_names
                    .get(place)
                    .map_or("-", String::as_str);
                metrics.measured(name, service)
            });
        let key_services: Vec<_> = measured.collect();
        let keyring = Arc::new(keyring(&config, registry, &key_services, &recovery)?);
        let host_id = host_id()?;
        let health = Arc::new(Health::default());
        let stored_credentials = StoredCredentials::of(&config, &health)?;
        let live = Live::new(&config, &stored_credentials.keys)?;
        metrics.watch_keyring(Arc::clone(&keyring))?;
        metrics.watch_upstream(upstream.metrics())?;
        metrics.watch_health(Arc::clone(&health))?;
        Ok(Arc::new(Self {
            host_id,
            stored_credentials,
            storage_checks: StorageChecks::register(&health, &config),
            key_checks: KeyChecks::register(&health, &config),
            health,
            audit: OnceLock::new(),
            grants: Authority::new(
                &config.deployment,
                config.grants.as_ref(),
                Clock::system().not_before(
                    config
                        .audit
                        .as_ref()
                        .map_or(0, |audit| last_written(&audit.directory)),
                ),
            ),
            live: ArcSwap::from_pointee(live),
            auth_settings: AuthSettings {
                external_hosts: config.listener.external_hosts.clone(),
                regions: config.listener.regions.clone(),
                default_port: config.listener.client_scheme().default_port(),
            },
            pages: pages::Decisions::default(),
            small_object_memory: Arc::new(Semaphore::new(small_object_permits(&config.limits))),
            document_memory: memory,
            uploads: Uploads::new(state.clone(), cache_age(&config)),
            commits: CommitCache::default(),
            served_tags: ServedTags::default(),
            keyring,
            metrics: Arc::new(metrics),
            key_services,
            recovery,
            upstream,
            state,
            config,
        }))
    }
}

/// How long a start waits to be told of other state buckets.
const LOOK_FOR_OTHERS: Duration = Duration::from_secs(10);

/// Says that the state may be that of another deployment than was meant.
async fn warn_of_other_states(state: &StateBucket) {
    // No start waits long for a warning.
    match tokio::time::timeout(LOOK_FOR_OTHERS, other_states_beside(state)).await {
        Ok(Ok(others)) if others.is_empty() => {}
        Ok(Ok(others)) => tracing::warn!("{}", which_deployment(state.name(), &others)),
        // Not every account may list buckets.
        Ok(Err(error)) => {
            tracing::debug!(%error, "whether there are other state buckets is not known");
        }
        Err(_) => tracing::debug!("whether there are other state buckets was not told in time"),
    }
}

/// What a command asks of a configuration that only reads.
fn as_reader(mut config: Config) -> Config {
    config.limits.required_wraps = 1;
    config.recovery = None;
    for domain in &mut config.domains {
        domain.recovery = None;
    }
    config.mode = Mode::ReadWrite;
    // What restores or proves takes nothing that nobody vouches for.
    config.migrating.clear();
    config
}

/// The state bucket of a deployment, for what needs nothing else of a gateway. Nobody is contacted.
pub(crate) async fn state_bucket(config: &Config) -> anyhow::Result<StateBucket> {
    let memory = DocumentMemory::new(config.limits.document_memory);
    let (place, config_of_state) = config.state_upstream();
    let upstream = upstream(config_of_state, &config.limits, &memory)
        .await
        .context(place)?;
    Ok(StateBucket::new(upstream, config.state.bucket.clone()))
}

/// The storage of the data and that of our records.
struct Storage {
    upstream: Upstream,
    state: StateBucket,
    memory: DocumentMemory,
}

impl Storage {
    async fn of(config: &Config) -> anyhow::Result<Self> {
        let memory = DocumentMemory::new(config.limits.document_memory);
        let upstream = upstream(&config.upstream, &config.limits, &memory)
            .await
            .context("[upstream]")?;
        let state_upstream = match &config.state.upstream {
            Some(own) => self::upstream(own, &config.limits, &memory)
                .await
                .context("[state.upstream]")?
                .counted_with(&upstream),
            None => upstream.clone(),
        };
        Ok(Self {
            state: StateBucket::new(state_upstream, config.state.bucket.clone()),
            upstream,
            memory,
        })
    }
}

impl Storage {
    /// What was copied from a storage, data and state.
    fn of_copy(config: &Config, copy: Arc<dyn LocalStorage>) -> anyhow::Result<Self> {
        let memory = DocumentMemory::new(config.limits.document_memory);
        let settings = UpstreamSettings {
            endpoint: http::Uri::from_static(COPY),
            region: String::new(),
            addressing: Addressing::Path,
            ca_file: None,
            client_certificate: None,
            credentials: CredentialSource::new(Credentials::new("-", "-", None, None, "none")),
            timeouts: timeouts(&config.limits),
            memory: memory.clone(),
        };
        let upstream = Upstream::local(copy, settings)?;
        Ok(Self {
            state: StateBucket::new(upstream.clone(), config.state.bucket.clone()),
            upstream,
            memory,
        })
    }
}

fn timeouts(limits: &LimitsConfig) -> Timeouts {
    Timeouts {
        connect: limits.upstream_connect_timeout,
        answer: limits.upstream_response_timeout,
        idle: limits.idle_timeout,
    }
}

/// Milliseconds since 1970, as headers and records count time.
pub(crate) fn now_in_milliseconds() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| {
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    })
}

/// What tells this process from other replicas.
fn host_id() -> anyhow::Result<String> {
    let mut bytes = [0_u8; HOST_ID_LENGTH];
    getrandom::fill(&mut bytes).context("the system has no randomness")?;
    Ok(data_encoding::BASE64.encode(&bytes))
}

fn small_object_permits(limits: &LimitsConfig) -> usize {
    usize::try_from(limits.small_object_memory)
        .unwrap_or(Semaphore::MAX_PERMITS)
        .min(Semaphore::MAX_PERMITS)
}

/// The client of one upstream.
pub(crate) async fn upstream(
    config: &UpstreamConfig,
    limits: &LimitsConfig,
    memory: &DocumentMemory,
) -> anyhow::Result<Upstream> {
    let credentials = match &config.credentials {
        config::CredentialSource::Static(pair) => CredentialSource::new(Credentials::new(
            pair.access_key_id.clone(),
            pair.secret_access_key.expose(),
            pair.session_token
                .as_ref()
                .map(|token| token.expose().to_owned()),
            None,
            "sealgate configuration",
        )),
        config::CredentialSource::Chain { profile } => {
            let mut chain =
                aws_config::default_provider::credentials::DefaultCredentialsChain::builder()
                    .region(aws_config::Region::new(config.region.clone()));
            if let Some(profile) = profile {
                chain = chain.profile_name(profile);
            }
            CredentialSource::new(chain.build().await)
        }
    };
    Upstream::new(UpstreamSettings {
        endpoint: config.endpoint.to_string().parse().context("endpoint")?,
        region: config.region.clone(),
        addressing: match config.addressing {
            config::Addressing::Path => Addressing::Path,
            config::Addressing::VirtualHost => Addressing::VirtualHost,
        },
        ca_file: config.ca_file.clone(),
        client_certificate: config.client_certificate.clone(),
        credentials,
        timeouts: timeouts(limits),
        memory: memory.clone(),
    })
}

async fn key_services(config: &Config) -> anyhow::Result<Vec<Arc<dyn KeyService>>> {
    let mut services = Vec::new();
    for (service, name) in config.key_services.iter().zip(&config.key_service_names) {
        let service = Box::pin(key_service(service)).await;
        services.push(service.with_context(|| format!("[[key_service]] {name}"))?);
    }
    Ok(services)
}

fn keyring(
    config: &Config,
    registry: Arc<dyn RegistryStore>,
    services: &[Arc<dyn KeyService>],
    recovery: &Arc<RecoverySenders>,
) -> anyhow::Result<Keyring> {
    let mut services = services.iter().cloned();
    let first = services
        .next()
        .context("the configuration names no key service; add a [[key_service]]")?;
    let limits = KeyringLimits {
        required_wraps: config.limits.required_wraps,
        cache_age: cache_age(config),
        outage_grace: config.limits.outage_grace,
        sealing_soft_age: config.limits.working_key_lifetime,
        sealing_hard_age: config.limits.working_key_hard_limit,
        ..KeyringLimits::default()
    };
    let recovery: Arc<dyn RecordWrapper> = Arc::<RecoverySenders>::clone(recovery);
    let builder = Keyring::builder(first)
        .registry(registry)
        .record_wrapper(recovery)
        .limits(limits);
    let mut builder = services.fold(builder, KeyringBuilder::key_service);
    if config.mode == Mode::WriteOnly {
        builder = builder.write_only();
    }
    Ok(builder.build()?)
}

/// How old a working key for reading becomes. In a gateway that can't open one again, as old as one that seals: whoever uploads in parts for longer than
/// the usual age must still be able to complete.
fn cache_age(config: &Config) -> Duration {
    let usual = config.limits.working_key_cache_age;
    if config.mode == Mode::ReadWrite {
        return usual;
    }
    let of_domains = config.domains.iter().map(|domain| domain.sealing.hard_age);
    of_domains
        .chain([usual, config.limits.working_key_hard_limit])
        .max()
        .unwrap_or(usual)
}

impl From<CipherSuite> for Suite {
    fn from(suite: CipherSuite) -> Self {
        match suite {
            CipherSuite::Aes256Gcm => Self::Aes256Gcm,
            CipherSuite::ChaCha20Poly1305 => Self::ChaCha20Poly1305,
        }
    }
}
