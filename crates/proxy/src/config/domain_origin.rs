//! Which `[[domain]]` a domain's name comes from: what a record in the key registry, which names its domain and no object,
//! is held to.

use super::domain::{BUCKET_NAME_LIMIT, BUCKET_PLACEHOLDER, DomainConfig, covers, matches_pattern};

/// Where the name of a domain comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin<'a> {
    /// A table.
    Table(&'a DomainConfig),
    /// No table: what holds for the whole configuration counts.
    Default,
}

/// The origin of a name; `None` for a name that no place has or had.
///
/// What a place is called today counts before what any was called earlier: `former = ["DEPLOYMENT/{bucket}"]` of one tenant
/// must not make the other domains of that form that tenant's. A former name of several tables is that of the widest, which
/// has what the narrower ones leave; where none is the widest, it is nobody's alone, and the default counts.
pub(super) fn origin_of<'a>(
    deployment: &str,
    rules: &'a [DomainConfig],
    name: &str,
) -> Option<Origin<'a>> {
    let default = format!("{deployment}/{BUCKET_PLACEHOLDER}");
    let template = |rule: &'a DomainConfig| rule.name.clone().unwrap_or_else(|| default.clone());
    let present = rules.iter().enumerate().find(|(place, rule)| {
        let earlier = rules.get(..*place).unwrap_or_default();
        rule.gives(&template(rule), name, |bucket| {
            !earlier
                .iter()
                .any(|other| other.has_all(bucket, &rule.prefix))
        })
    });
    if let Some((_, rule)) = present {
        return Some(Origin::Table(rule));
    }
    let default_bucket = default_bucket(deployment, name);
    let is_default = |bucket: &str| !rules.iter().any(|rule| rule.has_all(bucket, ""));
    if default_bucket.is_some_and(is_default) {
        return Some(Origin::Default);
    }
    let had = |rule: &&DomainConfig| {
        rule.former
            .iter()
            .any(|former| rule.gives(former, name, |_| true))
    };
    let heirs: Vec<_> = rules.iter().filter(had).collect();
    let Some(&widest) = heirs.iter().min_by_key(|rule| rule.prefix.len()) else {
        return default_bucket.map(|_| Origin::Default);
    };
    let is_the_widest = heirs.iter().all(|rule| {
        let is_narrower = rule.prefix.starts_with(&widest.prefix)
            && rule.prefix != widest.prefix
            && rule.buckets.iter().all(|bucket| covers(widest, bucket));
        is_narrower || rule.has_keys_of(widest)
    });
    Some(if is_the_widest {
        Origin::Table(widest)
    } else {
        Origin::Default
    })
}

/// A name that one table gives as it stands, and that another one, or the default, gives to a bucket, with other keys: it is
/// one domain, and nobody could tell whose keys are to wrap for it. `has_keys_of` compares with another table, or the default.
pub(super) fn contradicted_name<'a>(
    deployment: &str,
    rules: &'a [DomainConfig],
    has_keys_of: impl Fn(&DomainConfig, Option<&DomainConfig>) -> bool,
) -> Option<&'a str> {
    let default = format!("{deployment}/{BUCKET_PLACEHOLDER}");
    let is_contradicted = |rule: &DomainConfig, name: &str| {
        let by_a_table = rules.iter().enumerate().any(|(place, other)| {
            let template = other.name.as_deref().unwrap_or(&default);
            let earlier = rules.get(..place).unwrap_or_default();
            let is_its = |bucket: &str| {
                !earlier
                    .iter()
                    .any(|hiding| hiding.has_all(bucket, &other.prefix))
            };
            template.contains(BUCKET_PLACEHOLDER)
                && other.gives(template, name, is_its)
                && !has_keys_of(rule, Some(other))
        });
        let is_default = |bucket: &str| !rules.iter().any(|rule| rule.has_all(bucket, ""));
        let by_default = default_bucket(deployment, name).is_some_and(is_default);
        by_a_table || (by_default && !has_keys_of(rule, None))
    };
    rules.iter().find_map(|rule| {
        let name = rule.name.as_deref()?;
        let is_whole = !name.contains(BUCKET_PLACEHOLDER);
        (is_whole && is_contradicted(rule, name)).then_some(name)
    })
}

impl DomainConfig {
    /// Whether the template gives one of the table's buckets this name, of those that count.
    ///
    /// A template without a placeholder gives it whatever the bucket is.
    fn gives(&self, template: &str, name: &str, counts: impl Fn(&str) -> bool) -> bool {
        match bucket_of(template, name) {
            Named::Always => true,
            Named::For(bucket) => self.has_bucket(bucket) && counts(bucket),
            Named::Never => false,
        }
    }

    fn has_bucket(&self, bucket: &str) -> bool {
        self.buckets
            .iter()
            .any(|pattern| matches_pattern(pattern, bucket))
    }

    /// Whether every key of the bucket below the prefix is the table's.
    fn has_all(&self, bucket: &str, prefix: &str) -> bool {
        prefix.starts_with(&self.prefix) && self.has_bucket(bucket)
    }
}

/// For which bucket a template gives a name.
enum Named<'a> {
    Always,
    For(&'a str),
    Never,
}

fn bucket_of<'a>(template: &str, name: &'a str) -> Named<'a> {
    let Some(start) = template.find(BUCKET_PLACEHOLDER) else {
        return if template == name {
            Named::Always
        } else {
            Named::Never
        };
    };
    let placeholders = template.matches(BUCKET_PLACEHOLDER).count();
    let fixed = template.len() - placeholders * BUCKET_PLACEHOLDER.len();
    let length = name.len().saturating_sub(fixed) / placeholders;
    match name.get(start..start + length) {
        Some(bucket)
            if may_be_a_bucket(bucket) && template.replace(BUCKET_PLACEHOLDER, bucket) == name =>
        {
            Named::For(bucket)
        }
        _ => Named::Never,
    }
}

/// The bucket of a default name, `DEPLOYMENT/BUCKET`.
pub(crate) fn default_bucket<'a>(deployment: &str, name: &'a str) -> Option<&'a str> {
    name.strip_prefix(deployment)
        .and_then(|rest| rest.strip_prefix('/'))
        .filter(|bucket| may_be_a_bucket(bucket))
}

/// Whether a bucket may have this name. `DEPLOYMENT/data/alice`, which a `[[domain]]` may give, is no default name of a bucket `data/alice`.
pub(crate) fn may_be_a_bucket(text: &str) -> bool {
    (1..=BUCKET_NAME_LIMIT).contains(&text.len()) && !text.contains('/')
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use sealgate_envelope::keyring::SealingPolicy;

    use super::{super::domain::CipherSuite, *};

    /// A table whose place among the key services says which it is.
    fn rule(
        place: usize,
        bucket: &str,
        prefix: &str,
        name: Option<&str>,
        former: &[&str],
    ) -> DomainConfig {
        DomainConfig {
            buckets: vec![bucket.to_owned()],
            prefix: prefix.to_owned(),
            name: name.map(str::to_owned),
            former: former.iter().map(|&name| name.to_owned()).collect(),
            suite: CipherSuite::Aes256Gcm,
            sealing: Arc::new(SealingPolicy {
                key_services: Some(vec![place]),
                required_wraps: 1,
                soft_age: Duration::from_secs(1),
                hard_age: Duration::from_secs(2),
            }),
            recovery: None,
        }
    }

    /// The place of the table, `"default"`, or `"none"`.
    fn origin(rules: &[DomainConfig], name: &str) -> String {
        match origin_of("rig", rules, name) {
            Some(Origin::Table(rule)) => {
                format!("{}", rule.sealing.key_services.as_ref().unwrap()[0])
            }
            Some(Origin::Default) => "default".to_owned(),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn a_former_name_of_one_tenant_takes_no_other_bucket_and_not_the_rest_of_its_own() {
        let rules = [
            rule(0, "data", "alice/", Some("acme/alice"), &["rig/{bucket}"]),
            rule(1, "logs-*", "", None, &[]),
        ];
        assert_eq!(origin(&rules, "acme/alice"), "0");
        assert_eq!(origin(&rules, "rig/data"), "default");
        assert_eq!(origin(&rules, "rig/photos"), "default");
        assert_eq!(origin(&rules, "rig/logs-eu"), "1");
        assert_eq!(origin(&rules, "elsewhere/data"), "none");
    }

    #[test]
    fn a_place_that_was_renamed_keeps_what_its_former_domain_had() {
        let rules = [rule(
            0,
            "data",
            "",
            Some("acme/data"),
            &["rig/{bucket}", "old"],
        )];
        assert_eq!(origin(&rules, "rig/data"), "0");
        assert_eq!(origin(&rules, "old"), "0");
        assert_eq!(origin(&rules, "rig/photos"), "default");
        // Renamed, and the former name was not kept: nothing of it opens, and its keys are nobody's in particular.
        let rules = [rule(0, "data", "", Some("acme/data"), &[])];
        assert_eq!(origin(&rules, "rig/data"), "default");
    }

    #[test]
    fn a_former_name_of_several_is_that_of_the_widest() {
        let tenants = [
            rule(0, "data", "alice/", Some("acme/alice"), &["rig/{bucket}"]),
            rule(1, "data", "bob/", Some("acme/bob"), &["rig/{bucket}"]),
            rule(2, "data", "", Some("acme/rest"), &["rig/{bucket}"]),
        ];
        assert_eq!(origin(&tenants, "rig/data"), "2");
        // One that has other buckets is not the widest of these.
        let apart = [
            rule(0, "data", "alice/", Some("acme/alice"), &["old"]),
            rule(1, "logs", "", Some("acme/logs"), &["old"]),
        ];
        assert_eq!(origin(&apart, "old"), "default");
        // What two tenants alone had is neither's.
        let rest = rule(2, "data", "", Some("acme/rest"), &[]);
        let [alice, bob, _] = tenants;
        assert_eq!(origin(&[alice, bob, rest], "rig/data"), "default");
    }

    #[test]
    fn one_name_of_two_places_with_other_keys_is_a_contradiction() {
        let found = |rules: &[DomainConfig]| {
            contradicted_name("rig", rules, |rule, other| match other {
                Some(other) => rule.has_keys_of(other),
                None => rule.sealing.key_services == Some(vec![9]),
            })
            .map(str::to_owned)
        };
        // A bucket that moved, beside one that has its name by default.
        let moved = |place| rule(place, "data2", "", Some("rig/data"), &[]);
        assert_eq!(found(&[moved(1)]).as_deref(), Some("rig/data"));
        assert_eq!(found(&[moved(9)]), None);
        let whole = rule(1, "data", "", None, &[]);
        assert_eq!(found(&[moved(1), whole]), None);
        let other = rule(2, "data", "", None, &[]);
        assert_eq!(found(&[moved(1), other]).as_deref(), Some("rig/data"));
        // A name with the bucket in it that becomes another table's.
        let pattern = || rule(0, "eu-*", "", Some("acme/{bucket}"), &[]);
        let named = |place, bucket| rule(place, bucket, "", Some("acme/eu-1"), &[]);
        assert_eq!(
            found(&[pattern(), named(1, "us")]).as_deref(),
            Some("acme/eu-1")
        );
        assert_eq!(found(&[pattern(), named(0, "us")]), None);
        // The bucket itself is taken out of the pattern before.
        assert_eq!(found(&[named(1, "eu-1"), pattern()]), None);
        assert_eq!(found(&[rule(1, "a", "", Some("acme/a"), &[])]), None);
    }

    #[test]
    fn a_name_with_the_bucket_in_it_is_the_tables_for_its_buckets_only() {
        let rules = [
            rule(0, "eu-*", "", Some("acme/{bucket}/{bucket}"), &[]),
            rule(1, "us-*", "", Some("acme/{bucket}/{bucket}"), &[]),
            rule(2, "us-*", "never/", Some("acme/{bucket}"), &[]),
        ];
        assert_eq!(origin(&rules, "acme/eu-1/eu-1"), "0");
        assert_eq!(origin(&rules, "acme/us-1/us-1"), "1");
        assert_eq!(origin(&rules, "acme/us-1/us-2"), "none");
        assert_eq!(origin(&rules, "acme/cn-1/cn-1"), "none");
        // No bucket has a slash in its name.
        let rules = [
            rule(0, "*", "tmp/", None, &[]),
            rule(1, "data", "alice/", Some("rig/{bucket}/alice"), &[]),
            rule(2, "data", "bob/", Some("acme/bob"), &["rig/{bucket}/bob"]),
            rule(3, "*", "", None, &[]),
        ];
        assert_eq!(origin(&rules, "rig/data/alice"), "1");
        assert_eq!(origin(&rules, "rig/data/bob"), "2");
        assert_eq!(origin(&rules, "rig/data"), "0");
        assert_eq!(origin(&rules, "rig/data/carol"), "none");
        let rules = [
            rule(0, "eu-*", "", Some("acme/{bucket}/{bucket}"), &[]),
            rule(2, "us-*", "", Some("acme/{bucket}/{bucket}"), &[]),
            rule(3, "us-*", "never/", Some("acme/{bucket}"), &[]),
        ];
        // The table before it has all of these buckets.
        assert_eq!(origin(&rules, "acme/us-1"), "none");
        assert_eq!(origin(&rules, "acme/"), "none");
        assert_eq!(origin(&rules, "rig/us-1"), "default");
    }
}
