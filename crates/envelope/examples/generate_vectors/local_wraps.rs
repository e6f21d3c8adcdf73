//! Working keys wrapped with a local key file (section 2).

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Map, Value, json};

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
    Ok(vectors)
}
