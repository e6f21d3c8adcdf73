//! Every vector in `vectors/` is opened, or refused after exactly the bytes it names, by every backend.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test stops where something is wrong, and its numbers are small"
)]

mod contents;
mod fields;
#[cfg(feature = "local")]
mod key_files;
#[cfg(feature = "local")]
mod local_wraps;
mod pattern;
mod records;
#[cfg(feature = "recovery")]
mod recovery_wraps;

use std::collections::BTreeSet;
use std::path::Path;

use sealgate_envelope::layout::{plaintext_length, sealed_length};
use sealgate_envelope::{Backend, Error};
use serde_json::Value;

use fields::Fields;

/// The vectors of all files, each with `group/name`.
fn vectors() -> Vec<(String, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    let mut vectors = Vec::new();
    for file in files {
        let document: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        for vector in document["vectors"].as_array().unwrap() {
            vectors.push((
                format!("{}/{}", document.text("group"), vector.text("name")),
                vector.clone(),
            ));
        }
    }
    vectors
}

/// What became of one vector.
pub(crate) enum Outcome {
    /// It opened, and everything it names was compared.
    Opened,
    /// It was refused after this many bytes of right plaintext.
    Refused(u64, Error),
}

fn attempt(vector: &Value, backend: Backend) -> Outcome {
    match vector.text("kind") {
        "object" => contents::object(vector, backend),
        "file" => contents::file(vector, backend),
        "upload-record" => records::upload(vector, backend),
        "part-record" => records::part(vector, backend),
        "registry-record" => records::registry(vector),
        #[cfg(feature = "local")]
        "local-wrap" => local_wraps::wrap(vector),
        #[cfg(feature = "recovery")]
        "recovery-wrap" => recovery_wraps::wrap(vector),
        kind => panic!("kind {kind} is not in the schema"),
    }
}

#[test]
fn every_vector_with_every_backend() {
    let (mut opened, mut refused) = (0, 0);
    for (name, vector) in vectors() {
        if vector.text("kind") == "lengths"
            || (cfg!(not(feature = "local")) && vector.text("kind") == "local-wrap")
            || (cfg!(not(feature = "recovery")) && vector.text("kind") == "recovery-wrap")
        {
            continue;
        }
        for backend in Backend::ALL {
            match (vector.text("expect"), attempt(&vector, *backend)) {
                ("opens", Outcome::Opened) => opened += 1,
                ("fails", Outcome::Refused(released, error)) => {
                    assert_eq!(
                        released,
                        vector.number("released"),
                        "{name} {backend:?}: {error:?}"
                    );
                    refused += 1;
                }
                (_, Outcome::Opened) => panic!("{name} {backend:?} opened"),
                (_, Outcome::Refused(_, error)) => {
                    panic!("{name} {backend:?} was refused: {error:?}")
                }
            }
        }
    }
    let backends = Backend::ALL.len();
    assert!(
        opened >= 100 * backends && refused >= 250 * backends,
        "{opened} opened, {refused} refused"
    );
}

#[test]
fn names_are_unique() {
    let mut names = BTreeSet::new();
    for (name, _) in vectors() {
        assert!(names.insert(name.clone()), "{name}");
    }
}

#[test]
fn lengths() {
    let mut count = 0;
    for (_, vector) in vectors()
        .iter()
        .filter(|(_, vector)| vector.text("kind") == "lengths")
    {
        for pair in vector["pairs"].as_array().unwrap() {
            let (plaintext, sealed) = (pair[0].as_u64().unwrap(), pair[1].as_u64().unwrap());
            assert_eq!(sealed_length(plaintext), Some(sealed));
            assert_eq!(plaintext_length(sealed), Some(plaintext));
            count += 1;
        }
        for sealed in vector["not_in_image"].as_array().unwrap() {
            assert_eq!(plaintext_length(sealed.as_u64().unwrap()), None, "{sealed}");
            count += 1;
        }
    }
    assert!(count > 500, "{count}");
}
