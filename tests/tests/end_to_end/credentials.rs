//! Access keys from a directory: made, rotated and revoked by commands, taken by two gateways, readable by no thief.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64;
use sealgate_tests::{
    audit_key,
    content::{contains, files, pattern},
    endpoint::Endpoint,
    environment, process,
    python::{aws, run_aws},
    raw_http::{Payload, RawRequest},
    rig::{Rig, put, with_rig_of},
    servers::{Gateway, GatewaySettings, report},
};
use serde_json::Value;

const BUCKET: &str = "credentials";
const LIMIT: Duration = Duration::from_mins(3);
const COMMAND_LIMIT: Duration = Duration::from_mins(1);

/// What documents promise of a revocation.
const REVOCATION: Duration = Duration::from_secs(5);

/// For what may take longer than a look at the directory, on a busy machine.
const NOTICE: Duration = Duration::from_secs(30);

const MORE: &str = r#"
[credentials]
directory = "credentials"

[sessions]
secrets = ["env:SESSION_SECRET"]
"#;

fn settings(rig: &Rig, more: &str) -> GatewaySettings {
    let secret = "a secret of sessions, the same on every replica";
    GatewaySettings {
        more: more.to_owned(),
        environment: vec![("SESSION_SECRET".to_owned(), secret.to_owned())],
        ..GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint)
    }
}

/// A credential as a command handed it out.
#[derive(Clone, Debug)]
struct Handed {
    id: String,
    secret: String,
}

impl Handed {
    fn of(document: &Value) -> Result<Self> {
        let member = |name: &str| {
            let text = document.get(name).and_then(Value::as_str);
            text.map(str::to_owned)
                .with_context(|| format!("no {name} in {document}"))
        };
        Ok(Self {
            id: member("access_key_id")?,
            secret: member("secret_access_key")?,
        })
    }

    fn at(&self, gateway: &Gateway) -> Endpoint {
        gateway.endpoint.with_credentials(&self.id, &self.secret)
    }
}

fn command(gateway: &Gateway, name: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = gateway.command(&format!("credentials {name}"))?;
    command.args(arguments);
    Ok(command)
}

/// Runs a command that succeeds, and hands a secret out on standard output.
fn made(gateway: &Gateway, name: &str, arguments: &[&str]) -> Result<Handed> {
    let mut command = command(gateway, name, arguments)?;
    let (succeeded, document, said) = report(command.args(["--output", "-"]), COMMAND_LIMIT)?;
    ensure!(succeeded, "{name}: {said}");
    Handed::of(&document)
}

/// What a command refuses with.
fn refused(gateway: &Gateway, name: &str, arguments: &[&str]) -> Result<String> {
    let output = process::run(&mut command(gateway, name, arguments)?, COMMAND_LIMIT)?;
    ensure!(!output.status.success(), "{name} {arguments:?} succeeded");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The code of the error that a signed request gets; empty where there is none.
async fn answer(endpoint: &Endpoint) -> Result<String> {
    let answer = RawRequest::new("GET", &format!("/{BUCKET}"))
        .sign(endpoint, Payload::Signed(b""), SystemTime::now())?
        .send(endpoint)
        .await?;
    Ok(answer.error_code().unwrap_or_default())
}

/// Waits for an answer on every gateway; returns how long that took.
async fn until(
    gateways: &[&Gateway],
    credential: &Handed,
    wanted: &str,
    limit: Duration,
) -> Result<Duration> {
    let began = Instant::now();
    for gateway in gateways {
        let endpoint = credential.at(gateway);
        loop {
            let code = answer(&endpoint).await?;
            if code == wanted {
                break;
            }
            ensure!(
                began.elapsed() < limit,
                "{} is answered {code:?} and not {wanted:?} after {limit:?}\n{}",
                credential.id,
                gateway.process.logged()?
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(began.elapsed())
}

/// That nothing in a directory holds a secret, as it is or in the usual disguises.
fn keeps_secrets(directory: &Path, secrets: &[&Handed]) -> Result<()> {
    for path in files(directory)? {
        let content = fs::read(&path)?;
        for credential in secrets {
            let secret = credential.secret.as_bytes();
            for form in [
                secret.to_vec(),
                BASE64.encode(secret).trim_end_matches('=').into(),
                data_encoding::HEXLOWER.encode(secret).into_bytes(),
                data_encoding::BASE64URL_NOPAD.decode(secret)?,
            ] {
                ensure!(
                    !contains(&content, &form),
                    "a secret is in {}",
                    path.display()
                );
            }
        }
    }
    Ok(())
}

/// The usual tables, and logs of the gateway and of commands with keys of their own.
fn audited(directory: &Path) -> Result<String> {
    let mut tables = MORE.to_owned();
    for (table, name) in [
        ("audit", "audit-gateway"),
        ("audit.commands", "audit-commands"),
    ] {
        let file = directory.join(format!("{name}.key"));
        audit_key::make(&format!("example.com/{name}"), &file, &[])?;
        write!(
            tables,
            "[{table}]\ndirectory = \"{name}\"\nkey = \"file:{name}.key\"\n"
        )?;
    }
    Ok(tables)
}

#[tokio::test(flavor = "multi_thread")]
async fn access_keys_are_made_rotated_and_revoked_on_two_gateways() -> Result<()> {
    with_rig_of("", LIMIT, async |rig| {
        let (through, _) = rig.clients(BUCKET).await?;
        let body = pattern(7, 16 * 1024 * 1024);
        put(&through, BUCKET, "large", &body).await?;
        let one = rig.gateway_with(settings(rig, &audited(rig.directory())?))?;
        let two = rig.gateway_with(settings(rig, MORE))?;
        let both = [&one, &two];
        let directory = rig.directory().join("credentials");

        // Made once, good on both, with real clients.
        let first = made(&one, "add", &["--identity", "client", "--expires", "90d"])?;
        until(&both, &first, "", NOTICE).await?;
        for gateway in both {
            let listed = run_aws(&first.at(gateway), ["s3", "ls", &format!("s3://{BUCKET}/")])?;
            ensure!(listed.contains("large"), "{listed}");
        }
        let wrong = Handed {
            secret: "wrong".to_owned(),
            ..first.clone()
        };
        ensure!(answer(&wrong.at(&one)).await? == "SignatureDoesNotMatch");

        // Several at once lose nothing, and a file has a secret for its owner alone.
        let names = ["a.env", "b.env", "c.env", "d.env"].map(|name| rig.directory().join(name));
        let running = names.clone().map(|name| -> Result<_> {
            let output = name.to_str().context("path")?;
            let mut add = command(
                &one,
                "add",
                &[
                    "--identity",
                    "client",
                    "--format",
                    "env",
                    "--output",
                    output,
                ],
            )?;
            Ok(add.stdout(std::process::Stdio::null()).spawn()?)
        });
        for running in running {
            ensure!(running?.wait()?.success());
        }
        let text = fs::read_to_string(&names[0])?;
        ensure!(
            text.starts_with("AWS_ACCESS_KEY_ID=SGAK") && text.contains("AWS_SECRET_ACCESS_KEY="),
            "{text}"
        );
        ensure!(fs::metadata(&names[0])?.permissions().mode() & 0o777 == 0o600);
        let said = refused(
            &one,
            "add",
            &[
                "--identity",
                "client",
                "--output",
                names[0].to_str().context("path")?,
            ],
        )?;
        ensure!(said.contains("can't be made"), "{said}");
        let said = refused(&one, "add", &["--identity", "client"])?;
        ensure!(
            said.contains("no terminal") && said.contains("--output"),
            "{said}"
        );
        let said = refused(&one, "add", &["--identity", "nobody", "--output", "-"])?;
        ensure!(said.contains("no identity \"nobody\""), "{said}");

        // Rotated: both work for a while, then the new one alone.
        let grace = Duration::from_secs(6);
        let began = Instant::now();
        let second = made(&one, "rotate", &[&first.id, "--grace", "6s"])?;
        until(&both, &second, "", NOTICE).await?;
        ensure!(
            began.elapsed() > grace || answer(&first.at(&two)).await?.is_empty(),
            "the old one ended early"
        );
        until(&both, &first, "InvalidAccessKeyId", NOTICE).await?;
        ensure!(began.elapsed() >= grace, "the old one ended early");
        until(&both, &second, "", REVOCATION).await?;
        let said = refused(&one, "rotate", &[&first.id, "--output", "-"])?;
        ensure!(said.contains("expired"), "{said}");

        // A session of it, which another gateway takes, and a download that runs.
        let session: Value =
            serde_json::from_str(&run_aws(&second.at(&one), ["sts", "get-session-token"])?)?;
        let member = |name: &str| {
            session["Credentials"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let of_session = two
            .endpoint
            .with_credentials(&member("AccessKeyId"), &member("SecretAccessKey"));
        let ask = || -> Result<String> {
            let mut ask = aws(&of_session)?;
            ask.env("AWS_SESSION_TOKEN", member("SessionToken"))
                .args(["s3", "ls"]);
            let output = process::run(&mut ask, COMMAND_LIMIT)?;
            Ok(String::from_utf8_lossy(&output.stderr).into_owned())
        };
        ensure!(ask()?.is_empty(), "{}", ask()?);
        let client = second.at(&one).s3()?;
        let mut download = client
            .get_object()
            .bucket(BUCKET)
            .key("large")
            .send()
            .await?
            .body;
        let mut received = download.next().await.context("nothing came")??.to_vec();

        // Revoked: refused on both at once, and so is the session; what runs goes on.
        let before = fs::read_to_string(directory.join(format!("{}.toml", second.id)))?;
        ensure!(before.contains("[secret]"), "{before}");
        let (succeeded, document, said) =
            report(&mut command(&one, "revoke", &[&second.id])?, COMMAND_LIMIT)?;
        ensure!(
            succeeded && document["access_key_id"] == second.id.as_str(),
            "{said}"
        );
        let took = until(&both, &second, "InvalidAccessKeyId", REVOCATION).await?;
        println!("refused on both after {took:?}");
        let said = ask()?;
        ensure!(said.contains("InvalidToken"), "{said}");
        while let Some(piece) = download.next().await {
            received.extend_from_slice(&piece?);
        }
        ensure!(received == body, "the download did not go on");
        ensure!(
            answer(&one.endpoint).await?.is_empty(),
            "the configuration's own"
        );

        // The list has everything but secrets.
        let (succeeded, list, said) = report(&mut command(&one, "list", &[])?, COMMAND_LIMIT)?;
        ensure!(succeeded, "{said}");
        let rows = list["credentials"].as_array().context("no list")?;
        let state = |id: &str| {
            let row = rows.iter().find(|row| row["access_key_id"] == id);
            row.map(|row| row["state"].clone()).unwrap_or_default()
        };
        ensure!(
            state(&first.id) == "expired" && state(&second.id) == "revoked",
            "{list}"
        );
        ensure!(
            rows.iter().filter(|row| row["state"] == "active").count() == 5,
            "{list}"
        );
        ensure!(!list.to_string().contains(&first.secret), "{list}");

        // What was done stands in the log of commands, and no secret does.
        let log = rig.directory().join("audit-commands");
        let mut export = Command::new(environment::own_program("sealgate")?);
        let exported =
            process::run_successfully(export.args(["audit", "export"]).arg(&log), COMMAND_LIMIT)?;
        let mut intents = Vec::new();
        for line in exported.lines() {
            let event: Value = serde_json::from_str(line)?;
            if event["kind"] == "intent" {
                let member = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
                intents.push((member("operation"), member("key"), member("access_key")));
            }
        }
        let done = |operation: &str, key: &str| {
            let is = |intent: &&(String, String, String)| {
                intent.0 == format!("sealgate credentials {operation}") && intent.1 == key
            };
            intents.iter().filter(is).count()
        };
        ensure!(done("add", "client") == 5, "{intents:?}");
        ensure!(
            done("rotate", &format!("client/{}", first.id)) == 1,
            "{intents:?}"
        );
        ensure!(
            done("revoke", &format!("client/{}", second.id)) == 1,
            "{intents:?}"
        );
        for (operation, _, made) in &intents {
            let is_rotation = operation.ends_with("rotate");
            ensure!(made.starts_with("SGAK"), "{intents:?}");
            ensure!(!is_rotation || *made == second.id, "{intents:?}");
        }
        keeps_secrets(&log, &[&first, &second])?;

        // A thief of the directory has nothing, and a gateway that starts asks for one key.
        keeps_secrets(&directory, &[&first, &second])?;
        let ended = fs::read_to_string(directory.join(format!("{}.toml", second.id)))?;
        ensure!(!ended.contains("[secret]"), "{ended}");
        let asked = rig.key_server.count("Decrypt")?;
        let third = rig.gateway_with(settings(rig, MORE))?;
        let text = fs::read_to_string(&names[3])?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::to_owned)
                .with_context(|| format!("no {name}"))
        };
        let fourth = Handed {
            id: value("AWS_ACCESS_KEY_ID=")?,
            secret: value("AWS_SECRET_ACCESS_KEY=")?,
        };
        until(&[&third], &fourth, "", NOTICE).await?;
        let calls = rig.key_server.count("Decrypt")? - asked;
        ensure!(calls <= 2, "four access keys made {calls} calls");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_starts_without_its_key_service_and_opens_access_keys_when_it_is_back()
-> Result<()> {
    with_rig_of(MORE_WITHOUT_SESSIONS, LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let credential = made(&rig.gateway, "add", &["--identity", "client"])?;
        until(&[&rig.gateway], &credential, "", NOTICE).await?;

        rig.key_server.kill()?;
        let fresh = rig.gateway_with(settings(rig, MORE_WITHOUT_SESSIONS))?;
        // Those of the configuration work. Of others nobody is told that there are none, so that clients try again.
        ensure!(answer(&fresh.endpoint).await?.is_empty());
        until(&[&fresh], &credential, "ServiceUnavailable", NOTICE).await?;
        let unknown = Handed {
            id: "SGAKAAAAAAAAAAAAAAAA".to_owned(),
            ..credential.clone()
        };
        ensure!(answer(&unknown.at(&fresh)).await? == "ServiceUnavailable");
        let told = format!("{}: its secret can't be opened", credential.id);
        wait_for(&fresh, &told).await?;
        // What was open stays so.
        until(&[&rig.gateway], &credential, "", REVOCATION).await?;

        rig.key_server.start_again()?;
        until(&[&fresh], &credential, "", NOTICE).await?;
        ensure!(answer(&unknown.at(&fresh)).await? == "InvalidAccessKeyId");

        // A file that says nothing takes nothing away, neither does a directory that cannot be read; a file that is gone does.
        let directory = rig.directory().join("credentials");
        let file = directory.join(format!("{}.toml", credential.id));
        let text = fs::read_to_string(&file)?;
        fs::write(&file, &text[..text.len() / 2])?;
        let moved = rig.directory().join("moved");
        wait_for(&fresh, "does not say what it should").await?;
        ensure!(answer(&credential.at(&fresh)).await?.is_empty());
        fs::rename(&directory, &moved)?;
        wait_for(&fresh, "can't be read").await?;
        ensure!(answer(&credential.at(&fresh)).await?.is_empty());
        fs::rename(&moved, &directory)?;
        // The secret of one access key is none of another, whatever the file says.
        let other = text.replace(&credential.id, "SGAKAAAAAAAAAAAAAAAA");
        fs::write(directory.join("SGAKAAAAAAAAAAAAAAAA.toml"), other)?;
        fs::write(&file, &text)?;
        wait_for(&fresh, "SGAKAAAAAAAAAAAAAAAA: its secret can't be opened").await?;
        ensure!(answer(&unknown.at(&fresh)).await? == "InvalidAccessKeyId");
        fs::remove_file(&file)?;
        until(&[&fresh], &credential, "InvalidAccessKeyId", REVOCATION).await?;
        Ok(())
    })
    .await
}

const MORE_WITHOUT_SESSIONS: &str = "[credentials]\ndirectory = \"credentials\"\n";

/// Waits until a gateway's log says something.
async fn wait_for(gateway: &Gateway, text: &str) -> Result<()> {
    let deadline = Instant::now() + NOTICE;
    while !gateway.process.logged()?.contains(text) {
        ensure!(
            Instant::now() < deadline,
            "the log does not say {text:?}: {}",
            gateway.process.logged()?
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
