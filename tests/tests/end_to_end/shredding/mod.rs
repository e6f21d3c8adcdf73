//! `sealgate keys shred`: when a tenant leaves, what it has stored opens no more, and nobody else loses anything.

mod chosen;
mod hostile;
mod key_kinds;
mod killed;
mod leaving;
mod lost_answers;
mod orders;
mod resuming;
mod sharing;
mod timers;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use aws_sdk_kms::types::KeyState;
use aws_sdk_s3::{
    Client,
    types::{BucketVersioningStatus, VersioningConfiguration},
};
use sealgate_tests::{
    endpoint::{Endpoint, REGION},
    environment, process,
    rig::{Rig, put},
    servers::{Gateway, GatewaySettings, KEY, report},
};
use serde_json::Value;

const BUCKET: &str = "tenants";
const LIMIT: Duration = Duration::from_mins(4);

/// How soon gateways do what they are told, and write their records.
const SOON: Duration = Duration::from_secs(30);

/// How an order has a key whose destruction was asked for, while nothing shows what came of that.
const ASKED: &str = "\"state\": \"asked\"";

/// A new key; its ARN.
async fn new_key(kms: &aws_sdk_kms::Client) -> Result<String> {
    let made = kms.create_key().send().await?;
    made.key_metadata.and_then(|key| key.arn).context("no ARN")
}

/// Two new keys, each in a `[[key_service]]` of its name: a client of their server, their ARNs, and the tables.
async fn two_keys(
    rig: &Rig,
    names: [&str; 2],
) -> Result<(aws_sdk_kms::Client, [String; 2], String)> {
    let kms = rig.key_server.endpoint.kms();
    let keys = [new_key(&kms).await?, new_key(&kms).await?];
    let [first, second] = names;
    let tables = kms_table(rig, first, &keys[0]) + &kms_table(rig, second, &keys[1]);
    Ok((kms, keys, tables))
}

/// Two tenants, each with a key of its own.
fn alice_and_bob() -> [String; 2] {
    [
        tenant("alice", "\"alice\"", ""),
        tenant("bob", "\"bob\"", ""),
    ]
}

async fn state_of(kms: &aws_sdk_kms::Client, key: &str) -> Result<KeyState> {
    let described = kms.describe_key().key_id(key).send().await?;
    let metadata = described.key_metadata.context("no metadata")?;
    metadata.key_state.context("no state")
}

fn kms_table(rig: &Rig, name: &str, key: &str) -> String {
    let endpoint = &rig.key_server.endpoint;
    format!(
        "[[key_service]]\nname = \"{name}\"\ntype = \"aws-kms\"\nkey = \"{key}\"\nendpoint = \"{}\"\nregion = \"{REGION}\"\n\
         credentials = {{ access_key_id = \"{}\", secret_access_key = \"env:KEY_SERVER_SECRET\" }}\n\n",
        endpoint.url, endpoint.access_key_id
    )
}

/// One tenant below a prefix of the bucket, with these key services.
fn tenant(name: &str, key_services: &str, more: &str) -> String {
    format!(
        "{{ buckets = [\"{BUCKET}\"], prefix = \"{name}/\", name = \"acme/{name}\", key_services = [{key_services}]{more} }}"
    )
}

const REST: &str = "{ buckets = [\"*\"], key_services = [\"rest\"] }";

fn gateway(rig: &Rig, key_services: &str, domains: &[String]) -> Result<Gateway> {
    gateway_at(rig, &rig.minio.endpoint, key_services, domains)
}

/// The same in front of another storage.
fn gateway_at(
    rig: &Rig,
    storage: &Endpoint,
    key_services: &str,
    domains: &[String],
) -> Result<Gateway> {
    let settings = GatewaySettings::new(storage, &rig.key_server.endpoint);
    rig.gateway_with(GatewaySettings {
        top: format!("domain = [{}, {REST}]", domains.join(", ")),
        key_service: Some(format!("{key_services}{}", kms_table(rig, "rest", KEY))),
        ..settings
    })
}

/// A run of `sealgate keys shred` in the rig's directory; whether it succeeded, its report, and what it said.
fn shred(rig: &Rig, gateway: &Gateway, arguments: &[&str]) -> Result<(bool, Value, String)> {
    report(&mut command(rig, gateway, arguments)?, LIMIT)
}

/// That a timer does nothing for the one order that there is, because a person has to look at it.
fn a_timer_stops(rig: &Rig, gateway: &Gateway) -> Result<()> {
    let (done, due, _) = shred(rig, gateway, &["--due"])?;
    let failed = due.pointer("/orders/0/failed").and_then(Value::as_str);
    ensure!(
        !done && failed.is_some_and(|said| said.contains("A timer destroys nothing")),
        "{due}"
    );
    Ok(())
}

fn command(rig: &Rig, gateway: &Gateway, arguments: &[&str]) -> Result<Command> {
    let mut command = gateway.command("keys shred")?;
    command
        .current_dir(rig.directory())
        .stdin(Stdio::null())
        .args(["--operator", "the test"])
        .args(arguments);
    Ok(command)
}

fn destroy<'a>(domain: &'a str, certificate: &'a str) -> [&'a str; 6] {
    [
        "--domain",
        domain,
        "--confirm",
        domain,
        "--certificate",
        certificate,
    ]
}

/// What `keys certificate verify` says of a file.
fn verify(rig: &Rig, certificate: &str) -> Result<(bool, String)> {
    let mut command = Command::new(environment::own_program("sealgate")?);
    command
        .current_dir(rig.directory())
        .args(["keys", "certificate", "verify", certificate])
        .args(["--public-key", "shred-signing.key.pub"]);
    let output = process::run(&mut command, LIMIT)?;
    let said = if output.status.success() {
        output.stdout
    } else {
        output.stderr
    };
    Ok((output.status.success(), String::from_utf8(said)?))
}

/// Keeps versions of what the state bucket has.
async fn keep_versions(bare: &Client, state: &str) -> Result<()> {
    let versions = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
    bare.put_bucket_versioning()
        .bucket(state)
        .versioning_configuration(versions.build())
        .send()
        .await?;
    Ok(())
}

/// The causes of a refusal, as one text. Nothing was done.
fn causes(outcome: &(bool, Value, String)) -> Result<String> {
    let (done, result, said) = outcome;
    let refused = result["refused"].to_string();
    ensure!(
        !done && result["shredded"] == false && refused.len() > 4,
        "{result} {said}"
    );
    Ok(refused)
}

/// Every version of every registry record, with what it claims.
async fn records(bare: &Client, state: &str) -> Result<Vec<Vec<u8>>> {
    let listed = bare
        .list_object_versions()
        .bucket(state)
        .prefix("registry/")
        .send()
        .await?;
    let mut found = Vec::new();
    for version in listed.versions() {
        let answer = bare
            .get_object()
            .bucket(state)
            .key(version.key().context("a name")?)
            .set_version_id(version.version_id().map(str::to_owned))
            .send()
            .await?;
        found.push(answer.body.collect().await?.to_vec());
    }
    Ok(found)
}

fn is_of(record: &[u8], domain: &str) -> bool {
    record
        .windows(domain.len())
        .any(|window| window == domain.as_bytes())
}

/// Waits until every gateway has written its record, so that a flush waits for all of them.
async fn all_known(gateway: &Gateway, count: usize) -> Result<()> {
    let deadline = Instant::now() + SOON;
    loop {
        let (_, status, _) = report(&mut gateway.command("keys status")?, LIMIT)?;
        let known = status
            .get("gateways_unauthenticated")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        if known >= count {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{known} of {count} gateways are known"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// A gateway of the one tenant alice, who has these key services and has stored `alice/a`, when it and the rig's own are known.
async fn gateway_of_alice(
    rig: &Rig,
    key_services: &str,
    names: &str,
    more: &str,
) -> Result<Gateway> {
    let gateway = gateway(rig, key_services, &[tenant("alice", names, more)])?;
    put(&gateway.endpoint.s3()?, BUCKET, "alice/a", b"content").await?;
    all_known(&gateway, 2).await?;
    Ok(gateway)
}

async fn status_of_put(client: &Client, key: &str) -> Option<u16> {
    let sent = client
        .put_object()
        .bucket(BUCKET)
        .key(key)
        .body(b"x".to_vec().into());
    match sent.send().await {
        Ok(_) => Some(200),
        Err(error) => error.raw_response().map(|answer| answer.status().as_u16()),
    }
}

/// The one file of an order.
fn order_file(directory: &Path) -> Result<PathBuf> {
    let orders = fs::read_dir(directory.join("shred-orders"))?;
    let paths = orders.map(|entry| Ok(entry?.path()));
    let paths: Vec<PathBuf> = paths.collect::<Result<_>>()?;
    let mut files = paths.into_iter().filter(|path| path.extension().is_some());
    files.next().context("no order")
}

/// Waits until the file of the one order has this text.
async fn order_reaches(rig: &Rig, text: &str) -> Result<()> {
    let deadline = Instant::now() + SOON;
    loop {
        let order = order_file(rig.directory()).and_then(|file| Ok(fs::read_to_string(file)?));
        if order.is_ok_and(|order| order.contains(text)) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the order does not reach {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Makes a recovery key; the field for the domain's table.
fn recovery_of(rig: &Rig, name: &str) -> Result<String> {
    let mut command = Command::new(environment::own_program("sealgate")?);
    let sender = format!("{name}-sender.key");
    command
        .current_dir(rig.directory())
        .args(["recovery", "init", "--deployment", "rig"])
        .args([
            "--output",
            &format!("{name}.key"),
            "--sender-output",
            &sender,
        ]);
    let said = process::run_successfully(&mut command, LIMIT)?;
    let public = said.lines().find(|line| line.starts_with("public_key"));
    Ok(format!(
        ", recovery = {{ {}, sender_key = \"file:{}\" }}",
        public.context("no public key")?,
        rig.directory().join(sender).display()
    ))
}
