//! What is looked at before anything is destroyed: what the keys that were chosen have wrapped, and what speaks against it.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use sealgate_envelope::Provider;
use sealgate_envelope::key_service::KeyAvailability;

use super::exclusivity::{self, KnownKey, Refusal, Stated};
use super::known::{self, RecoveryFile};
use super::names;
use super::order::Order;
use super::plan::{ChosenKey, Plan, PlannedKey, StoredVersion, place_of};
use super::proof::{self, Opening};
use super::records;
use crate::cli::files::Progress;
use crate::cli::pace::PaceArguments;
use crate::cli::permit;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::scan::census::{self, Census, Seen};
use crate::scan::key_name::KeyName;
use crate::scan::{Reservoir, Trial, Walk, buckets_missing_from, listed_buckets};
use crate::state::control::Control;

/// How many more objects are drawn than are wanted, since some may be deleted before they are opened.
const SPARE: usize = 20;

/// What was found, and whether anything speaks against it.
pub(super) struct Looked {
    pub(super) plan: Plan,
    pub(super) refusals: Vec<Refusal>,
    pub(super) census: Census,
    /// Whether each key service has told its key.
    pub(super) is_told: bool,
    /// The full names of keys of the domain that are there, and not going to be deleted.
    pub(super) living: Vec<String>,
}

/// Looks at everything. Nothing is written.
///
/// # Errors
///
/// Where something cannot be looked at.
pub(super) async fn look(
    gateway: &Arc<Gateway>,
    config: &Config,
    order: &Order,
    recovery: Option<&RecoveryFile>,
    pace: &PaceArguments,
) -> anyhow::Result<Looked> {
    let domain = order.domain.as_str();
    let mut refusals = Vec::new();
    let names = names::own_names(config, domain).unwrap_or_else(|refusal| {
        refusals.push(refusal);
        vec![domain.to_owned()]
    });
    let mut looked = Looked {
        plan: Plan {
            names,
            ..Plan::default()
        },
        refusals,
        census: Census::default(),
        living: Vec::new(),
        is_told: true,
    };
    let places = exclusivity::chosen(config, domain, &order.also);
    let (known, away) = match known::known_keys(gateway).await? {
        Ok(known) => (known, Vec::new()),
        Err(found) => found,
    };
    let names = &config.key_service_names;
    let own = |key: &&KnownKey| {
        let mut own = places.iter().filter_map(|place| names.get(*place));
        own.any(|name| *name == key.service)
    };
    let own: Vec<&KnownKey> = known.iter().filter(own).collect();
    let living = own.iter();
    let living = living.filter(|key| key.availability != KeyAvailability::PendingDeletion);
    looked.living = living.map(|key| key.full_name.clone()).collect();
    let are_usable = looked.are_usable(&own);
    looked.is_told = away.is_empty();
    looked.refusals.extend(away);
    if !are_usable || !looked.is_told {
        return Ok(looked);
    }
    looked.choose(config, &known, &places);
    if let (Some(file), Some(path)) = (recovery, &order.recovery_key) {
        let key = PlannedKey::new(file.chosen(path));
        looked.plan.keys.push(key);
    }
    looked.compare(order);

    let permit = permit::for_shredding;
    let trial = Trial::new(&gateway.key_services, &looked.plan.names, &places, permit);
    let trial = Arc::new(trial);
    looked.buckets(gateway, config, &order.buckets).await?;
    let wanted = usize::from(order.sample);
    let mut drawn = Reservoir::new(wanted.saturating_mul(2).saturating_add(SPARE));
    looked.census = census(gateway, &trial, &looked.plan.buckets, pace, &mut drawn).await?;
    let stated = Stated {
        destroyed: order.stated.clone(),
        recovery_file: recovery.map(|file| file.name.clone()),
    };
    looked.refusals.extend(exclusivity::refusals(
        config,
        domain,
        &known,
        &places,
        &looked.census,
        &stated,
    ));
    let services = &gateway.key_services;
    let verified = records::verified(services, &looked.census, &mut looked.refusals);
    looked.plan.records = verified.await;
    looked.plan.objects = looked.census.objects_inside;
    looked.plan.notes = notes(&looked.census, &looked.plan, &order.stated);
    let has_file = |place: &usize| {
        let service = services.get(*place);
        service.is_some_and(|service| service.provider() == Provider::Local)
    };
    if places.iter().any(has_file) {
        let running = Control::new(gateway.state.clone()).replicas().await?;
        if !running.is_empty() {
            looked.refusals.push(Refusal::new(
                format!("{} gateways run, and keep the key of a key file in memory until they end", running.len()),
                "stop them, wait 90 seconds where they were killed, and run this again with --without-gateways",
            ).passing());
        }
    }
    if looked.refusals.is_empty() {
        looked.sample(gateway, drawn.kept, wanted).await?;
    }
    Ok(looked)
}

impl Looked {
    /// Whether these keys can be asked: while one cannot, nobody can tell what it has wrapped.
    fn are_usable(&mut self, keys: &[&KnownKey]) -> bool {
        let refused = keys.iter().filter_map(|key| {
            let (is, fix) = match key.availability {
                KeyAvailability::Enabled => return None,
                KeyAvailability::PendingDeletion => (
                    "pending deletion",
                    "if an order has destroyed it, leave it so; else take the deletion back, enable it until this command schedules it again, and run this again",
                ),
                _ => (
                    "disabled",
                    "enable it until this command schedules its deletion, and run this again",
                ),
            };
            Some(Refusal::new(
                format!("the key of key service {} is {is}, so nobody can tell what it has wrapped, and nothing could be shown by it afterwards: {}", key.service, key.full_name),
                fix,
            ))
        });
        let before = self.refusals.len();
        self.refusals.extend(refused);
        self.refusals.len() == before
    }

    /// The keys of the key services in these places go.
    fn choose(&mut self, config: &Config, known: &[KnownKey], places: &[usize]) {
        for number in places {
            let (Some(key), Some(service)) = (known.get(*number), config.key_services.get(*number))
            else {
                continue;
            };
            if !key.related.is_empty() {
                self.refusals.push(Refusal::new(
                    format!("{} is the same key as {:?} elsewhere, which would go on opening what it wrapped", key.full_name, key.related.iter().map(ToString::to_string).collect::<Vec<_>>()),
                    "schedule the deletion of the replicas of a multi-Region key in their Regions, and run this for the primary key when DescribeKey names them no more",
                ));
            }
            self.refusals
                .extend(exclusivity::namesakes(config, known, places, *number));
            let place = place_of(service);
            // One key by two names goes once. One of the same name at another place is another key.
            let mut chosen = self.plan.keys.iter().map(|planned| &planned.chosen);
            if chosen.any(|chosen| chosen.key == key.key && chosen.place == place) {
                continue;
            }
            self.plan.keys.push(PlannedKey::new(ChosenKey {
                key_service: Some(key.service.clone()),
                key: key.key.clone(),
                full_name: key.full_name.clone(),
                place,
            }));
        }
        // What can be taken back for some days goes first: if the next key cannot be destroyed, less is lost by mistake.
        self.plan
            .keys
            .sort_by_key(|key| !key.chosen.key.is_at_aws_kms());
    }

    /// An order goes for the keys that were shown when it was given, and for no others.
    fn compare(&mut self, order: &Order) {
        if order.keys.is_empty() {
            return;
        }
        let chosen: Vec<_> = self.plan.keys.iter().map(|key| &key.chosen).collect();
        if chosen.iter().copied().eq(&order.keys) {
            return;
        }
        let list = |keys: &[&ChosenKey]| {
            let shown = keys
                .iter()
                .map(|key| format!("{} ({}) at {}", key.full_name, key.key, key.place));
            shown.collect::<Vec<_>>().join(", ")
        };
        self.refusals.push(Refusal::new(
            format!(
                "the order of {} is for {}, and the configuration of today has {}",
                order.ordered,
                list(&order.keys.iter().collect::<Vec<_>>()),
                list(&chosen)
            ),
            "if the domain has other keys now, take the order back with --cancel, and give it anew",
        ));
    }

    /// Which buckets are looked at; all that there are, or it is refused.
    async fn buckets(
        &mut self,
        gateway: &Gateway,
        config: &Config,
        more: &[String],
    ) -> anyhow::Result<()> {
        let mut buckets = listed_buckets(gateway).await?;
        buckets.extend_from_slice(more);
        buckets.sort_unstable();
        buckets.dedup();
        for missing in buckets_missing_from(config, &buckets) {
            self.refusals.push(Refusal::new(
                format!("the configuration names the bucket {missing}, and the storage does not list it to this account: what lies there was not looked at"),
                format!("name it with --bucket {missing}; if it is gone for good, take it out of the configuration"),
            ));
        }
        self.plan.buckets = buckets;
        Ok(())
    }

    /// Keeps so many of the objects that were drawn as really open.
    async fn sample(
        &mut self,
        gateway: &Arc<Gateway>,
        drawn: Vec<StoredVersion>,
        wanted: usize,
    ) -> anyhow::Result<()> {
        for version in shuffled(drawn)? {
            if self.plan.sample.len() == wanted {
                break;
            }
            match proof::open(gateway, &version).await {
                Opening::Opened(object) => self.plan.sample.push(*object),
                Opening::Deleted => {}
                Opening::Refused => {
                    self.refusals
                        .push(does_not_open(&version, "its keys refuse"));
                }
                Opening::Unknown(cause) | Opening::Replaced(cause) => {
                    self.refusals.push(does_not_open(&version, &cause));
                }
            }
        }
        if self.plan.objects > 0 && self.plan.sample.is_empty() && self.refusals.is_empty() {
            self.refusals.push(Refusal::new(
                format!("the storage lists {} objects of the domain, and has none of those that were drawn from them, so nothing could be shown by them", self.plan.objects),
                "run this again; if it stays so, find out what is wrong with the storage (`sealgate verify`)",
            ));
        }
        Ok(())
    }
}

/// In another order, by chance: a reservoir keeps what it was offered first in its place.
fn shuffled<T>(items: Vec<T>) -> anyhow::Result<Vec<T>> {
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        let mut key = [0; 8];
        getrandom::fill(&mut key).context("the system has no randomness")?;
        keyed.push((key, item));
    }
    keyed.sort_by_key(|(key, _)| *key);
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

fn does_not_open(object: &StoredVersion, cause: &str) -> Refusal {
    Refusal::new(
        format!(
            "{}/{} does not open now, so nothing could be shown by it afterwards: {cause}",
            object.bucket, object.key
        ),
        "mend or delete it (`sealgate verify --deep` finds more); a key that is pending deletion or disabled must be enabled until this command schedules its deletion",
    )
}

/// What is no reason to stop, and has to be said.
fn notes(census: &Census, plan: &Plan, stated: &[KeyName]) -> Vec<String> {
    let mut notes = Vec::new();
    if census.disowned_inside.count > 0 {
        notes.push(format!(
            "In the domain, wraps that name a key which refuses them. Nobody has made them, or a key of the same name that lay elsewhere, and is not covered: {}",
            census.disowned_inside
        ));
    }
    if census.disowned_outside.count > 0 {
        notes.push(format!(
            "Outside of the domain, wraps that name a key which goes, and which refused them in every domain that they could be of: {}",
            census.disowned_outside
        ));
    }
    let is_unseen = |key: &&KeyName| !census.inside.contains_key(key) && !plan.has(key);
    notes.extend(stated.iter().filter(is_unseen).map(|key| {
        format!(
            "--destroyed names {key}, and nothing that was looked at is wrapped by it; no key of which that is said is confirmed, and then there is no date for the whole"
        )
    }));
    notes
}

/// Goes through everything that is stored.
///
/// # Errors
///
/// Where not all of it could be looked at.
pub(super) async fn census(
    gateway: &Arc<Gateway>,
    trial: &Arc<Trial>,
    buckets: &[String],
    pace: &PaceArguments,
    drawn: &mut Reservoir<StoredVersion>,
) -> anyhow::Result<Census> {
    let mut census = Census::default();
    census
        .of_records(gateway, trial)
        .await
        .context("the state bucket cannot be read")?;
    let walk = Walk {
        buckets: buckets.to_vec(),
        prefix: String::new(),
        resume_from: None,
        versions: true,
        concurrency: pace.concurrency(),
    };
    let progress = Progress::uncounted("shred: look");
    let pace = Arc::new(pace.pace(Arc::new(|_| {})));
    let visit = {
        let (gateway, trial) = (Arc::clone(gateway), Arc::clone(trial));
        move |item| {
            let (gateway, trial) = (Arc::clone(&gateway), Arc::clone(&trial));
            async move { census::look(&gateway, &trial, &item).await }
        }
    };
    let mut failure = None;
    let walked = walk
        .run(
            gateway,
            &pace,
            std::future::pending(),
            visit,
            |item, (is_inside, seen)| {
                progress.advance(1);
                if matches!(seen, Seen::Sealed(_)) {
                    if is_inside {
                        census.objects_inside += 1;
                        let offered = drawn.offer(StoredVersion {
                            bucket: item.bucket.clone(),
                            key: item.entry.key.clone(),
                            version_id: item.entry.version_id.clone(),
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
    Ok(census)
}
