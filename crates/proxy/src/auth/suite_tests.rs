//! Amazon's own test suite of Signature Version 4, as it comes with the crate that signs for the AWS SDKs. Nothing of it is copied: cargo
//! says where the source of that crate lies.
//!
//! The suite signs for a service that normalises paths and encodes them twice, which S3 does neither; what differs for that reason is
//! declared below, and must differ.

use std::path::{Path, PathBuf};
use std::process::Command;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::canonical::{CanonicalRequest, canonical_query};
use super::keys::encode_hex;

/// Cases, or one form of a case, whose canonical request is another for S3, and why.
const NOT_S3: &[(&str, &str)] = &[
    (
        "double-encode-path",
        "S3 signs the path as it is on the wire, encoded once",
    ),
    (
        "double-url-encode",
        "S3 signs the path as it is on the wire, encoded once",
    ),
    ("get-relative-normalized", "S3 does not normalise paths"),
    (
        "get-relative-relative-normalized",
        "S3 does not normalise paths",
    ),
    (
        "get-slash-dot-slash-normalized",
        "S3 does not normalise paths",
    ),
    ("get-slash-normalized", "S3 does not normalise paths"),
    (
        "get-slash-pointless-dot-normalized",
        "S3 does not normalise paths",
    ),
    ("get-slashes-normalized", "S3 does not normalise paths"),
    (
        "get-header-value-multiline",
        "a header over several lines is refused before its signature is looked at",
    ),
    (
        "post-sts-header-after query",
        "S3 wants the session token of a presigned URL signed, as all else that it says",
    ),
];

/// Where cargo keeps the suite.
fn suite() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let manifest = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|package| package["name"] == "aws-sigv4")
        .unwrap()["manifest_path"]
        .as_str()
        .unwrap()
        .to_owned();
    Path::new(&manifest).with_file_name("aws-signing-test-suite/v4")
}

/// A signed request of the suite, as it would be on the wire: the suite writes paths without the escapes that HTTP needs.
struct Signed {
    method: String,
    path: String,
    query: String,
    host: String,
    headers: HeaderMap,
}

impl Signed {
    fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let line = lines.next().unwrap();
        let (method, target) = line.split_once(' ').unwrap();
        let target = target.strip_suffix(" HTTP/1.1").unwrap_or(target);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HeaderMap::new();
        let mut host = String::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            // A line that goes on is one of `NOT_S3`: it has no name, and is dropped.
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            if name.eq_ignore_ascii_case("host") {
                value.trim().clone_into(&mut host);
            }
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        Self {
            method: method.to_owned(),
            path: escaped(path),
            query: canonical_query(query),
            host,
            headers,
        }
    }

    fn canonical(&self, signed_headers: &str, payload_hash: &str) -> String {
        let mut canonical = Vec::new();
        let request = CanonicalRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            host: &self.host,
            signed_headers,
            payload_hash,
        };
        request
            .write(|piece| canonical.extend_from_slice(piece))
            .unwrap();
        String::from_utf8(canonical).unwrap()
    }
}

fn escaped(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'!'..=b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// Both forms of a case, with what differs from the suite; `None` where nothing does.
fn difference(case: &Path, form: &str) -> Option<String> {
    let read = |what: &str| {
        let text = std::fs::read_to_string(case.join(format!("{form}-{what}.txt"))).unwrap();
        text.replace("\r\n", "\n")
    };
    let theirs = read("canonical-request");
    let mut last = theirs.trim_end().rsplit('\n');
    let payload_hash = last.next().unwrap();
    let signed_headers = last.next().unwrap();
    let ours = Signed::read(&read("signed-request")).canonical(signed_headers, payload_hash);
    if ours != theirs.trim_end() {
        return Some(format!("ours:\n{ours}\nthe suite's:\n{theirs}"));
    }
    let digest = encode_hex(&<sha2::Sha256 as sha2::Digest>::digest(&ours));
    let to_sign = read("string-to-sign");
    (!to_sign.trim_end().ends_with(&digest)).then(|| format!("{digest} is not of {to_sign}"))
}

#[test]
fn the_suite_of_amazon_has_the_same_canonical_requests() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for case in std::fs::read_dir(suite()).unwrap() {
        let case = case.unwrap().path();
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        for form in ["header", "query"] {
            if !case.join(format!("{form}-canonical-request.txt")).exists() {
                continue;
            }
            seen += 1;
            let declared = NOT_S3
                .iter()
                .find(|(other, _)| *other == name || *other == format!("{name} {form}"));
            match (difference(&case, form), declared) {
                (None, None) | (Some(_), Some(_)) => {}
                (Some(difference), None) => wrong.push(format!("{name}, {form}: {difference}")),
                (None, Some((_, reason))) => {
                    wrong.push(format!("{name}, {form}: the same, though {reason}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(seen >= 60, "the suite had {seen} forms of cases only");
}
