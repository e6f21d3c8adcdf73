//! `[[anonymous]]`: what may be read without a signature.

use super::domain::matches_pattern;
use super::table::{Table, Value};

/// What anybody may read of some buckets. Nothing can be written without a signature, whatever is configured.
#[derive(Clone, Debug)]
pub struct AnonymousConfig {
    /// Bucket names, in which `*` stands for any run of characters.
    pub buckets: Vec<String>,
    /// The start of the object keys; empty for all.
    pub prefix: String,
    /// What is allowed; at least one.
    pub actions: Vec<AnonymousAction>,
}

/// A thing that may be done without a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnonymousAction {
    /// GetObject and HeadObject of current versions.
    Get,
    /// ListObjects, ListObjectsV2 and HeadBucket, below the prefix.
    List,
}

impl AnonymousConfig {
    /// Whether this table allows an action on a key, or, for a listing, on the prefix that it asks for.
    pub fn allows(&self, action: AnonymousAction, bucket: &str, key: &str) -> bool {
        self.actions.contains(&action)
            && key.starts_with(&self.prefix)
            && self
                .buckets
                .iter()
                .any(|pattern| matches_pattern(pattern, bucket))
    }
}

/// Reads all `[[anonymous]]`.
pub(super) fn read_all(root: &mut Table<'_>) -> Option<Vec<AnonymousConfig>> {
    let tables = root.tables("anonymous");
    let count = tables.len();
    let rules: Vec<_> = tables.into_iter().filter_map(read).collect();
    (rules.len() == count).then_some(rules)
}

fn read(mut table: Table<'_>) -> Option<AnonymousConfig> {
    let buckets = table
        .require(
            "buckets",
            "buckets = [\"NAME\"], in which * stands for any run of characters",
        )
        .and_then(|value| {
            let items = value.texts()?;
            if items.is_empty() {
                return value.problem("names no bucket", "name one, or remove the table");
            }
            items
                .iter()
                .map(|item| item.text().map(str::to_owned))
                .collect()
        });
    let prefix = match table.take("prefix") {
        Some(value) => value.text_or_empty().map(str::to_owned),
        None => Some(String::new()),
    };
    let actions = match table.take("actions") {
        Some(value) => read_actions(&value),
        None => Some(vec![AnonymousAction::Get]),
    };
    table.finish();
    Some(AnonymousConfig {
        buckets: buckets?,
        prefix: prefix?,
        actions: actions?,
    })
}

fn read_actions(value: &Value<'_>) -> Option<Vec<AnonymousAction>> {
    let items = value.texts()?;
    if items.is_empty() {
        return value.problem(
            "allows nothing",
            "name \"get\" or \"list\", or remove the table",
        );
    }
    let choices = [
        ("get", AnonymousAction::Get),
        ("list", AnonymousAction::List),
    ];
    items.iter().map(|item| item.choice(&choices)).collect()
}
