//! The worst day: every key service is gone, and the objects, the registry records and the recovery key are all there is.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::Client;
use sealgate_envelope::{Provider, records::RegistryRecord};
use sealgate_tests::{
    content::pattern,
    endpoint::Endpoint,
    environment, process,
    rig::{Rig, get, put, state_bucket, with_rig},
    servers::{Gateway, report},
};
use serde_json::{Value, json};

use crate::stored::{PART, upload_in_parts};

const BUCKET: &str = "precious";
const LIMIT: Duration = Duration::from_mins(4);
const PASSPHRASE: &str = "a passphrase of several words";

fn sealgate(directory: &Path, storage: &Endpoint, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(environment::own_program("sealgate")?);
    command
        .current_dir(directory)
        .args(arguments)
        .env("PASSPHRASE", PASSPHRASE)
        .env("AWS_ACCESS_KEY_ID", &storage.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &storage.secret_access_key);
    process::run(&mut command, LIMIT)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Makes a recovery key and a sender key; the table for the configuration.
fn init(rig: &Rig, name: &str) -> Result<String> {
    let sender = format!("{name}-sender.key");
    let output = sealgate(
        rig.directory(),
        &rig.minio.endpoint,
        &[
            "recovery",
            "init",
            "--deployment",
            "rig",
            "--passphrase",
            "env:PASSPHRASE",
            "--output",
            &format!("{name}.key"),
            "--sender-output",
            &sender,
        ],
    )?;
    ensure!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let public = said
        .lines()
        .find(|line| line.starts_with("public_key"))
        .context("no public key")?;
    Ok(format!(
        "\n[recovery]\n{public}\nsender_key = \"file:{}\"\n",
        rig.directory().join(sender).display()
    ))
}

/// Restores the bucket below `target`; whether all of it was, and the report.
fn open(rig: &Rig, key: &str, target: &str) -> Result<(bool, Value, String)> {
    let output = sealgate(
        rig.directory(),
        &rig.minio.endpoint,
        &[
            "recovery",
            "open",
            "--recovery-key",
            key,
            "--passphrase",
            "env:PASSPHRASE",
            "--endpoint",
            &rig.minio.endpoint.url,
            "--bucket",
            BUCKET,
            "--to-directory",
            target,
            "--json",
        ],
    )?;
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Ok((output.status.success(), report, text(&output.stderr)))
}

fn objects() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", Vec::new()),
        ("letters/a", pattern(1, 70_000)),
        ("letters/b", pattern(2, 3_000_000)),
    ]
}

/// What a multipart upload of two parts holds.
fn large() -> Vec<u8> {
    pattern(3, PART + 12_345)
}

async fn fill(client: &Client) -> Result<()> {
    for (key, body) in objects() {
        put(client, BUCKET, key, &body).await?;
    }
    upload_in_parts(client, BUCKET, "large", &large()).await
}

async fn only_record(bare: &Client) -> Result<(String, String, Vec<u8>)> {
    let state = state_bucket(bare).await?;
    let listed = bare
        .list_objects_v2()
        .bucket(&state)
        .prefix("registry/")
        .send()
        .await?;
    let [object] = listed.contents() else {
        anyhow::bail!("{} records", listed.contents().len());
    };
    let name = object.key().context("a key")?.to_owned();
    let record = get(bare, &state, &name).await?;
    Ok((state, name, record))
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_when_the_kek_is_deleted() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let gateway = rig.gateway_with_more(&init(rig, "recovery")?)?;
        fill(&gateway.endpoint.s3()?).await?;

        // Somebody deletes the KEK, and then the whole key server goes.
        rig.key_server.schedule_deletion().await?;
        let late = rig.another_gateway()?;
        ensure!(
            get(&late.endpoint.s3()?, BUCKET, "letters/a")
                .await
                .is_err(),
            "a deleted KEK opens"
        );
        rig.key_server.kill()?;
        let (_, name, _) = only_record(&bare).await?;
        ensure!(name.starts_with("registry/"), "{name}");
        let stranger = rig.another_gateway()?;
        ensure!(
            get(&stranger.endpoint.s3()?, BUCKET, "letters/a")
                .await
                .is_err(),
            "a gateway without a key service reads"
        );

        let (succeeded, report, said) = open(rig, "recovery.key", "restored")?;
        ensure!(succeeded && report["exported"] == 4, "{report} {said}");
        let restored = rig.directory().join("restored");
        for (key, body) in objects().into_iter().chain([("large", large())]) {
            ensure!(std::fs::read(restored.join(key))? == body, "{key} differs");
        }
        // Another run takes only what is missing.
        std::fs::remove_file(restored.join("letters/b"))?;
        let (succeeded, report, _) = open(rig, "recovery.key", "restored")?;
        ensure!(
            succeeded && report["exported"] == 1 && report["skipped"] == 3,
            "{report}"
        );

        let one = [
            "recovery",
            "open",
            "--recovery-key",
            "recovery.key",
            "--passphrase",
            "env:PASSPHRASE",
            "--endpoint",
            &rig.minio.endpoint.url,
            "--bucket",
            BUCKET,
            "--to-stdout",
            "letters/b",
        ];
        let output = sealgate(rig.directory(), &rig.minio.endpoint, &one)?;
        ensure!(
            output.status.success() && output.stdout == pattern(2, 3_000_000),
            "{}",
            text(&output.stderr)
        );

        // The recovery key of somebody else opens nothing.
        init(rig, "other")?;
        let (succeeded, report, _) = open(rig, "other.key", "nothing")?;
        ensure!(
            !succeeded && report["failed"] == 4 && report["exported"] == 0,
            "{report}"
        );
        Ok(())
    })
    .await
}

/// Runs `sealgate recovery …`, with what the copy and its restoring have in common.
fn recovery(rig: &Rig, arguments: &[&str]) -> Result<(bool, Value, String)> {
    let arguments = [&["recovery"], arguments, &["--json"]].concat();
    let output = sealgate(rig.directory(), &rig.minio.endpoint, &arguments)?;
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Ok((output.status.success(), report, text(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_in_files_comes_back_when_the_storage_is_gone_too() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let gateway = rig.gateway_with_more(&init(rig, "recovery")?)?;
        let client = gateway.endpoint.s3()?;
        fill(&client).await?;
        for (key, body) in HOSTILE {
            put(&client, BUCKET, key, body).await?;
        }
        let url = rig.minio.endpoint.url.clone();
        let copy = [
            "copy",
            "--endpoint",
            &url,
            "--deployment",
            "rig",
            "--bucket",
            BUCKET,
            "--to-directory",
            "copy",
        ];
        let (succeeded, report, said) = recovery(rig, &copy)?;
        ensure!(succeeded, "{report} {said}");
        ensure!(
            report["buckets"][0]["exported"] == 4 + HOSTILE.len(),
            "{report}"
        );
        ensure!(
            report["buckets"][1]["exported"] == 1,
            "the registry: {report}"
        );
        // Another object under its key, and the same bytes with another header: a time that is told in seconds has to differ.
        tokio::time::sleep(Duration::from_secs(1)).await;
        put(&client, BUCKET, "letters/a", b"another letter").await?;
        client
            .copy_object()
            .bucket(BUCKET)
            .key("letters/b")
            .copy_source(format!("{BUCKET}/letters/b"))
            .metadata_directive(aws_sdk_s3::types::MetadataDirective::Replace)
            .metadata("mood", "changed")
            .send()
            .await?;
        let (succeeded, report, said) = recovery(rig, &copy)?;
        ensure!(
            succeeded && report["buckets"][0]["exported"] == 2,
            "{report} {said}"
        );

        rig.key_server.kill()?;
        rig.minio.process.kill()?;
        let open = [
            "open",
            "--recovery-key",
            "recovery.key",
            "--passphrase",
            "env:PASSPHRASE",
            "--from-directory",
            "copy",
            "--bucket",
            BUCKET,
            "--to-directory",
        ];
        let open = |target: &'static str| recovery(rig, &[&open[..], &[target]].concat());
        let (succeeded, report, said) = open("restored")?;
        ensure!(
            succeeded && report["exported"] == 4 + HOSTILE.len(),
            "{report} {said}"
        );
        let restored = rig.directory().join("restored");
        let expected = objects().into_iter().chain([("large", large())]);
        for (key, body) in expected.filter(|(key, _)| *key != "letters/a") {
            ensure!(std::fs::read(restored.join(key))? == body, "{key} differs");
        }
        ensure!(
            std::fs::read(restored.join("letters/a"))? == b"another letter",
            "an older one"
        );
        let journal = std::fs::read_to_string(restored.join(".sealgate-export/manifest.jsonl"))?;
        ensure!(journal.contains("changed"), "an older header");
        let (succeeded, report, _) = open("restored")?;
        ensure!(
            succeeded && report["exported"] == 0 && report["skipped"] == 4 + HOSTILE.len(),
            "{report}"
        );
        for (key, body) in HOSTILE {
            let line: Value = journal
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .find(|line: &Value| line["key"] == key)
                .with_context(|| key.to_owned())?;
            let target = restored.join(line["target"].as_str().context("a target")?);
            ensure!(std::fs::read(target)? == body, "{key}");
        }
        ensure!(!rig.directory().join("evil").exists(), "a key led outside");

        // A journal that has lost its end restores what it knows, and says that this is not all.
        let own = rig
            .directory()
            .join("copy")
            .join(BUCKET)
            .join(".sealgate-export");
        let whole = std::fs::read(own.join("manifest.jsonl"))?;
        for cut in [whole.len() - 5, whole.len() - 1 - last_line(&whole).len()] {
            std::fs::write(own.join("manifest.jsonl"), &whole[..cut])?;
            let (succeeded, report, said) = open("cut")?;
            ensure!(
                !succeeded && report["failed"] == 0 && said.contains("is not whole"),
                "{report} {said}"
            );
        }
        std::fs::write(own.join("manifest.jsonl"), &whole)?;

        // One bit of one file, one file exchanged for another that is as genuine, one that is missing: each of these fails, alone, and nothing of
        // it appears.
        let copied = rig.directory().join("copy").join(BUCKET);
        let mut bytes = std::fs::read(copied.join("letters/b"))?;
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(copied.join("letters/b"), bytes)?;
        std::fs::copy(copied.join("letters/a"), copied.join("empty"))?;
        std::fs::remove_file(copied.join("large"))?;
        let (succeeded, report, said) = open("damaged")?;
        ensure!(
            !succeeded
                && report["failed"] == 3
                && report["exported"] == 1 + HOSTILE.len()
                && report["deleted_meanwhile"] == 0,
            "{report} {said}"
        );
        for key in ["letters/b", "empty", "large"] {
            ensure!(said.contains(key), "{key} is not named: {said}");
            ensure!(
                !rig.directory().join("damaged").join(key).exists(),
                "{key} appeared"
            );
        }

        // What was decrypted is no copy, and without the registry nothing opens.
        let (succeeded, _, said) = recovery(
            rig,
            &[
                "open",
                "--recovery-key",
                "recovery.key",
                "--passphrase",
                "env:PASSPHRASE",
                "--from-directory",
                ".",
                "--bucket",
                "restored",
                "--state-bucket",
                BUCKET,
                "--to-directory",
                "again",
            ],
        )?;
        ensure!(!succeeded && said.contains("has decrypted"), "{said}");
        for entry in std::fs::read_dir(rig.directory().join("copy"))? {
            let entry = entry?;
            if entry.file_name() != BUCKET {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        let (succeeded, _, said) = open("nothing")?;
        ensure!(
            !succeeded && said.contains("registry") && said.contains("--state-bucket"),
            "{said}"
        );
        Ok(())
    })
    .await
}

/// The last line of a file, without its end.
fn last_line(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\n")
        .and_then(|text| text.rsplit(|&byte| byte == b'\n').next())
        .unwrap_or_default()
}

/// Keys whose own names would be dangerous, or one, as files.
const HOSTILE: [(&str, &[u8]); 4] = [
    (".sealgate-export/manifest.jsonl", b"the copy's own journal"),
    ("%2e%2e/%2e%2e/evil", b"outside"),
    ("LETTERS/A", b"another case"),
    (
        "long/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
         0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
        b"long",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_wrap_by_another_sender_is_refused_and_an_object_under_it_is_not_restored() -> Result<()>
{
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let table = init(rig, "recovery")?;
        init(rig, "forger")?;
        // The provider knows the public key, from a look at a configuration, and has a sender key of his own, and even a key
        // service that his gateway may use: all but the deployment's sender key.
        let forged = table.replace("recovery-sender.key", "forger-sender.key");
        let forger = rig.gateway_with_more(&forged)?;
        put(
            &forger.endpoint.s3()?,
            BUCKET,
            "planted",
            b"of the provider",
        )
        .await?;
        let (succeeded, report, said) = open(rig, "recovery.key", "out")?;
        ensure!(
            !succeeded && report["failed"] == 1 && report["exported"] == 0,
            "{report}"
        );
        ensure!(said.contains("planted"), "{said}");
        ensure!(
            !rig.directory().join("out/planted").exists(),
            "it was restored"
        );

        // What the forger's wrap lacks is the sender alone: the right one, put in by a rewrap, opens.
        let honest = rig.gateway_with_more(&table)?;
        let (report, succeeded) = rewrap(&honest, &["--renew"])?;
        ensure!(succeeded && report["rewrapped"] == 1, "{report}");
        let (succeeded, report, said) = open(rig, "recovery.key", "out")?;
        ensure!(succeeded && report["exported"] == 1, "{report} {said}");
        let (_, name, record) = only_record(&bare).await?;
        let id = name.rsplit('/').next().context("a name")?.parse()?;
        let record = RegistryRecord::parse(&record, id)?;
        ensure!(
            record
                .wraps()
                .iter()
                .any(|wrap| wrap.provider() == Provider::Recovery),
            "no recovery wrap"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rewrapping_adds_the_recovery_wrap_and_retires_that_of_an_earlier_key() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        put(&through, BUCKET, "x", b"content").await?;
        let (_, _, before) = only_record(&bare).await?;
        let first = rig.gateway_with_more(&init(rig, "first")?)?;
        ensure!(
            !open(rig, "first.key", "too-early")?.0,
            "it has no wrap yet"
        );
        let (report, _) = rewrap(&first, &["--dry-run"])?;
        ensure!(report["rewrapped"] == 1, "{report}");
        ensure!(
            only_record(&bare).await?.2 == before,
            "a dry run writes nothing"
        );
        let (report, succeeded) = rewrap(&first, &[])?;
        ensure!(succeeded && report["rewrapped"] == 1, "{report}");
        ensure!(
            open(rig, "first.key", "first-out")?.0,
            "the first key opens"
        );
        let (report, _) = rewrap(&first, &[])?;
        ensure!(report["up_to_date"] == 1, "{report}");

        let second = rig.gateway_with_more(&init(rig, "second")?)?;
        let (report, succeeded) = rewrap(&second, &[])?;
        ensure!(succeeded && report["rewrapped"] == 1, "{report}");
        ensure!(
            open(rig, "second.key", "second-out")?.0,
            "the second key opens"
        );
        ensure!(
            !open(rig, "first.key", "first-again")?.0,
            "the first key is retired"
        );
        ensure!(
            get(&second.endpoint.s3()?, BUCKET, "x").await? == b"content",
            "GET"
        );
        Ok(())
    })
    .await
}

/// Runs `sealgate keys rewrap` with the configuration of a gateway; its report, and whether it succeeded.
fn rewrap(gateway: &Gateway, arguments: &[&str]) -> Result<(Value, bool)> {
    let template = gateway.command("keys")?;
    let mut command = Command::new(template.get_program());
    command
        .args(["keys", "rewrap"])
        .args(template.get_args().skip(1))
        .arg("--json")
        .args(arguments);
    for (name, value) in template.get_envs() {
        command.env(name, value.context("a variable without a value")?);
    }
    let output = process::run(&mut command, LIMIT)?;
    let report = serde_json::from_slice(&output.stdout)
        .with_context(|| text(&output.stderr))
        .unwrap_or_else(|error| json!({ "said": format!("{error:#}") }));
    Ok((report, output.status.success()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_shows_each_way_alone_and_fails_where_one_does_not_open() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let gateway = rig.gateway_with_more(&init(rig, "recovery")?)?;
        fill(&gateway.endpoint.s3()?).await?;
        let drill = |arguments: &[&str]| {
            let mut command = gateway.command("drill")?;
            command
                .current_dir(rig.directory())
                .env("PASSPHRASE", PASSPHRASE)
                .args(["--bucket", BUCKET])
                .args(arguments);
            report(&mut command, LIMIT)
        };
        let with_key = [
            "--recovery-key",
            "recovery.key",
            "--passphrase",
            "env:PASSPHRASE",
        ];
        let (succeeded, document, said) = drill(&with_key)?;
        ensure!(succeeded && document["shown"] == true, "{document} {said}");
        for place in 0..2 {
            let alone = &document["alone"][place];
            ensure!(alone["records"]["opened"] == 1, "{document}");
            ensure!(alone["objects"]["opened"] == 4, "{document}");
        }

        // The key service refuses: the recovery key alone shows what it can, and nothing can be compared.
        let refusal =
            json!([{"operations": ["Decrypt"], "then": {"error": "AccessDeniedException"}}]);
        rig.key_server.set_faults(&refusal)?;
        let (succeeded, document, _) = drill(&with_key)?;
        ensure!(!succeeded && document["shown"] == false, "{document}");
        ensure!(document["read"]["failed"] == 4, "{document}");
        ensure!(document["alone"][0]["records"]["failed"] == 1, "{document}");
        ensure!(document["alone"][1]["records"]["opened"] == 1, "{document}");
        rig.key_server.set_faults(&json!([]))?;

        // The recovery key of somebody else.
        init(rig, "other")?;
        let other = [
            "--recovery-key",
            "other.key",
            "--passphrase",
            "env:PASSPHRASE",
        ];
        let (succeeded, document, _) = drill(&other)?;
        ensure!(!succeeded, "{document}");
        ensure!(document["alone"][0]["objects"]["opened"] == 4, "{document}");
        ensure!(document["alone"][1]["objects"]["failed"] == 4, "{document}");

        // Where no single bucket has objects of every key, several have.
        let second = gateway.endpoint.s3()?;
        second.create_bucket().bucket("second").send().await?;
        put(&second, "second", "letters/a", b"elsewhere").await?;
        let (succeeded, document, said) =
            drill(&[&with_key[..], &["--bucket", "second"]].concat())?;
        ensure!(
            succeeded && document["alone"][1]["objects"]["opened"] == 5,
            "{document} {said}"
        );
        Ok(())
    })
    .await
}
