//! Whether keys are one domain's alone: by the configuration, and by everything that is stored.
//!
//! A key that wraps for others, too, must not go: they would be lost. And a key that stays opens what it has wrapped for the
//! domain, for whoever kept a copy of such a wrap: so a domain is gone only when each key that ever wrapped for it is.

use std::collections::BTreeSet;

use sealgate_envelope::key_service::KeyAvailability;
use sealgate_envelope::keyring::SealingPolicy;
use sealgate_envelope::{KeyReference, Provider};

use super::names::only_name;
use super::plan::place_of;
use crate::config::{Config, DomainConfig};
use crate::scan::census::{Census, Found};
use crate::scan::key_name::KeyName;

/// A key of the configuration, as its service tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownKey {
    /// Its `[[key_service]]`.
    pub(super) service: String,
    pub(super) key: KeyName,
    pub(super) full_name: String,
    pub(super) availability: KeyAvailability,
    /// The same key in other places, or what else it opens.
    pub(super) related: Vec<KeyName>,
}

impl KnownKey {
    pub(super) fn new(service: &str, provider: Provider, reference: KeyReference) -> Self {
        Self {
            service: service.to_owned(),
            key: KeyName::new(provider, reference),
            full_name: String::new(),
            availability: KeyAvailability::Enabled,
            related: Vec::new(),
        }
    }

    fn is(&self, key: &KeyName) -> bool {
        self.key == *key || self.related.contains(key)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.is(&other.key) || other.is(&self.key)
    }
}

/// Why a domain is not destroyed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) cause: String,
    pub(super) fix: String,
    /// Whether it passes by itself, and nobody's will is behind it: a timer comes again.
    pub(super) is_passing: bool,
}

impl Refusal {
    pub(super) fn new(cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            cause: cause.into(),
            fix: fix.into(),
            is_passing: false,
        }
    }

    pub(super) fn passing(self) -> Self {
        Self {
            is_passing: true,
            ..self
        }
    }
}

/// What the operator says of keys that no key service has.
#[derive(Clone, Debug, Default)]
pub(super) struct Stated {
    /// Keys that are destroyed, with all copies.
    pub(super) destroyed: Vec<KeyName>,
    /// The recovery key whose file is to be destroyed now.
    pub(super) recovery_file: Option<KeyName>,
}

/// The places of the keys that go: those of the key services that the domain names, and those that the operator names beside
/// them. What is stored has no say in it.
pub(super) fn chosen(config: &Config, domain: &str, also: &[String]) -> Vec<usize> {
    let names = &config.key_service_names;
    let policy = config.sealing_of_domain(domain);
    let own = policy
        .filter(|policy| policy.key_services.is_some())
        .map_or_else(Vec::new, |policy| policy.places(names.len()));
    (0..names.len())
        .filter(|place| {
            own.contains(place) || names.get(*place).is_some_and(|name| also.contains(name))
        })
        .collect()
}

/// What is said of other key services whose keys have the name of one that goes. Wraps name no server and no token, so nobody
/// could tell whose they are: those of a key that stays would pass for those of the one that goes, and the other way round.
pub(super) fn namesakes(
    config: &Config,
    known: &[KnownKey],
    going: &[usize],
    place: usize,
) -> Vec<Refusal> {
    let (Some(key), Some(service)) = (known.get(place), config.key_services.get(place)) else {
        return Vec::new();
    };
    let others = known.iter().zip(&config.key_services).enumerate();
    let others = others.filter(|(other, (found, _))| *other != place && found.key == key.key);
    others
        .filter_map(|(other, (found, other_service))| {
            let (own, other_name) = (&key.service, &found.service);
            let its_place = place_of(other_service);
            if going.contains(&other) {
                return None;
            }
            if place_of(service) == its_place {
                return Some(Refusal::new(
                    format!("the key services {own} and {other_name} have one and the same key, at {its_place}"),
                    format!("run this with a configuration that names it once, without the [[key_service]] {other_name}"),
                ));
            }
            Some(Refusal::new(
                format!("the key of key service {other_name}, at {its_place}, has the same name as that of {own}, which goes: wraps do not tell which of the two has made them"),
                format!("if it is the domain's alone, too (a copy of the file, a server before a move), have both destroyed: --also {other_name}; else run this with a configuration without it, once nothing of the domain needs it any more"),
            ))
        })
        .collect()
}

/// Everything that speaks against it. `going` are the places of the keys that go.
pub(super) fn refusals(
    config: &Config,
    domain: &str,
    known: &[KnownKey],
    going: &[usize],
    census: &Census,
    stated: &Stated,
) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let Some(policy) = config.sealing_of_domain(domain) else {
        let fix = "name one of `sealgate keys status`";
        return vec![Refusal::new(format!("there is no domain {domain}"), fix)];
    };
    if policy.key_services.is_none() {
        refusals.push(Refusal::new(
            format!("the domain {domain} names no key_services, so its keys are those of all domains that name none"),
            "give it key_services of its own, run `sealgate keys rotate --domain` and copy its objects onto themselves; a key that has wrapped for others stays theirs",
        ));
    }
    let going: Vec<&KnownKey> = going.iter().filter_map(|place| known.get(*place)).collect();
    for key in &going {
        refusals.extend(shared(config, domain, known, key));
    }

    // The recovery key of the configuration wraps whatever comes next, so it counts even where it has wrapped nothing yet.
    let recovery = config
        .recovery_of_domain(domain)
        .and_then(|recovery| recovery_name(&recovery.public_key));
    for key in recovery.iter().chain(
        stated
            .recovery_file
            .iter()
            .filter(|key| Some(*key) != recovery.as_ref()),
    ) {
        shared_recovery(config, domain, key, &mut refusals);
    }
    if let Some(key) = &stated.recovery_file
        && recovery.as_ref() != Some(key)
        && !census.inside.contains_key(key)
    {
        refusals.push(Refusal::new(
            format!("the recovery key {key} of --recovery-key is not that of {domain}, and has wrapped nothing of it"),
            "name the file of the domain's own recovery key, or leave --recovery-key out",
        ));
    }
    let inside: BTreeSet<&KeyName> = census.inside.keys().chain(&recovery).collect();
    let mut ends: BTreeSet<&KeyName> = inside.clone();
    ends.extend(&stated.recovery_file);
    for key in &going {
        ends.insert(&key.key);
        ends.extend(&key.related);
    }
    for key in inside {
        let goes = going.iter().any(|known| known.is(key));
        let is_stated =
            stated.destroyed.contains(key) || stated.recovery_file.as_ref() == Some(key);
        if goes || is_stated {
            continue;
        }
        let found = census.inside.get(key);
        let what = found.map_or_else(|| "what comes next".to_owned(), ToString::to_string);
        refusals.push(stays(config, domain, known, key, &what));
    }
    for key in ends {
        if let Some(found) = census.outside.get(key) {
            refusals.push(wraps_for_others(key, found));
        }
    }
    for key in &stated.destroyed {
        if known.iter().any(|known| known.is(key)) {
            refusals.push(Refusal::new(
                format!("{key} is said to be destroyed, and a key service of the configuration has it"),
                "leave it out of --destroyed: what the domain needs destroyed is destroyed by this command",
            ));
        }
    }
    if census.clear.count > 0 {
        refusals.push(Refusal::new(
            format!("in the domain, and in the clear: {}", census.clear),
            "delete these objects, or seal them with `sealgate migrate`: no key keeps anybody from them",
        ));
    }
    refusals.extend(unknown(&census.unknown));
    refusals
}

/// What is said of a key that has wrapped for others.
pub(super) fn wraps_for_others(key: &KeyName, found: &Found) -> Refusal {
    Refusal::new(
        format!("the key {key} has wrapped for others, too: {found}"),
        "it must not be destroyed for one domain. Give the others other keys (`sealgate keys rewrap`), delete what is no longer needed, and copy the domain's objects onto themselves under a key that is its alone; then it is that key that can be destroyed, and what was wrapped by the shared one before stays open to it",
    )
}

/// What is said of what nobody can tell about.
pub(super) fn unknown(found: &Found) -> Option<Refusal> {
    (found.count > 0).then(|| {
        Refusal::new(
            format!("nobody can tell by which key this is wrapped: {found}"),
            "mend or delete it (`sealgate verify` says more), see that the key services can be reached, and run this again",
        )
    })
}

/// What is said of a key that has wrapped for the domain and would go on opening that.
fn stays(config: &Config, domain: &str, known: &[KnownKey], key: &KeyName, what: &str) -> Refusal {
    if key.is_recovery() {
        return Refusal::new(
            format!(
                "the recovery key {key} opens {what}, and would go on opening copies of the registry"
            ),
            format!(
                "destroy the recovery key with all its copies, and say so: --destroyed '{key}'; or name the file of its last copy with --recovery-key FILE"
            ),
        );
    }
    let Some(configured) = known.iter().find(|known| known.is(key)) else {
        return Refusal::new(
            format!(
                "the key {key} has wrapped {what}, is not configured, and would go on opening it"
            ),
            format!(
                "if it is the domain's alone, configure its [[key_service]] and have it destroyed, too, with --also; if it is destroyed already, with all copies, say so: --destroyed '{key}'"
            ),
        );
    };
    let service = &configured.service;
    let users: Vec<_> = users(config, domain, known, configured)
        .into_iter()
        .map(|user| user.who)
        .collect();
    if users.is_empty() {
        Refusal::new(
            format!(
                "the key {key} of key service {service} has wrapped {what}, and would go on opening it; the domain does not name it in its key_services"
            ),
            format!(
                "if it is a former key of this domain and of nobody else (the storage chooses what it shows: ask those who know), have it destroyed, too: --also {service}; else delete what it has wrapped here, with all versions"
            ),
        )
    } else {
        Refusal::new(
            format!(
                "the key {key} of key service {service} is also that of {}, has wrapped {what}, and would go on opening it",
                users.join(", ")
            ),
            "it stays, so what it has wrapped here stays open to it: delete that, with all versions, and its registry records, and run this again",
        )
    }
}

/// The name of a recovery key, by its public part.
pub(super) fn recovery_name(
    key: &sealgate_envelope::key_service::recovery::RecoveryPublicKey,
) -> Option<KeyName> {
    KeyReference::of(Provider::Recovery, &key.to_string())
        .ok()
        .map(|reference| KeyName::new(Provider::Recovery, reference))
}

/// Somebody else whom the configuration gives a key.
struct User {
    /// The key services that have it, by the names that he knows them by.
    services: String,
    who: String,
    fix: &'static str,
}

/// For whom else the configuration uses a key, and what to do about it.
fn users(config: &Config, domain: &str, known: &[KnownKey], key: &KnownKey) -> Vec<User> {
    let user = |policy: &SealingPolicy, who: String, fix| {
        let places = policy.places(known.len());
        let theirs = places.iter().filter_map(|place| known.get(*place));
        let services: Vec<_> = theirs
            .filter(|theirs| key.is_same(theirs))
            .map(|theirs| theirs.service.as_str())
            .collect();
        (!services.is_empty()).then(|| User {
            services: services.join(", "),
            who,
            fix,
        })
    };
    let others = config
        .domains
        .iter()
        .filter(|rule| only_name(config, rule).as_deref() != Some(domain));
    let mut users: Vec<User> = others
        .filter_map(|rule| {
            let who = rule.name.clone().map_or_else(
                || format!("the domains of {}", rule.buckets.join(", ")),
                |name| format!("the domain {name}"),
            );
            user(
                &rule.sealing,
                who,
                "name other key_services there; if it has sealed anything with this key, the key stays theirs",
            )
        })
        .collect();
    let catches_all = |rule: &DomainConfig| {
        rule.prefix.is_empty() && rule.buckets.iter().any(|bucket| bucket == "*")
    };
    if !config.domains.iter().any(catches_all) {
        users.extend(user(
            &config.sealing,
            "every domain that no [[domain]] is about".to_owned(),
            "end the list of domains with { buckets = [\"*\"], key_services = […] }, without this key",
        ));
    }
    users
}

/// What is said of a key that the configuration gives to others, too.
pub(super) fn shared(
    config: &Config,
    domain: &str,
    known: &[KnownKey],
    key: &KnownKey,
) -> Vec<Refusal> {
    users(config, domain, known, key)
        .into_iter()
        .map(|User { services, who, fix }| {
            let cause = format!("the key of key service {services} is also that of {who}");
            Refusal::new(cause, fix)
        })
        .collect()
}

/// What is said of a recovery key that the configuration gives to others, too.
pub(super) fn shared_recovery(
    config: &Config,
    domain: &str,
    own: &KeyName,
    refusals: &mut Vec<Refusal>,
) {
    let others = config
        .domains
        .iter()
        .filter(|rule| only_name(config, rule).as_deref() != Some(domain))
        .filter_map(|rule| rule.recovery.as_ref())
        .chain(&config.recovery);
    let is_shared = others
        .filter_map(|recovery| recovery_name(&recovery.public_key))
        .any(|other| other == *own);
    if is_shared {
        refusals.push(Refusal::new(
            format!("the recovery key {own} is that of other domains, too, and opens every copy of a registry record of this one"),
            "give the domain a recovery key of its own, recovery = { … } in its [[domain]], or destroy the shared one once another has taken its place everywhere (`sealgate recovery init`, `keys rewrap`), and say so with --destroyed",
        ));
    }
}

#[cfg(test)]
#[path = "exclusivity_tests.rs"]
mod tests;
