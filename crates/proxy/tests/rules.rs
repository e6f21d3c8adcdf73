//! The register of what an encrypting S3 proxy must do on the wire. Each rule has a test that names it: a Rust test whose name begins with
//! `rule_NN_`, or a case of the conformance suite called `rule NN: …`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The rules, numbered from 1.
const RULES: [&str; 27] = [
    "The signature is verified before the body is polled, in every mode, and the body's hash where it was signed.",
    "An x-amz- header that the signature does not cover is refused, but for those that describe the body.",
    "The host is verified as it was signed, with or without the scheme's default port, or as a configured external name.",
    "Presigned URLs live from 1 second to 7 days; their authentication parameters do not go upstream.",
    "Clocks may differ by 15 minutes.",
    "Path style and virtual-host style are accepted, and chosen for each upstream.",
    "The path is taken verbatim: nothing is normalised.",
    "Streaming bodies are known by x-amz-content-sha256; their framing is never stored, their trailer is verified over the plaintext.",
    "Every checksum algorithm and every mode of signed chunks is verified; what is buffered of a chunk is bounded.",
    "A body is exactly as long as declared; without a length there is 411.",
    "A mismatch that is known at the end alone leaves no object.",
    "An upstream PUT has minimal headers and a fixed length, and nothing that describes the plaintext.",
    "100 Continue comes after authentication; an early refusal reaches a client that is still sending.",
    "Only what can be replayed is tried again when a pooled connection turns out to be dead.",
    "Checksums of the ciphertext never reach a client; those of the plaintext do where they were asked for.",
    "SHA checksums of multipart objects are composite, CRC64NVME ones are of the full object, CRC32 and CRC32C may be either.",
    "Entity tags are mapped everywhere, and never look like the MD5 of the plaintext.",
    "Listings are rewritten in sizes, tags and checksums only.",
    "A Complete is answered early and kept alive; an error in a 200 is an error.",
    "Ranges are resolved against the plaintext.",
    "partNumber and GetObjectAttributes speak of the plaintext's parts.",
    "Errors name our own resources and ids, and nothing leads a client around the gateway.",
    "Sizes are bounded as in S3, by plaintext.",
    "DeleteObjects is bounded, read whole, and sent on with a Content-MD5.",
    "A form's policy is verified, signature and conditions, and stored as a PutObject.",
    "SSE-C is refused and never passed on.",
    "Conditional writes are passed on and answered as S3 answers them.",
];

/// Where tests live, seen from the repository.
const PLACES: [&str; 5] = [
    "crates/proxy/src",
    "crates/proxy/tests",
    "crates/devstore/tests",
    "tests/tests",
    "tests/conformance",
];

/// The number behind a mark: `rule_07_` or `rule 7:`.
fn number(text: &str, mark: &str, end: char) -> Option<usize> {
    let (digits, _) = text.trim_start().strip_prefix(mark)?.split_once(end)?;
    digits.parse().ok()
}

/// The rule that a line's test names.
fn named(line: &str) -> Option<usize> {
    let function = line
        .trim_start()
        .strip_prefix("async ")
        .unwrap_or(line.trim_start());
    number(function, "fn rule_", '_').or_else(|| number(line, "@case(\"rule ", ':'))
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if path.is_dir() {
            files(&path, found)?;
        } else if matches!(kind, Some("rs" | "py")) {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn every_rule_has_a_test_that_names_it() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut sources = Vec::new();
    for place in PLACES {
        files(&repository.join(place), &mut sources).unwrap();
    }
    let mut tests: BTreeMap<usize, usize> = BTreeMap::new();
    for source in sources {
        for rule in fs::read_to_string(source)
            .unwrap()
            .lines()
            .filter_map(named)
        {
            *tests.entry(rule).or_default() += 1;
        }
    }
    for (rule, text) in (1..).zip(RULES) {
        assert!(
            tests.contains_key(&rule),
            "no test names rule {rule}: {text}"
        );
    }
    let unknown: Vec<_> = tests.keys().filter(|rule| **rule > RULES.len()).collect();
    assert!(
        unknown.is_empty(),
        "tests name rules that there are not: {unknown:?}"
    );
}

#[test]
fn names_are_read_in_both_languages() {
    assert_eq!(named("    fn rule_07_paths() {"), Some(7));
    assert_eq!(named("async fn rule_22_x() -> Result<()> {"), Some(22));
    assert_eq!(named("@case(\"rule 25: a form\")"), Some(25));
    assert_eq!(named("fn ruler() {"), None);
}
