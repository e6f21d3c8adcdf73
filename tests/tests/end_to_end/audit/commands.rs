//! Commands that open keys leave records, or open nothing.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    process,
    rig::{bounded, put},
    servers::Gateway,
};
use serde_json::Value;

use super::{BUCKET, LIMIT, Place, sealgate, text};

/// The records of commands, without those about the log itself.
fn recorded(place: &Path) -> Result<Vec<Value>> {
    let output =
        process::run_successfully(&mut sealgate(&["audit", "export", text(place)])?, LIMIT)?;
    let read = output.lines().map(|line| Ok(serde_json::from_str(line)?));
    let all: Vec<Value> = read.collect::<Result<_>>()?;
    let is_of_command = |event: &Value| event["kind"] == "intent" || event["kind"] == "outcome";
    Ok(all.into_iter().filter(is_of_command).collect())
}

/// Runs a command; whether it succeeded, and what it said.
fn run(command: &mut Command) -> Result<(bool, String)> {
    let output = process::run(command, LIMIT)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.success(), said))
}

/// The commands that open keys, each of which succeeds.
fn commands(gateway: &Gateway, place: &Path) -> Result<Vec<(&'static str, Command)>> {
    let command = |name: &str, arguments: &[&str]| -> Result<Command> {
        let mut command = gateway.command(name)?;
        command.args(arguments).current_dir(place);
        Ok(command)
    };
    Ok(vec![
        (
            "sealgate export",
            command(
                "export",
                &[
                    "--bucket",
                    BUCKET,
                    "--prefix",
                    "a",
                    "--to-directory",
                    "exported",
                ],
            )?,
        ),
        ("sealgate verify --deep", command("verify", &["--deep"])?),
        (
            "sealgate drill",
            command("drill", &["--bucket", BUCKET, "--without-recovery-key"])?,
        ),
        (
            "sealgate keys rewrap",
            command("keys rewrap", &["--dry-run"])?,
        ),
        (
            "sealgate migrate",
            command("migrate", &["--bucket", BUCKET, "--check"])?,
        ),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_that_opens_keys_is_recorded_before_and_after_at_the_receiver() -> Result<()> {
    bounded(Duration::from_mins(3), async {
        let place = Place::new()?;
        let receiver = place.receiver()?;
        let gateway = place.gateway(&place.commands_table())?;
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        for key in ["a/1", "b/2"] {
            put(&client, BUCKET, key, b"content").await?;
        }
        let mut names = Vec::new();
        for (name, mut command) in commands(&gateway, place.directory.path())? {
            let (succeeded, said) = run(&mut command)?;
            ensure!(succeeded, "{name}: {said}");
            names.push(name);
        }
        // One that fails is recorded as well: its key service has no such name.
        let mut retire = gateway.command("keys retire")?;
        let (succeeded, _) = run(retire.arg("nobody"))?;
        ensure!(!succeeded);
        names.push("sealgate keys retire");
        // What only looks is none of the auditors' business.
        let (succeeded, said) = run(&mut gateway.command("verify")?)?;
        ensure!(succeeded, "{said}");

        let copy = place.path("copies/example.com~commands");
        let events = recorded(&copy)?;
        let intents: Vec<_> = events
            .iter()
            .filter(|event| event["kind"] == "intent")
            .collect();
        let found: Vec<_> = intents
            .iter()
            .map(|event| event["operation"].as_str().unwrap_or_default())
            .collect();
        ensure!(found == names, "{found:?}");
        for (intent, name) in intents.iter().zip(&names) {
            ensure!(
                intent["action"] == "decrypt" && intent["decision"] == "allow",
                "{intent}"
            );
            ensure!(
                intent["identity"]
                    .as_str()
                    .is_some_and(|who| who.contains(" on ")),
                "{intent}"
            );
            let is_outcome = |event: &&Value| {
                event["kind"] == "outcome" && event["request"] == intent["request"]
            };
            let outcome = events
                .iter()
                .find(is_outcome)
                .with_context(|| format!("{name} has no end"))?;
            let failed = *name == "sealgate keys retire";
            ensure!(outcome["complete"] == !failed, "{name}: {outcome}");
        }
        let export = intents.first().context("no intent")?;
        ensure!(
            export["bucket"] == BUCKET && export["key"] == "a*",
            "{export}"
        );
        ensure!(!receiver.logged()?.contains("ALARM"));
        let (copied, own) = (copy.clone(), place.path("audit-commands"));
        for directory in [copied, own] {
            let arguments = [
                "audit",
                "verify",
                text(&directory),
                "--key",
                &place.commands_key,
            ];
            process::run_successfully(&mut sealgate(&arguments)?, LIMIT)?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_at_once_take_turns() -> Result<()> {
    bounded(LIMIT, async {
        let place = Place::new()?;
        let receiver = place.receiver()?;
        let gateway = place.gateway(&place.commands_table())?;
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        put(&client, BUCKET, "a", b"content").await?;
        let runs: Vec<_> = (0..6)
            .map(|_| {
                let mut command = gateway.command("verify")?;
                command.arg("--deep");
                Ok(tokio::task::spawn_blocking(move || run(&mut command)))
            })
            .collect::<Result<_>>()?;
        for ended in runs {
            let (succeeded, said) = ended.await??;
            ensure!(succeeded, "{said}");
        }
        let events = recorded(&place.path("copies/example.com~commands"))?;
        ensure!(events.len() == 12, "{events:?}");
        ensure!(
            !receiver.logged()?.contains("ALARM"),
            "{}",
            receiver.logged()?
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_opens_nothing() -> Result<()> {
    bounded(Duration::from_mins(4), async {
        let place = Place::new()?;
        let receiver = place.receiver()?;
        let gateway = place.gateway("")?;
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        put(&client, BUCKET, "a", b"content").await?;
        let export = |to: &str| -> Result<(bool, String)> {
            let mut command = gateway.command("export")?;
            command
                .args(["--bucket", BUCKET, "--to-directory"])
                .arg(place.path(to));
            run(&mut command)
        };
        // Without a log of commands.
        let before = place.key_server.count("Decrypt")?;
        let (succeeded, said) = export("first")?;
        ensure!(!succeeded && said.contains("[audit.commands]"), "{said}");
        // With one, and the receiver away: a record that only this machine has could be taken back.
        let mut configuration = fs::read_to_string(&gateway.configuration)?;
        configuration.push_str(&place.commands_table());
        fs::write(&gateway.configuration, configuration)?;
        drop(receiver);
        let (succeeded, said) = export("second")?;
        ensure!(!succeeded && said.contains("nothing was opened"), "{said}");
        ensure!(
            place.key_server.count("Decrypt")? == before,
            "a key was opened"
        );
        ensure!(!place.path("first").exists() && !place.path("second").exists());
        // It is back; what was recorded meanwhile gets there, too.
        let _receiver = place.receiver()?;
        let (succeeded, said) = export("third")?;
        ensure!(succeeded, "{said}");
        ensure!(fs::read(place.path("third/a"))? == b"content");
        let events = recorded(&place.path("copies/example.com~commands"))?;
        let intents = events.iter().filter(|event| event["kind"] == "intent");
        ensure!(intents.count() == 2, "{events:?}");
        Ok(())
    })
    .await
}
