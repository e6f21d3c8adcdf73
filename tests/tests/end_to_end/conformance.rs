//! One suite of S3 behaviour (tests/conformance) against bare storage and through the gateway to the same storage.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    endpoint::Endpoint,
    process, python,
    servers::{Devstore, Gateway, GatewaySettings, KeyServer, Minio},
};
use serde::Deserialize;

/// How long the suite may take against one endpoint.
const LIMIT: Duration = Duration::from_mins(20);

/// The suite has more cases than this; fewer means that some did not register.
const FEWEST_CASES: usize = 400;

#[derive(Debug, Deserialize)]
struct Report {
    results: Vec<CaseResult>,
    /// What the storage is known to fail, by case, with the reason.
    missing: BTreeMap<String, String>,
    /// Those of them that pass through the gateway, which makes up for the storage.
    mended: Vec<String>,
    /// Those of them that the storage passes by chance.
    unsteady: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct CaseResult {
    name: String,
    failure: Option<String>,
}

impl Report {
    fn failures(&self) -> BTreeMap<&str, &str> {
        self.results
            .iter()
            .filter_map(|result| Some((result.name.as_str(), result.failure.as_deref()?)))
            .collect()
    }
}

fn run_suite(
    endpoint: &Endpoint,
    store: &str,
    is_sealed: bool,
    directory: &Path,
) -> Result<Report> {
    let file = directory.join(format!("conformance-{store}-{is_sealed}.json"));
    let mut command = python::python(endpoint, "tests")?;
    command.args(["-m", "conformance", "--endpoint", &endpoint.url]);
    command.args(["--store", store]);
    if is_sealed {
        command.arg("--sealed");
    }
    command.arg("--report").arg(&file);
    process::run_successfully(&mut command, LIMIT)?;
    let report: Report = serde_json::from_slice(&std::fs::read(&file)?)?;
    let count = report.results.len();
    ensure!(count >= FEWEST_CASES, "only {count} cases have run");
    Ok(report)
}

/// What passes against the bare storage must pass through the gateway, and so must what the gateway makes up for. What the storage itself
/// fails is declared, all of it and nothing else, and so is what the gateway makes up for: every other case can fail here.
fn compare(storage: &Endpoint, store: &str, directory: &Path) -> Result<()> {
    let key_server = KeyServer::start(directory, None)?;
    let settings = GatewaySettings::new(storage, &key_server.endpoint);
    let gateway = Gateway::start(settings, directory)?;
    let bare = run_suite(storage, store, false, directory)?;
    let through = run_suite(&gateway.endpoint, store, true, directory)
        .with_context(|| gateway.process.last_words())?;
    let known = bare.failures();
    let undeclared: Vec<_> = known
        .iter()
        .filter(|(name, _)| !bare.missing.contains_key(**name))
        .collect();
    let passing: Vec<_> = bare
        .missing
        .keys()
        .filter(|name| !known.contains_key(name.as_str()) && !bare.unsteady.contains(name))
        .collect();
    let failing = through.failures();
    let unmended: Vec<_> = bare
        .missing
        .keys()
        .filter(|name| !failing.contains_key(name.as_str()))
        .filter(|name| !bare.mended.contains(name) && !bare.unsteady.contains(name))
        .collect();
    let defects: Vec<_> = failing
        .into_iter()
        .filter(|(name, _)| !bare.unsteady.iter().any(|unsteady| unsteady == name))
        .filter(|(name, _)| {
            !known.contains_key(name) || bare.mended.iter().any(|mended| mended == name)
        })
        .collect();
    ensure!(
        defects.is_empty(),
        "{} cases pass against bare {store}, or should be made up for, and fail through the gateway:\n{}",
        defects.len(),
        lines(&defects)
    );
    ensure!(
        undeclared.is_empty(),
        "bare {store} fails cases that tests/conformance/differences.py does not declare: {undeclared:#?}"
    );
    ensure!(
        passing.is_empty(),
        "tests/conformance/differences.py declares failures that bare {store} does not have: {passing:#?}"
    );
    ensure!(
        unmended.is_empty(),
        "cases pass through the gateway to {store} and can't fail: take them into MENDED of tests/conformance/differences.py: {unmended:#?}"
    );
    Ok(())
}

fn lines(defects: &[(&str, &str)]) -> String {
    let lines: Vec<_> = defects
        .iter()
        .map(|(name, failure)| format!("  {name}: {failure}"))
        .collect();
    lines.join("\n")
}

#[test]
fn conformance_with_minio() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let minio = Minio::start(directory.path())?;
    compare(&minio.endpoint, "minio", directory.path())
}

#[test]
fn conformance_with_the_embedded_store() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let store = Devstore::start(directory.path())?;
    compare(&store.endpoint, "devstore", directory.path())
}
