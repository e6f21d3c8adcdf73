//! Sealing keys: made by a key service for one domain and this process, replaced with age, never taken from storage.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;
use super::flight::Waiter;
use super::limits::KeyringLimits;
use super::locks::{Mutex, MutexGuard, PoisonError};
use super::metered_service::MeteredService;
use super::opening::Opening;
use super::policy::{RecordWrapper, SealingPolicy};
use super::registry::PutOutcome;
use super::unwrapping::Sources;
use crate::domain::Domain;
use crate::error::{Error, KeyServiceFailure, Result};
use crate::key_service::{EncryptionContext, UnwrapPermit, key_service_error, serves_cached};
use crate::keys::{WorkingKey, WorkingKeyId};
use crate::random::Random;
use crate::records::RegistryRecord;
use crate::wrap::Wrap;

/// The most wraps that a header carries (FORMAT.md section 12).
const MAXIMUM_INLINE_WRAPS: usize = 2;

/// A working key to seal with, and what a header says about it. Cheap to clone; the key is wiped with the last clone.
#[derive(Clone, Debug)]
pub struct SealingKey {
    id: WorkingKeyId,
    domain: Domain,
    key: Arc<WorkingKey>,
    wraps: Arc<[Wrap]>,
    created: u64,
}

impl SealingKey {
    /// The key's identifier, for the header.
    #[must_use]
    pub fn id(&self) -> WorkingKeyId {
        self.id
    }

    /// The one domain that the key seals for.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &WorkingKey {
        &self.key
    }

    /// All its wraps, in the order of the key services.
    #[must_use]
    pub fn wraps(&self) -> &[Wrap] {
        &self.wraps
    }

    /// The wraps that fit into a header: the first one or two.
    #[must_use]
    pub fn inline_wraps(&self) -> &[Wrap] {
        self.wraps
            .get(..MAXIMUM_INLINE_WRAPS)
            .unwrap_or(&self.wraps)
    }

    /// When the key was made, in milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn created(&self) -> u64 {
        self.created
    }
}

/// The writing half of a keyring.
pub(super) struct Sealing {
    sources: Arc<Sources>,
    opening: Arc<Opening>,
    clock: Arc<dyn Clock>,
    limits: KeyringLimits,
    /// The policy of domains that have none of their own.
    policy: Arc<SealingPolicy>,
    record_wrapper: Option<Arc<dyn RecordWrapper>>,
    random: Mutex<Box<dyn Random + Send>>,
    slots: Mutex<HashMap<SlotName, Slot>>,
}

/// What became of a rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotation {
    /// Domains that have a new working key.
    pub made: usize,
    /// Domains that go on with the one they had, because no new one could be made.
    pub failed: usize,
}

/// The policy is part of the name: a key of one never seals under another.
type SlotName = (Domain, Arc<SealingPolicy>);

/// What is known about one domain.
#[derive(Debug, Default)]
struct Slot {
    current: Option<Current>,
    /// Rotations so far: a key whose making began before the last one is to be replaced, whatever its age.
    rotations: u64,
    renewal: Option<Waiter<SealingKey>>,
    failed: Option<(Error, Duration)>,
}

/// The key that a domain has.
#[derive(Debug)]
struct Current {
    key: SealingKey,
    /// When its making began, and how many rotations there had been.
    made: Duration,
    rotations: u64,
}

/// What a look at a slot, under the lock, decides for one call.
enum Decision {
    Answer(Result<SealingKey>),
    /// Wait for the new key, and with a key that may still be used not for long.
    Wait(Waiter<SealingKey>, Option<SealingKey>),
}

impl fmt::Debug for Sealing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sealing")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Sealing {
    pub(super) fn new(
        sources: Arc<Sources>,
        opening: Arc<Opening>,
        clock: Arc<dyn Clock>,
        limits: KeyringLimits,
        record_wrapper: Option<Arc<dyn RecordWrapper>>,
        random: Box<dyn Random + Send>,
    ) -> Self {
        Self {
            record_wrapper,
            sources,
            opening,
            clock,
            policy: Arc::new(SealingPolicy {
                key_services: None,
                required_wraps: limits.required_wraps,
                soft_age: limits.sealing_soft_age,
                hard_age: limits.sealing_hard_age,
            }),
            limits,
            random: Mutex::new(random),
            slots: Mutex::new(HashMap::new()),
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SlotName, Slot>> {
        // Every change under the lock is complete in itself, so a panic elsewhere leaves a valid state.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops, and so wipes, the keys that may seal nothing any more.
    pub(super) fn drop_expired(&self) {
        let now = self.clock.monotonic();
        for ((_, policy), slot) in self.slots().iter_mut() {
            slot.current
                .take_if(|current| now.saturating_sub(current.made) >= policy.hard_age);
        }
    }

    pub(super) fn sealing_keys(&self) -> usize {
        self.slots()
            .values()
            .filter(|slot| slot.current.is_some())
            .count()
    }

    pub(super) fn has_key(&self, policy: &Arc<SealingPolicy>, domain: &Domain) -> bool {
        let now = self.clock.monotonic();
        self.slots()
            .get(&(domain.clone(), Arc::clone(policy)))
            .and_then(|slot| slot.current.as_ref())
            .is_some_and(|current| now.saturating_sub(current.made) < policy.hard_age)
    }

    /// Forgets every key. One that is being made goes to those who wait for it, and to nobody else.
    pub(super) fn flush(&self) -> usize {
        let mut slots = self.slots();
        let dropped = slots.values().filter(|slot| slot.current.is_some()).count();
        slots.clear();
        dropped
    }

    /// Makes a new key for each domain that has one, or for one domain.
    pub(super) async fn rotate(self: &Arc<Self>, domain: Option<&Domain>) -> Rotation {
        let names: Vec<(SlotName, u64)> = {
            let mut slots = self.slots();
            let wanted = slots.iter_mut().filter(|((of, _), slot)| {
                slot.current.is_some() && domain.is_none_or(|domain| domain == of)
            });
            wanted
                .map(|(name, slot)| {
                    slot.rotations += 1;
                    slot.failed = None;
                    (name.clone(), slot.rotations)
                })
                .collect()
        };
        // All begin before the first is waited for: a domain whose key service is slow holds up no other.
        let begun: Vec<_> = names
            .into_iter()
            .map(|(name, rotations)| (self.decide(&name), name, rotations))
            .collect();
        let mut rotation = Rotation::default();
        for (mut decision, name, rotations) in begun {
            // A key whose making is under way may have been begun before the rotation, so another one may have to follow it.
            for _ in 0..2 {
                if let Decision::Wait(waiter, _) = decision {
                    // What counts is what the domain has afterwards: somebody else's attempt may have failed, or succeeded, meanwhile.
                    drop(waiter.landed().await);
                }
                if self.has_rotated(&name, rotations) {
                    break;
                }
                decision = self.decide(&name);
            }
            if self.has_rotated(&name, rotations) {
                rotation.made += 1;
            } else {
                rotation.failed += 1;
            }
        }
        rotation
    }

    fn has_rotated(&self, name: &SlotName, rotations: u64) -> bool {
        let slots = self.slots();
        let current = slots.get(name).and_then(|slot| slot.current.as_ref());
        current.is_some_and(|current| current.rotations >= rotations)
    }

    pub(super) async fn key_for(
        self: &Arc<Self>,
        domain: &Domain,
        policy: Option<&Arc<SealingPolicy>>,
    ) -> Result<SealingKey> {
        if let Some(policy) = policy {
            policy.check(self.sources.services.len())?;
        }
        let policy = policy.unwrap_or(&self.policy);
        match self.decide(&(domain.clone(), Arc::clone(policy))) {
            Decision::Answer(answer) => answer,
            Decision::Wait(waiter, None) => waiter.landed().await,
            Decision::Wait(waiter, Some(usable)) => {
                match tokio::time::timeout(self.limits.renewal_patience, waiter.landed()).await {
                    Ok(Ok(renewed)) => Ok(renewed),
                    Ok(Err(_)) | Err(_) => Ok(usable),
                }
            }
        }
    }

    fn decide(self: &Arc<Self>, name: &SlotName) -> Decision {
        let now = self.clock.monotonic();
        let mut slots = self.slots();
        let policy = &name.1;
        if !slots.contains_key(name) {
            self.make_room(&mut slots);
        }
        let slot = slots.entry(name.clone()).or_default();
        let mut usable = None;
        if let Some(current) = &slot.current {
            let age = now.saturating_sub(current.made);
            if age < policy.soft_age && current.rotations >= slot.rotations {
                return Decision::Answer(Ok(current.key.clone()));
            }
            if age < policy.hard_age {
                usable = Some(current.key.clone());
            } else {
                slot.current = None;
            }
        }
        if let Some(waiter) = slot.renewal.as_ref().filter(|waiter| !waiter.is_lost()) {
            return Decision::Wait(waiter.clone(), usable);
        }
        if let Some((error, _)) = slot.failed.as_ref().filter(|(_, until)| now < *until) {
            return Decision::Answer(usable.ok_or_else(|| error.clone()));
        }
        match Waiter::start(Arc::clone(self).renew(name.clone(), slot.rotations)) {
            // The task cannot finish before this assignment: finishing needs the lock that is held here.
            Ok(waiter) => {
                slot.renewal = Some(waiter.clone());
                Decision::Wait(waiter, usable)
            }
            Err(error) => Decision::Answer(usable.ok_or(error)),
        }
    }

    /// Keeps the number of domains bounded: the one whose key is oldest goes; its next use makes a new key.
    fn make_room(&self, slots: &mut HashMap<SlotName, Slot>) {
        if slots.len() < self.limits.sealing_domains {
            return;
        }
        let oldest = slots
            .iter()
            .filter(|(_, slot)| slot.renewal.is_none())
            .min_by_key(|(_, slot)| slot.current.as_ref().map(|current| current.made))
            .map(|(name, _)| name.clone());
        if let Some(oldest) = oldest {
            slots.remove(&oldest);
        }
    }

    /// Makes a key and puts it, or the failure, into its slot; in a task of its own.
    async fn renew(self: Arc<Self>, name: SlotName, rotations: u64) -> Result<SealingKey> {
        let started = self.clock.monotonic();
        let flushes = self.opening.flushes();
        let made = self.make(name.0.clone(), &name.1, started, flushes).await;
        let now = self.clock.monotonic();
        let mut slots = self.slots();
        // Under the lock, which a flush takes after it has been counted: so either it is seen here, or it clears the slot.
        if self.opening.flushes() != flushes {
            return made;
        }
        let slot = slots.entry(name).or_default();
        slot.renewal = None;
        match made {
            Ok(key) => {
                slot.current = Some(Current {
                    key: key.clone(),
                    made: started,
                    rotations,
                });
                slot.failed = None;
                Ok(key)
            }
            Err(error) => {
                slot.failed = Some((error.clone(), now.saturating_add(self.limits.renewal_pause)));
                drop(slots);
                tracing::warn!(detail = error.detail(), "no new working key could be made");
                Err(error)
            }
        }
    }

    /// A working key that is safe to use: every one of its wraps has been opened again and compared (unless this process
    /// may open none), there are as many as required, and its registry record is durable.
    async fn make(
        &self,
        domain: Domain,
        policy: &SealingPolicy,
        started: Duration,
        flushes: u64,
    ) -> Result<SealingKey> {
        let id = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            WorkingKeyId::generate(random.as_mut())?
        };
        let context = EncryptionContext::new(domain.clone(), id);
        let (key, wraps) = self.generate(&context, policy).await?;
        let created = self.clock.unix_milliseconds();
        if let Some(registry) = &self.sources.registry {
            let mut recorded = wraps.clone();
            if let Some(wrapper) = &self.record_wrapper {
                recorded.extend(wrapper.wrap(&context, &key)?);
            }
            let record = RegistryRecord {
                id,
                created,
                domain: domain.clone(),
                wraps: recorded,
            }
            .encode(&key)?;
            if registry.put_if_absent(id, &record).await? == PutOutcome::Exists {
                // 128 random bits do not repeat by chance: the generator is broken, or somebody else writes there.
                return Err(Error::machine(format!(
                    "the registry already has a record of the new working key {id}"
                )));
            }
        }
        let key = Arc::new(key);
        self.opening
            .adopt(flushes, context, Arc::clone(&key), wraps.clone(), started);
        Ok(SealingKey {
            id,
            domain,
            key,
            wraps: wraps.into(),
            created,
        })
    }

    /// The first key service that can makes the key, those behind it wrap it; those that fail are left out.
    async fn generate(
        &self,
        context: &EncryptionContext,
        policy: &SealingPolicy,
    ) -> Result<(WorkingKey, Vec<Wrap>)> {
        let mut made: Option<(WorkingKey, Vec<Wrap>)> = None;
        let mut failures = Vec::new();
        let services = &self.sources.services;
        let opens = self.sources.opens;
        let places = policy.places(services.len());
        for service in places.iter().filter_map(|place| services.get(*place)) {
            let outcome = match &mut made {
                None => generate_checked(service, context, opens)
                    .await
                    .map(|(key, wrap)| made = Some((key, vec![wrap]))),
                Some((key, wraps)) => wrap_checked(service, context, key, opens)
                    .await
                    .and_then(|wrap| push_of_another_key(wraps, wrap)),
            };
            failures.extend(outcome.err());
        }
        match made {
            Some((key, wraps)) if wraps.len() >= policy.required_wraps => {
                for error in failures {
                    tracing::warn!(
                        detail = error.detail(),
                        "a new working key has one wrap fewer than configured"
                    );
                }
                Ok((key, wraps))
            }
            _ => Err(too_few(
                made.map_or(0, |(_, wraps)| wraps.len()),
                policy.required_wraps,
                failures,
            )),
        }
    }
}

/// The failure to report when there are fewer wraps than required: an outage, if that may be all there is to it.
fn too_few(wraps: usize, required: usize, mut failures: Vec<Error>) -> Error {
    let telling = failures
        .iter()
        .position(|error| !serves_cached(error))
        .unwrap_or(0);
    if telling < failures.len() {
        return failures.swap_remove(telling);
    }
    key_service_error(
        KeyServiceFailure::Unavailable,
        &format!("a new working key has {wraps} of {required} required wraps"),
    )
}

/// Adds a wrap, unless there is one by the same key: two of them are lost together, so they count as one.
fn push_of_another_key(wraps: &mut Vec<Wrap>, wrap: Wrap) -> Result<()> {
    let is_of_same_key = |other: &Wrap| {
        (other.provider(), other.key_reference()) == (wrap.provider(), wrap.key_reference())
    };
    if wraps.iter().any(is_of_same_key) {
        return Err(key_service_error(
            KeyServiceFailure::Misconfigured,
            &format!(
                "two of the configured key services have the same key, {}, and their wraps count as one; give each a key of its own",
                wrap.key_reference()
            ),
        ));
    }
    wraps.push(wrap);
    Ok(())
}

async fn generate_checked(
    service: &MeteredService,
    context: &EncryptionContext,
    opens: bool,
) -> Result<(WorkingKey, Wrap)> {
    let (key, wrap) = service.generate(context).await?;
    if opens {
        check_opens(service, context, &key, &wrap).await?;
    }
    Ok((key, wrap))
}

async fn wrap_checked(
    service: &MeteredService,
    context: &EncryptionContext,
    key: &WorkingKey,
    opens: bool,
) -> Result<Wrap> {
    let wrap = service.wrap(context, key).await?;
    if opens {
        check_opens(service, context, key, &wrap).await?;
    }
    Ok(wrap)
}

/// Opens a fresh wrap and compares: what does not open now would be lost data later.
async fn check_opens(
    service: &MeteredService,
    context: &EncryptionContext,
    key: &WorkingKey,
    wrap: &Wrap,
) -> Result<()> {
    let opened = service
        .unwrap(&UnwrapPermit::self_check(), context, wrap)
        .await?;
    if opened == *key {
        return Ok(());
    }
    Err(key_service_error(
        KeyServiceFailure::Malformed,
        "the key service opened its own new wrap to another key; nothing was sealed with it",
    ))
}
