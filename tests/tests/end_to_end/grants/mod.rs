//! Break-glass grants: asked for, approved and revoked by the command line, used by real clients at two gateways.

mod copies;
mod mixed_versions;
mod outside;
mod revocations;

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use sealgate_access::PrivateKey;
use sealgate_tests::{
    audit_key,
    content::pattern,
    environment, process,
    python::aws,
    rig::{Rig, get, put, state_bucket, with_tls_rig_of},
    servers::Gateway,
    session::SessionCredentials,
    tls_client,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const BUCKET: &str = "grants";
const LIMIT: Duration = Duration::from_mins(4);
const COMMAND_LIMIT: Duration = Duration::from_mins(1);

/// How soon every replica has to know of a revocation.
const EFFECTIVE: Duration = Duration::from_secs(5);

const ALICE: u8 = 1;
const BOB: u8 = 2;
const OSCAR: u8 = 3;
const REVOKER: u8 = 4;
const STRANGER: u8 = 5;

/// An object of the case for which grants are.
const REPORT: &str = "/grants/case-7/report";

/// The id of a request that nobody made.
const STRANGE_ID: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A second key of Bob's, as `ssh-keygen` made it; it protects nothing.
const OPENSSH_KEY: &str = include_str!("../../../../crates/access/src/grant/openssh/approver");
const OPENSSH_PUBLIC: &str =
    include_str!("../../../../crates/access/src/grant/openssh/approver.pub");

fn private(seed: u8) -> zeroize::Zeroizing<String> {
    PrivateKey::text_of_seed(&[seed; 32])
}

fn public(seed: u8) -> Result<String> {
    Ok(PrivateKey::parse(&private(seed))?.public_key().to_string())
}

/// Somebody who may do nothing, approvers of which they are one, and whoever revokes.
fn configuration(directory: &Path, more: &str) -> Result<String> {
    std::fs::write(
        directory.join("session-secret"),
        "a secret of sessions, the same on every replica",
    )?;
    Ok(format!(
        r#"
[[identity]]
name = "oscar"
[[identity.credential]]
access_key_id = "SGOSCAR"
secret_access_key = "env:CLIENT_SECRET"

[sessions]
secrets = ["file:{}"]

[policy]

[[policy.rule]]
id = "administration"
identities = ["client"]
allow = ["admin"]

[[policy.rule]]
id = "sealed-drawer"
identities = ["oscar"]
deny = ["decrypt"]
prefixes = ["case-7/drawer/"]

[grants]
requesters = ["oscar"]
quorum = 2

[[grants.approver]]
name = "alice"
public_keys = ["{}"]

[[grants.approver]]
name = "bob"
public_keys = ["{}", "{}"]

[[grants.approver]]
name = "oscar"
public_keys = ["{}"]

[grants.revocations]
public_keys = ["{}", "{}"]
{more}
"#,
        directory.join("session-secret").display(),
        public(ALICE)?,
        public(BOB)?,
        OPENSSH_PUBLIC.trim(),
        public(OSCAR)?,
        public(REVOKER)?,
        OPENSSH_PUBLIC.trim()
    ))
}

/// An audit log of one gateway.
fn audit(directory: &Path, name: &str) -> Result<String> {
    let key = directory.join(format!("{name}.key"));
    audit_key::make(&format!("example.com/{name}"), &key, &[])?;
    Ok(format!(
        "\n[audit]\ndirectory = \"{}\"\nkey = \"file:{}\"\n",
        directory.join(name).display(),
        key.display()
    ))
}

/// The operations of the records of a grant, with those whose names they have.
fn recorded(directory: &Path, name: &str, grant: &str) -> Result<Vec<String>> {
    let mut command = Command::new(environment::own_program("sealgate")?);
    command.args(["audit", "search", "--grant", grant, "--json"]);
    let printed = process::run_successfully(command.arg(directory.join(name)), COMMAND_LIMIT)?;
    let records = printed.lines().map(serde_json::from_str::<Value>);
    let records = records.collect::<Result<Vec<_>, _>>()?;
    Ok(records
        .iter()
        .map(|record| {
            let member = |name| record.get(name).and_then(Value::as_str).unwrap_or_default();
            format!(
                "{} {} {} {}",
                member("operation"),
                member("identity"),
                member("decision"),
                member("policy")
            )
        })
        .collect())
}

/// The command line, and the keys of everybody.
struct Desk<'a> {
    gateway: &'a Gateway,
    directory: PathBuf,
}

impl<'a> Desk<'a> {
    fn new(gateway: &'a Gateway, directory: &Path) -> Self {
        Self {
            gateway,
            directory: directory.to_owned(),
        }
    }

    fn key(&self, seed: u8) -> Result<String> {
        self.key_file(&format!("{seed}.key"), &private(seed))
    }

    fn key_file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.directory.join(name);
        std::fs::write(&path, text.as_bytes())?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(path.display().to_string())
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Result<Value> {
        let mut command = self.gateway.command(&format!("grant {name}"))?;
        command.args(arguments).arg("--json");
        let printed = process::run_successfully(&mut command, COMMAND_LIMIT)?;
        Ok(serde_json::from_str(&printed)?)
    }

    fn refused(&self, name: &str, arguments: &[&str], why: &str) -> Result<()> {
        refused(self.run(name, arguments), why)
    }

    fn request(&self, duration: &str) -> Result<String> {
        let arguments = [
            "--as",
            "oscar",
            "--bucket",
            BUCKET,
            "--prefix",
            "case-7/",
            "--reason",
            "a test",
            "--duration",
            duration,
        ];
        let value = self.run("request", &arguments)?;
        let id = value.get("id").and_then(Value::as_str);
        Ok(id.context("no id")?.to_owned())
    }

    fn approve(&self, id: &str, seed: u8) -> Result<Value> {
        self.run("approve", &[id, "--yes", "--key", &self.key(seed)?])
    }

    /// A request that both have approved; its id.
    fn approved(&self, duration: &str) -> Result<String> {
        let id = self.request(duration)?;
        for seed in [ALICE, BOB] {
            self.approve(&id, seed)?;
        }
        Ok(id)
    }

    /// Signs the first list of revocations; the key that did.
    fn first_list(&self) -> Result<String> {
        let revoker = self.key(REVOKER)?;
        self.run("revoke", &["--first", "--key", &revoker])?;
        Ok(revoker)
    }

    fn granted(&self, duration: &str) -> Result<(String, SessionCredentials)> {
        let id = self.approved(duration)?;
        let credentials = self.credentials(&id)?;
        Ok((id, credentials))
    }

    fn credentials(&self, id: &str) -> Result<SessionCredentials> {
        let started = Instant::now();
        loop {
            let printed = credentials(self.gateway, "SGOSCAR", id, &["--json"]);
            // A gateway looks at the list of revocations every other second.
            let is_early =
                |error: &anyhow::Error| format!("{error:#}").contains("no list of revocations yet");
            if printed.as_ref().is_err_and(is_early) && started.elapsed() < EFFECTIVE {
                std::thread::sleep(Duration::from_millis(200));
                continue;
            }
            return SessionCredentials::of(&serde_json::from_str(&printed?)?);
        }
    }
}

/// What somebody gets for a grant who has nothing but an access key, and its secret.
fn credentials(gateway: &Gateway, who: &str, id: &str, arguments: &[&str]) -> Result<String> {
    let endpoint = &gateway.endpoint;
    let own = endpoint.with_credentials(who, &endpoint.secret_access_key);
    let mut command = Command::new(environment::own_program("sealgate")?);
    own.describe_to(&mut command);
    command.args(["grant", "credentials", id, "--endpoint", &endpoint.url]);
    process::run_successfully(command.args(arguments), COMMAND_LIMIT)
}

/// Has `ssh-keygen` sign a file for one purpose; the file of the signature.
fn ssh_sign(namespace: &str, key: &str, file: &str) -> Result<String> {
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-Y", "sign", "-n", namespace, "-f", key, file]);
    process::run_successfully(&mut sign, COMMAND_LIMIT)?;
    Ok(format!("{file}.sig"))
}

fn refused<T>(outcome: Result<T>, why: &str) -> Result<()> {
    let message = format!("{:#}", outcome.err().context("it was allowed")?);
    ensure!(message.contains(why), "{why}: {message}");
    Ok(())
}

fn denied(outcome: Result<String>) -> Result<()> {
    let message = format!("{:#}", outcome.err().context("it was allowed")?);
    ensure!(
        message.contains("AccessDenied") || message.contains("403"),
        "{message}"
    );
    Ok(())
}

/// Two gateways, a bucket with some objects, and the first list of revocations.
async fn prepared(rig: &Rig, more: &str) -> Result<Gateway> {
    let second = rig.gateway_with_more(more)?;
    let (admin, _) = rig.clients(BUCKET).await?;
    put(&admin, BUCKET, "case-7/report", b"of case 7").await?;
    put(&admin, BUCKET, "case-7/drawer/letter", b"sealed").await?;
    put(&admin, BUCKET, "case-8/report", b"of case 8").await?;
    Ok(second)
}

async fn until_it_counts(
    credentials: &SessionCredentials,
    gateways: &[&Gateway],
    expected: Option<&str>,
    within: Duration,
) -> Result<()> {
    let started = Instant::now();
    for gateway in gateways {
        loop {
            let code = credentials.error_code(gateway, "GET", REPORT).await;
            // One whose grant ends while it is answered is cut off.
            let code = code.unwrap_or_else(|error| Some(format!("{error:#}")));
            if code.as_deref() == expected {
                break;
            }
            ensure!(
                started.elapsed() < within,
                "{code:?} instead of {expected:?} after {within:?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_lets_in_where_it_says_until_it_is_revoked_on_every_replica() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let of_audit = |name| audit(directory.path(), name);
    let more = |name| configuration(directory.path(), &of_audit(name)?);
    with_tls_rig_of(&more("first")?, LIMIT, async |rig: &mut Rig| {
        let second = prepared(rig, &more("second")?).await?;
        let gateways = [&rig.gateway, &second];
        let desk = Desk::new(&rig.gateway, directory.path());
        let revoker = desk.key(REVOKER)?;
        desk.refused("revoke", &["--renew", "--key", &revoker], "add --first")?;
        desk.run("revoke", &["--first", "--key", &revoker])?;

        let id = desk.request("10m")?;
        let id = id.as_str();
        refused(desk.credentials(id), "0 of 2")?;
        // Nothing is signed that nobody looked at.
        let alices = desk.key(ALICE)?;
        desk.refused("approve", &[id, "--key", &alices], "add --yes")?;
        refused(desk.approve(id, OSCAR), "for themselves")?;
        refused(desk.approve(id, STRANGER), "not that of an approver")?;
        // Alice has nothing but the request and her key.
        desk.run("show", &[id, "--output", &desk.file("request.json")])?;
        let mut offline = Command::new(environment::own_program("sealgate")?);
        offline.args(["grant", "approve", "--request", &desk.file("request.json")]);
        offline.args([
            "--key",
            &alices,
            "--output",
            &desk.file("alice.json"),
            "--yes",
        ]);
        process::run_successfully(&mut offline, COMMAND_LIMIT)?;
        let alice_says = desk.file("alice.json");
        desk.run("approve", &[id, "--approval", &alice_says])?;
        desk.refused("approve", &[id, "--approval", &alice_says], "already")?;
        // Her word for this request is none for another one.
        let other = desk.request("10m")?;
        let of_other = [&*other, "--approval", &alice_says];
        desk.refused("approve", &of_other, "not that of an approver")?;
        refused(desk.credentials(id), "1 of 2")?;
        // Bob has a key of OpenSSH, and `ssh-keygen` signs with it.
        let bobs = desk.key_file("id_ed25519", OPENSSH_KEY)?;
        let signature = ssh_sign("sealgate-grant", &bobs, &desk.file("request.json"))?;
        desk.refused(
            "approve",
            &[&*other, "--signature", &signature],
            "exactly the file",
        )?;
        desk.run("approve", &[id, "--signature", &signature])?;
        let shown = desk.run("show", &[id])?;
        ensure!(shown.get("status") == Some(&json!("approved")), "{shown}");

        let explained = |key: &str| {
            let mut command = rig.gateway.command("policy test")?;
            let resource = format!("{BUCKET}/{key}");
            command.args([
                "--as",
                "oscar",
                "--action",
                "decrypt",
                "--resource",
                &resource,
            ]);
            process::run(
                command.args(["--grant", &desk.file("request.json")]),
                COMMAND_LIMIT,
            )
        };
        for (key, why) in [
            ("case-7/report", "allowed by grant"),
            ("case-7/drawer/letter", "sealed-drawer"),
            ("case-8/report", "outside of the grant's scope"),
        ] {
            let said = explained(key)?;
            let text = String::from_utf8_lossy(&said.stdout);
            ensure!(text.contains(why), "{key}: {text}");
            ensure!(
                said.status.success() == why.starts_with("allowed"),
                "{key}: {text}"
            );
        }

        // The configuration and another identity's credentials give nothing.
        let of_client = credentials(&second, "SGCLIENT", id, &[]);
        refused(of_client, "no grant of this id for you")?;
        let credentials = desk.credentials(id)?;
        until_it_counts(&credentials, &gateways, None, EFFECTIVE).await?;
        for gateway in gateways {
            let target = format!("s3://{BUCKET}/case-7/report");
            let copied = credentials.run_aws(gateway, &["s3", "cp", &target, "-"])?;
            ensure!(copied == "of case 7", "{copied}");
            let listed =
                credentials.run_aws(gateway, &["s3", "ls", &format!("s3://{BUCKET}/case-7/")])?;
            ensure!(listed.contains("report"), "{listed}");
            // Another place, another action, what a policy forbids, and other credentials.
            for (key, method) in [
                ("case-8/report", "GET"),
                ("case-7/report", "DELETE"),
                ("", "GET"),
                ("case-7/drawer/letter", "GET"),
            ] {
                let target = format!("/{BUCKET}/{key}");
                let code = credentials.error_code(gateway, method, &target).await?;
                ensure!(
                    code.as_deref() == Some("AccessDenied"),
                    "{method} {key}: {code:?}"
                );
            }
            denied(credentials.run_aws(gateway, &["sts", "get-session-token"]))?;
        }
        // A changed token is none, and neither is one with another access key.
        let mut changed = credentials.token.clone();
        let last = if changed.pop() == Some('A') { 'B' } else { 'A' };
        changed.push(last);
        let changed = credentials.with_token(&changed);
        let code = changed.error_code(&second, "GET", REPORT).await?;
        ensure!(code.as_deref() == Some("InvalidToken"), "{code:?}");
        let stolen = SessionCredentials {
            id: "SGOSCAR".to_owned(),
            secret: rig.gateway.endpoint.secret_access_key.clone(),
            token: credentials.token.clone(),
        };
        let code = stolen.error_code(&second, "GET", REPORT).await?;
        ensure!(code.as_deref() == Some("InvalidToken"), "{code:?}");

        desk.run("revoke", &[id, "--key", &revoker])?;
        until_it_counts(&credentials, &gateways, Some("AccessDenied"), EFFECTIVE).await?;
        refused(desk.credentials(id), "revoked")?;

        // Bob denies the other one; Alice's approval is not enough, and nobody's is.
        desk.approve(&other, ALICE)?;
        desk.run("deny", &[&*other, "--yes", "--key", &bobs])?;
        refused(desk.credentials(&other), "denied by bob")?;
        refused(desk.approve(&other, BOB), "bob has denied it")?;

        let wanted = [
            (id, "GrantRequested oscar allow"),
            (id, "GrantApproved alice allow"),
            (id, "GrantApproved bob allow"),
            (id, "GrantIssued oscar allow approved by alice, bob"),
            (id, "GrantUsed oscar allow approved by alice, bob"),
            (id, "GetObject oscar allow"),
            (id, "GetObject oscar deny"),
            (id, "GrantRevoked  deny"),
            (&*other, "GrantDenied bob deny"),
        ];
        let started = Instant::now();
        loop {
            let found = |grant: &str| recorded(directory.path(), "first", grant);
            let (of_it, of_other) = (found(id)?, found(&other)?);
            let missing = wanted.iter().find(|(grant, wanted)| {
                let records = if *grant == id { &of_it } else { &of_other };
                !records.iter().any(|record| record.starts_with(wanted))
            });
            let Some(missing) = missing else { break };
            ensure!(
                started.elapsed() < Duration::from_secs(20),
                "{missing:?} is not in {of_it:?} {of_other:?}"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_ends_when_its_grant_is_revoked() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let more = configuration(directory.path(), "")?;
    with_tls_rig_of(&more, LIMIT, async |rig: &mut Rig| {
        let second = prepared(rig, &more).await?;
        let admin = rig.gateway.endpoint.s3()?;
        let content = pattern(7, 48 << 20);
        put(&admin, BUCKET, "case-7/large", &content).await?;
        let desk = Desk::new(&rig.gateway, directory.path());
        let revoker = desk.first_list()?;
        let (id, credentials) = desk.granted("10m")?;
        until_it_counts(&credentials, &[&second], None, EFFECTIVE).await?;

        let target = format!("/{BUCKET}/case-7/large");
        let request = credentials.request(&second, "GET", &target)?;
        let ca_file = second.endpoint.ca_file.as_ref().context("no TLS")?;
        let mut stream = tls_client::connect(second.endpoint.authority(), ca_file).await?;
        stream
            .write_all(&request.to_bytes(&second.endpoint))
            .await?;
        let mut buffer = vec![0; 64 << 10];
        let mut received = stream.read(&mut buffer).await?;
        ensure!(buffer.starts_with(b"HTTP/1.1 200"), "no 200");
        desk.run("revoke", &[&id, "--key", &revoker])?;
        until_it_counts(&credentials, &[&second], Some("AccessDenied"), EFFECTIVE).await?;
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(length) => received += length,
            }
        }
        ensure!(received < content.len(), "all of {received} bytes came");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_lists_that_the_storage_changes_let_nobody_in() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let of_audit = |name| audit(directory.path(), name);
    let more = |name| configuration(directory.path(), &of_audit(name)?);
    with_tls_rig_of(&more("first")?, LIMIT, async |rig: &mut Rig| {
        let second = prepared(rig, &more("second")?).await?;
        let desk = Desk::new(&rig.gateway, directory.path());
        let revoker = desk.first_list()?;
        let storage = rig.minio.endpoint.s3()?;
        let state = state_bucket(&storage).await?;
        let first = get(&storage, &state, "grants/revocations").await?;

        // A wider scope under the same approvals.
        let (id, credentials) = desk.granted("10m")?;
        let name = format!("grants/requests/{id}");
        let record = String::from_utf8(get(&storage, &state, &name).await?)?;
        let wider = record.replace("case-7/", "");
        ensure!(wider != record, "{record}");
        put(&storage, &state, &name, wider.as_bytes()).await?;
        // The id is not that of this text.
        desk.refused("show", &[&id], "request's id")?;
        refused(desk.credentials(&id), "request's id")?;
        refused(desk.approve(&id, ALICE), "request's id")?;
        // What was handed out before is not in the storage, and goes on.
        until_it_counts(&credentials, &[&second], None, EFFECTIVE).await?;

        // The list before the revocation comes back: no grant counts any more, and nobody signs it by mistake.
        desk.run("revoke", &[STRANGE_ID, "--key", &revoker])?;
        tokio::time::sleep(EFFECTIVE).await;
        put(&storage, &state, "grants/revocations", &first).await?;
        until_it_counts(
            &credentials,
            &[&rig.gateway, &second],
            Some("AccessDenied"),
            EFFECTIVE,
        )
        .await?;
        // Nor does it help to put something else there.
        put(&storage, &state, "grants/revocations", b"none").await?;
        let list = desk.run("revoke", &["--renew", "--key", &revoker])?;
        ensure!(list.get("number") == Some(&json!(3)), "{list}");
        ensure!(list.get("revoked") == Some(&json!([STRANGE_ID])), "{list}");
        until_it_counts(&credentials, &[&rig.gateway, &second], None, EFFECTIVE).await?;

        // It ends by itself.
        let (id, short) = desk.granted("20s")?;
        let left = Duration::from_secs(20) + EFFECTIVE;
        until_it_counts(&short, &[&second], Some("ExpiredToken"), left).await?;
        // Whose it was and by which grant is in the log, and that it was refused.
        let started = Instant::now();
        while !recorded(directory.path(), "second", &id)?.contains(&" oscar deny ".to_owned()) {
            ensure!(started.elapsed() < EFFECTIVE, "no record of the refusal");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    })
    .await
}
