//! Names of files for object keys: never outside of the target directory, never two for one, and the key's own name wherever that is safe.
//!
//! | in a key | in a name |
//! |---|---|
//! | `%`, `\`, control characters | `%25`, `%5C`, `%01` |
//! | an empty segment: a leading, trailing or double `/` | `%` |
//! | `.`, `..`, a segment that begins with `.sealgate-` in any case | `%2E`, `%2E.`, `%2Esealgate-…` |
//! | a segment that is too long for a file system | its start, `%~`, and half of its SHA-256 |
//! | a directory where a file has the same name (`a` and `a/b`) | `a%2F` |
//! | an older version | the name, `%@`, and the version's id |
//!
//! A `%` that is followed by none of these never arises, so the names of different keys differ.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

/// The longest name that is given, in bytes; file systems take 255, and something may follow it.
const MAXIMUM_NAME: usize = 180;

/// What is kept of a longer one.
const KEPT_OF_LONG: usize = 120;

/// The longest id of a version that is written out; those of S3 have 32 characters, those of MinIO 36.
const MAXIMUM_VERSION: usize = 64;

/// The start of names that are the command's own.
pub(crate) const OWN_PREFIX: &str = ".sealgate-";

/// Gives names to keys that come in ascending order.
#[derive(Debug, Default)]
pub(crate) struct PathMapper {
    /// Keys with which the present one begins, each a file already.
    open: Vec<String>,
}

impl PathMapper {
    /// The path of a key's file below the target directory.
    pub(crate) fn path_for(&mut self, key: &str, older_version: Option<&str>) -> PathBuf {
        while self.open.last().is_some_and(|open| !key.starts_with(open)) {
            self.open.pop();
        }
        let mut path = PathBuf::new();
        let mut end = 0;
        let mut segments = key.split('/').peekable();
        while let Some(segment) = segments.next() {
            end += segment.len();
            let mut name = encode(segment);
            if segments.peek().is_some() {
                let is_file = key
                    .get(..end)
                    .is_some_and(|prefix| self.open.iter().any(|open| open == prefix));
                if is_file {
                    name.push_str("%2F");
                }
            } else if let Some(version) = older_version {
                name.push_str("%@");
                name.push_str(&encode_version(version));
            }
            path.push(name);
            end += 1;
        }
        if self.open.last().is_none_or(|open| open != key) {
            self.open.push(key.to_owned());
        }
        path
    }
}

/// The id of a version as the end of a name. Storages choose it, so it may hold anything.
fn encode_version(version: &str) -> String {
    let is_plain = version.len() <= MAXIMUM_VERSION
        && version
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if is_plain {
        return version.to_owned();
    }
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(version.as_bytes()));
    format!("~{}", digest.get(..32).unwrap_or_default())
}

/// Whether some file system could take this for a name of the command's own: one that does not tell upper case from lower, or that skips what
/// nobody sees (HFS+).
fn is_own(segment: &str) -> bool {
    let visible = segment.chars().filter(|character| {
        !matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    });
    // In capitals, because there is more than one lower case to some.
    let folded = visible.flat_map(char::to_uppercase);
    folded
        .take(OWN_PREFIX.len())
        .eq(OWN_PREFIX.chars().flat_map(char::to_uppercase))
}

/// The name of one segment.
fn encode(segment: &str) -> String {
    if segment.is_empty() {
        return "%".to_owned();
    }
    let mut name = String::with_capacity(segment.len());
    for character in segment.chars() {
        if matches!(character, '%' | '\\') || character.is_control() {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                name.push('%');
                name.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
            }
        } else {
            name.push(character);
        }
    }
    if matches!(segment, "." | "..") || is_own(segment) {
        name = name.replacen('.', "%2E", 1);
    }
    if name.len() <= MAXIMUM_NAME {
        return name;
    }
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(segment.as_bytes()));
    let kept = name.floor_char_boundary(KEPT_OF_LONG);
    name.truncate(kept);
    format!("{name}%~{}", digest.get(..32).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    fn name(key: &str) -> String {
        PathMapper::default()
            .path_for(key, None)
            .to_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn safe_keys_keep_their_names_and_others_are_escaped() {
        for (key, expected) in [
            ("a/b c/ü.txt", "a/b c/ü.txt"),
            ("/etc/passwd", "%/etc/passwd"),
            ("../../x", "%2E./%2E./x"),
            ("a//b/", "a/%/b/%"),
            ("./.hidden/..x", "%2E/.hidden/..x"),
            ("100%", "100%25"),
            ("a\\b\u{1}", "a%5Cb%01"),
            (".sealgate-export/x", "%2Esealgate-export/x"),
            (".SealGate-EXPORT/x", "%2ESealGate-EXPORT/x"),
            (".ſealgate-export", "%2Eſealgate-export"),
            (".seal\u{200d}gate-export", "%2Eseal\u{200d}gate-export"),
            (".sealgate", ".sealgate"),
            ("a\0b", "a%00b"),
        ] {
            assert_eq!(name(key), expected, "{key}");
        }
        let long = "é".repeat(500);
        assert!(name(&long).len() < 200);
        assert_ne!(name(&long), name(&format!("{long}x")));
    }

    #[test]
    fn a_file_and_a_directory_of_one_name_both_find_a_place() {
        let mut mapper = PathMapper::default();
        let keys = ["a", "a!", "a/", "a/b", "a/b/c", "ab"];
        let paths: Vec<_> = keys.iter().map(|key| mapper.path_for(key, None)).collect();
        let shown: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(shown, ["a", "a!", "a%2F/%", "a%2F/b", "a%2F/b%2F/c", "ab"]);
        assert_eq!(mapper.path_for("b", Some("v-1")), Path::new("b%@v-1"));
        let hashed = mapper.path_for("b", Some("../x"));
        assert!(hashed.to_str().unwrap().starts_with("b%@~"));
    }

    proptest! {
        #[test]
        fn names_stay_inside_and_never_clash(keys in proptest::collection::btree_set("([ab./%\\\\]|\\.sealgate-|é){1,8}", 1..30)) {
            let mut mapper = PathMapper::default();
            let mut files = BTreeSet::new();
            for key in &keys {
                let path = mapper.path_for(key, None);
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{}", path.display());
                prop_assert!(files.insert(path));
            }
            for file in &files {
                let mut ancestors = file.ancestors().skip(1);
                prop_assert!(!ancestors.any(|directory| directory != Path::new("") && files.contains(directory)), "{}", file.display());
            }
        }

        #[test]
        fn any_key_gets_a_short_name_inside(key in "\\PC{1,1024}", version in "[A-Za-z0-9._-]{1,1024}") {
            let path = PathMapper::default().path_for(&key, Some(&version));
            for part in path.components() {
                let Component::Normal(part) = part else { panic!("{}", path.display()) };
                prop_assert!(part.len() <= 255, "{}", path.display());
            }
        }
    }
}
