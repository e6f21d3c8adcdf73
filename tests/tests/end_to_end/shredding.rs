//! `sealgate keys shred`: when a tenant leaves, what it has stored opens no more, and nobody else loses anything.

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
    content::pattern,
    endpoint::REGION,
    environment, process,
    rig::{Rig, get, put, state_bucket, with_rig},
    servers::{Gateway, GatewaySettings, KEY, Vault, report, vault::ROOT_TOKEN},
};
use serde_json::{Value, json};

use crate::stored::{PART, upload_in_parts};

const BUCKET: &str = "tenants";
const LIMIT: Duration = Duration::from_mins(4);

/// How soon gateways do what they are told, and write their records.
const SOON: Duration = Duration::from_secs(30);

/// A new key; its ARN.
async fn new_key(kms: &aws_sdk_kms::Client) -> Result<String> {
    let made = kms.create_key().send().await?;
    made.key_metadata.and_then(|key| key.arn).context("no ARN")
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
    let settings = GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_leaves_is_gone_and_the_others_stay() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let state = state_bucket(&bare).await?;
        let versions = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
        bare.put_bucket_versioning()
            .bucket(&state)
            .versioning_configuration(versions.build())
            .send()
            .await?;
        let kms = rig.key_server.endpoint.kms();
        let (alice, bob) = (new_key(&kms).await?, new_key(&kms).await?);
        let services = kms_table(rig, "alice", &alice) + &kms_table(rig, "bob", &bob);
        let tenants = [
            tenant("alice", "\"alice\"", ""),
            tenant("bob", "\"bob\"", ""),
        ];
        let first = gateway(rig, &services, &tenants)?;
        let second = gateway(rig, &services, &tenants)?;
        let (one, two) = (first.endpoint.s3()?, second.endpoint.s3()?);
        let content = pattern(1, 70_000);
        for key in ["alice/a", "alice/b", "bob/a", "elsewhere"] {
            put(&one, BUCKET, key, &content).await?;
        }
        put(&two, BUCKET, "alice/c", &content).await?;
        upload_in_parts(&two, BUCKET, "alice/parts", &pattern(2, PART + 9)).await?;
        // More than one version of a record.
        let (renewed, rewrap, _) = report(first.command("keys rewrap")?.arg("--renew"), LIMIT)?;
        ensure!(renewed, "{rewrap}");
        let of_alice = |all: &[Vec<u8>]| all.iter().filter(|one| is_of(one, "acme/alice")).count();
        let before = records(&bare, &state).await?;
        ensure!(
            of_alice(&before) == 4,
            "two gateways, two versions: {}",
            of_alice(&before)
        );
        all_known(&first, 3).await?;

        let (would, plan, _) = shred(rig, &first, &["--domain", "acme/alice", "--dry-run"])?;
        ensure!(
            would && plan["objects"] == 4 && plan["refused"] == json!([]),
            "{plan}"
        );
        ensure!(plan["keys"][0]["full_name"] == alice.as_str(), "{plan}");
        ensure!(
            plan["keys"].as_array().is_some_and(|keys| keys.len() == 1),
            "{plan}"
        );
        let named = ["--domain", "acme/alice", "--certificate", "alice.json"];
        let wrong = [&named[..], &["--confirm", "acme/bob"]].concat();
        for arguments in [&named[..], &wrong] {
            let (done, _, said) = shred(rig, &first, arguments)?;
            ensure!(!done && said.contains("nothing was done"), "{said}");
        }
        ensure!(state_of(&kms, &alice).await? == KeyState::Enabled);
        ensure!(get(&two, BUCKET, "alice/a").await? == content);

        let arguments = [
            &destroy("acme/alice", "alice.json")[..],
            &["--waiting-days", "7"],
        ]
        .concat();
        let (done, result, said) = shred(rig, &first, &arguments)?;
        ensure!(done && result["shredded"] == true, "{result} {said}");
        let certificate = &result["certificate"];
        ensure!(
            certificate["keys"][0]["full_name"] == alice.as_str(),
            "{result}"
        );
        ensure!(
            certificate["registry"] == json!({ "working_keys": 2, "versions": 4 }),
            "{result}"
        );
        ensure!(
            certificate["objects"]
                == json!({ "seen": 4, "opened_before": 4, "refused_after": 4, "deleted": 0 }),
            "{result}"
        );
        ensure!(
            certificate["gateways"]["gateways"]
                .as_array()
                .is_some_and(|all| all.len() == 3),
            "{result}"
        );
        let described = kms.describe_key().key_id(&alice).send().await?;
        let deletion = described
            .key_metadata
            .and_then(|key| key.deletion_date)
            .context("no date")?;
        let final_from = result["final_from"].as_str().context("no date")?;
        let final_from = aws_sdk_kms::primitives::DateTime::from_str(
            final_from,
            aws_sdk_kms::primitives::DateTimeFormat::DateTime,
        )?;
        ensure!(
            (final_from.secs() - deletion.secs()).abs() <= 1,
            "{final_from} is not {deletion}"
        );

        for client in [&one, &two] {
            for key in ["alice/a", "alice/b", "alice/c", "alice/parts"] {
                ensure!(get(client, BUCKET, key).await.is_err(), "{key} opens");
            }
            let status = status_of_put(client, "alice/new").await;
            ensure!(matches!(status, Some(403 | 503)), "PUT: {status:?}");
            for key in ["bob/a", "elsewhere"] {
                ensure!(get(client, BUCKET, key).await? == content, "{key}");
            }
            ensure!(status_of_put(client, "bob/new").await == Some(200));
        }
        ensure!(
            first.process.logged()?.contains("is pending deletion"),
            "the log names the cause"
        );
        let after = records(&bare, &state).await?;
        ensure!(
            of_alice(&after) == 0 && after.len() >= 2,
            "{} records",
            after.len()
        );
        let (works, check, _) = report(&mut first.command("check")?, LIMIT)?;
        ensure!(
            !works && check.to_string().contains("pending deletion"),
            "{check}"
        );
        // One that starts now, with everything that the storage still has.
        let late = gateway(rig, &services, &tenants)?;
        ensure!(get(&late.endpoint.s3()?, BUCKET, "alice/a").await.is_err());

        let (genuine, said) = verify(rig, "alice.json")?;
        ensure!(genuine && said.contains(&alice), "{said}");
        let file = rig.directory().join("alice.json");
        let whole = fs::read(&file)?;
        for place in [0, whole.len() / 2, whole.len() - 2] {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            fs::write(&file, changed)?;
            let (genuine, said) = verify(rig, "alice.json")?;
            ensure!(!genuine && said.contains("signature"), "{said}");
        }
        fs::write(&file, whole)?;
        let (again, _, said) = shred(rig, &first, &destroy("acme/alice", "alice.json"))?;
        ensure!(!again && said.contains("destroyed already"), "{said}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_shared_is_not_destroyed_and_who_shares_it_is_named() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let kms = rig.key_server.endpoint.kms();
        let (alice, bob) = (new_key(&kms).await?, new_key(&kms).await?);
        let services = kms_table(rig, "alice", &alice) + &kms_table(rig, "bob", &bob);
        let alone = [
            tenant("alice", "\"alice\"", ""),
            tenant("bob", "\"bob\"", ""),
        ];
        let honest = gateway(rig, &services, &alone)?;
        put(&honest.endpoint.s3()?, BUCKET, "alice/a", b"content").await?;
        let refused = |gateway: &Gateway, parts: &[&str]| -> Result<()> {
            let (done, result, said) = shred(rig, gateway, &destroy("acme/alice", "alice.json"))?;
            let causes = result["refused"].to_string();
            ensure!(!done && result["shredded"] == false, "{result} {said}");
            for part in parts {
                ensure!(causes.contains(part), "{part:?} is not in {causes}");
            }
            ensure!(!rig.directory().join("alice.json").exists());
            Ok(())
        };

        // A key service that is away is the one thing to be told: whatever else would be said could be wrong.
        let away = services.replace(&rig.key_server.endpoint.url, "http://127.0.0.1:9");
        let lonely = gateway(rig, &away, &alone)?;
        let (done, result, said) = shred(rig, &lonely, &destroy("acme/alice", "alice.json"))?;
        let causes = result["refused"].as_array().context("refused")?;
        ensure!(!done && !causes.is_empty(), "{result} {said}");
        for cause in causes {
            ensure!(
                cause.to_string().contains("does not tell its key"),
                "{result}"
            );
        }

        // By the configuration: of another domain, also under an alias, and of all that have no table.
        let shared = [
            tenant("alice", "\"alice\"", ""),
            tenant("bob", "\"bob\", \"alice\"", ""),
        ];
        let sharing = gateway(rig, &services, &shared)?;
        refused(
            &sharing,
            &["key service alice is also that of the domain acme/bob"],
        )?;
        kms.create_alias()
            .alias_name("alias/other-name")
            .target_key_id(&alice)
            .send()
            .await?;
        let by_alias = kms_table(rig, "alice", &alice) + &kms_table(rig, "bob", "alias/other-name");
        refused(
            &gateway(rig, &by_alias, &alone)?,
            &["key service bob is also that of the domain acme/bob"],
        )?;

        // By what is stored, whatever the configuration says now: objects, and a record.
        put(&sharing.endpoint.s3()?, BUCKET, "bob/b", b"content").await?;
        refused(
            &honest,
            &[
                "has wrapped for others, too",
                "tenants/bob/b",
                "of the domain acme/bob",
            ],
        )?;
        // A key that stays, and has wrapped for the domain.
        let twice = [tenant("alice", "\"alice\", \"bob\"", "")];
        put(
            &gateway(rig, &services, &twice)?.endpoint.s3()?,
            BUCKET,
            "alice/both",
            b"content",
        )
        .await?;
        refused(
            &honest,
            &["key service bob is also that of the domain acme/bob"],
        )?;
        let (done, result, _) = shred(rig, &honest, &["--domain", "rig/tenants", "--dry-run"])?;
        ensure!(
            !done
                && result["refused"]
                    .to_string()
                    .contains("no [[domain]] is about"),
            "{result}"
        );
        for key in [&alice, &bob] {
            ensure!(state_of(&kms, key).await? == KeyState::Enabled);
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_or_was_killed_is_gone_on_with_to_one_certificate() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let kms = rig.key_server.endpoint.kms();
        let (alice, second) = (new_key(&kms).await?, new_key(&kms).await?);
        let services = kms_table(rig, "alice", &alice) + &kms_table(rig, "second", &second);
        let domains = [tenant("alice", "\"alice\", \"second\"", "")];
        let gateway = gateway(rig, &services, &domains)?;
        let through = gateway.endpoint.s3()?;
        put(&through, BUCKET, "alice/a", b"content").await?;
        all_known(&gateway, 2).await?;

        // The second deletion fails.
        rig.key_server.set_faults(&json!([{
            "operations": ["ScheduleKeyDeletion"],
            "keys": [second],
            "then": { "error": "AccessDeniedException" },
        }]))?;
        let arguments = destroy("acme/alice", "alice.json");
        let (done, _, said) = shred(rig, &gateway, &arguments)?;
        ensure!(!done && said.contains("could not be destroyed"), "{said}");
        ensure!(state_of(&kms, &alice).await? == KeyState::PendingDeletion);
        ensure!(state_of(&kms, &second).await? == KeyState::Enabled);
        ensure!(!rig.directory().join("alice.json").exists());
        let (_, orders, _) = shred(rig, &gateway, &["--list"])?;
        ensure!(orders["orders"][0]["state"] == "begun", "{orders}");
        let (cancelled, _, said) = shred(rig, &gateway, &["--cancel", "acme/alice"])?;
        ensure!(
            !cancelled && said.contains("cannot be taken back"),
            "{said}"
        );
        rig.key_server.set_faults(&json!([]))?;

        // Killed while a gateway does not answer.
        signal(&gateway, "STOP")?;
        let mut child = command(rig, &gateway, &arguments)?
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let deadline = Instant::now() + SOON;
        while state_of(&kms, &second).await? != KeyState::PendingDeletion {
            ensure!(Instant::now() < deadline, "the second key stays");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        child.kill()?;
        child.wait()?;
        signal(&gateway, "CONT")?;
        ensure!(
            !rig.directory().join("alice.json").exists(),
            "it was not done"
        );
        all_known(&gateway, 2).await?;

        let (done, result, said) = shred(rig, &gateway, &arguments)?;
        ensure!(done && result["shredded"] == true, "{result} {said}");
        let keys = result["certificate"]["keys"]
            .as_array()
            .context("no keys")?;
        ensure!(keys.len() == 2, "{result}");
        let (genuine, said) = verify(rig, "alice.json")?;
        ensure!(
            genuine && said.contains(&alice) && said.contains(&second),
            "{said}"
        );
        ensure!(get(&through, BUCKET, "alice/a").await.is_err(), "it opens");
        let (_, orders, _) = shred(rig, &gateway, &["--list"])?;
        ensure!(orders["orders"] == json!([]), "{orders}");
        Ok(())
    })
    .await
}

fn signal(gateway: &Gateway, name: &str) -> Result<()> {
    let mut kill = Command::new("kill");
    kill.args([format!("-{name}"), gateway.process.id().to_string()]);
    ensure!(kill.status()?.success(), "kill -{name}");
    Ok(())
}

/// The one file of an order.
fn order_file(directory: &Path) -> Result<PathBuf> {
    let orders = fs::read_dir(directory.join("shred-orders"))?;
    let paths = orders.map(|entry| Ok(entry?.path()));
    let paths: Vec<PathBuf> = paths.collect::<Result<_>>()?;
    let mut files = paths.into_iter().filter(|path| path.extension().is_some());
    files.next().context("no order")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_for_its_time_and_a_forged_one_destroys_nothing() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let kms = rig.key_server.endpoint.kms();
        let (alice, bob) = (new_key(&kms).await?, new_key(&kms).await?);
        let services = kms_table(rig, "alice", &alice) + &kms_table(rig, "bob", &bob);
        let tenants = [
            tenant("alice", "\"alice\"", ""),
            tenant("bob", "\"bob\"", ""),
        ];
        let gateway = gateway(rig, &services, &tenants)?;
        let through = gateway.endpoint.s3()?;
        for key in ["alice/a", "bob/a"] {
            put(&through, BUCKET, key, b"content").await?;
        }
        all_known(&gateway, 2).await?;
        let later = |wait: &'static str| {
            [&destroy("acme/alice", "alice.json")[..], &["--after", wait]].concat()
        };
        let due = || shred(rig, &gateway, &["--due"]);

        let (ordered, result, said) = shred(rig, &gateway, &later("30d"))?;
        ensure!(ordered && result["shredded"] == false, "{result} {said}");
        let (succeeded, result, _) = due()?;
        ensure!(
            succeeded && result["orders"][0]["shredded"] == false,
            "{result}"
        );
        let (_, orders, _) = shred(rig, &gateway, &["--list"])?;
        ensure!(orders["orders"][0]["domain"] == "acme/alice", "{orders}");

        // Brought forward, meant for somebody else, or put where the storage can write.
        let file = order_file(rig.directory())?;
        let genuine = fs::read_to_string(&file)?;
        let now = "\"not_before\": \"2001-01-01T00:00:00Z\"";
        let line = genuine
            .lines()
            .find(|line| line.contains("not_before"))
            .context("no time")?;
        let line = line.trim().trim_end_matches(',');
        let forward = genuine.replace(line, now);
        ensure!(forward != genuine);
        for forged in [forward.clone(), forward.replace("alice", "bob")] {
            fs::write(&file, &forged)?;
            let (succeeded, result, _) = due()?;
            ensure!(
                !succeeded && result["orders"][0]["shredded"] == false,
                "{result}"
            );
            ensure!(result.to_string().contains("was not signed by"), "{result}");
        }
        let state = state_bucket(&bare).await?;
        for name in ["shred-orders/x.order", "control/shred"] {
            put(&bare, &state, name, forward.as_bytes()).await?;
        }
        fs::write(&file, &genuine)?;
        let (succeeded, result, _) = due()?;
        ensure!(
            succeeded && result["orders"][0]["shredded"] == false,
            "{result}"
        );
        for key in [&alice, &bob] {
            ensure!(state_of(&kms, key).await? == KeyState::Enabled);
        }

        let (again, _, said) = shred(rig, &gateway, &destroy("acme/alice", "other.json"))?;
        ensure!(!again && said.contains("--cancel"), "{said}");
        let (cancelled, _, said) = shred(rig, &gateway, &["--cancel", "acme/alice"])?;
        ensure!(cancelled, "{said}");
        let (succeeded, result, _) = due()?;
        ensure!(succeeded && result["orders"] == json!([]), "{result}");

        let (ordered, result, said) = shred(rig, &gateway, &later("3s"))?;
        ensure!(ordered, "{result} {said}");
        tokio::time::sleep(Duration::from_secs(4)).await;
        ensure!(
            get(&through, BUCKET, "alice/a").await? == b"content",
            "nobody asked for it"
        );
        let (succeeded, result, said) = due()?;
        ensure!(
            succeeded && result["orders"][0]["shredded"] == true,
            "{result} {said}"
        );
        ensure!(verify(rig, "alice.json")?.0);
        ensure!(get(&through, BUCKET, "alice/a").await.is_err(), "it opens");
        ensure!(get(&through, BUCKET, "bob/a").await? == b"content");
        Ok(())
    })
    .await
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

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_vault_and_a_recovery_key_of_the_domains_own_go_together() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let vault = Vault::start(rig.directory())?;
        vault.make_key("alice")?;
        vault.make_key("bob")?;
        fs::write(rig.directory().join("token"), ROOT_TOKEN)?;
        let table = |name: &str| {
            format!(
                "[[key_service]]\nname = \"{name}\"\ntype = \"vault-transit\"\nendpoint = \"{}\"\nkey = \"{name}\"\n\
                 login = {{ method = \"token\", token = \"file:token\" }}\n\n",
                vault.url
            )
        };
        let services = table("alice") + &table("bob");
        let recovery = recovery_of(rig, "recovery")?;
        let tenants = [tenant("alice", "\"alice\"", &recovery), tenant("bob", "\"bob\"", "")];
        let gateway = gateway(rig, &services, &tenants)?;
        let through = gateway.endpoint.s3()?;
        for key in ["alice/a", "bob/a"] {
            put(&through, BUCKET, key, b"content").await?;
        }
        all_known(&gateway, 2).await?;

        let (done, result, _) = shred(rig, &gateway, &destroy("acme/alice", "alice.json"))?;
        let causes = result["refused"].to_string();
        ensure!(!done && causes.contains("would go on opening copies of the registry"), "{result}");
        ensure!(causes.contains("--recovery-key"), "{result}");
        ensure!(get(&through, BUCKET, "alice/a").await? == b"content");

        let with_key = [&destroy("acme/alice", "alice.json")[..], &["--recovery-key", "recovery.key"]].concat();
        let (done, result, said) = shred(rig, &gateway, &with_key)?;
        ensure!(done, "{result} {said}");
        let keys = result["certificate"]["keys"].as_array().context("no keys")?;
        ensure!(keys.len() == 2 && keys[0]["manner"] == "deleted", "{result}");
        ensure!(keys[1]["key_service"].is_null(), "{result}");
        ensure!(!rig.directory().join("recovery.key").exists());
        let read = vault.request("GET", "transit/keys/alice", &Value::Null);
        ensure!(read.is_err(), "the key is there: {read:?}");
        vault.request("GET", "transit/keys/bob", &Value::Null)?;
        ensure!(get(&through, BUCKET, "alice/a").await.is_err(), "it opens");
        ensure!(status_of_put(&through, "alice/b").await != Some(200));
        ensure!(get(&through, BUCKET, "bob/a").await? == b"content");
        ensure!(verify(rig, "alice.json")?.0);
        // With a key of the same name, made anew, nothing of it comes back.
        vault.make_key("alice")?;
        let late = self::gateway(rig, &services, &tenants)?;
        ensure!(get(&late.endpoint.s3()?, BUCKET, "alice/a").await.is_err(), "it opens");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_goes_when_no_gateway_has_it_in_memory() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let mut make = Command::new(environment::own_program("sealgate")?);
        make.current_dir(rig.directory())
            .args(["key-file", "create", "alice.key"]);
        process::run_successfully(&mut make, LIMIT)?;
        let services =
            "[[key_service]]\nname = \"alice\"\ntype = \"local\"\nfile = \"alice.key\"\n\n";
        let mut gateway = gateway(rig, services, &[tenant("alice", "\"alice\"", "")])?;
        let through = gateway.endpoint.s3()?;
        put(&through, BUCKET, "alice/a", b"content").await?;
        put(&through, BUCKET, "other", b"content").await?;
        all_known(&gateway, 2).await?;
        let (done, result, _) = shred(rig, &gateway, &destroy("acme/alice", "alice.json"))?;
        ensure!(
            !done
                && result["refused"]
                    .to_string()
                    .contains("keep the key of a key file in memory"),
            "{result}"
        );
        gateway.process.terminate(SOON)?;
        rig.gateway.process.terminate(SOON)?;
        let file = rig.directory().join("alice.key");
        let (done, _, said) = shred(rig, &gateway, &destroy("acme/alice", "alice.json"))?;
        // The key is gone, and nobody has said that no gateway runs: not certified.
        ensure!(!done && said.contains("--without-gateways"), "{said}");
        ensure!(!file.exists() && !rig.directory().join("alice.json").exists());
        let alone = [
            &destroy("acme/alice", "alice.json")[..],
            &["--without-gateways"],
        ]
        .concat();
        let (done, result, said) = shred(rig, &gateway, &alone)?;
        ensure!(
            done && result["certificate"]["keys"][0]["manner"] == "file overwritten and removed",
            "{result} {said}"
        );
        ensure!(verify(rig, "alice.json")?.0);
        Ok(())
    })
    .await
}
