//! What is looked at before anything is destroyed: which keys have to go, and what speaks against it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use sealgate_envelope::key_service::KeyService;
use sealgate_envelope::key_service::recovery::RecoveryKey;
use sealgate_envelope::{KeyReference, Provider};

use super::exclusivity::{self, KnownKey, Refusal, Stated};
use super::gone::GoneKey;
use super::order::{Order, Plan, PlannedKey, SampledObject};
use super::proof::{self, Opening};
use crate::cli::files::Progress;
use crate::cli::pace::PaceArguments;
use crate::config::{Config, KeyServiceConfig};
use crate::gateway::{self, Gateway};
use crate::scan::census::{self, Census};
use crate::scan::key_name::KeyName;
use crate::scan::{Reservoir, Walk};
use crate::state::control::Control;

/// What was found, and whether anything speaks against it.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) refusals: Vec<Refusal>,
    pub(super) census: Census,
}

/// The recovery key whose file is to be destroyed, by its name and public part.
pub(super) struct RecoveryFile {
    pub(super) name: KeyName,
    pub(super) public: String,
}

impl RecoveryFile {
    pub(super) fn of(key: &RecoveryKey) -> anyhow::Result<Self> {
        Ok(Self {
            name: exclusivity::recovery_name(&key.public())
                .context("a recovery key without a name")?,
            public: key.public().to_string(),
        })
    }
}

/// The clients of all key services. A key file of the plan that is destroyed already has one that opens nothing.
pub(super) async fn key_services(
    config: &Config,
    plan: Option<&Plan>,
) -> anyhow::Result<Vec<Arc<dyn KeyService>>> {
    let mut services: Vec<Arc<dyn KeyService>> = Vec::new();
    for (service, name) in config.key_services.iter().zip(&config.key_service_names) {
        let begun = plan.and_then(|plan| {
            let mut keys = plan.keys.iter();
            keys.find(|key| key.key_service.as_ref() == Some(name) && key.is_begun)
        });
        if let (KeyServiceConfig::Local { file, .. }, Some(begun)) = (service, begun)
            && sealgate_envelope::secret_file::finish_destruction(file)?
        {
            services.push(Arc::new(GoneKey::local(&begun.full_name)?));
            continue;
        }
        let service = gateway::key_service(service).await;
        services.push(service.with_context(|| format!("[[key_service]] {name}"))?);
    }
    Ok(services)
}

/// Every key of the configuration, as its service tells it.
async fn known_keys(
    gateway: &Gateway,
    refusals: &mut Vec<Refusal>,
) -> anyhow::Result<Vec<KnownKey>> {
    let mut known: Vec<KnownKey> = Vec::new();
    let names = &gateway.config.key_service_names;
    for (service, name) in gateway.key_services.iter().zip(names) {
        let provider = service.provider();
        let described = match service.describe().await {
            Ok(described) => described,
            Err(error) => {
                refusals.push(Refusal::new(
                    format!("the key service {name} does not tell its key, so nobody can tell whether it is the domain's: {}", error.detail()),
                    "see that it can be reached, and run this again",
                ));
                let reference = service.key_reference().await;
                let reference = reference.unwrap_or(KeyReference::from_bytes([0; 8]));
                known.push(KnownKey {
                    service: name.clone(),
                    key: KeyName::new(provider, reference),
                    full_name: "-".to_owned(),
                    related: Vec::new(),
                });
                continue;
            }
        };
        let mut related = Vec::new();
        for other in &described.related_keys {
            related.push(KeyName::new(provider, KeyReference::of(provider, other)?));
        }
        known.push(KnownKey {
            service: name.clone(),
            key: KeyName::new(provider, described.key_reference),
            full_name: described.key_name,
            related,
        });
    }
    // What one opens of another by its configuration, although the service does not say that they are related.
    for (place, service) in gateway.key_services.iter().enumerate() {
        for other in &gateway.key_services {
            let (Ok(reference), true) = (
                other.key_reference().await,
                other.provider() == service.provider(),
            ) else {
                continue;
            };
            let name = KeyName::new(other.provider(), reference);
            if service.opens(reference).await.unwrap_or(false)
                && let Some(key) = known.get_mut(place)
                && key.key != name
                && !key.related.contains(&name)
            {
                key.related.push(name);
            }
        }
    }
    Ok(known)
}

/// Looks at everything. Nothing is written.
///
/// # Errors
///
/// Where something cannot be looked at.
pub(super) async fn prepare(
    gateway: &Arc<Gateway>,
    config: &Config,
    order: &Order,
    recovery: Option<&RecoveryFile>,
    pace: &PaceArguments,
) -> anyhow::Result<Prepared> {
    let domain = order.domain.as_str();
    let mut refusals = Vec::new();
    let names = exclusivity::own_names(config, domain).unwrap_or_else(|refusal| {
        refusals.push(refusal);
        vec![domain.to_owned()]
    });
    let before = refusals.len();
    let known = known_keys(gateway, &mut refusals).await?;
    let all_are_known = refusals.len() == before;
    let mut census = Census::default();
    census
        .of_records(gateway, &names)
        .await
        .context("the state bucket cannot be read")?;
    let mut sample = Reservoir::new(usize::from(order.sample));
    of_objects(gateway, &names, pace, &mut census, &mut sample).await?;
    let stated = Stated {
        destroyed: order.stated.clone(),
        recovery_file: recovery.map(|file| file.name.clone()),
    };
    // While a key is not known nobody can tell whose wraps are its own, and what would be said of them, and advised, could be wrong.
    if all_are_known {
        refusals.extend(exclusivity::refusals(
            config, domain, &known, &census, &stated,
        ));
    }

    let mut keys = Vec::new();
    let policy = config.sealing_of_domain(domain);
    let places = policy.map_or_else(Vec::new, |policy| {
        exclusivity::targets(&policy, &known, &census)
    });
    let mut local = false;
    for place in places {
        let (Some(key), Some(service)) = (known.get(place), gateway.key_services.get(place)) else {
            continue;
        };
        local |= service.provider() == Provider::Local;
        if !key.related.is_empty() {
            refusals.push(Refusal::new(
                format!("{} is the same key as {:?} elsewhere, which would go on opening what it wrapped", key.full_name, key.related.iter().map(ToString::to_string).collect::<Vec<_>>()),
                "schedule the deletion of the replicas of a multi-Region key in their Regions, and run this for the primary key when DescribeKey names them no more",
            ));
        }
        keys.push(PlannedKey {
            key_service: Some(key.service.clone()),
            key: key.key.clone(),
            full_name: key.full_name.clone(),
            is_begun: false,
            destroyed: None,
        });
    }
    // What can be taken back for some days goes first: if the next key cannot be destroyed, less is lost by mistake.
    let is_scheduled = |key: &PlannedKey| key.key.to_string().starts_with("aws-kms ");
    keys.sort_by_key(|key| !is_scheduled(key));
    if let Some(file) = recovery {
        keys.push(PlannedKey {
            key_service: None,
            key: file.name.clone(),
            full_name: file.public.clone(),
            is_begun: false,
            destroyed: None,
        });
    }
    if local {
        let running = Control::new(gateway.state.clone()).replicas().await?;
        if !running.is_empty() {
            refusals.push(Refusal::new(
                format!("{} gateways run, and keep the key of a key file in memory until they end", running.len()),
                "stop them, wait 90 seconds where they were killed, and run this again with --without-gateways",
            ));
        }
    }
    if refusals.is_empty() {
        for object in &sample.kept {
            match proof::open(gateway, object).await {
                Opening::Opened | Opening::Deleted => {}
                Opening::Refused => refusals.push(does_not_open(object, "its keys refuse")),
                Opening::Unknown(cause) => refusals.push(does_not_open(object, &cause)),
            }
        }
    }
    let plan = Plan {
        names,
        keys,
        working_keys: census.records.len() as u64,
        objects: census.objects_inside,
        sample: sample.kept,
    };
    Ok(Prepared {
        plan,
        refusals,
        census,
    })
}

fn does_not_open(object: &SampledObject, cause: &str) -> Refusal {
    Refusal::new(
        format!(
            "{}/{} does not open now, so nothing could be shown by it afterwards: {cause}",
            object.bucket, object.key
        ),
        "mend or delete it (`sealgate verify --deep` finds more); a key that is pending deletion or disabled must be enabled until this command schedules its deletion",
    )
}

async fn of_objects(
    gateway: &Arc<Gateway>,
    names: &[String],
    pace: &PaceArguments,
    census: &mut Census,
    sample: &mut Reservoir<SampledObject>,
) -> anyhow::Result<()> {
    let walk = Walk {
        buckets: Vec::new(),
        prefix: String::new(),
        resume_from: None,
        versions: true,
        concurrency: pace.concurrency(),
    };
    let progress = Progress::uncounted("shred: look");
    let pace = Arc::new(pace.pace(Arc::new(|_| {})));
    let visit = {
        let gateway = Arc::clone(gateway);
        move |item| {
            let gateway = Arc::clone(&gateway);
            async move { census::look(&gateway, &item).await }
        }
    };
    let mut failure = None;
    let walked = walk
        .run(
            gateway,
            &pace,
            std::future::pending(),
            visit,
            |item, seen| {
                progress.advance(1);
                let is_inside = census::is_inside(gateway, names, &item.bucket, &item.entry.key);
                if matches!(seen, census::Seen::Sealed(_)) {
                    if is_inside {
                        census.objects_inside += 1;
                        let offered = sample.offer(SampledObject {
                            bucket: item.bucket.clone(),
                            key: item.entry.key.clone(),
                            version_id: item.entry.version_id.clone(),
                            size: item.entry.size,
                        });
                        failure = failure.take().or(offered.err());
                    } else {
                        census.objects_outside += 1;
                    }
                }
                census.add(is_inside, &item.position(), seen);
            },
        )
        .await?;
    progress.finish();
    if let Some(failure) = failure {
        return Err(failure);
    }
    ensure!(walked.is_complete, "not everything was looked at");
    Ok(())
}

/// Opens the file of a recovery key that is to be destroyed.
pub(super) fn open_recovery(
    path: &Path,
    passphrase: &crate::cli::passphrase::PassphraseArgument,
    config: &Config,
) -> anyhow::Result<RecoveryKey> {
    let passphrase = passphrase.of_file(path, RecoveryKey::is_sealed(path)?)?;
    let key = RecoveryKey::open(path, passphrase.as_ref())?;
    ensure!(
        key.deployment() == config.deployment,
        "the recovery key is of deployment {}, the configuration of {}",
        key.deployment(),
        config.deployment
    );
    Ok(key)
}
