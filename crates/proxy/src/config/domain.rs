//! `[[domain]]`: the logical name that ciphertext is bound to, by bucket and prefix (FORMAT.md section 2).

use std::sync::Arc;
use std::time::Duration;

use sealgate_envelope::keyring::SealingPolicy;

use super::Config;
use super::limits::{LimitsConfig, WORKING_KEY_HARD_LIMITS, WORKING_KEY_LIFETIMES};
use super::table::{Table, Value};

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
}

/// What stands for the bucket's name in a domain's name.
const BUCKET_PLACEHOLDER: &str = "{bucket}";

impl DomainConfig {
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
    let of_bucket = |template: &String| {
        let pattern = template.replace(BUCKET_PLACEHOLDER, "*");
        matches_pattern(&pattern, name)
    };
    let ruled = config
        .domains
        .iter()
        .find(|rule| rule.name.iter().chain(&rule.former).any(of_bucket));
    if let Some(rule) = ruled {
        return Some(Arc::clone(&rule.sealing));
    }
    let bucket = name
        .strip_prefix(&config.deployment)
        .and_then(|rest| rest.strip_prefix('/'))?;
    // A table without a name keeps that of the bucket.
    let unnamed = config.domains.iter().find(|rule| {
        rule.name.is_none()
            && rule
                .buckets
                .iter()
                .any(|pattern| matches_pattern(pattern, bucket))
    });
    Some(Arc::clone(
        unnamed.map_or(&config.sealing, |rule| &rule.sealing),
    ))
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
const BUCKET_NAME_LIMIT: usize = 63;

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

/// Reads all `[[domain]]`.
pub(super) fn read_all(
    root: &mut Table<'_>,
    key_services: &[String],
    sealing: &Arc<SealingPolicy>,
) -> Option<Vec<DomainConfig>> {
    let tables = root.tables("domain");
    let count = tables.len();
    let mut rules: Vec<DomainConfig> = Vec::with_capacity(count);
    for mut table in tables {
        let rule = read(&mut table, key_services, sealing);
        if let Some(rule) = rule {
            let contradicts = |earlier: &DomainConfig| {
                rule.name.is_some() && earlier.name == rule.name && earlier.sealing != rule.sealing
            };
            if rules.iter().any(contradicts) {
                table.problem::<()>(
                    "an earlier [[domain]] with the same name has other key services, required_wraps or ages",
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
        && let Some(buckets) = divided_bucket(&rules, sealing)
    {
        root.problem::<()>(
            format!(
                "a [[domain]] with a prefix and without a name is of the same domain as the rest of its bucket ({buckets}), which has other key services or required_wraps"
            ),
            "give that [[domain]] a name of its own, such as name = \"DEPLOYMENT/{bucket}/PREFIX\", with former = [\"DEPLOYMENT/{bucket}\"] for what is stored there already",
        );
    }
    (rules.len() == count).then_some(rules)
}

/// The buckets of a table that leaves them one domain, and wants other key services for a part of it: a working key names its
/// domain and no prefix, so nobody could tell later who is to wrap it.
fn divided_bucket(rules: &[DomainConfig], default: &SealingPolicy) -> Option<String> {
    let differs = |one: &SealingPolicy, other: &SealingPolicy| {
        (&one.key_services, one.required_wraps) != (&other.key_services, other.required_wraps)
    };
    let divides = |place: usize, part: &DomainConfig| {
        for later in rules.iter().skip(place + 1) {
            let overlaps = part
                .buckets
                .iter()
                .any(|one| later.buckets.iter().any(|other| overlap(one, other)));
            if later.name.is_none() && overlaps && differs(&part.sealing, &later.sealing) {
                return true;
            }
            if later.prefix.is_empty() && part.buckets.iter().all(|one| covers(later, one)) {
                return false;
            }
        }
        differs(&part.sealing, default)
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
    key_services: &[String],
    sealing: &Arc<SealingPolicy>,
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
        Some(value) => value.texts().and_then(|values| {
            let names: Vec<_> = values.iter().filter_map(read_name).collect();
            (names.len() == values.len()).then_some(names)
        }),
        None => Some(Vec::new()),
    };
    let suite = table.take("suite").map(|value| {
        value.choice(&[
            ("aes-256-gcm", CipherSuite::Aes256Gcm),
            ("chacha20-poly1305", CipherSuite::ChaCha20Poly1305),
        ])
    });
    let own = read_sealing(table, key_services, sealing);
    if name.is_none()
        && suite.is_none()
        && own == Some(None)
        && former.as_ref().is_some_and(Vec::is_empty)
    {
        table.problem::<()>(
            "says nothing",
            "add name, former, suite, key_services or a limit, or remove the table",
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
        sealing: own?.unwrap_or_else(|| Arc::clone(sealing)),
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
    let read = patterns.iter().filter_map(|value| {
        let pattern = value.text()?;
        if pattern.len() <= BUCKET_NAME_LIMIT && pattern.bytes().all(legal) {
            return Some(pattern.to_owned());
        }
        value.problem(
            "not a bucket name or a pattern of them",
            "use letters, digits, dots, hyphens and \"*\"",
        )
    });
    let read: Vec<_> = read.collect();
    (read.len() == patterns.len()).then_some(read)
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
fn covers(table: &DomainConfig, pattern: &str) -> bool {
    // A pattern taken as a text: what matches the text `a*b` matches all that `a*b` stands for.
    table
        .buckets
        .iter()
        .any(|wider| matches_pattern(wider, pattern))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(buckets: &[&str], prefix: &str, name: Option<&str>) -> DomainConfig {
        DomainConfig {
            buckets: buckets.iter().map(|&bucket| bucket.to_owned()).collect(),
            prefix: prefix.to_owned(),
            name: name.map(str::to_owned),
            former: vec!["old/{bucket}".to_owned()],
            suite: CipherSuite::ChaCha20Poly1305,
            sealing: policy(1),
        }
    }

    fn policy(required_wraps: usize) -> Arc<SealingPolicy> {
        Arc::new(SealingPolicy {
            key_services: None,
            required_wraps,
            soft_age: Duration::from_secs(1),
            hard_age: Duration::from_secs(2),
        })
    }

    #[test]
    fn the_first_match_counts_and_the_default_is_deployment_and_bucket() {
        let rules = [
            rule(&["logs-*"], "audit/", Some("audit")),
            rule(&["logs-*", "other"], "", None),
        ];
        let name = |bucket, key| resolve_with("prod", &rules, &policy(2), bucket, key).name;
        assert_eq!(name("logs-eu", "audit/1"), "audit");
        assert_eq!(name("logs-eu", "audit"), "prod/logs-eu");
        assert_eq!(name("data", "audit/1"), "prod/data");
        let matched = resolve_with("prod", &rules, &policy(2), "other", "x");
        assert_eq!(matched.former, ["old/other"]);
        assert_eq!(matched.suite, CipherSuite::ChaCha20Poly1305);
        let default = resolve_with("prod", &rules, &policy(2), "data", "x");
        assert!(default.former.is_empty());
        assert_eq!(default.suite, CipherSuite::Aes256Gcm);
        assert_eq!((matched.sealing, default.sealing), (policy(1), policy(2)));
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "a"),
            ("a*", "a"),
            ("*a", "ba"),
            ("a*b*c", "a-b-b-c"),
            ("a", "a"),
            ("a**c", "abc"),
        ] {
            assert!(matches_pattern(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "ab"),
            ("a*a", "a"),
            ("*b*", "aca"),
            ("a*b", "abc"),
            ("", "a"),
            ("ab*bc", "abc"),
        ] {
            assert!(!matches_pattern(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_table_that_never_counts_is_seen() {
        assert!(hides(&rule(&["*"], "", None), &rule(&["a"], "x/", None)));
        assert!(hides(
            &rule(&["a*"], "x", None),
            &rule(&["ab*", "a"], "x/", None)
        ));
        assert!(!hides(&rule(&["a"], "x/", None), &rule(&["a"], "", None)));
        assert!(!hides(
            &rule(&["a"], "", None),
            &rule(&["a", "b"], "", None)
        ));
        assert!(!hides(&rule(&["ab*"], "", None), &rule(&["a*"], "", None)));
    }

    proptest! {
        #[test]
        fn a_pattern_agrees_with_trying_every_split(pattern in "[ab*]{0,6}", text in "[ab]{0,7}") {
            prop_assert_eq!(matches_pattern(&pattern, &text), matches_slowly(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn patterns_overlap_where_one_name_matches_both() {
        for (one, other, expected) in [
            ("data", "data", true),
            ("data", "date", false),
            ("a*", "*b", true),
            ("a*", "b*", false),
            ("*", "", true),
            ("ab*", "a", false),
            ("a*c", "ab*", true),
            ("a*c", "ab", false),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn a_bucket_that_stays_one_domain_is_not_divided_among_key_services() {
        let table = |prefix: &str, name: Option<&str>, wraps| DomainConfig {
            sealing: policy(wraps),
            ..rule(&["data*"], prefix, name)
        };
        let divided = |rules: &[DomainConfig]| divided_bucket(rules, &policy(1)).is_some();
        assert!(divided(&[table("a/", None, 2)]), "the rest has the default");
        assert!(divided(&[table("a/", None, 1), table("", None, 2)]));
        assert!(divided(&[table("a/", None, 2), table("b/", None, 1)]));
        assert!(!divided(&[table("a/", Some("a"), 2)]));
        assert!(!divided(&[table("a/", None, 2), table("", None, 2)]));
        assert!(!divided(&[
            table("a/", None, 2),
            table("", Some("rest"), 1)
        ]));
        assert!(!divided(&[table("", None, 2)]), "a whole bucket");
    }

    proptest! {
        #[test]
        fn two_patterns_that_match_a_name_overlap(one in "[ab*]{0,5}", other in "[ab*]{0,5}", name in "[ab]{0,6}") {
            prop_assert!(!(matches_pattern(&one, &name) && matches_pattern(&other, &name)) || overlap(&one, &other));
        }
    }

    fn matches_slowly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', pattern_rest)), _) => {
                (0..=text.len()).any(|taken| matches_slowly(pattern_rest, &text[taken..]))
            }
            (Some((expected, pattern_rest)), Some((found, text_rest))) => {
                expected == found && matches_slowly(pattern_rest, text_rest)
            }
            _ => false,
        }
    }
}
