//! Working keys wrapped with a local key file (section 2).

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::Outcome;
use crate::forge::{prefixed, seal};
use crate::seeded::Seeded;
use crate::vector::Vector;

const CONTEXT: [(&str, &str); 3] = [
    ("sealgate:domain", "deployment/bucket"),
    ("sealgate:format", "1"),
    ("sealgate:working-key", "000102030405060708090a0b0c0d0e0f"),
];

/// The blob of `version`, under the context whose pairs are in ascending order.
fn blob(
    version: u8,
    key: &[u8; 32],
    context: &[(&str, &str)],
    working_key: &[u8],
) -> Outcome<Vec<u8>> {
    let aad: Vec<u8> = context
        .iter()
        .flat_map(|(name, value)| [prefixed(name.as_bytes()), prefixed(value.as_bytes())].concat())
        .collect();
    let nonce: [u8; 12] = Seeded::new("local nonce").array();
    Ok([
        &[version][..],
        &nonce,
        &seal(1, key, nonce, &aad, working_key)?,
    ]
    .concat())
}

fn line(id: &[u8; 16], key: &[u8; 32]) -> String {
    format!(
        "sealgate-local-key-1 {} {}\n",
        HEXLOWER.encode(id),
        BASE64URL_NOPAD.encode(key)
    )
}

/// What the sealed key files are sealed with.
const PASSPHRASE: &str = "grün ist die Hoffnung";

/// The line of version 2, with its checksum, under the numbers of Argon2id.
fn sealed_line(id: &[u8; 16], key: &[u8], numbers: [u32; 3]) -> Outcome<String> {
    let salt: [u8; 16] = Seeded::new("passphrase salt").array();
    let [memory, passes, lanes] = numbers;
    let mut derived = [0; 32];
    let parameters =
        Params::new(memory, passes, lanes, Some(32)).map_err(|error| error.to_string())?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into(PASSPHRASE.as_bytes(), &salt, &mut derived)
        .map_err(|error| error.to_string())?;
    let head = format!(
        "sealgate-local-key-2 {} argon2id {memory} {passes} {lanes} {} ",
        HEXLOWER.encode(id),
        BASE64URL_NOPAD.encode(&salt)
    );
    let sealed = seal(1, &derived, [0; 12], head.as_bytes(), key)?;
    Ok(with_checksum(&format!(
        "{head}{} ",
        BASE64URL_NOPAD.encode(&sealed)
    )))
}

fn with_checksum(before: &str) -> String {
    let digest = Sha256::digest(before.as_bytes());
    let checksum: String = HEXLOWER.encode(&digest).chars().take(8).collect();
    format!("{before}{checksum}\n")
}

/// A line of version 2 with a word exchanged, and the checksum that it has then.
fn altered(line: &str, from: &str, to: &str) -> String {
    let before = line.rsplit_once(' ').map_or("", |(before, _)| before);
    with_checksum(&format!("{} ", before.replacen(from, to, 1)))
}

pub(crate) fn vectors() -> Outcome<Vec<Value>> {
    let mut random = Seeded::new("local wraps");
    let (id, key, other, working_key): ([u8; 16], [u8; 32], [u8; 32], [u8; 32]) = (
        random.array(),
        random.array(),
        random.array(),
        random.array(),
    );
    let right = blob(1, &key, &CONTEXT, &working_key)?;
    let vector =
        |name: &str, comment: &str, key_file: &str, blob: &[u8], context: &[(&str, &str)]| {
            let context: Map<String, Value> = context
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect();
            Vector::new("local-wrap", name, comment)
                .with("key_file", key_file)
                .hex("blob", blob)
                .with("context", context)
        };
    let file = line(&id, &key);
    let unicode = [
        ("sealgate:domain", "d/ü"),
        ("sealgate:format", "1"),
        ("sealgate:working-key", "ffffffffffffffffffffffffffffffff"),
    ];
    let mut vectors = vec![
        vector("right", "a wrapped working key", &file, &right, &CONTEXT)
            .hex("working_key", &working_key)
            .opens(),
        vector(
            "unicode-domain",
            "lengths count bytes",
            &file,
            &blob(1, &key, &unicode, &working_key)?,
            &unicode,
        )
        .hex("working_key", &working_key)
        .opens(),
    ];
    let mut flipped = right.clone();
    if let Some(last) = flipped.last_mut() {
        *last ^= 1;
    }
    let swapped = [
        ("sealgate:domain", "1"),
        ("sealgate:format", "deployment/bucket"),
        CONTEXT[2],
    ];
    let descending = [CONTEXT[2], CONTEXT[1], CONTEXT[0]];
    for (name, comment, key_file, blob, context) in [
        (
            "version-2",
            "a blob of version 2",
            file.clone(),
            blob(2, &key, &CONTEXT, &working_key)?,
            &CONTEXT,
        ),
        (
            "short-key",
            "a working key of 31 bytes",
            file.clone(),
            blob(1, &key, &CONTEXT, working_key.get(..31).unwrap_or_default())?,
            &CONTEXT,
        ),
        (
            "long-key",
            "a working key of 33 bytes",
            file.clone(),
            blob(1, &key, &CONTEXT, &[&working_key[..], &[0]].concat())?,
            &CONTEXT,
        ),
        (
            "flipped",
            "one bit of the tag",
            file.clone(),
            flipped,
            &CONTEXT,
        ),
        (
            "truncated",
            "the last byte missing",
            file.clone(),
            right.get(..60).unwrap_or_default().to_vec(),
            &CONTEXT,
        ),
        ("empty", "no blob", file.clone(), Vec::new(), &CONTEXT),
        (
            "other-context",
            "values exchanged",
            file.clone(),
            right.clone(),
            &swapped,
        ),
        (
            "descending-context",
            "sealed with the pairs in descending order",
            file.clone(),
            self::blob(1, &key, &descending, &working_key)?,
            &CONTEXT,
        ),
        (
            "other-key",
            "another key in the file",
            line(&id, &other),
            right.clone(),
            &CONTEXT,
        ),
        (
            "no-line-feed",
            "a key file without its line feed",
            file.trim_end().to_owned(),
            right.clone(),
            &CONTEXT,
        ),
        (
            "two-lines",
            "a key file of two lines",
            file.repeat(2),
            right.clone(),
            &CONTEXT,
        ),
        (
            "upper-case-id",
            "a key id in upper case",
            line(&[0xab; 16], &key).replacen("abab", "ABab", 1),
            right.clone(),
            &CONTEXT,
        ),
        (
            "other-prefix",
            "a key file of another version",
            file.replace("key-1", "key-2"),
            right.clone(),
            &CONTEXT,
        ),
    ] {
        vectors.push(vector(name, comment, &key_file, &blob, context).fails("record", 0));
    }
    let sealed = sealed_line(&id, &key, [64, 2, 2])?;
    let with_passphrase = |name: &str, comment: &str, key_file: &str, passphrase: &str| {
        vector(name, comment, key_file, &right, &CONTEXT).with("passphrase", passphrase)
    };
    vectors.push(
        with_passphrase(
            "sealed",
            "a key file sealed with a passphrase",
            &sealed,
            PASSPHRASE,
        )
        .hex("working_key", &working_key)
        .opens(),
    );
    let id_text = HEXLOWER.encode(&id);
    for (name, comment, key_file, passphrase) in [
        (
            "sealed-wrong-passphrase",
            "another passphrase",
            sealed.clone(),
            "grün ist die Hoffnung.",
        ),
        (
            "sealed-decomposed-passphrase",
            "the same text, not composed",
            sealed.clone(),
            "gru\u{308}n ist die Hoffnung",
        ),
        (
            "sealed-damaged",
            "a checksum that is wrong",
            sealed.replacen(" 64 ", " 65 ", 1),
            PASSPHRASE,
        ),
        (
            "sealed-other-memory",
            "another number than was sealed",
            altered(&sealed, " 64 ", " 65 "),
            PASSPHRASE,
        ),
        (
            "sealed-other-id",
            "another key id than was sealed",
            altered(&sealed, &id_text, &"0".repeat(32)),
            PASSPHRASE,
        ),
        (
            "sealed-too-much-memory",
            "memory above the limit",
            altered(&sealed, " 64 ", " 524289 "),
            PASSPHRASE,
        ),
        (
            "sealed-too-many-passes",
            "passes above the limit",
            altered(&sealed, " 2 2 ", " 17 2 "),
            PASSPHRASE,
        ),
        (
            "sealed-too-many-lanes",
            "lanes above the limit",
            altered(&sealed, " 64 2 2 ", " 256 2 17 "),
            PASSPHRASE,
        ),
        (
            "sealed-too-little-memory",
            "less than 8 KiB for each lane",
            altered(&sealed, " 64 ", " 15 "),
            PASSPHRASE,
        ),
        (
            "sealed-leading-zero",
            "a number with a leading zero",
            altered(&sealed, " 64 ", " 064 "),
            PASSPHRASE,
        ),
        (
            "sealed-other-derivation",
            "derived by something else",
            altered(&sealed, "argon2id", "argon2i"),
            PASSPHRASE,
        ),
        (
            "sealed-short-key",
            "a sealed key of 31 bytes",
            sealed_line(&id, key.get(..31).unwrap_or_default(), [64, 2, 2])?,
            PASSPHRASE,
        ),
        (
            "clear-with-passphrase",
            "a passphrase for a file that is not sealed",
            file.clone(),
            PASSPHRASE,
        ),
    ] {
        vectors.push(with_passphrase(name, comment, &key_file, passphrase).fails("record", 0));
    }
    vectors.push(
        vector(
            "sealed-no-passphrase",
            "no passphrase for a sealed file",
            &sealed,
            &right,
            &CONTEXT,
        )
        .fails("record", 0),
    );
    Ok(vectors)
}
