//! `[[domain]]`: the logical name that ciphertext is bound to, by bucket and prefix (FORMAT.md section 2).

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
        key.starts_with(&self.prefix) && self.buckets.iter().any(|pattern| matches_pattern(pattern, bucket))
    }
}

/// See [`super::Config::domain_for`].
pub(super) fn resolve(deployment: &str, rules: &[DomainConfig], bucket: &str, key: &str) -> DomainRule {
    let default_name = || format!("{deployment}/{bucket}");
    match rules.iter().find(|rule| rule.matches(bucket, key)) {
        Some(rule) => DomainRule {
            name: rule.name.as_ref().map_or_else(default_name, |name| name.replace(BUCKET_PLACEHOLDER, bucket)),
            former: rule.former.iter().map(|name| name.replace(BUCKET_PLACEHOLDER, bucket)).collect(),
            suite: rule.suite,
        },
        None => DomainRule { name: default_name(), former: Vec::new(), suite: CipherSuite::default() },
    }
}

/// Whether `text` is what `pattern` describes; `*` stands for any run of characters, everything else for itself.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        // The leftmost match leaves the most for the pieces that follow.
        let Some(at) = rest.find(piece) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    true
}
