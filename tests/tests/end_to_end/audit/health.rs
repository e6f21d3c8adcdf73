//! What `/readyz`, `/metrics`, `sealgate check` and a start say of the audit log.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    admin::{AdminEndpoint, check},
    certificates, process,
    rig::{bounded, get, put},
    servers::Gateway,
};
use serde_json::Value;

use super::{BUCKET, LIMIT, Place, sealgate, text};

const CHANGE: Duration = Duration::from_secs(40);

async fn metric(admin: &AdminEndpoint, name: &str) -> Result<f64> {
    let shown = admin.get("/metrics").await?.text();
    let line = shown.lines().find_map(|line| {
        line.strip_prefix(name)?
            .strip_prefix(' ')
            .map(str::to_owned)
    });
    Ok(line
        .with_context(|| format!("no {name} in\n{shown}"))?
        .parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_is_told_that_the_receiver_is_away_and_that_nothing_can_be_recorded() -> Result<()>
{
    bounded(LIMIT, async {
        let place = Place::new()?;
        let mut receiver = place.receiver()?;
        let admin = AdminEndpoint::new(None)?;
        let more = format!("spool = \"1 MiB\"\n{}", admin.table());
        let gateway = place.gateway(&more)?;
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        put(&client, BUCKET, "a", b"content").await?;
        let document = admin.until_ready(true, CHANGE).await?;
        for name in ["audit", "audit_receiver"] {
            ensure!(check(&document, name)["ok"] == true, "{document:#}");
        }
        ensure!(check(&document, "audit")["required"] == true);
        place.published_beyond(4).await?;
        ensure!(metric(&admin, "sealgate_audit_refused_requests_total").await? < 0.5);
        let age = "sealgate_audit_last_acknowledgement_age_seconds";
        ensure!(metric(&admin, age).await? < 40.0);

        // Away: still ready, and told.
        receiver.kill()?;
        put(&client, BUCKET, "b", b"content").await?;
        let start = Instant::now();
        let document = loop {
            let (ready, document) = admin.readiness().await?;
            ensure!(ready, "{document:#}");
            if check(&document, "audit_receiver")["ok"] == false {
                break document;
            }
            ensure!(start.elapsed() < CHANGE, "{document:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        ensure!(
            check(&document, "audit_receiver")["fix"]
                .as_str()
                .is_some_and(|fix| fix.contains("sealgate audit receive")),
            "{document:#}"
        );
        ensure!(metric(&admin, "sealgate_audit_waiting_records").await? >= 1.0);
        ensure!(metric(&admin, "sealgate_audit_waiting_bytes").await? > 100.0);
        ensure!(metric(&admin, "sealgate_audit_lag_seconds").await? > 0.0);

        // The spool is full: not ready, with the cause, as the requests are refused.
        let key = "k".repeat(1_000);
        let start = Instant::now();
        while admin.readiness().await?.0 {
            ensure!(start.elapsed() < CHANGE, "ready for ever");
            let requests = (0..16).map(|_| client.head_object().bucket(BUCKET).key(&key).send());
            futures_util::future::join_all(requests).await;
        }
        let document = admin.readiness().await?.1;
        let cause = check(&document, "audit")["cause"].to_string();
        ensure!(cause.contains("wait for the receiver"), "{document:#}");
        ensure!(get(&client, BUCKET, "a").await.is_err(), "served");
        ensure!(metric(&admin, "sealgate_audit_refused_requests_total").await? >= 1.0);
        ensure!(metric(&admin, "sealgate_ready").await? < 0.5);

        let _receiver = place.receiver()?;
        admin.until_ready(true, CHANGE).await?;
        ensure!(get(&client, BUCKET, "a").await.is_ok());
        let start = Instant::now();
        while metric(&admin, "sealgate_audit_waiting_records").await? > 0.0 {
            ensure!(start.elapsed() < CHANGE, "the receiver never has all");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    })
    .await
}

/// The findings of `sealgate check` by their property, and whether all is well.
fn checked(gateway: &Gateway) -> Result<(bool, Vec<Value>, String)> {
    let output = process::run(gateway.command("check")?.arg("--json"), LIMIT)?;
    let document: Value = serde_json::from_slice(&output.stdout)?;
    let findings = document
        .get("findings")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    Ok((output.status.success(), findings, format!("{document:#}")))
}

fn found(findings: &[Value], property: &str) -> (bool, String) {
    let finding = findings
        .iter()
        .find(|finding| finding["property"] == property);
    finding.map_or((false, "not looked at".to_owned()), |finding| {
        let detail = finding["detail"].as_str().unwrap_or_default();
        (finding["supported"] == true, detail.to_owned())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stands_in_the_receivers_place_gets_no_record() -> Result<()> {
    bounded(LIMIT, async {
        let mut place = Place::new()?;
        let trusted = place.files.clone();
        // A receiver of its own address and name, by another authority.
        let elsewhere = place.path("elsewhere");
        fs::create_dir(&elsewhere)?;
        place.files = certificates::make(&elsewhere)?;
        let receiver = place.receiver()?;
        place.files = trusted;
        let admin = AdminEndpoint::new(None)?;
        let gateway = place.gateway(&admin.table())?;
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        put(&client, BUCKET, "a", b"content").await?;
        let start = Instant::now();
        let document = loop {
            let (_, document) = admin.readiness().await?;
            if check(&document, "audit_receiver")["ok"] == false {
                break document;
            }
            ensure!(start.elapsed() < CHANGE, "{document:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let told = check(&document, "audit_receiver").to_string();
        ensure!(told.contains("certificate"), "{told}");
        drop(receiver);
        for entry in fs::read_dir(place.copy().join("segments"))? {
            ensure!(entry?.metadata()?.len() == 0, "the receiver has something");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_what_would_only_show_at_the_next_start() -> Result<()> {
    bounded(LIMIT, async {
        let place = Place::new()?;
        let receiver = place.receiver()?;
        let mut gateway = place.gateway(&place.commands_table())?;
        gateway
            .endpoint
            .s3()?
            .create_bucket()
            .bucket(BUCKET)
            .send()
            .await?;
        place.published_beyond(2).await?;
        // Beside the gateway that runs.
        let (good, findings, all) = checked(&gateway)?;
        ensure!(good, "{all}");
        for property in [
            "audit: the signing key can be used",
            "audit: the directory can be written",
            "audit: the log is what this key signed",
            "audit.receiver: certificate, key and authorities can be used",
            "audit.receiver: what waits is within the spool",
            "audit: the receiver takes this log",
            "audit.commands: the receiver takes this log",
            "audit.commands: the key has a name of its own",
        ] {
            ensure!(found(&findings, property).0, "{property}: {all}");
        }
        ensure!(gateway.process.terminate(LIMIT)?.success());
        ensure!(!receiver.logged()?.contains("ALARM"), "asking is an alarm");

        let configuration = fs::read_to_string(&gateway.configuration)?;
        let with = |from: &str, to: &str| -> Result<(bool, Vec<Value>, String)> {
            ensure!(configuration.contains(from), "{from}");
            fs::write(&gateway.configuration, configuration.replace(from, to))?;
            checked(&gateway)
        };
        // Another gateway's key for this log.
        let other = place.path("other.key");
        let arguments = [
            "audit",
            "keygen",
            "example.com/two",
            "--output",
            text(&other),
        ];
        let public = process::run_successfully(&mut sealgate(&arguments)?, LIMIT)?;
        let (good, findings, all) = with("/audit.key", "/other.key")?;
        let (is_right, detail) = found(&findings, "audit: the log is what this key signed");
        ensure!(
            !good && !is_right && detail.contains("checkpoints.jsonl"),
            "{all}"
        );
        let (is_taken, detail) = found(&findings, "audit: the receiver takes this log");
        ensure!(!is_taken && detail.contains("--log"), "{all}");
        ensure!(public.contains("example.com/two"));
        // Another receiver than the one of the public key.
        let arguments = [
            "audit",
            "keygen",
            "example.com/receiver",
            "--receiver",
            "--output",
        ];
        let mut command = sealgate(&arguments)?;
        let public =
            process::run_successfully(command.arg(place.path("other-receiver.key")), LIMIT)?;
        let (good, findings, all) = with(&place.receiver_key, public.trim())?;
        let (is_taken, detail) = found(&findings, "audit: the receiver takes this log");
        ensure!(!good && !is_taken && detail.contains("public_key"), "{all}");
        // A key that does not fit its certificate.
        let fits = text(&place.files.key).to_owned();
        let stranger = sealgate_tests::certificates::make(
            tempfile::tempdir_in(place.directory.path())?
                .keep()
                .as_path(),
        )?;
        let (good, findings, all) = with(
            &format!("key = \"{fits}\" }}\npublic_key"),
            &format!("key = \"{}\" }}\npublic_key", stranger.key.display()),
        )?;
        let property = "audit.receiver: certificate, key and authorities can be used";
        ensure!(!good && !found(&findings, property).0, "{all}");

        // Rolled back: found before the start that would be an alarm.
        fs::write(&gateway.configuration, &configuration)?;
        ensure!(checked(&gateway)?.0);
        fs::remove_dir_all(place.path("audit"))?;
        let (good, findings, all) = checked(&gateway)?;
        let (is_taken, detail) = found(&findings, "audit: the receiver takes this log");
        ensure!(
            !good && !is_taken && detail.contains("rolled back"),
            "{all}"
        );
        ensure!(!receiver.logged()?.contains("ALARM"), "asking is an alarm");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_damaged_log_names_the_file_and_the_way_out() -> Result<()> {
    bounded(LIMIT, async {
        let place = Place::new()?;
        let mut gateway = Gateway::start(place.settings("", false), place.directory.path())?;
        gateway
            .endpoint
            .s3()?
            .create_bucket()
            .bucket(BUCKET)
            .send()
            .await?;
        ensure!(gateway.process.terminate(LIMIT)?.success());
        let segments = place.path("audit/segments");
        let segment = fs::read_dir(&segments)?
            .next()
            .context("no segment")??
            .path();
        let content = fs::read_to_string(&segment)?;
        let lines: Vec<_> = content.split_inclusive('\n').collect();
        fs::write(&segment, lines.get(..3).context("three lines")?.concat())?;
        let output = process::run(&mut gateway.command("serve")?, LIMIT)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success(), "it starts");
        for part in [
            text(&segment),
            "ends with record 2",
            "checkpoints.jsonl",
            "sealgate audit keygen",
        ] {
            ensure!(said.contains(part), "{part} is not in {said}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_nobody_uses_leaves_no_trace_in_the_receivers_log() -> Result<()> {
    bounded(LIMIT, async {
        let place = Place::new()?;
        let receiver = place.receiver()?;
        // A connection that says nothing, and one that only knocks, as load balancers do.
        let silent = tokio::net::TcpStream::connect(("127.0.0.1", place.port)).await?;
        drop(tokio::net::TcpStream::connect(("127.0.0.1", place.port)).await?);
        let _gateway = place.gateway("")?;
        place.published_beyond(1).await?;
        // The head of the next request is waited for ten seconds.
        tokio::time::sleep(Duration::from_secs(13)).await;
        drop(silent);
        let logged = receiver.logged()?;
        ensure!(!logged.contains("a connection ended"), "{logged}");
        Ok(())
    })
    .await
}
