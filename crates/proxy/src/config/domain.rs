//! `[[domain]]`: the logical name that ciphertext is bound to, by bucket and prefix (FORMAT.md section 2).

use std::sync::Arc;
use std::time::Duration;

use sealgate_envelope::keyring::SealingPolicy;

use super::Config;
use super::domain_origin::{Origin, contradicted_name, origin_of};
use super::limits::{LimitsConfig, WORKING_KEY_HARD_LIMITS, WORKING_KEY_LIFETIMES};
use super::recovery::{self, RecoveryConfig};
use super::secret::Surroundings;
use super::table::{Table, Value, read_each};

/// What domain an object belongs to. The storage has no say in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainRule {
    /// The domain that new objects are bound to and that objects are expected in.
    pub name: String,
    /// Domains that this place had before, so that older objects still open.
    pub former: Vec<String>,
    /// The cipher suite of new objects.
    pub suite: CipherSuite,
    /// By whom the domain's working keys are made, and how long they seal.
    pub sealing: Arc<SealingPolicy>,
}

/// A cipher suite of format version 1 (FORMAT.md section 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CipherSuite {
    /// AES-256-GCM, suite 1.
    #[default]
    Aes256Gcm,
    /// ChaCha20-Poly1305, suite 2: for machines without AES instructions.
    ChaCha20Poly1305,
}

/// One `[[domain]]` table: which objects it is about and what it says of them.
#[derive(Clone, Debug)]
pub struct DomainConfig {
    /// Bucket names, in which `*` stands for any run of characters.
    pub buckets: Vec<String>,
    /// The start of the object keys; empty for all.
    pub prefix: String,
    /// The domain's name, in which `{bucket}` stands for the bucket; `None` for the default.
    pub name: Option<String>,
    /// Former names, with `{bucket}` likewise.
    pub former: Vec<String>,
    /// The suite of new objects.
    pub suite: CipherSuite,
    /// By whom the domain's working keys are made, and how long they seal.
    pub sealing: Arc<SealingPolicy>,
    /// The offline key that its working keys are wrapped for, if there is one.
    pub recovery: Option<RecoveryConfig>,
}

/// What stands for the bucket's name in a domain's name.
pub(super) const BUCKET_PLACEHOLDER: &str = "{bucket}";

impl DomainConfig {
    /// Whether another table has the same key services and the same recovery key.
    pub(super) fn has_keys_of(&self, other: &Self) -> bool {
        self.sealing == other.sealing
            && RecoveryConfig::is_same(self.recovery.as_ref(), other.recovery.as_ref())
    }

    /// Whether this table is about an object.
    fn matches(&self, bucket: &str, key: &str) -> bool {
        key.starts_with(&self.prefix)
            && self
                .buckets
                .iter()
                .any(|pattern| matches_pattern(pattern, bucket))
    }
}

/// See [`super::Config::domain_for`].
pub(super) fn resolve(config: &Config, bucket: &str, key: &str) -> DomainRule {
    resolve_with(
        &config.deployment,
        &config.domains,
        &config.sealing,
        bucket,
        key,
    )
}

fn resolve_with(
    deployment: &str,
    rules: &[DomainConfig],
    sealing: &Arc<SealingPolicy>,
    bucket: &str,
    key: &str,
) -> DomainRule {
    let default_name = || format!("{deployment}/{bucket}");
    match rules.iter().find(|rule| rule.matches(bucket, key)) {
        Some(rule) => DomainRule {
            name: rule.name.as_ref().map_or_else(default_name, |name| {
                name.replace(BUCKET_PLACEHOLDER, bucket)
            }),
            former: rule
                .former
                .iter()
                .map(|name| name.replace(BUCKET_PLACEHOLDER, bucket))
                .collect(),
            suite: rule.suite,
            sealing: Arc::clone(&rule.sealing),
        },
        None => DomainRule {
            name: default_name(),
            former: Vec::new(),
            suite: CipherSuite::default(),
            sealing: Arc::clone(sealing),
        },
    }
}

/// See [`super::Config::sealing_of_domain`].
pub(super) fn sealing_of(config: &Config, name: &str) -> Option<Arc<SealingPolicy>> {
    let sealing = match origin_of(&config.deployment, &config.domains, name)? {
        Origin::Table(rule) => &rule.sealing,
        Origin::Default => &config.sealing,
    };
    Some(Arc::clone(sealing))
}

/// See [`super::Config::sealing_policies`].
pub(super) fn sealing_policies(
    config: &Config,
) -> impl Iterator<Item = (String, &Arc<SealingPolicy>)> {
    let deployment = &config.deployment;
    let of_tables = config.domains.iter().map(move |table| {
        let of_buckets = || format!("{deployment}/({})", table.buckets.join(", "));
        (
            table.name.clone().unwrap_or_else(of_buckets),
            &table.sealing,
        )
    });
    let is_everything_in_a_table = config
        .domains
        .iter()
        .any(|table| table.prefix.is_empty() && covers(table, "*"));
    let rest = (!is_everything_in_a_table).then(|| {
        (
            format!("{deployment}/{BUCKET_PLACEHOLDER}"),
            &config.sealing,
        )
    });
    of_tables.chain(rest)
}

/// See [`super::Config::recovery_of_domain`].
pub(super) fn recovery_of<'a>(config: &'a Config, name: &str) -> Option<&'a RecoveryConfig> {
    match origin_of(&config.deployment, &config.domains, name) {
        Some(Origin::Table(rule)) => rule.recovery.as_ref(),
        Some(Origin::Default) | None => config.recovery.as_ref(),
    }
}

/// Whether `text` is what `pattern` describes; `*` stands for any run of characters, everything else for itself.
pub(super) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        // The leftmost match leaves the most for the pieces that follow.
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    true
}

/// The longest name of a domain, in bytes (FORMAT.md section 2).
const DOMAIN_LIMIT: usize = 255;

/// The longest bucket name, which `{bucket}` may become.
pub(super) const BUCKET_NAME_LIMIT: usize = 63;

/// What holds for domains that say nothing of their own.
pub(super) fn default_sealing(
    limits: Option<&LimitsConfig>,
    key_services: &[String],
    root: &Table<'_>,
) -> Arc<SealingPolicy> {
    let limits = limits.copied().unwrap_or_default();
    // Where there are none, that is the problem to tell.
    if !key_services.is_empty() && limits.required_wraps > key_services.len() {
        root.problem::<()>(
            "limits.required_wraps is more than there are key services",
            "lower it, or add a [[key_service]]",
        );
    }
    limits.sealing()
}

/// What holds for every domain that says nothing else.
#[derive(Clone, Copy)]
pub(super) struct Defaults<'a> {
    pub(super) key_services: &'a [String],
    pub(super) sealing: &'a Arc<SealingPolicy>,
    pub(super) recovery: Option<&'a RecoveryConfig>,
}

/// Reads all `[[domain]]`.
pub(super) fn read_all(
    root: &mut Table<'_>,
    defaults: Defaults<'_>,
    surroundings: Surroundings<'_>,
) -> Option<Vec<DomainConfig>> {
    let tables = root.tables("domain");
    let count = tables.len();
    let mut rules: Vec<DomainConfig> = Vec::with_capacity(count);
    for mut table in tables {
        let rule = read(&mut table, defaults, surroundings);
        if let Some(rule) = rule {
            let contradicts = |earlier: &DomainConfig| {
                rule.name.is_some() && earlier.name == rule.name && !earlier.has_keys_of(&rule)
            };
            if rules.iter().any(contradicts) {
                table.problem::<()>(
                    "an earlier [[domain]] with the same name has other key services, required_wraps, ages or another recovery key",
                    "give one domain the same ones everywhere",
                );
            }
            if rules.iter().any(|earlier| hides(earlier, &rule)) {
                table.problem::<()>(
                    "an earlier [[domain]] matches everything that this one does, so it would never count",
                    "put the narrower table first, or remove one",
                );
            }
            rules.push(rule);
        }
        table.finish();
    }
    if rules.len() == count
        && let Some(buckets) = divided_bucket(&rules, defaults)
    {
        root.problem::<()>(
            format!(
                "a [[domain]] with a prefix and without a name is of the same domain as the rest of its bucket ({buckets}), which has other key services or required_wraps or another recovery key"
            ),
            "give that [[domain]] a name of its own, such as name = \"DEPLOYMENT/{bucket}/PREFIX\", with former = [\"DEPLOYMENT/{bucket}\"] for what is stored there already",
        );
    }
    (rules.len() == count).then_some(rules)
}

/// Finds a name that two places give, with other keys.
pub(super) fn check_names(
    root: &Table<'_>,
    deployment: &str,
    rules: &[DomainConfig],
    defaults: Defaults<'_>,
) {
    // Whoever names every key service means what holds without that.
    let spelled_out = |sealing: &SealingPolicy| {
        let mut sealing = sealing.clone();
        let all = || (0..defaults.key_services.len()).collect();
        sealing.key_services = Some(sealing.key_services.unwrap_or_else(all));
        sealing
    };
    let has_keys_of = |rule: &DomainConfig, other: Option<&DomainConfig>| {
        let (sealing, recovery) = match other {
            Some(other) => (&other.sealing, other.recovery.as_ref()),
            None => (defaults.sealing, defaults.recovery),
        };
        spelled_out(&rule.sealing) == spelled_out(sealing)
            && RecoveryConfig::is_same(rule.recovery.as_ref(), recovery)
    };
    if let Some(name) = contradicted_name(deployment, rules, has_keys_of) {
        root.problem::<()>(
            format!(
                "the domain {name} is named by a [[domain]], and is that of a bucket elsewhere, too, which has other key services, required_wraps, ages or another recovery key"
            ),
            "name that bucket in the same [[domain]], give both places the same ones, or give this [[domain]] a name of its own, with the present one in `former`",
        );
    }
}

/// The buckets of a table that leaves them one domain, and wants other key services for a part of it: a working key names its
/// domain and no prefix, so nobody could tell later who is to wrap it.
fn divided_bucket(rules: &[DomainConfig], defaults: Defaults<'_>) -> Option<String> {
    type Keys<'a> = (&'a SealingPolicy, Option<&'a RecoveryConfig>);
    fn keys(rule: &DomainConfig) -> Keys<'_> {
        (&rule.sealing, rule.recovery.as_ref())
    }
    let differs = |(one, recovery): Keys<'_>, (other, other_recovery): Keys<'_>| {
        (&one.key_services, one.required_wraps) != (&other.key_services, other.required_wraps)
            || !RecoveryConfig::is_same(recovery, other_recovery)
    };
    let divides = |place: usize, part: &DomainConfig| {
        for later in rules.iter().skip(place + 1) {
            let overlaps = part
                .buckets
                .iter()
                .any(|one| later.buckets.iter().any(|other| overlap(one, other)));
            if later.name.is_none() && overlaps && differs(keys(part), keys(later)) {
                return true;
            }
            if later.prefix.is_empty() && part.buckets.iter().all(|one| covers(later, one)) {
                return false;
            }
        }
        differs(keys(part), (defaults.sealing, defaults.recovery))
    };
    rules
        .iter()
        .enumerate()
        .filter(|(_, part)| part.name.is_none() && !part.prefix.is_empty())
        .find(|(place, part)| divides(*place, part))
        .map(|(_, part)| part.buckets.join(", "))
}

/// Whether some name matches both patterns. What stands between the first and the last `*` decides nothing: a name may hold
/// all of both, one after the other.
fn overlap(one: &str, other: &str) -> bool {
    if !other.contains('*') {
        return matches_pattern(one, other);
    }
    if !one.contains('*') {
        return matches_pattern(other, one);
    }
    let start = |pattern: &str| pattern.split('*').next().unwrap_or_default().to_owned();
    let end = |pattern: &str| pattern.rsplit('*').next().unwrap_or_default().to_owned();
    let (starts, ends) = ((start(one), start(other)), (end(one), end(other)));
    (starts.0.starts_with(&starts.1) || starts.1.starts_with(&starts.0))
        && (ends.0.ends_with(&ends.1) || ends.1.ends_with(&ends.0))
}

fn read(
    table: &mut Table<'_>,
    defaults: Defaults<'_>,
    surroundings: Surroundings<'_>,
) -> Option<DomainConfig> {
    let buckets = table.require(
        "buckets",
        "buckets = [\"NAME\"]; \"*\" stands for any run of characters",
    );
    let buckets = buckets.and_then(|value| read_patterns(&value));
    let prefix = match table.take("prefix") {
        Some(value) => value.text_or_empty().map(str::to_owned),
        None => Some(String::new()),
    };
    let name = table.take("name").map(|value| read_name(&value));
    let former = match table.take("former") {
        Some(value) => value
            .texts()
            .and_then(|values| read_each(&values, read_name)),
        None => Some(Vec::new()),
    };
    let suite = table.take("suite").map(|value| {
        value.choice(&[
            ("aes-256-gcm", CipherSuite::Aes256Gcm),
            ("chacha20-poly1305", CipherSuite::ChaCha20Poly1305),
        ])
    });
    let own = read_sealing(table, defaults.key_services, defaults.sealing);
    let recovery = table
        .take("recovery")
        .map(|value| recovery::read_of_domain(&value, surroundings));
    if name.is_none()
        && suite.is_none()
        && recovery.is_none()
        && own == Some(None)
        && former.as_ref().is_some_and(Vec::is_empty)
    {
        table.problem::<()>(
            "says nothing",
            "add name, former, suite, key_services, recovery or a limit, or remove the table",
        );
    }
    if let (Some(Some(name)), Some(former)) = (&name, &former)
        && former.contains(name)
    {
        table.problem::<()>(
            "name is among former",
            "remove it from former: the present name is always tried",
        );
    }
    let name = match name {
        Some(name) => Some(name?),
        None => None,
    };
    let suite = match suite {
        Some(suite) => suite?,
        None => CipherSuite::default(),
    };
    Some(DomainConfig {
        buckets: buckets?,
        prefix: prefix?,
        name,
        former: former?,
        suite,
        sealing: own?.unwrap_or_else(|| Arc::clone(defaults.sealing)),
        recovery: match recovery {
            Some(own) => own?,
            None => defaults.recovery.cloned(),
        },
    })
}

/// What a table says of working keys; `Some(None)` if that is nothing.
#[expect(
    clippy::option_option,
    reason = "the outer one says, as everywhere here, whether the table could be read"
)]
fn read_sealing(
    table: &mut Table<'_>,
    names: &[String],
    default: &SealingPolicy,
) -> Option<Option<Arc<SealingPolicy>>> {
    let mut policy = default.clone();
    let mut good = true;
    if let Some(value) = table.take("key_services") {
        match read_places(&value, names) {
            Some(places) => policy.key_services = Some(places),
            None => good = false,
        }
    }
    let available = policy.key_services.as_ref().map_or(names.len(), Vec::len);
    match table.count(
        "required_wraps",
        default.required_wraps,
        1..=names.len().max(1),
    ) {
        Some(wraps) if wraps > available => table.problem(
            "requires more wraps than it has key services",
            "lower required_wraps, or name more key_services",
        )?,
        Some(wraps) => policy.required_wraps = wraps,
        None => good = false,
    }
    let mut age = |key, default: Duration, bounds| {
        let read = table.duration(key, default, bounds);
        good &= read.is_some();
        read.unwrap_or(default)
    };
    policy.soft_age = age(
        "working_key_lifetime",
        default.soft_age,
        WORKING_KEY_LIFETIMES,
    );
    policy.hard_age = age(
        "working_key_hard_limit",
        default.hard_age,
        WORKING_KEY_HARD_LIMITS,
    );
    if policy.hard_age < policy.soft_age {
        table.problem::<()>(
            "working_key_hard_limit is shorter than working_key_lifetime",
            "make it at least as long as working_key_lifetime",
        );
    }
    good.then(|| (policy != *default).then(|| Arc::new(policy)))
}

/// The places of the key services that a list names, in its order.
fn read_places(value: &Value<'_>, names: &[String]) -> Option<Vec<usize>> {
    let wanted = value.texts()?;
    if wanted.is_empty() {
        return value.problem(
            "without a key service nothing can be sealed",
            "name one, or remove the line for all",
        );
    }
    let mut places = Vec::with_capacity(wanted.len());
    for value in &wanted {
        let name = value.text()?;
        let Some(place) = names.iter().position(|known| known == name) else {
            return value.problem(
                "no [[key_service]] has this name",
                format!("use one of {}", names.join(", ")),
            );
        };
        if places.contains(&place) {
            return value.problem("stands twice", "remove one");
        }
        places.push(place);
    }
    Some(places)
}

pub(super) fn read_patterns(value: &Value<'_>) -> Option<Vec<String>> {
    let patterns = value.texts()?;
    if patterns.is_empty() {
        return value.problem(
            "an empty list matches nothing",
            "name a bucket, or \"*\" for all",
        );
    }
    let legal =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'*');
    read_each(&patterns, |value| {
        let pattern = value.text()?;
        if pattern.len() <= BUCKET_NAME_LIMIT && pattern.bytes().all(legal) {
            return Some(pattern.to_owned());
        }
        value.problem(
            "not a bucket name or a pattern of them",
            "use letters, digits, dots, hyphens and \"*\"",
        )
    })
}

fn read_name(value: &Value<'_>) -> Option<String> {
    let name = value.text()?;
    let placeholders = name.matches(BUCKET_PLACEHOLDER).count();
    if name.replace(BUCKET_PLACEHOLDER, "").contains(['{', '}']) {
        return value.problem(
            "an unknown placeholder",
            format!("use {BUCKET_PLACEHOLDER} or no braces"),
        );
    }
    let longest = name.len() + placeholders * (BUCKET_NAME_LIMIT - BUCKET_PLACEHOLDER.len());
    if longest > DOMAIN_LIMIT {
        return value.problem(
            "too long for a domain",
            format!("stay within {DOMAIN_LIMIT} bytes, the bucket's name included"),
        );
    }
    if name.contains(|character: char| character < ' ' || character == '\u{7f}') {
        return value.problem("has control characters", "remove them");
    }
    Some(name.to_owned())
}

/// Whether `earlier` matches whatever `later` matches, as far as is plain to see.
fn hides(earlier: &DomainConfig, later: &DomainConfig) -> bool {
    let covered = |pattern: &String| covers(earlier, pattern);
    later.prefix.starts_with(&earlier.prefix) && later.buckets.iter().all(covered)
}

/// Whether every bucket that `pattern` stands for is one of the table's, as far as is plain to see.
pub(super) fn covers(table: &DomainConfig, pattern: &str) -> bool {
    // A pattern taken as a text: what matches the text `a*b` matches all that `a*b` stands for.
    table
        .buckets
        .iter()
        .any(|wider| matches_pattern(wider, pattern))
}

#[cfg(test)]
#[path = "domain_tests.rs"]
mod tests;
