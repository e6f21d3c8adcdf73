//! By which names a domain is one domain's alone, as the configuration says.

use super::exclusivity::Refusal;
use crate::config::{Config, DomainConfig, default_bucket, may_be_a_bucket};

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
    // By a former name others read what lies in their places, with the keys of this domain.
    let heir = config.domains.iter().find(|rule| {
        only_name(config, rule).as_deref() != Some(domain)
            && rule.former.iter().any(|name| may_give(rule, name, domain))
    });
    if let Some(heir) = heir {
        let who = heir.name.clone();
        let who = who.unwrap_or_else(|| format!("the domains of {}", heir.buckets.join(", ")));
        return Err(Refusal::new(
            format!(
                "{who} had the name {domain} before, so what lies there may need the keys of {domain} still"
            ),
            "copy its objects onto themselves, and take the name out of `former` there",
        ));
    }
    let mut names = vec![domain.to_owned()];
    for former in own.iter().flat_map(|rule| former_names(rule)) {
        let former = &former;
        let of_others = config.domains.iter().any(|rule| {
            only_name(config, rule).as_deref() != Some(domain)
                && (may_be_named(config, rule, former)
                    || rule.former.iter().any(|name| may_give(rule, name, former)))
        });
        let default_bucket = default_bucket(&config.deployment, former);
        let is_default_of_others =
            default_bucket.is_some_and(|bucket| config.domain_for(bucket, "").name != domain);
        if !of_others && !is_default_of_others && !names.contains(former) {
            names.push(former.clone());
        }
    }
    Ok(names)
}

/// The one name that a table gives, where it gives one alone.
pub(super) fn only_name(config: &Config, rule: &DomainConfig) -> Option<String> {
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
    may_give(rule, rule.name.as_ref().unwrap_or(&default), name)
}

/// The former names of a table's places: with the placeholder, that of each bucket which it names whole.
fn former_names(rule: &DomainConfig) -> Vec<String> {
    let mut names = Vec::new();
    for former in &rule.former {
        if former.contains("{bucket}") {
            let whole = rule.buckets.iter().filter(|bucket| !bucket.contains('*'));
            names.extend(whole.map(|bucket| former.replace("{bucket}", bucket)));
        } else {
            names.push(former.clone());
        }
    }
    names
}

/// Whether a table's template may become this name, for one of its buckets.
fn may_give(rule: &DomainConfig, template: &str, name: &str) -> bool {
    rule.buckets.iter().any(|bucket| {
        if bucket.contains('*') {
            may_resolve_to(template, name)
        } else {
            template.replace("{bucket}", bucket) == name
        }
    })
}

/// Whether a name with the placeholder may become this one. It says yes where it is not sure.
fn may_resolve_to(template: &str, name: &str) -> bool {
    match template.split_once("{bucket}") {
        None => template == name,
        Some((before, after)) => {
            let end = after.rsplit("{bucket}").next().unwrap_or_default();
            let middle = name
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(end));
            let is_alone = !after.contains("{bucket}");
            middle.is_some_and(|middle| !is_alone || may_be_a_bucket(middle))
        }
    }
}
