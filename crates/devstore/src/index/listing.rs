//! One page of a listing: keys and common prefixes in byte order.
//!
//! The arithmetic is here, apart from the tables: a page asks for the first key within a bound and skips
//! a whole common prefix with its next question, so a page costs as many lookups as it has entries.

use std::ops::Bound;

/// What a listing asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Query<'a> {
    pub(crate) prefix: &'a str,
    /// Empty for none.
    pub(crate) delimiter: &'a str,
    /// Only keys and common prefixes that sort after this one; empty for all.
    pub(crate) after: &'a str,
    pub(crate) limit: usize,
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry<T> {
    Key(String, T),
    CommonPrefix(String),
}

impl<T> Entry<T> {
    /// What the next page starts after.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Key(name, _) | Self::CommonPrefix(name) => name,
        }
    }
}

/// A page, and whether more follows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    pub(crate) entries: Vec<Entry<T>>,
    pub(crate) truncated: bool,
}

impl<T> Page<T> {
    /// The marker of the next page.
    pub(crate) fn next(&self) -> Option<&str> {
        self.entries
            .last()
            .filter(|_| self.truncated)
            .map(Entry::name)
    }
}

/// Lists one page. `first` returns the first key within a bound.
pub(crate) fn page<T, E>(
    query: Query<'_>,
    mut first: impl FnMut(Bound<&[u8]>) -> Result<Option<(Vec<u8>, T)>, E>,
) -> Result<Page<T>, E> {
    let mut page = Page {
        entries: Vec::new(),
        truncated: false,
    };
    if query.limit == 0 {
        return Ok(page);
    }
    let mut from = if query.after < query.prefix {
        Bound::Included(query.prefix.as_bytes().to_owned())
    } else {
        Bound::Excluded(query.after.as_bytes().to_owned())
    };
    while let Some((key, value)) = first(from.as_ref().map(Vec::as_slice))? {
        // Keys arrive from S3 requests, which are UTF-8.
        let key = String::from_utf8_lossy(&key).into_owned();
        let Some(rest) = key.strip_prefix(query.prefix) else {
            break;
        };
        let common = common_prefix(query, rest);
        if let Some(common) = &common
            && common.as_str() <= query.after
        {
            from = after_prefix(common);
            continue;
        }
        if page.entries.len() == query.limit {
            page.truncated = true;
            break;
        }
        if let Some(common) = common {
            from = after_prefix(&common);
            page.entries.push(Entry::CommonPrefix(common));
        } else {
            from = Bound::Excluded(key.as_bytes().to_owned());
            page.entries.push(Entry::Key(key, value));
        }
    }
    Ok(page)
}

/// The prefix up to and with the delimiter that follows the queried prefix, if there is one.
fn common_prefix(query: Query<'_>, rest: &str) -> Option<String> {
    if query.delimiter.is_empty() {
        return None;
    }
    let (head, _) = rest.split_once(query.delimiter)?;
    Some([query.prefix, head, query.delimiter].concat())
}

/// The bound behind every key that starts with `prefix`.
pub(crate) fn after_prefix(prefix: &str) -> Bound<Vec<u8>> {
    let mut bytes = prefix.as_bytes().to_owned();
    // UTF-8 has no byte 0xFF, so the last byte can always be raised.
    if let Some(last) = bytes.last_mut() {
        *last = last.saturating_add(1);
    }
    Bound::Included(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    type Keys = BTreeSet<Vec<u8>>;

    fn keys<'a>(names: impl IntoIterator<Item = &'a str>) -> Keys {
        names
            .into_iter()
            .map(|name| name.as_bytes().to_owned())
            .collect()
    }

    fn list(all: &Keys, query: Query<'_>) -> Page<()> {
        page(query, |from| {
            let found = all.range::<[u8], _>((from, Bound::Unbounded)).next();
            Ok::<_, Infallible>(found.map(|key| (key.clone(), ())))
        })
        .unwrap()
    }

    fn names(page: &Page<()>) -> Vec<&str> {
        page.entries.iter().map(Entry::name).collect()
    }

    const SAMPLE: [&str; 10] = [
        "b", "a/1", "a/2", "a/b/3", "a-0", "c/1", "c/2", "d", "B", "a.txt",
    ];

    #[test]
    fn delimiters_group_and_prefixes_filter() {
        let all = keys(SAMPLE);
        let at = |prefix, delimiter| Query {
            prefix,
            delimiter,
            limit: 100,
            ..Query::default()
        };
        assert_eq!(
            names(&list(&all, at("", "/"))),
            ["B", "a-0", "a.txt", "a/", "b", "c/", "d"]
        );
        assert_eq!(names(&list(&all, at("a/", "/"))), ["a/1", "a/2", "a/b/"]);
        assert_eq!(
            names(&list(&all, at("", "1"))),
            [
                "B", "a-0", "a.txt", "a/1", "a/2", "a/b/3", "b", "c/1", "c/2", "d"
            ]
        );
        assert_eq!(names(&list(&all, at("zz", ""))), [""; 0]);
    }

    #[test]
    fn a_marker_inside_a_common_prefix_skips_it() {
        let all = keys(SAMPLE);
        let query = Query {
            delimiter: "/",
            after: "a/1",
            limit: 100,
            ..Query::default()
        };
        assert_eq!(names(&list(&all, query)), ["b", "c/", "d"]);
    }

    #[test]
    fn no_limit_means_an_empty_page_that_is_not_truncated() {
        assert_eq!(
            list(&keys(SAMPLE), Query::default()),
            Page {
                entries: vec![],
                truncated: false
            }
        );
    }

    proptest! {
        /// Pages of any size, put together, are the whole listing as its definition says.
        #[test]
        fn pages_add_up(
            names in prop::collection::btree_set("[ab/é]{1,5}", 0..20),
            prefix in "[ab/]{0,2}",
            delimiter in prop::sample::select(vec!["", "/", "a", "é", "b/"]),
            limit in 1_usize..5,
        ) {
            let all = keys(names.iter().map(String::as_str));
            let mut expected = BTreeSet::new();
            for name in names.iter().filter(|name| name.starts_with(&prefix)) {
                let rest = &name[prefix.len()..];
                expected.insert(match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
                    Some(at) => name[..prefix.len() + at + delimiter.len()].to_owned(),
                    None => name.clone(),
                });
            }
            let mut found = Vec::new();
            let mut after = String::new();
            loop {
                let page = list(&all, Query { prefix: &prefix, delimiter, after: &after, limit });
                prop_assert!(page.entries.len() <= limit);
                found.extend(page.entries.iter().map(|entry| entry.name().to_owned()));
                match page.next() {
                    Some(next) => after = next.to_owned(),
                    None => break,
                }
            }
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
