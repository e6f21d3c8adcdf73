//! Writes mutants that cargo-mutants listed into the sources, all at once, each behind a question: `chosen()`, which the environment of
//! the program answers with the number of one mutant, or of none. What is compiled once can so be each of them.
//!
//! ```text
//! sealgate-mutants-woven TREE < mutants.json > woven.json
//! ```
//!
//! Each mutant of the list has a `number`. Written to stdout are the numbers of those that were woven in. The others are of a kind that
//! cannot be asked for while the program runs: they change a constant function, or a condition that binds names.
//!
//! Each mutant stands between `/*N*/` and `/*-N*/` on lines of its own, by which errors of the compiler are laid at its door.

mod places;
mod weave;

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{places::Places, weave::Insertions};

/// A mutant as cargo-mutants lists it.
#[derive(Debug, Deserialize)]
pub struct Mutant {
    number: u32,
    file: String,
    genre: String,
    replacement: String,
    span: Span,
}

#[derive(Debug, Deserialize)]
struct Span {
    start: Position,
    end: Position,
}

/// Line and column, both from 1.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    line: usize,
    column: usize,
}

fn main() -> Result<()> {
    let tree = PathBuf::from(std::env::args().nth(1).context("which tree?")?);
    let mutants: Vec<Mutant> = serde_json::from_reader(io::stdin())?;
    let mut files: BTreeMap<String, Vec<Mutant>> = BTreeMap::new();
    for mutant in mutants {
        files.entry(mutant.file.clone()).or_default().push(mutant);
    }
    let mut woven = Vec::new();
    for (name, mutants) in files {
        let path = tree.join(&name);
        let source = fs::read_to_string(&path).with_context(|| name.clone())?;
        let places = Places::of(&source).with_context(|| name.clone())?;
        let mut insertions = Insertions::new(&source);
        for mutant in &mutants {
            if insertions.add(mutant, &places) {
                woven.push(mutant.number);
            }
        }
        fs::write(&path, insertions.apply())?;
    }
    serde_json::to_writer(io::stdout(), &woven)?;
    Ok(())
}
