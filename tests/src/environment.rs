//! What the tests need of the machine, and what to do where it is missing.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// Names the MinIO binary; `./test` sets it.
pub const MINIO_VARIABLE: &str = "SEALGATE_MINIO";

/// Names the Vault server that tests/vault-dev builds; `./test` sets it.
pub const VAULT_VARIABLE: &str = "SEALGATE_VAULT";

/// Names the virtual environment with boto3 and the aws CLI; `./test` sets it.
pub const PYTHON_ENVIRONMENT_VARIABLE: &str = "SEALGATE_TEST_VENV";

const FIX: &str = "run ./test at the root of the repository: it finds or builds MinIO and Vault and makes the Python environment (./test --help)";

/// The MinIO binary.
///
/// # Errors
/// If the variable is not set or names no file.
pub fn minio() -> Result<PathBuf> {
    named_by(MINIO_VARIABLE)
}

/// The Vault server.
///
/// # Errors
/// If the variable is not set or names no file.
pub fn vault() -> Result<PathBuf> {
    named_by(VAULT_VARIABLE)
}

/// Names the PKCS#11 module of SoftHSM, where it is not where distributions put it.
pub const SOFTHSM_VARIABLE: &str = "SEALGATE_SOFTHSM";

/// Where distributions put it.
const SOFTHSM_PLACES: [&str; 5] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/// The PKCS#11 module of SoftHSM.
///
/// # Errors
/// If it is nowhere.
pub fn softhsm() -> Result<PathBuf> {
    let missing = "SoftHSM is missing; install it (Debian, Ubuntu: apt-get install softhsm2), or name its module with SEALGATE_SOFTHSM";
    library(SOFTHSM_VARIABLE, &SOFTHSM_PLACES, missing)
}

/// Names the library that sets the clock of a process, where it is not where distributions put it.
pub const FAKETIME_VARIABLE: &str = "SEALGATE_FAKETIME";

/// Where distributions put it, below the directory of libraries.
const FAKETIME_PLACES: [&str; 3] = [
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// The library of libfaketime.
///
/// # Errors
/// If it is nowhere.
pub fn faketime() -> Result<PathBuf> {
    let missing = "libfaketime is missing; install it (Debian, Ubuntu: apt-get install faketime), or name its library with SEALGATE_FAKETIME";
    library(FAKETIME_VARIABLE, &FAKETIME_PLACES, missing)
}

/// What a variable names, or else the first file that is at one of these places.
fn library(variable: &str, places: &[&str], missing: &'static str) -> Result<PathBuf> {
    if std::env::var_os(variable).is_some() {
        return named_by(variable);
    }
    let mut paths = places.iter().flat_map(|place| matching(place));
    paths.find(|path| path.is_file()).context(missing)
}

/// The paths that one with at most one `*` stands for.
fn matching(place: &str) -> Vec<PathBuf> {
    let Some((before, after)) = place.split_once("*/") else {
        return vec![place.into()];
    };
    let directories = std::fs::read_dir(before).into_iter().flatten().flatten();
    directories
        .map(|directory| directory.path().join(after))
        .collect()
}

/// A program of the Python environment, such as `python` or `aws`.
///
/// # Errors
/// If the variable is not set or the program is not there.
pub fn python_program(name: &str) -> Result<PathBuf> {
    let program = named_by(PYTHON_ENVIRONMENT_VARIABLE)?
        .join("bin")
        .join(name);
    ensure!(program.is_file(), "{} is missing; {FIX}", program.display());
    Ok(program)
}

fn named_by(variable: &str) -> Result<PathBuf> {
    let Some(value) = std::env::var_os(variable) else {
        bail!("the environment variable {variable} is not set; {FIX}");
    };
    let path = PathBuf::from(value);
    ensure!(
        path.exists(),
        "{variable} names {}, which does not exist; {FIX}",
        path.display()
    );
    Ok(path)
}

/// One of the workspace's own programs, from the directory that this test itself was built into.
///
/// # Errors
/// If it has not been built.
pub fn own_program(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("the test's own path is unknown")?;
    // target/<profile>/deps/<test>
    let directory = test
        .parent()
        .and_then(Path::parent)
        .context("the test lies outside of a target directory")?;
    let program = directory.join(name);
    ensure!(
        program.is_file(),
        "{} is missing; build it with `cargo build --workspace`, or run ./test, which does",
        program.display()
    );
    Ok(program)
}

/// Names the `sealgate` of another version; `tools/mixed-versions` sets it.
pub const OTHER_VERSION_VARIABLE: &str = "SEALGATE_OTHER_VERSION";

/// A `sealgate` of another version, where there is one; else the one of this version.
///
/// # Errors
/// If the variable names no file, or where it is not set nothing has been built.
pub fn other_version() -> Result<PathBuf> {
    if std::env::var_os(OTHER_VERSION_VARIABLE).is_some() {
        return named_by(OTHER_VERSION_VARIABLE);
    }
    own_program("sealgate")
}

/// The number that a variable names, where it is set.
///
/// # Errors
/// If it is no number.
pub fn number(variable: &str) -> Result<Option<u64>> {
    let Ok(text) = std::env::var(variable) else {
        return Ok(None);
    };
    let number = text.parse();
    number
        .map(Some)
        .with_context(|| format!("{variable} is no number: {text}"))
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}
