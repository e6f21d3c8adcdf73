//! `[[domain]]`: the logical name that ciphertext is bound to, by bucket and prefix (FORMAT.md section 2).

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
pub(super) fn resolve(
    deployment: &str,
    rules: &[DomainConfig],
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
        },
        None => DomainRule {
            name: default_name(),
            former: Vec::new(),
            suite: CipherSuite::default(),
        },
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
const BUCKET_NAME_LIMIT: usize = 63;

/// Reads all `[[domain]]`.
pub(super) fn read_all(root: &mut Table<'_>) -> Option<Vec<DomainConfig>> {
    let tables = root.tables("domain");
    let count = tables.len();
    let mut rules: Vec<DomainConfig> = Vec::with_capacity(count);
    for mut table in tables {
        let rule = read(&mut table);
        if let Some(rule) = rule {
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
    (rules.len() == count).then_some(rules)
}

fn read(table: &mut Table<'_>) -> Option<DomainConfig> {
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
    if name.is_none() && suite.is_none() && former.as_ref().is_some_and(Vec::is_empty) {
        table.problem::<()>(
            "says nothing",
            "add name, former or suite, or remove the table",
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
    })
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
    let covered = |pattern: &String| {
        // A pattern taken as a text: what matches the text `a*b` matches all that `a*b` stands for.
        earlier
            .buckets
            .iter()
            .any(|wider| matches_pattern(wider, pattern))
    };
    later.prefix.starts_with(&earlier.prefix) && later.buckets.iter().all(covered)
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
        }
    }

    #[test]
    fn the_first_match_counts_and_the_default_is_deployment_and_bucket() {
        let rules = [
            rule(&["logs-*"], "audit/", Some("audit")),
            rule(&["logs-*", "other"], "", None),
        ];
        let name = |bucket, key| resolve("prod", &rules, bucket, key).name;
        assert_eq!(name("logs-eu", "audit/1"), "audit");
        assert_eq!(name("logs-eu", "audit"), "prod/logs-eu");
        assert_eq!(name("data", "audit/1"), "prod/data");
        let matched = resolve("prod", &rules, "other", "x");
        assert_eq!(matched.former, ["old/other"]);
        assert_eq!(matched.suite, CipherSuite::ChaCha20Poly1305);
        let default = resolve("prod", &rules, "data", "x");
        assert!(default.former.is_empty());
        assert_eq!(default.suite, CipherSuite::Aes256Gcm);
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
