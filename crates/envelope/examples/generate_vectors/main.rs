//! Writes the test vectors in `vectors/`, always the same bytes: `cargo run --example generate_vectors`.
//!
//! Vectors that must open are sealed by the library with random numbers from a seed. Vectors that must fail are made
//! by altering those, or, where a reader must refuse what nobody can seal with the library, by [`forge`], a second
//! writer that keeps no rule.

#[path = "../../tests/vectors/pattern.rs"]
mod pattern;

mod body_failures;
mod commit_failures;
mod files;
mod forge;
mod header_failures;
mod lengths;
mod local_wraps;
mod multipart_failures;
mod objects;
mod recipes;
mod records;
mod recovery_wraps;
mod samples;
mod seeded;
mod vector;

use std::error::Error;
use std::path::Path;

use serde_json::{Value, json};

/// What a generator may fail with: anything, it is a tool.
type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    std::fs::create_dir_all(&directory)?;
    let groups: [(&str, &str, Vec<Value>); 11] = [
        (
            "objects",
            "Sealed objects of one part, every kind and suite, and what their metadata may hold.",
            objects::vectors()?,
        ),
        (
            "recipes",
            "Objects too large to store: the reader seals the body itself.",
            recipes::vectors()?,
        ),
        ("files", "Sealed files, good and bad.", files::vectors()?),
        (
            "header-failures",
            "Headers that must be refused before any byte of plaintext.",
            header_failures::vectors()?,
        ),
        (
            "commit-failures",
            "Commit regions that must be refused before any byte of plaintext.",
            commit_failures::vectors()?,
        ),
        (
            "body-failures",
            "Altered bodies: refused, after verified bytes at most.",
            body_failures::vectors()?,
        ),
        (
            "multipart-failures",
            "Parts dropped, moved, repeated or exchanged.",
            multipart_failures::vectors()?,
        ),
        (
            "records",
            "Records of the state bucket: uploads, parts, working keys.",
            records::vectors()?,
        ),
        (
            "local-wraps",
            "Working keys wrapped with a local key file.",
            local_wraps::vectors()?,
        ),
        (
            "recovery-wraps",
            "Working keys wrapped for an offline recovery key.",
            recovery_wraps::vectors()?,
        ),
        (
            "lengths",
            "The arithmetic of section 5.",
            lengths::vectors(),
        ),
    ];
    for (group, comment, vectors) in groups {
        let document = json!({"group": group, "comment": comment, "vectors": vectors});
        let text = serde_json::to_string_pretty(&document)? + "\n";
        std::fs::write(directory.join(format!("{group}.json")), text)?;
    }
    Ok(())
}
