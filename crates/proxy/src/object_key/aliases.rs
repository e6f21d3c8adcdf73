//! Which other object a storage may take a key for: where objects are files, as with MinIO and versitygw, `/a`, `b/../a` and `.//a` are all `a`.
//!
//! Content is safe from that, because an object's seal is bound to its key. But who may write `mine/` and nothing else would, by a key such as
//! `mine/../yours/x` or `/yours/x`, replace or delete what is somebody else's. So what is decided about a key is decided about its aliases as well.

use super::{is_special, resolved};

/// How MinIO's files are named of objects whose keys end with a slash: `a/` is `a__XLDIR__`.
const MINIO_DIRECTORY: &str = "__XLDIR__";

/// The other keys that a key may be taken for: without slashes in front, without empty segments, with `.` and `..` resolved, and with the slash that
/// MinIO writes as something else. Of what is nothing but such segments, the bucket itself: the empty one.
///
/// None for nearly every key there is.
pub(crate) fn aliases(key: &str) -> Vec<String> {
    if !may_have_any(key) {
        return Vec::new();
    }
    // Of keys none leads out of the bucket. A prefix that does is taken for all of it.
    let resolved = resolved(key).unwrap_or_default();
    let without_empty: Vec<_> = key.split('/').filter(|name| !name.is_empty()).collect();
    let joined = |names: &[&str]| {
        let is_directory = key.ends_with('/') && !names.is_empty();
        names.join("/") + if is_directory { "/" } else { "" }
    };
    let mut aliases = vec![
        key.trim_start_matches('/').to_owned(),
        joined(&without_empty),
        joined(&resolved),
    ];
    for index in 0..aliases.len() {
        let directory = aliases
            .get(index)
            .and_then(|name| name.strip_suffix(MINIO_DIRECTORY));
        aliases.extend(directory.map(|name| format!("{name}/")));
    }
    aliases.sort_unstable();
    aliases.dedup();
    aliases.retain(|alias| alias != key);
    aliases
}

/// Where else everything below a prefix may be: of `/a/b`, below `a/`. None for nearly every prefix there is.
pub(crate) fn places_elsewhere(prefix: &str) -> Vec<String> {
    let directory = prefix.rfind('/').and_then(|end| prefix.get(..=end));
    directory.map(aliases).unwrap_or_default()
}

fn may_have_any(key: &str) -> bool {
    let mut segments = key.split('/');
    // Behind a slash at the end, which makes a name of its own, is one that is empty.
    let last = segments.next_back().unwrap_or_default();
    is_special(last)
        || last.ends_with(MINIO_DIRECTORY)
        || segments.any(|name| name.is_empty() || is_special(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_file_system_takes_for_one_is_known() {
        for (key, expected) in [
            ("/yours/x", &["yours/x"][..]),
            ("mine/../yours/x", &["yours/x"]),
            ("mine//x", &["mine/x"]),
            ("mine/./x", &["mine/x"]),
            ("./x", &["x"]),
            ("x/.", &["x"]),
            ("//mine//../x/", &["mine/../x/", "mine//../x/", "x/"]),
            ("mine/..", &[""]),
            ("mine/../", &[""]),
            ("/", &[""]),
            ("mine/x__XLDIR__", &["mine/x/"]),
            ("/x__XLDIR__", &["x/", "x__XLDIR__"]),
        ] {
            assert_eq!(aliases(key), expected, "{key}");
        }
        for key in [
            "a",
            "a/b",
            "a/b/",
            "...",
            "a/..b/.c/d..",
            "a.b",
            "a__XLDIR__/b",
        ] {
            assert_eq!(aliases(key), Vec::<String>::new(), "{key}");
        }
    }

    #[test]
    fn what_is_below_a_prefix_may_be_elsewhere() {
        for (prefix, expected) in [
            ("/yours/", &["yours/"][..]),
            ("/yours/x", &["yours/"]),
            ("a//", &["a/"]),
            ("a/../", &[""]),
            // What begins with a dot, and what begins with a letter.
            ("a/.", &[]),
            ("a/b", &[]),
            ("a/b/", &[]),
            (".", &[]),
            ("", &[]),
        ] {
            assert_eq!(places_elsewhere(prefix), expected, "{prefix}");
        }
    }

    proptest! {
        #[test]
        fn a_key_without_special_segments_is_nothing_else(key in "([a-z.]{3,5}/){0,4}[a-z]{1,3}/?") {
            prop_assert_eq!(aliases(&key), Vec::<String>::new());
        }

        #[test]
        fn the_file_that_a_path_names_is_among_its_aliases(key in "(/|\\.|\\.\\.|[a-c]){1,12}") {
            let root = std::path::Path::new("/");
            let mut file = root.to_owned();
            for component in std::path::Path::new(&key).components() {
                match component {
                    std::path::Component::ParentDir => { file.pop(); }
                    std::path::Component::Normal(name) => file.push(name),
                    _ => {}
                }
            }
            prop_assume!(resolved(&key).is_some());
            let file = file.strip_prefix(root).unwrap().to_str().unwrap();
            let names = [aliases(&key), vec![key.clone()]].concat();
            prop_assert!(
                file.is_empty() || names.iter().any(|name| name.trim_end_matches('/') == file),
                "{file} is not among {names:?}"
            );
        }
    }
}
