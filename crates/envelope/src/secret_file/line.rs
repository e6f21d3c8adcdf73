//! The one line of a secret file, in either version: how it is written, and that nothing else is read.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::sealing::{PassphraseCost, SALT_LENGTH, SEALED_LENGTH, SealedSecret};
use super::{Kind, SecretFile};
use crate::keys::KEY_LENGTH;

/// The longest line of any kind and version, with its line feed.
pub(super) const MAXIMUM_LINE_LENGTH: usize = 512;

/// The word that names how the key of version 2 is derived.
pub(super) const DERIVATION: &str = "argon2id";

/// Bytes of the checksum that tells damage from a wrong passphrase.
const CHECKSUM_LENGTH: usize = 4;

/// What a line holds.
pub(super) enum Content {
    /// Version 1.
    Clear(SecretFile),
    /// Version 2.
    Sealed(SealedSecret),
}

/// The line of version 1.
pub(super) fn clear(kind: &Kind, file: &SecretFile) -> Zeroizing<String> {
    // Never grown, so no copies are left behind.
    let mut line = Zeroizing::new(String::with_capacity(MAXIMUM_LINE_LENGTH));
    line.push_str(kind.name);
    line.push_str("-1 ");
    for label in &file.labels {
        line.push_str(label);
        line.push(' ');
    }
    BASE64URL_NOPAD.encode_append(file.key.as_slice(), &mut line);
    line.push('\n');
    line
}

/// The line of version 2 up to the sealed key: what its seal authenticates.
pub(super) fn sealed_head(
    kind: &Kind,
    labels: &[String],
    cost: PassphraseCost,
    salt: &[u8; SALT_LENGTH],
) -> String {
    let labels = labels.join(" ");
    let PassphraseCost {
        memory,
        passes,
        lanes,
    } = cost;
    format!(
        "{}-2 {labels} {DERIVATION} {memory} {passes} {lanes} {} ",
        kind.name,
        BASE64URL_NOPAD.encode(salt)
    )
}

/// The rest of that line.
pub(super) fn sealed(head: &str, sealed: &[u8; SEALED_LENGTH]) -> String {
    let before = format!("{head}{} ", BASE64URL_NOPAD.encode(sealed));
    let checksum = checksum(before.as_bytes());
    format!("{before}{checksum}\n")
}

/// Reads exactly what the functions above write; the error says which part is wrong and shows none of it.
pub(super) fn parse(kind: &Kind, line: &[u8]) -> Result<Content, String> {
    if line.len() > MAXIMUM_LINE_LENGTH {
        return Err(format!("it is longer than {MAXIMUM_LINE_LENGTH} bytes"));
    }
    let line = line
        .strip_suffix(b"\n")
        .ok_or("it does not end with a line feed")?;
    let text = std::str::from_utf8(line)
        .ok()
        .filter(|text| text.is_ascii())
        .ok_or("it is not ASCII")?;
    let mut words = text.split(' ');
    let name = words.next().unwrap_or_default();
    let version = name.strip_prefix(kind.name);
    let mut labels = Vec::with_capacity(kind.labels.len());
    if matches!(version, Some("-1" | "-2")) {
        for label in kind.labels {
            let word = words
                .next()
                .filter(|word| (label.is_valid)(word))
                .ok_or_else(|| {
                    format!(
                        "it has not the words that it should have: {} is missing",
                        label.what
                    )
                })?;
            labels.push(word.to_owned());
        }
    }
    match version {
        Some("-1") => {
            let (Some(key), None) = (words.next(), words.next()) else {
                return Err(wrong_words(3 + kind.labels.len() - 1));
            };
            let key =
                decode_key(key).ok_or("its key is not 32 bytes in base64url without padding")?;
            Ok(Content::Clear(SecretFile { labels, key }))
        }
        Some("-2") => {
            let rest: Vec<&str> = words.collect();
            let [derivation, memory, passes, lanes, salt, sealed, given] = rest.as_slice() else {
                return Err(wrong_words(8 + kind.labels.len()));
            };
            let (before, _) = text.split_at(text.len() - given.len());
            if checksum(before.as_bytes()) != *given {
                return Err(
                    "its checksum is wrong, so it was damaged or altered; restore it from a backup"
                        .to_owned(),
                );
            }
            if *derivation != DERIVATION {
                return Err("its key is not derived by argon2id".to_owned());
            }
            let cost = PassphraseCost::read([memory, passes, lanes])?;
            let salt = decode(salt).ok_or("its salt is not 16 bytes in base64url")?;
            let (head, _) = text.split_at(before.len() - 1 - sealed.len());
            Ok(Content::Sealed(SealedSecret {
                labels,
                cost,
                salt,
                sealed: decode(sealed).ok_or("its sealed key is not 48 bytes in base64url")?,
                head: head.to_owned(),
            }))
        }
        _ => Err(format!("it does not begin with {}-1 or -2", kind.name)),
    }
}

fn wrong_words(count: usize) -> String {
    format!("it is not {count} words with one space between them")
}

fn checksum(before: &[u8]) -> String {
    let digest = Sha256::digest(before);
    HEXLOWER.encode(digest.get(..CHECKSUM_LENGTH).unwrap_or_default())
}

fn decode_key(word: &str) -> Option<Zeroizing<[u8; KEY_LENGTH]>> {
    let mut key = Zeroizing::new([0; KEY_LENGTH]);
    (BASE64URL_NOPAD.decode_len(word.len()) == Ok(KEY_LENGTH)).then_some(())?;
    BASE64URL_NOPAD
        .decode_mut(word.as_bytes(), key.as_mut_slice())
        .ok()?;
    Some(key)
}

fn decode<const N: usize>(word: &str) -> Option<[u8; N]> {
    let bytes = BASE64URL_NOPAD.decode(word.as_bytes()).ok()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key_service::local::LOCAL_KEY;

    const LINE: &[u8] =
        b"sealgate-local-key-1 000102030405060708090a0b0c0d0e0f AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n";

    fn file(id: [u8; 16], key: [u8; 32]) -> SecretFile {
        SecretFile {
            labels: vec![HEXLOWER.encode(&id)],
            key: Zeroizing::new(key),
        }
    }

    fn sample() -> SecretFile {
        let count = |index: usize| u8::try_from(index).unwrap();
        file(std::array::from_fn(count), std::array::from_fn(count))
    }

    fn fault(line: &[u8]) -> Option<String> {
        parse(&LOCAL_KEY, line).err()
    }

    #[test]
    fn line_is_as_specified() {
        assert_eq!(clear(&LOCAL_KEY, &sample()).as_bytes(), LINE);
        let Ok(Content::Clear(parsed)) = parse(&LOCAL_KEY, LINE) else {
            panic!("the line does not parse");
        };
        assert_eq!(parsed.labels, sample().labels);
        assert_eq!(*parsed.key, *sample().key);
    }

    #[test]
    fn anything_but_the_exact_line_is_refused() {
        let text = String::from_utf8(LINE.to_vec()).unwrap();
        for (bad, part) in [
            (text.trim_end().to_owned(), "line feed"),
            (text.replace("key-1", "key-3"), "begin with"),
            (text.replace("key-1", "key-2"), "words"),
            (text.replace(' ', "  "), "key id"),
            (text.replace("0e0f", "0E0F"), "key id"),
            (text.replace("0e0f ", "0e "), "key id"),
            (text.replace("Hh8\n", "Hh9\n"), "base64url"),
            (text.replace("Hh8\n", "Hh8=\n"), "base64url"),
            (text.replace("Hh8\n", "\n"), "base64url"),
            (text.replace('\n', "\r\n"), "base64url"),
            (format!("{text}{text}"), "words"),
            (text.replace("Hh8\n", "Hhé\n"), "ASCII"),
            ("x".repeat(MAXIMUM_LINE_LENGTH + 1), "longer"),
            (String::new(), "line feed"),
        ] {
            let fault = fault(bad.as_bytes()).unwrap();
            assert!(fault.contains(part), "{bad:?}: {fault}");
        }
    }

    proptest! {
        #[test]
        fn parsing_inverts_writing(id in any::<[u8; 16]>(), key in any::<[u8; 32]>()) {
            let written = file(id, key);
            let Ok(Content::Clear(read)) = parse(&LOCAL_KEY, clear(&LOCAL_KEY, &written).as_bytes()) else {
                panic!("the line does not parse");
            };
            prop_assert_eq!(&read.labels, &written.labels);
            prop_assert_eq!(*read.key, key);
        }

        #[test]
        fn only_canonical_lines_parse(position in 0..LINE.len(), byte in any::<u8>()) {
            let mut line = LINE.to_vec();
            line[position] = byte;
            if let Ok(Content::Clear(key)) = parse(&LOCAL_KEY, &line) {
                let canonical = clear(&LOCAL_KEY, &key);
                prop_assert_eq!(canonical.as_bytes(), line.as_slice());
            }
        }

        #[test]
        fn nothing_panics(line in proptest::collection::vec(any::<u8>(), 0..600), version in 1..=2) {
            let _ = fault(&line);
            let mut text = format!("sealgate-local-key-{version} 000102030405060708090a0b0c0d0e0f ").into_bytes();
            text.extend_from_slice(&line);
            text.push(b'\n');
            let _ = fault(&text);
        }
    }
}
