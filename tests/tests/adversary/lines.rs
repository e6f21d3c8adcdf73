//! docs/adversary.md and the code name the same things.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};
use sealgate_tests::content::files;

use crate::{alterations, transport, uploads};

const LINES: &str = include_str!("../../../docs/adversary.md");

/// The rows of its tables: what is done, what is promised, and what shows it.
fn rows() -> Vec<Vec<&'static str>> {
    let rows = LINES
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| what"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

#[test]
fn every_line_names_what_shows_it_and_everything_that_is_tried_is_in_a_line() -> Result<()> {
    let mut tried: BTreeSet<&str> = BTreeSet::new();
    tried.extend(alterations::all().iter().map(|alteration| alteration.name));
    tried.extend(transport::lies().iter().map(|(name, _)| *name));
    tried.extend(uploads::lies().iter().map(|(name, _)| *name));
    let mut sources = String::new();
    for place in ["tests/adversary", "../crates/envelope/src/keyring/tests"] {
        for path in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(place))? {
            let text = fs::read_to_string(&path);
            sources.push_str(&text.with_context(|| path.display().to_string())?);
        }
    }
    let rows = rows();
    ensure!(rows.len() > 50, "{} lines", rows.len());
    let mut named = BTreeSet::new();
    for row in rows {
        let [what, promise, shown_by] = row.as_slice() else {
            anyhow::bail!("not three cells: {row:?}");
        };
        ensure!(!promise.is_empty(), "{what}: nothing is promised");
        for item in shown_by.split("; ") {
            if let Some(test) = item
                .strip_prefix('`')
                .and_then(|item| item.strip_suffix('`'))
            {
                ensure!(
                    sources.contains(&format!("fn {test}()")),
                    "{what}: there is no test {test}"
                );
            } else {
                let name = item.trim_matches('"');
                ensure!(tried.contains(name), "{what}: nobody tries {item}");
                named.insert(name);
            }
        }
    }
    let missing: Vec<_> = tried.difference(&named).collect();
    ensure!(
        missing.is_empty(),
        "docs/adversary.md does not name {missing:?}"
    );
    Ok(())
}
