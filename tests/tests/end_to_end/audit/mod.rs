//! The audit log with real processes: a gateway, a receiver over mutual TLS, outages, full spools, failing disks, and whoever tampers.

mod commands;
mod decisions;
mod health;
mod outage;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::Client;
use sealgate_tests::{
    admin::{AdminEndpoint, check},
    audit_key, certificates, environment,
    process::{self, Process},
    rig::{bounded, get, put},
    servers::{Devstore, Gateway, GatewaySettings, KeyServer, gateway::TlsFiles},
};

const BUCKET: &str = "audited";
const LIMIT: Duration = Duration::from_mins(2);

fn sealgate(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(environment::own_program("sealgate")?);
    command.args(arguments);
    Ok(command)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// Everything that a log and its receiver need, on one machine.
struct Place {
    directory: tempfile::TempDir,
    files: TlsFiles,
    port: u16,
    log_key: String,
    commands_key: String,
    receiver_key: String,
    storage: Devstore,
    key_server: KeyServer,
}

impl Place {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = |name: &str| directory.path().join(name);
        let keygen =
            |name: &str, file: &str, more: &[&str]| audit_key::make(name, &path(file), more);
        let log_key = keygen("example.com/one", "audit.key", &[])?;
        let commands_key = keygen("example.com/commands", "commands.key", &[])?;
        let receiver_key = keygen("example.com/receiver", "receiver.key", &["--receiver"])?;
        fs::create_dir(path("published"))?;
        Ok(Self {
            files: certificates::make(directory.path())?,
            port: process::free_port()?,
            log_key,
            commands_key,
            receiver_key,
            storage: Devstore::start(directory.path())?,
            key_server: KeyServer::start(directory.path(), None)?,
            directory,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn receiver(&self) -> Result<Process> {
        let (listen, files) = (format!("127.0.0.1:{}", self.port), &self.files);
        let mut command = sealgate(&["audit", "receive", "--listen", &listen])?;
        command
            .args(["--log", &self.log_key, "--log", &self.commands_key])
            .arg("--directory")
            .arg(self.path("copies"))
            .arg("--key")
            .arg(self.path("receiver.key"))
            .arg("--certificate")
            .arg(&files.certificate)
            .arg("--certificate-key")
            .arg(&files.key)
            .arg("--client-ca")
            .arg(&files.ca_file)
            .arg("--publish")
            .arg(self.path("published"));
        let mut process = Process::start("receiver", &mut command, self.directory.path())?;
        process.ready_url()?;
        Ok(process)
    }

    fn settings(&self, more: &str, has_receiver: bool) -> GatewaySettings {
        let (ca, certificate, key) = (
            &self.files.ca_file,
            &self.files.certificate,
            &self.files.key,
        );
        let mut tables = format!(
            "[audit]\ndirectory = \"{}\"\nkey = \"file:{}\"\ncheckpoint_interval = \"50ms\"\n",
            self.path("audit").display(),
            self.path("audit.key").display()
        );
        if has_receiver {
            let receiver = format!(
                "[audit.receiver]\nendpoint = \"https://127.0.0.1:{}\"\nca_file = \"{}\"\nclient_certificate = {{ certificate = \"{}\", key = \"{}\" }}\npublic_key = \"{}\"\n{more}",
                self.port,
                ca.display(),
                certificate.display(),
                key.display(),
                self.receiver_key
            );
            tables.push_str(&receiver);
        }
        GatewaySettings {
            more: tables,
            ..GatewaySettings::new(&self.storage.endpoint, &self.key_server.endpoint)
        }
    }

    /// `[audit.commands]`.
    fn commands_table(&self) -> String {
        format!(
            "[audit.commands]\ndirectory = \"{}\"\nkey = \"file:{}\"\n",
            self.path("audit-commands").display(),
            self.path("commands.key").display()
        )
    }

    fn gateway(&self, more: &str) -> Result<Gateway> {
        Gateway::start(self.settings(more, true), self.directory.path())
    }

    fn copy(&self) -> PathBuf {
        self.path("copies/example.com~one")
    }

    fn checkpoint(&self) -> PathBuf {
        self.path("published/example.com~one.checkpoint")
    }

    /// How many lines the published checkpoint covers.
    fn published_size(&self) -> u64 {
        let read = || {
            let text = fs::read_to_string(self.checkpoint()).ok()?;
            text.lines().nth(1)?.parse().ok()
        };
        read().unwrap_or(0)
    }

    async fn published_beyond(&self, size: u64) -> Result<u64> {
        let start = Instant::now();
        while self.published_size() <= size {
            ensure!(
                start.elapsed() < Duration::from_secs(30),
                "nothing more than {size} is published"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(self.published_size())
    }

    /// Whether `sealgate audit verify` finds nothing, and what it says.
    fn verify(&self, directory: &Path) -> Result<(bool, String)> {
        let mut command = sealgate(&["audit", "verify", text(directory), "--key", &self.log_key])?;
        command
            .args([
                "--receiver-key",
                &self.receiver_key,
                "--json",
                "--checkpoint",
            ])
            .arg(self.checkpoint());
        let output = process::run(&mut command, LIMIT)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.success(), said))
    }
}

/// The files of a log: names and contents. Without what is beside the log itself.
fn files(directory: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut names = vec![PathBuf::from("checkpoints.jsonl")];
    for entry in fs::read_dir(directory.join("segments"))? {
        names.push(Path::new("segments").join(entry?.file_name()));
    }
    names.sort();
    let read = |name: PathBuf| Ok((name.clone(), fs::read(directory.join(name))?));
    names.into_iter().map(read).collect()
}

async fn use_it(client: &Client, count: usize) -> Result<()> {
    for number in 0..count {
        put(client, BUCKET, &format!("object {number}"), b"content").await?;
        get(client, BUCKET, &format!("object {number}")).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receivers_copy_is_the_log_and_whatever_is_done_to_a_file_is_found() -> Result<()> {
    bounded(LIMIT, async {
        let place = Place::new()?;
        let mut receiver = place.receiver()?;
        let mut gateway = place.gateway("")?;
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        use_it(&client, 3).await?;
        let size = place.published_beyond(6).await?;

        // While the receiver is away, records wait; when it is back, it gets them.
        receiver.kill()?;
        use_it(&client, 5).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        ensure!(place.published_size() < size + 10, "published by nobody");
        receiver = place.receiver()?;
        place.published_beyond(size + 10).await?;

        ensure!(gateway.process.terminate(LIMIT)?.success());
        let audit = place.path("audit");
        ensure!(
            files(&audit)? == files(&place.copy())?,
            "the copy is another one"
        );
        for directory in [&audit, &place.copy()] {
            let (is_clean, said) = place.verify(directory)?;
            ensure!(is_clean, "{said}");
        }
        let found = process::run_successfully(
            &mut sealgate(&[
                "audit",
                "search",
                text(&audit),
                "--bucket",
                BUCKET,
                "--key",
                "object 4",
                "--json",
            ])?,
            LIMIT,
        )?;
        ensure!(found.matches("\"kind\":\"intent\"").count() == 2, "{found}");
        ensure!(
            found.matches("\"kind\":\"outcome\"").count() == 2,
            "{found}"
        );
        let export = ["audit", "export", text(&audit), "--format", "ocsf"];
        let exported = process::run_successfully(&mut sealgate(&export)?, LIMIT)?;
        ensure!(
            exported
                .lines()
                .all(|line| line.contains("\"class_uid\":6003")),
            "{exported}"
        );
        let count = exported.lines().count();
        ensure!(count > 30);
        let export = ["audit", "export", text(&audit), "--format", "cef"];
        let exported = process::run_successfully(&mut sealgate(&export)?, LIMIT)?;
        ensure!(
            exported.lines().count() == count
                && exported
                    .lines()
                    .all(|line| line.starts_with("CEF:0|sealgate|")),
            "{exported}"
        );
        let tail = process::run_successfully(
            &mut sealgate(&["audit", "tail", text(&audit), "--lines", "3"])?,
            LIMIT,
        )?;
        ensure!(
            tail.lines().count() == 3 && tail.contains("  stop"),
            "{tail}"
        );

        drop(receiver);
        for (name, content) in files(&place.copy())? {
            let path = place.copy().join(&name);
            let mut altered = content.clone();
            let middle = altered.len() / 2;
            if let Some(byte) = altered.get_mut(middle) {
                *byte ^= 1;
            }
            let (half, _) = content.split_at(content.len() / 2);
            for bad in [altered.as_slice(), half] {
                fs::write(&path, bad)?;
                let (is_clean, said) = place.verify(&place.copy())?;
                let file = name
                    .file_name()
                    .and_then(|name| name.to_str())
                    .unwrap_or_default();
                ensure!(!is_clean && said.contains(file), "{file}: {said}");
            }
            fs::write(&path, content)?;
        }
        let (is_clean, said) = place.verify(&place.copy())?;
        ensure!(is_clean, "{said}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_rolled_back_is_refused_and_nothing_is_served() -> Result<()> {
    bounded(LIMIT, async {
        let place = Place::new()?;
        let receiver = place.receiver()?;
        let mut gateway = place.gateway("")?;
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        ensure!(gateway.process.terminate(LIMIT)?.success());
        // A backup of the log, and then the log goes on.
        let backup = files(&place.path("audit"))?;
        let mut gateway = place.gateway("")?;
        let client = gateway.endpoint.s3()?;
        use_it(&client, 3).await?;
        ensure!(gateway.process.terminate(LIMIT)?.success());
        let copy = files(&place.copy())?;
        for (name, content) in backup {
            fs::write(place.path("audit").join(name), content)?;
        }
        let admin = AdminEndpoint::new(None)?;
        let gateway = place.gateway(&admin.table())?;
        let client = gateway.endpoint.s3()?;
        let start = Instant::now();
        while get(&client, BUCKET, "object 1").await.is_ok() {
            ensure!(
                start.elapsed() < Duration::from_secs(20),
                "it is served for ever"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let document = admin.until_ready(false, LIMIT).await?;
        let cause = check(&document, "audit")["cause"].to_string();
        ensure!(
            cause.contains("ALARM") && cause.contains("rolled back"),
            "{document:#}"
        );
        ensure!(
            gateway.process.logged()?.contains("ALARM"),
            "no alarm at the gateway"
        );
        ensure!(
            receiver.logged()?.contains("ALARM"),
            "no alarm at the receiver"
        );
        let alarms = fs::read_to_string(place.copy().join("alarms.jsonl"))?;
        ensure!(alarms.contains("example.com/one"), "{alarms}");
        ensure!(files(&place.copy())? == copy, "the copy was changed");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_spool_is_full_requests_are_refused_until_the_receiver_is_back() -> Result<()> {
    bounded(LIMIT, async {
        let place = Place::new()?;
        let gateway = place.gateway("spool = \"1 MiB\"\n")?;
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        put(&client, BUCKET, "a", b"content").await?;
        let key = "k".repeat(1_000);
        let mut refused = false;
        for _ in 0..200 {
            let requests = (0..16).map(|_| client.head_object().bucket(BUCKET).key(&key).send());
            let answers = futures_util::future::join_all(requests).await;
            let is_refused = |status: u16| status == 503;
            refused = answers.iter().any(|answer| {
                let response = answer.as_ref().err().and_then(|error| error.raw_response());
                response.is_some_and(|response| is_refused(response.status().as_u16()))
            });
            if refused {
                break;
            }
        }
        ensure!(refused, "records wait without end");
        ensure!(
            get(&client, BUCKET, "a").await.is_err(),
            "served unrecorded"
        );
        let _receiver = place.receiver()?;
        let start = Instant::now();
        while get(&client, BUCKET, "a").await.is_err() {
            ensure!(
                start.elapsed() < Duration::from_secs(40),
                "refused for ever"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_no_more_refuses_requests_and_the_log_stays_whole() -> Result<()> {
    bounded(LIMIT, async {
        let place = Place::new()?;
        let mut gateway = Gateway::start(place.settings("", false), place.directory.path())?;
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        put(&client, BUCKET, "a", b"content").await?;
        ensure!(gateway.process.terminate(LIMIT)?.success());
        // The same gateway, whose files may not grow beyond 64 KiB.
        let serve = gateway.command("serve")?;
        let mut limited = Command::new("bash");
        limited
            .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""])
            .arg(serve.get_program())
            .args(serve.get_args());
        for (name, value) in serve.get_envs() {
            limited.env(name, value.context("a value")?);
        }
        let mut process = Process::start("limited", &mut limited, place.directory.path())?;
        let mut endpoint = gateway.endpoint.clone();
        endpoint.url = process.ready_url()?;
        let client = endpoint.s3()?;
        let mut served = 0;
        while get(&client, BUCKET, "a").await.is_ok() {
            served += 1;
            ensure!(served < 2_000, "the log grows for ever");
        }
        ensure!(served > 10, "refused from the beginning");
        process.kill()?;
        let audit = place.path("audit");
        let arguments = ["audit", "verify", text(&audit), "--key", &place.log_key];
        process::run_successfully(&mut sealgate(&arguments)?, LIMIT)?;
        let found = process::run_successfully(
            &mut sealgate(&[
                "audit",
                "search",
                text(&audit),
                "--action",
                "decrypt",
                "--json",
            ])?,
            LIMIT,
        )?;
        let intents = found.matches("\"kind\":\"intent\"").count();
        ensure!(
            intents >= served,
            "{served} were served, and {intents} are recorded"
        );
        Ok(())
    })
    .await
}
