//! `sealgate dev`: everything in one process, for a newcomer.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    content::{Canary, pattern},
    endpoint::Endpoint,
    environment,
    process::Process,
    python::run_aws,
    rig::fingerprint,
    servers::{KeyServer, Minio, key_server::KEY},
};

fn dev(directory: &Path) -> Result<Command> {
    let mut command = Command::new(environment::own_program("sealgate")?);
    command
        .args(["dev", "--listen", "127.0.0.1:0", "--dir"])
        .arg(directory.join("dev"));
    for name in [
        "SEALGATE_ACCESS_KEY_ID",
        "SEALGATE_SECRET_ACCESS_KEY",
        "SEALGATE_KMS_ACCESS_KEY_ID",
        "SEALGATE_KMS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
    ] {
        command.env_remove(name);
    }
    Ok(command)
}

/// The value of `NAME=VALUE` in the lines that `dev` prints to be pasted.
fn pasted(lines: &[String], name: &str) -> Result<String> {
    let assignment = format!("{name}=");
    lines
        .iter()
        .flat_map(|line| line.split_whitespace())
        .find_map(|word| word.strip_prefix(&assignment))
        .map(str::to_owned)
        .with_context(|| format!("no line sets {name}: {lines:#?}"))
}

fn start(directory: &Path) -> Result<(Process, Endpoint)> {
    let mut process = Process::start("dev", &mut dev(directory)?, directory)?;
    let url = process.ready_url()?;
    let lines = process.printed();
    let endpoint = Endpoint {
        url,
        access_key_id: pasted(&lines, "AWS_ACCESS_KEY_ID")?,
        secret_access_key: pasted(&lines, "AWS_SECRET_ACCESS_KEY")?,
        ca_file: None,
    };
    ensure!(
        pasted(&lines, "AWS_ENDPOINT_URL_S3")? == endpoint.url,
        "the line to paste names another URL"
    );
    Ok((process, endpoint))
}

fn round_trip(endpoint: &Endpoint, directory: &Path, name: &str, length: usize) -> Result<()> {
    let body = pattern(5, length);
    let file = directory.join(name);
    std::fs::write(&file, &body)?;
    let back = directory.join(format!("{name}-back"));
    let there = format!("s3://photos/{name}");
    let copy = ["s3", "cp", "--no-progress"];
    run_aws(
        endpoint,
        copy.iter()
            .copied()
            .chain([&*file.display().to_string(), &there]),
    )?;
    run_aws(
        endpoint,
        copy.iter()
            .copied()
            .chain([&*there, &back.display().to_string()]),
    )?;
    ensure!(
        fingerprint(&std::fs::read(&back)?) == fingerprint(&body),
        "{name} comes back otherwise"
    );
    let listing = run_aws(endpoint, ["s3", "ls", &there])?;
    ensure!(
        listing.contains(&format!(" {length} ")),
        "the listing does not show {length} bytes: {listing}"
    );
    Ok(())
}

#[test]
fn dev_serves_the_aws_command_line_and_keeps_everything() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (mut process, endpoint) = start(directory.path())?;
    run_aws(&endpoint, ["s3", "mb", "s3://photos"])?;
    round_trip(&endpoint, directory.path(), "small.txt", 22)?;
    round_trip(&endpoint, directory.path(), "large.bin", 20 * 1024 * 1024)?;

    let canary = Canary::generate()?;
    let file = directory.path().join("canary");
    std::fs::write(&file, canary.bytes())?;
    run_aws(
        &endpoint,
        [
            "s3",
            "cp",
            &file.display().to_string(),
            "s3://photos/canary",
        ],
    )?;
    let found = canary.found_in(&directory.path().join("dev"))?;
    ensure!(found.is_empty(), "plaintext lies in {found:?}");
    let secret = &endpoint.secret_access_key;
    ensure!(
        !process.logged()?.contains(secret.as_str()),
        "the log holds the client's secret"
    );

    ensure!(
        process.terminate(Duration::from_secs(40))?.success(),
        "SIGTERM is no clean end"
    );
    // The same directory is the same deployment, with the same credentials.
    let (_process, again) = start(directory.path())?;
    ensure!(
        (&again.access_key_id, &again.secret_access_key)
            == (&endpoint.access_key_id, &endpoint.secret_access_key),
        "the credentials are others"
    );
    let back = directory.path().join("canary-back");
    run_aws(
        &again,
        [
            "s3",
            "cp",
            "s3://photos/canary",
            &back.display().to_string(),
        ],
    )?;
    ensure!(
        std::fs::read(&back)? == canary.bytes(),
        "the object is another"
    );
    Ok(())
}

#[test]
fn dev_takes_a_real_storage_and_a_key_server() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let minio = Minio::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), None)?;
    let mut command = dev(directory.path())?;
    command
        .args(["--upstream", &minio.endpoint.url, "--deployment", "shared"])
        .args(["--kms-endpoint", &key_server.endpoint.url, "--kms-key", KEY])
        .env("AWS_ACCESS_KEY_ID", &minio.endpoint.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &minio.endpoint.secret_access_key)
        .env("AWS_REGION", "us-east-1")
        .env(
            "SEALGATE_KMS_ACCESS_KEY_ID",
            &key_server.endpoint.access_key_id,
        )
        .env(
            "SEALGATE_KMS_SECRET_ACCESS_KEY",
            &key_server.endpoint.secret_access_key,
        )
        .env("SEALGATE_ACCESS_KEY_ID", "SGDEVCLIENT")
        .env("SEALGATE_SECRET_ACCESS_KEY", "the-secret-of-this-client");
    let mut process = Process::start("dev", &mut command, directory.path())?;
    let endpoint = Endpoint {
        url: process.ready_url()?,
        access_key_id: "SGDEVCLIENT".to_owned(),
        secret_access_key: "the-secret-of-this-client".to_owned(),
        ca_file: None,
    };
    run_aws(&endpoint, ["s3", "mb", "s3://photos"])?;
    round_trip(&endpoint, directory.path(), "large.bin", 10 * 1024 * 1024)
}
