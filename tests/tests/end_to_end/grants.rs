//! Break-glass grants: asked for, approved and revoked by the command line, used by real clients at two gateways.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use sealgate_access::PrivateKey;
use sealgate_tests::{
    content::pattern,
    process,
    python::aws,
    raw_http::{Payload, RawRequest},
    rig::{Rig, put, state_bucket, with_rig_of},
    servers::{Gateway, GatewaySettings},
};
use serde_json::Value;
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

fn private(seed: u8) -> zeroize::Zeroizing<String> {
    PrivateKey::text_of_seed(&[seed; 32])
}

fn public(seed: u8) -> Result<String> {
    Ok(PrivateKey::parse(&private(seed))?.public_key().to_string())
}

/// Somebody who may do nothing, approvers of which they are one, and whoever revokes.
fn configuration(directory: &Path) -> Result<String> {
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
public_keys = ["{}"]

[[grants.approver]]
name = "oscar"
public_keys = ["{}"]

[grants.revocations]
public_keys = ["{}"]
"#,
        directory.join("session-secret").display(),
        public(ALICE)?,
        public(BOB)?,
        public(OSCAR)?,
        public(REVOKER)?
    ))
}

/// The command line, and the keys of everybody.
struct Desk<'a> {
    gateway: &'a Gateway,
    directory: PathBuf,
}

impl Desk<'_> {
    fn key(&self, seed: u8) -> Result<String> {
        let path = self.directory.join(format!("{seed}.key"));
        std::fs::write(&path, private(seed).as_bytes())?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(path.display().to_string())
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Result<Value> {
        let mut command = self.gateway.command(&format!("grant {name}"))?;
        command.args(arguments).arg("--json");
        let printed = process::run_successfully(&mut command, COMMAND_LIMIT)?;
        Ok(serde_json::from_str(&printed)?)
    }

    fn refused(&self, name: &str, arguments: &[&str], why: &str) -> Result<()> {
        let outcome = self.run(name, arguments);
        let message = format!("{:#}", outcome.err().context("it was allowed")?);
        ensure!(message.contains(why), "{why}: {message}");
        Ok(())
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

    fn granted(&self, duration: &str) -> Result<(String, Credentials)> {
        let id = self.request(duration)?;
        for seed in [ALICE, BOB] {
            self.run("approve", &[&id, "--key", &self.key(seed)?])?;
        }
        let credentials = self.credentials(&id)?;
        Ok((id, credentials))
    }

    fn credentials(&self, id: &str) -> Result<Credentials> {
        let value = self.run("credentials", &[id])?;
        let member = |name: &str| {
            let found = value.get(name).and_then(Value::as_str);
            found.map(str::to_owned).context("missing")
        };
        Ok(Credentials {
            id: member("AccessKeyId")?,
            secret: member("SecretAccessKey")?,
            token: member("SessionToken")?,
        })
    }
}

struct Credentials {
    id: String,
    secret: String,
    token: String,
}

impl Credentials {
    /// Runs the aws CLI with them.
    fn aws(&self, gateway: &Gateway, arguments: &[&str]) -> Result<String> {
        let endpoint = gateway.endpoint.with_credentials(&self.id, &self.secret);
        let mut command = aws(&endpoint)?;
        command
            .env("AWS_SESSION_TOKEN", &self.token)
            .args(arguments);
        process::run_successfully(&mut command, COMMAND_LIMIT)
    }

    fn request(&self, gateway: &Gateway, key: &str, token: &str) -> Result<RawRequest> {
        let endpoint = gateway.endpoint.with_credentials(&self.id, &self.secret);
        RawRequest::new("GET", &format!("/{BUCKET}/{key}"))
            .header("x-amz-security-token", token)
            .sign(&endpoint, Payload::Signed(b""), SystemTime::now())
    }

    /// The error code of a GET with a token, if any.
    async fn code(&self, gateway: &Gateway, key: &str, token: &str) -> Result<Option<String>> {
        let answer = self
            .request(gateway, key, token)?
            .send(&gateway.endpoint)
            .await?;
        Ok(answer.error_code())
    }
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
    let second = rig.gateway_with(GatewaySettings {
        more: more.to_owned(),
        ..GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint)
    })?;
    let (admin, _) = rig.clients(BUCKET).await?;
    put(&admin, BUCKET, "case-7/report", b"of case 7").await?;
    put(&admin, BUCKET, "case-7/drawer/letter", b"sealed").await?;
    put(&admin, BUCKET, "case-8/report", b"of case 8").await?;
    Ok(second)
}

async fn until_it_counts(
    credentials: &Credentials,
    gateways: &[&Gateway],
    expected: Option<&str>,
    within: Duration,
) -> Result<()> {
    let started = Instant::now();
    for gateway in gateways {
        loop {
            let code = credentials
                .code(gateway, "case-7/report", &credentials.token)
                .await?;
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
    let more = configuration(directory.path())?;
    with_rig_of(&more, LIMIT, async |rig: &mut Rig| {
        let second = prepared(rig, &more).await?;
        let gateways = [&rig.gateway, &second];
        let desk = Desk {
            gateway: &rig.gateway,
            directory: directory.path().to_owned(),
        };
        let revoker = desk.key(REVOKER)?;
        desk.refused("revoke", &["--renew", "--key", &revoker], "add --first")?;
        desk.run("revoke", &["--first", "--key", &revoker])?;

        let id = desk.request("10m")?;
        let id = id.as_str();
        desk.refused("credentials", &[id], "0 of 2")?;
        desk.refused(
            "approve",
            &[id, "--key", &desk.key(OSCAR)?],
            "for themselves",
        )?;
        let stranger = desk.key(STRANGER)?;
        desk.refused(
            "approve",
            &[id, "--key", &stranger],
            "not that of an approver",
        )?;
        // Alice has nothing but the request and her key.
        let file = |name: &str| directory.path().join(name).display().to_string();
        desk.run("show", &[id, "--output", &file("request.json")])?;
        let mut offline =
            std::process::Command::new(rig.gateway.command("grant approve")?.get_program());
        offline.args(["grant", "approve", "--request", &file("request.json")]);
        offline.args(["--key", &desk.key(ALICE)?, "--output", &file("alice.json")]);
        process::run_successfully(&mut offline, COMMAND_LIMIT)?;
        desk.run("approve", &[id, "--approval", &file("alice.json")])?;
        desk.refused(
            "approve",
            &[id, "--approval", &file("alice.json")],
            "already",
        )?;
        desk.refused("credentials", &[id], "1 of 2")?;
        desk.run("approve", &[id, "--key", &desk.key(BOB)?])?;
        let shown = desk.run("show", &[id])?;
        ensure!(shown["status"] == "approved", "{shown}");

        let credentials = desk.credentials(id)?;
        until_it_counts(&credentials, &gateways, None, EFFECTIVE).await?;
        for gateway in gateways {
            let target = format!("s3://{BUCKET}/case-7/report");
            let copied = credentials.aws(gateway, &["s3", "cp", &target, "-"])?;
            ensure!(copied == "of case 7", "{copied}");
            let listed =
                credentials.aws(gateway, &["s3", "ls", &format!("s3://{BUCKET}/case-7/")])?;
            ensure!(listed.contains("report"), "{listed}");
            // Another place, another action, what a policy forbids, and other credentials.
            let other = format!("s3://{BUCKET}/case-8/report");
            denied(credentials.aws(gateway, &["s3", "cp", &other, "-"]))?;
            denied(credentials.aws(gateway, &["s3", "rm", &target]))?;
            denied(credentials.aws(gateway, &["s3", "ls", &format!("s3://{BUCKET}/")]))?;
            let drawer = format!("s3://{BUCKET}/case-7/drawer/letter");
            denied(credentials.aws(gateway, &["s3", "cp", &drawer, "-"]))?;
            denied(credentials.aws(gateway, &["sts", "get-session-token"]))?;
        }
        // A changed token is none.
        let mut changed = credentials.token.clone();
        let last = if changed.pop() == Some('A') { 'B' } else { 'A' };
        changed.push(last);
        let code = credentials.code(&second, "case-7/report", &changed).await?;
        ensure!(code.as_deref() == Some("InvalidToken"), "{code:?}");

        desk.run("revoke", &[id, "--key", &revoker])?;
        until_it_counts(&credentials, &gateways, Some("AccessDenied"), EFFECTIVE).await?;
        desk.refused("credentials", &[id], "revoked")?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_ends_when_its_grant_is_revoked() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let more = configuration(directory.path())?;
    with_rig_of(&more, LIMIT, async |rig: &mut Rig| {
        let second = prepared(rig, &more).await?;
        let admin = rig.gateway.endpoint.s3()?;
        let content = pattern(7, 48 << 20);
        put(&admin, BUCKET, "case-7/large", &content).await?;
        let desk = Desk {
            gateway: &rig.gateway,
            directory: directory.path().to_owned(),
        };
        let revoker = desk.key(REVOKER)?;
        desk.run("revoke", &["--first", "--key", &revoker])?;
        let (id, credentials) = desk.granted("10m")?;
        until_it_counts(&credentials, &[&second], None, EFFECTIVE).await?;

        let request = credentials.request(&second, "case-7/large", &credentials.token)?;
        let mut stream = tokio::net::TcpStream::connect(second.endpoint.authority()).await?;
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
    let more = configuration(directory.path())?;
    with_rig_of(&more, LIMIT, async |rig: &mut Rig| {
        let second = prepared(rig, &more).await?;
        let desk = Desk {
            gateway: &rig.gateway,
            directory: directory.path().to_owned(),
        };
        let revoker = desk.key(REVOKER)?;
        desk.run("revoke", &["--first", "--key", &revoker])?;
        let storage = rig.minio.endpoint.s3()?;
        let state = state_bucket(&storage).await?;
        let read = async |name: &str| -> Result<Vec<u8>> {
            let answer = storage.get_object().bucket(&state).key(name).send().await?;
            Ok(answer.body.collect().await?.to_vec())
        };
        let first = read("grants/revocations").await?;

        // A wider scope under the same approvals.
        let (id, credentials) = desk.granted("10m")?;
        let name = format!("grants/requests/{id}");
        let record = String::from_utf8(read(&name).await?)?;
        let wider = record.replace("case-7/", "");
        ensure!(wider != record, "{record}");
        put(&storage, &state, &name, wider.as_bytes()).await?;
        desk.refused("credentials", &[&id], "0 of 2")?;
        let shown = desk.run("show", &[&id])?;
        ensure!(shown["invalid_signatures"] == 2, "{shown}");
        // What was handed out before is not in the storage, and goes on.
        until_it_counts(&credentials, &[&second], None, EFFECTIVE).await?;

        // The list before the revocation comes back: no grant counts any more, and nobody signs it by mistake.
        desk.run("revoke", &["AAAAAAAAAAAAAAAAAAAAAAAAAA", "--key", &revoker])?;
        tokio::time::sleep(EFFECTIVE).await;
        put(&storage, &state, "grants/revocations", &first).await?;
        until_it_counts(
            &credentials,
            &[&rig.gateway, &second],
            Some("AccessDenied"),
            EFFECTIVE,
        )
        .await?;
        let list = desk.run("revoke", &["--renew", "--key", &revoker])?;
        ensure!(
            list["number"] == 3 && list["revoked"][0] == "AAAAAAAAAAAAAAAAAAAAAAAAAA",
            "{list}"
        );
        until_it_counts(&credentials, &[&rig.gateway, &second], None, EFFECTIVE).await?;

        // It ends by itself.
        let (_, short) = desk.granted("20s")?;
        let left = Duration::from_secs(20) + EFFECTIVE;
        until_it_counts(&short, &[&second], Some("ExpiredToken"), left).await
    })
    .await
}
