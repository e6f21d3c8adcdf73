//! Whether keys are one domain's alone: by the configuration, and by everything that is stored.
//!
//! A key that wraps for others, too, must not go: they would be lost. And a key that stays opens what it has wrapped for the
//! domain, for whoever kept a copy of such a wrap: so a domain is gone only when each key that ever wrapped for it is.

use std::collections::BTreeSet;

use sealgate_envelope::keyring::SealingPolicy;

use crate::config::{Config, DomainConfig};
use crate::scan::census::Census;
use crate::scan::key_name::KeyName;

/// A key of the configuration, as its service tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownKey {
    /// Its `[[key_service]]`.
    pub(super) service: String,
    pub(super) key: KeyName,
    pub(super) full_name: String,
    /// The same key in other places, or what else it opens.
    pub(super) related: Vec<KeyName>,
}

impl KnownKey {
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
}

impl Refusal {
    pub(super) fn new(cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            cause: cause.into(),
            fix: fix.into(),
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

/// The names that are the domain's alone: its own, and former ones that no other place has or had.
///
/// # Errors
///
/// Where the domain has no table of its own.
pub(super) fn own_names(config: &Config, domain: &str) -> Result<Vec<String>, Refusal> {
    let own: Vec<_> = config
        .domains
        .iter()
        .filter(|rule| only_name(config, rule).as_deref() == Some(domain))
        .collect();
    if own.is_empty() {
        return Err(Refusal::new(
            format!(
                "no [[domain]] is about {domain} and nothing else, so its keys are those of other domains, too"
            ),
            "give it a [[domain]] with a name of its own (without {bucket}, or for one bucket alone) and key_services of its own; what is stored there already has to be copied onto itself then",
        ));
    }
    let mut names = vec![domain.to_owned()];
    for former in own.iter().flat_map(|rule| &rule.former) {
        let of_others = config.domains.iter().any(|rule| {
            only_name(config, rule).as_deref() != Some(domain)
                && (may_be_named(config, rule, former)
                    || rule.former.iter().any(|name| may_resolve_to(name, former)))
        });
        let default_bucket = former
            .strip_prefix(&config.deployment)
            .and_then(|rest| rest.strip_prefix('/'));
        let is_default_of_others =
            default_bucket.is_some_and(|bucket| config.domain_for(bucket, "").name != domain);
        if !of_others && !is_default_of_others && !names.contains(former) {
            names.push(former.clone());
        }
    }
    Ok(names)
}

/// The one name that a table gives, where it gives one alone.
fn only_name(config: &Config, rule: &DomainConfig) -> Option<String> {
    let named = |bucket: &String| {
        let is_pattern = bucket.contains('*');
        match &rule.name {
            Some(name) if !name.contains("{bucket}") => Some(name.clone()),
            _ if is_pattern => None,
            Some(name) => Some(name.replace("{bucket}", bucket)),
            None => Some(format!("{}/{bucket}", config.deployment)),
        }
    };
    let mut names = rule.buckets.iter().map(named);
    let first = names.next()??;
    names
        .all(|name| name.as_ref() == Some(&first))
        .then_some(first)
}

fn may_be_named(config: &Config, rule: &DomainConfig, name: &str) -> bool {
    let default = format!("{}/{{bucket}}", config.deployment);
    may_resolve_to(rule.name.as_ref().unwrap_or(&default), name)
}

/// Whether a name with the placeholder may become this one. It says yes where it is not sure.
fn may_resolve_to(template: &str, name: &str) -> bool {
    match template.split_once("{bucket}") {
        None => template == name,
        Some((before, after)) => {
            let end = after.rsplit("{bucket}").next().unwrap_or_default();
            name.len() >= before.len() + end.len()
                && name.starts_with(before)
                && name.ends_with(end)
        }
    }
}

/// The places of the keys that have to go: those of the domain's table, and others of the configuration that have wrapped
/// something of it.
pub(super) fn targets(policy: &SealingPolicy, known: &[KnownKey], census: &Census) -> Vec<usize> {
    let of_policy = policy.places(known.len());
    (0..known.len())
        .filter(|place| {
            let has_wrapped = |key: &KnownKey| census.inside.keys().any(|name| key.is(name));
            of_policy.contains(place) || known.get(*place).is_some_and(has_wrapped)
        })
        .collect()
}

/// Everything that speaks against it.
pub(super) fn refusals(
    config: &Config,
    domain: &str,
    known: &[KnownKey],
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
    let going: Vec<&KnownKey> = targets(&policy, known, census)
        .into_iter()
        .filter_map(|place| known.get(place))
        .collect();
    shared_by_configuration(config, domain, known, &going, &mut refusals);

    // The recovery key of the configuration wraps whatever comes next, so it counts even where it has wrapped nothing yet.
    let recovery = config
        .recovery_of_domain(domain)
        .and_then(|recovery| recovery_name(&recovery.public_key));
    if let Some(own) = &recovery {
        shared_recovery(config, domain, own, &mut refusals);
    }
    let inside: BTreeSet<&KeyName> = census.inside.keys().chain(&recovery).collect();
    let mut ends: BTreeSet<&KeyName> = inside.clone();
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
        refusals.push(if key.is_recovery() {
            Refusal::new(
                format!("the recovery key {key} opens {what}, and would go on opening copies of the registry"),
                format!("destroy the recovery key with all its copies, and say so: --destroyed '{key}'; or name the file of its last copy with --recovery-key FILE"),
            )
        } else {
            Refusal::new(
                format!("the key {key} has wrapped {what}, is not configured, and would go on opening it"),
                format!("configure its [[key_service]], so that it is destroyed too; if it is destroyed already, with all copies, say so: --destroyed '{key}'"),
            )
        });
    }
    for key in ends {
        if let Some(found) = census.outside.get(key) {
            refusals.push(Refusal::new(
                format!("the key {key} has wrapped for others, too: {found}"),
                "it must not be destroyed for one domain. Give the others other keys (`sealgate keys rewrap`), delete what is no longer needed, and copy the domain's objects onto themselves under a key that is its alone; then it is that key that can be destroyed, and what was wrapped by the shared one before stays open to it",
            ));
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
    if census.unknown.count > 0 {
        refusals.push(Refusal::new(
            format!(
                "nobody can tell by which key this is wrapped: {}",
                census.unknown
            ),
            "mend or delete it (`sealgate verify` says more), and run this again",
        ));
    }
    refusals
}

/// The name of a recovery key, by its public part.
pub(super) fn recovery_name(
    key: &sealgate_envelope::key_service::recovery::RecoveryPublicKey,
) -> Option<KeyName> {
    use sealgate_envelope::{KeyReference, Provider};
    KeyReference::of(Provider::Recovery, &key.to_string())
        .ok()
        .map(|reference| KeyName::new(Provider::Recovery, reference))
}

fn shared_by_configuration(
    config: &Config,
    domain: &str,
    known: &[KnownKey],
    going: &[&KnownKey],
    refusals: &mut Vec<Refusal>,
) {
    let mut check = |who: String, policy: &SealingPolicy, fix: &str| {
        let all = policy.places(known.len());
        let theirs = all.iter().filter_map(|place| known.get(*place));
        let shared: Vec<_> = theirs
            .filter(|theirs| going.iter().any(|key| key.is_same(theirs)))
            .map(|key| key.service.as_str())
            .collect();
        if !shared.is_empty() {
            refusals.push(Refusal::new(
                format!(
                    "the key of key service {} is also that of {who}",
                    shared.join(", ")
                ),
                fix,
            ));
        }
    };
    for rule in &config.domains {
        if only_name(config, rule).as_deref() == Some(domain) {
            continue;
        }
        let who = rule.name.clone().map_or_else(
            || format!("the domains of {}", rule.buckets.join(", ")),
            |name| format!("the domain {name}"),
        );
        check(
            who,
            &rule.sealing,
            "name other key_services there; if it has sealed anything with this key, the key stays theirs",
        );
    }
    let catches_all = |rule: &DomainConfig| {
        rule.prefix.is_empty() && rule.buckets.iter().any(|bucket| bucket == "*")
    };
    if !config.domains.iter().any(catches_all) {
        check(
            "every domain that no [[domain]] is about".to_owned(),
            &config.sealing,
            "end the list of domains with { buckets = [\"*\"], key_services = […] }, without this key",
        );
    }
}

fn shared_recovery(config: &Config, domain: &str, own: &KeyName, refusals: &mut Vec<Refusal>) {
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
