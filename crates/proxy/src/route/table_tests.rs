//! docs/s3.md says what becomes of every operation; here the router is asked, so that it says the truth.
//!
//! `SEALGATE_WRITE_DOCS=1 cargo test -p sealgate --lib operation_table` writes the table anew.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{Operation, Treatment, Unsigned, choose, locate, unsigned};
use crate::{error::S3Error, query_string::QueryString};

const OPERATIONS: &str = include_str!("operations.txt");

/// Older names of operations; their requests are the same.
const RENAMED: [(&str, &str); 4] = [
    ("GetBucketLifecycle", "GetBucketLifecycleConfiguration"),
    (
        "GetBucketNotification",
        "GetBucketNotificationConfiguration",
    ),
    ("PutBucketLifecycle", "PutBucketLifecycleConfiguration"),
    (
        "PutBucketNotification",
        "PutBucketNotificationConfiguration",
    ),
];

/// What browsers send without a signature in the request's head. All the others are signed.
const OF_BROWSERS: [&str; 2] = ["OptionsObject", "PostObject"];

struct Line {
    name: &'static str,
    request: &'static str,
    headers: &'static str,
    remark: &'static str,
}

fn lines() -> Vec<Line> {
    OPERATIONS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut cells = line.split('|').map(str::trim);
            let mut cell = || cells.next().unwrap_or_default();
            Line {
                name: cell(),
                request: cell(),
                headers: cell(),
                remark: cell(),
            }
        })
        .collect()
}

impl Line {
    /// What the router says to this request.
    fn ask(&self) -> Result<(&'static str, Treatment), S3Error> {
        let (method, target) = self.request.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers: HeaderMap = self
            .headers
            .split_whitespace()
            .map(|text| {
                let (name, value) = text.split_once(':').unwrap_or((text, "x"));
                let name: HeaderName = name.parse().unwrap();
                (name, HeaderValue::from_str(value).unwrap())
            })
            .collect();
        if !OF_BROWSERS.contains(&self.name) {
            let signature = HeaderValue::from_static("AWS4-HMAC-SHA256 Signature=x");
            headers.insert(header::AUTHORIZATION, signature);
        }
        match unsigned(&method, query, &headers) {
            Some(Unsigned::Form) => return Ok(("PostObject", Treatment::Transformed)),
            Some(Unsigned::Preflight) => {
                let preflight = Operation::OptionsObject;
                return Ok((preflight.name(), preflight.treatment()));
            }
            Some(Unsigned::Anonymous) => return Err(crate::policy::refusal()),
            None => {}
        }
        let path = locate(None, &[], path, &headers)?;
        let query = QueryString::parse(Some(query)).unwrap();
        let operation = choose(&method, &path, &query, &headers)?;
        Ok((operation.name(), operation.treatment()))
    }

    fn row(&self) -> String {
        let (treatment, remark) = match self.ask() {
            Ok((name, treatment)) => {
                let expected = RENAMED
                    .iter()
                    .find(|(old, _)| *old == self.name)
                    .map_or(self.name, |(_, new)| new);
                assert_eq!(name, expected, "{}", self.request);
                (treatment.word().to_owned(), self.remark)
            }
            Err(error) => {
                assert_eq!(self.remark, "", "{}: the reason is the router's", self.name);
                let reason = error
                    .message
                    .strip_prefix(&format!("{} is refused: ", self.name));
                let reason = reason
                    .unwrap_or_else(|| panic!("{} names no reason: {error}", self.name))
                    .to_owned();
                let refusal = format!("refused: {} {}", error.status.as_u16(), error.code);
                return self.cells(&refusal, &capitalised(&reason));
            }
        };
        self.cells(&treatment, remark)
    }

    fn cells(&self, treatment: &str, remark: &str) -> String {
        let remark = if remark.is_empty() {
            String::new()
        } else {
            format!(" {remark}")
        };
        format!(
            "| {} | `{}` | {treatment} |{remark} |",
            self.name, self.request
        )
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

const BEGIN: &str = "<!-- operations -->\n";
const END: &str = "<!-- end of operations -->\n";

#[test]
fn the_operation_table_of_the_documentation_is_what_the_router_does() {
    let mut table = String::from("| operation | request | here | remark |\n|---|---|---|---|\n");
    for line in lines() {
        writeln!(table, "{}", line.row()).unwrap();
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/s3.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    if std::env::var_os("SEALGATE_WRITE_DOCS").is_some() {
        std::fs::write(&file, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    for (written, right) in written.lines().zip(table.lines()) {
        assert_eq!(written, right, "docs/s3.md, and what the router does");
    }
    assert_eq!(written.lines().count(), table.lines().count());
}

#[test]
fn each_operation_stands_in_the_table_once() {
    let lines = lines();
    let names: BTreeSet<_> = lines.iter().map(|line| line.name).collect();
    assert_eq!(names.len(), lines.len());
    assert!(names.len() >= 118, "{}", names.len());
}

#[test]
fn every_operation_that_passes_is_one_of_s3s() {
    let names: BTreeSet<_> = lines().iter().map(|line| line.name).collect();
    for name in super::passed::names() {
        assert!(names.contains(name), "{name} is no operation of S3");
    }
}
