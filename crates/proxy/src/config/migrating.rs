//! `[[migrating]]`: where objects that were there before the gateway are still served in the clear, for the time of a migration.

use super::domain::{matches_pattern, read_patterns};
use super::table::Table;

/// One `[[migrating]]` table: where objects without a sealed header are served as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigratingConfig {
    /// Bucket names, in which `*` stands for any run of characters.
    pub buckets: Vec<String>,
    /// The start of the object keys; empty for all.
    pub prefix: String,
}

impl MigratingConfig {
    /// Whether this table is about any object of a bucket.
    pub fn touches(&self, bucket: &str) -> bool {
        self.buckets
            .iter()
            .any(|pattern| matches_pattern(pattern, bucket))
    }

    /// Whether this table is about an object.
    pub fn covers(&self, bucket: &str, key: &str) -> bool {
        key.starts_with(&self.prefix) && self.touches(bucket)
    }
}

/// For people: the places, as they stand in the configuration.
impl std::fmt::Display for MigratingConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.buckets.join(", "))?;
        if self.prefix.is_empty() {
            return Ok(());
        }
        write!(f, " below {:?}", self.prefix)
    }
}

/// Reads all `[[migrating]]`.
pub(super) fn read_all(root: &mut Table<'_>) -> Option<Vec<MigratingConfig>> {
    let tables = root.tables("migrating");
    let count = tables.len();
    let read = tables.into_iter().filter_map(|mut table| {
        let buckets = table
            .require(
                "buckets",
                "buckets = [\"NAME\"]; \"*\" stands for any run of characters",
            )
            .and_then(|value| read_patterns(&value));
        let prefix = match table.take("prefix") {
            Some(value) => value.text_or_empty().map(str::to_owned),
            None => Some(String::new()),
        };
        table.finish();
        Some(MigratingConfig {
            buckets: buckets?,
            prefix: prefix?,
        })
    });
    let read: Vec<_> = read.collect();
    (read.len() == count).then_some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_about_its_buckets_and_its_prefix_alone() {
        let table = MigratingConfig {
            buckets: vec!["photos".to_owned(), "old-*".to_owned()],
            prefix: "2019/".to_owned(),
        };
        assert!(table.covers("photos", "2019/a"));
        assert!(table.covers("old-b", "2019/"));
        assert!(!table.covers("photos", "2020/a"));
        assert!(!table.covers("photos2", "2019/a"));
        assert!(table.touches("photos") && !table.touches("new"));
        assert_eq!(table.to_string(), "photos, old-* below \"2019/\"");
    }
}
