//! SECURITY.md names tests for each of its claims, and they exist.

#![expect(
    clippy::unwrap_used,
    reason = "a document that cannot be read is a failure of the test"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// How many claims it makes at least; fewer were read wrongly.
const CLAIMS: usize = 25;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What each claim names: the last column of a table's line, and what stands behind "Shown by" elsewhere.
fn claims(text: &str) -> Vec<(&str, &str)> {
    let mut claims = Vec::new();
    let mut section = "";
    for line in text.lines() {
        section = line.strip_prefix("## ").unwrap_or(section);
        if line.starts_with("| **") {
            let cells: Vec<_> = line.trim_end_matches([' ', '|']).split(" | ").collect();
            claims.push((line, *cells.last().unwrap()));
        } else if section == "What is protected, and how" && line.starts_with("- **") {
            claims.push((
                line,
                line.rsplit_once("Shown by").map_or("", |(_, named)| named),
            ));
        }
    }
    claims
}

/// Whether a name is a file or directory of the repository, a module of the end-to-end tests, or a test in one of them.
fn exists(name: &str, modules: &Path) -> bool {
    let module = modules.join(name.replace("::", "/"));
    repository().join(name).exists()
        || module.is_dir()
        || module.with_extension("rs").is_file()
        || is_test(modules, name)
}

fn is_test(directory: &Path, name: &str) -> bool {
    let declaration = format!("fn {name}(");
    fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_test(&path, name);
        }
        let text = fs::read_to_string(path).unwrap();
        text.find(&declaration).is_some_and(|at| {
            let before = text.get(..at).unwrap();
            let attributes = before.rsplit_once("\n\n").map_or(before, |(_, rest)| rest);
            attributes.contains("#[tokio::test") || attributes.contains("#[test]")
        })
    })
}

#[test]
fn every_claim_of_the_security_document_names_tests_that_exist() {
    let text = fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    let modules = repository().join("tests/tests/end_to_end");
    let claims = claims(&text);
    assert!(claims.len() >= CLAIMS, "{} claims", claims.len());
    for (claim, named) in claims {
        let names: Vec<_> = named.split('`').skip(1).step_by(2).collect();
        let links_to_lines = named.contains("docs/adversary.md");
        assert!(
            !names.is_empty() || links_to_lines || named == "the same",
            "no test is named: {claim}"
        );
        for name in names {
            assert!(exists(name, &modules), "there is no test {name}: {claim}");
        }
    }
}
