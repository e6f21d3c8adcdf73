//! docs/operations.md takes an operator from nothing to two replicas: its commands are run here as they are printed, but for the addresses.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use sealgate_tests::{environment, process};

const PRINTED: &str = include_str!("../../../docs/operations.md");

const LIMIT: Duration = Duration::from_mins(4);

/// The blocks of commands, in order.
fn blocks() -> Vec<&'static str> {
    let begun = PRINTED.split("```sh\n").skip(1);
    begun.filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_way_from_nothing_to_two_replicas_is_as_it_is_printed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let programs = environment::own_program("sealgate")?;
    let programs = programs.parent().context("a directory")?;
    let aws = environment::python_program("aws")?;
    let tools = aws.parent().context("a directory")?;
    let mut text = blocks().concat();
    // Where the page says on which ports, the system says which are free.
    for printed in [
        "8443", "8444", "9001", "8445", "9002", "4599", "8700", "9000",
    ] {
        ensure!(text.contains(printed), "{printed} is not printed any more");
        text = text.replace(printed, &process::free_port()?.to_string());
    }
    let script = directory.path().join("walk");
    // Whatever was started ends with the shell.
    fs::write(
        &script,
        format!("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n{text}"),
    )?;
    let path = std::env::var("PATH")?;
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=10", "200", "bash"])
        .arg(&script)
        .current_dir(&directory)
        .env(
            "PATH",
            format!("{}:{}:{path}", programs.display(), tools.display()),
        )
        .env("HOME", directory.path());
    let output = process::run(&mut command, LIMIT)?;
    let (said, errors) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    let logs = ["gateway-1.log", "gateway-2.log", "haproxy.log", "audit.log"].map(|name| {
        let log = fs::read_to_string(directory.path().join(name)).unwrap_or_default();
        let end = log.lines().rev().take(8).collect::<Vec<_>>().join("\n");
        format!("{name}:\n{end}")
    });
    let all = format!("{said}\n{errors}\n{}", logs.join("\n"));
    ensure!(output.status.success(), "{all}");
    ensure!(said.lines().any(|line| line == "for nobody else"), "{all}");
    ensure!(said.matches(": intact; ").count() == 2, "{all}");
    for operation in [
        "PutObject",
        "GetObject",
        "sealgate export",
        "GrantRequested",
        "GrantApproved",
        "GrantIssued",
        "GrantUsed",
        "GrantRevoked",
    ] {
        ensure!(said.contains(operation), "{operation}: {all}");
    }
    let exported = fs::read_to_string(directory.path().join("exported/2026/letter.txt"))?;
    ensure!(exported == "for nobody else\n", "{exported}");
    Ok(())
}
