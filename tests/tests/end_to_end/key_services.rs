//! Several key services, their outages, domains with keys of their own, and how often anybody is asked.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::join_all;
use sealgate_tests::{
    endpoint::{Endpoint, REGION},
    raw_http::{Payload, RawAnswer, RawRequest},
    rig::{Rig, get, put, with_rig},
    servers::{Gateway, GatewaySettings, KeyServer, key_server::KEY},
};
use serde_json::json;

const BUCKET: &str = "keys";
const LIMIT: Duration = Duration::from_mins(4);

/// Times that make a key service that is down fail soon.
const TIMEOUTS: &str = "timeouts = { connect = \"500ms\", read = \"1s\", operation = \"2s\" }\n";

/// One more `[[key_service]]`, at this server.
fn key_service(name: &str, server: &Endpoint) -> Result<String> {
    let mut text = String::new();
    write!(
        text,
        "\n[[key_service]]\nname = \"{name}\"\ntype = \"aws-kms\"\nkey = \"{KEY}\"\nendpoint = \"{}\"\nregion = \"{REGION}\"\n\
         credentials = {{ access_key_id = \"{}\", secret_access_key = \"env:KEY_SERVER_SECRET\" }}\n{TIMEOUTS}",
        server.url, server.access_key_id
    )?;
    Ok(text)
}

/// A gateway that has nothing cached, with further tables in its configuration.
fn gateway(rig: &Rig, more: String) -> Result<Gateway> {
    let settings = GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint);
    rig.gateway_with(GatewaySettings { more, ..settings })
}

async fn request(gateway: &Endpoint, method: &str, key: &str, body: &[u8]) -> Result<RawAnswer> {
    RawRequest::new(method, &format!("/{BUCKET}/{key}"))
        .header("content-length", &body.len().to_string())
        .body(body)
        .sign(gateway, Payload::Signed(body), SystemTime::now())?
        .send(gateway)
        .await
}

async fn status(gateway: &Gateway, method: &str, key: &str) -> Result<u16> {
    let body: &[u8] = if method == "PUT" { b"content" } else { b"" };
    Ok(request(&gateway.endpoint, method, key, body).await?.status)
}

/// Repeats a request until it has this status.
async fn until(gateway: &Gateway, method: &str, key: &str, wanted: u16) -> Result<()> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let status = status(gateway, method, key).await?;
        if status == wanted {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{method} {key} is answered {status} for a minute, not {wanted}"
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Waits for a line of a gateway's log.
async fn logged(gateway: &Gateway, part: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !gateway.process.logged()?.contains(part) {
        ensure!(Instant::now() < deadline, "the log never says {part:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_service_suffices_to_read_and_the_quorum_to_write() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let directory = rig.directory().join("second");
        std::fs::create_dir(&directory)?;
        let mut second = KeyServer::start(&directory, None)?;
        let two = |wraps: usize| -> Result<String> {
            let limits = format!("\n[limits]\nrequired_wraps = {wraps}\n");
            Ok(key_service("second", &second.endpoint)? + &limits)
        };
        let (one_of_two, both) = (two(1)?, two(2)?);

        let before = gateway(rig, both.clone())?;
        ensure!(status(&before, "PUT", "by-both").await? == 200, "PUT");

        // The first is down: a gateway that starts now serves, says so, and writes with the second alone if one suffices.
        rig.key_server.kill()?;
        let degraded = gateway(rig, one_of_two.clone())?;
        ensure!(
            status(&degraded, "GET", "by-both").await? == 200,
            "GET, first down"
        );
        logged(&degraded, "the key service cannot be used").await?;
        ensure!(
            status(&degraded, "PUT", "by-second").await? == 200,
            "PUT, first down"
        );
        let strict = gateway(rig, both.clone())?;
        ensure!(
            status(&strict, "GET", "by-both").await? == 200,
            "GET, two required"
        );
        ensure!(
            status(&strict, "PUT", "no").await? == 503,
            "PUT without a quorum"
        );
        ensure!(
            status(&strict, "HEAD", "no").await? == 404,
            "an object without a quorum"
        );

        // It is back, and the second goes.
        rig.key_server.start_again()?;
        until(&strict, "PUT", "by-both-again", 200).await?;
        logged(&degraded, "the key service can be used").await?;
        second.kill()?;
        let other = gateway(rig, one_of_two)?;
        ensure!(
            status(&other, "GET", "by-both").await? == 200,
            "GET, second down"
        );
        ensure!(
            status(&other, "GET", "by-second").await? == 503,
            "a key that only the second has"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_bridged_and_a_refusal_is_not() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let limits = "\n[limits]\nworking_key_lifetime = \"1s\"\nworking_key_hard_limit = \"25s\"\n\
                      working_key_cache_age = \"1s\"\noutage_grace = \"10m\"\n";
        let bridged = gateway(rig, limits.to_owned())?;
        ensure!(status(&bridged, "PUT", "x").await? == 200, "PUT");
        let sealed = Instant::now();
        tokio::time::sleep(Duration::from_millis(1_500)).await;

        for fault in [
            json!({"status": 503}),
            json!({"error": "ThrottlingException"}),
            json!("reset"),
        ] {
            rig.key_server.set_faults(&json!([{ "then": fault }]))?;
            ensure!(
                status(&bridged, "GET", "x").await? == 200,
                "GET with {fault}"
            );
        }
        // Both the key for reading and the one for sealing are past their age; they serve until grace and limit end.
        ensure!(
            sealed.elapsed() > Duration::from_secs(20)
                || status(&bridged, "PUT", "y").await? == 200,
            "PUT before the limit"
        );
        until(&bridged, "PUT", "z", 503).await?;
        ensure!(
            sealed.elapsed() > Duration::from_secs(20),
            "the limit came too early"
        );
        ensure!(
            status(&bridged, "GET", "x").await? == 200,
            "GET within the grace"
        );

        // The key service answers again, and says no: that ends the grace.
        rig.key_server
            .set_faults(&json!([{"then": {"error": "AccessDeniedException"}}]))?;
        until(&bridged, "GET", "x", 503).await?;
        rig.key_server.set_faults(&json!([]))?;
        until(&bridged, "GET", "x", 200).await?;
        until(&bridged, "PUT", "z", 200).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_have_keys_of_their_own_and_calls_are_bounded() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let directory = rig.directory().join("tenant");
        std::fs::create_dir(&directory)?;
        let tenant = KeyServer::start(&directory, None)?;
        let more = format!(
            "{}\n[[domain]]\nbuckets = [\"{BUCKET}\"]\nprefix = \"alice/\"\nname = \"alice\"\nkey_services = [\"alice\"]\n\
             [[domain]]\nbuckets = [\"{BUCKET}\"]\nprefix = \"bob/\"\nname = \"bob\"\nkey_services = [\"1\"]\n\
             [limits]\nconcurrent_requests = 2000\nkey_service_probe_interval = \"1h\"\n",
            key_service("alice", &tenant.endpoint)?
        );
        let writer = gateway(rig, more.clone())?;
        let client = writer.endpoint.s3()?;
        for number in 0..10 {
            put(&client, BUCKET, &format!("alice/{number}"), b"of alice").await?;
            put(&client, BUCKET, &format!("bob/{number}"), b"of bob").await?;
        }
        // One domain each, one service each: one generate, and one unwrap that checks it. Twenty objects change nothing.
        for server in [&tenant, &rig.key_server] {
            ensure!(server.count("GenerateDataKey")? == 1, "{:?}", server.requests()?);
            ensure!(server.count("Decrypt")? == 1, "{:?}", server.requests()?);
            ensure!(server.count("Encrypt")? == 0, "{:?}", server.requests()?);
        }
        let seen = |server: &KeyServer, name: &str| -> Result<BTreeSet<String>> {
            let requests = server.requests()?;
            let values = requests.iter().filter_map(|request| {
                request["encryption_context"][name].as_str().map(str::to_owned)
            });
            Ok(values.collect())
        };
        ensure!(seen(&tenant, "sealgate:domain")? == BTreeSet::from(["alice".to_owned()]), "alice");
        ensure!(seen(&rig.key_server, "sealgate:domain")? == BTreeSet::from(["bob".to_owned()]), "bob");
        let keys = [&tenant, &rig.key_server].map(|server| seen(server, "sealgate:working-key"));
        let [alices, bobs] = keys;
        ensure!(alices?.is_disjoint(&bobs?), "two tenants share a working key");

        // A thousand first readers at once make one unwrap.
        let reader = gateway(rig, more)?;
        let reads = (0..1_000).map(|_| request(&reader.endpoint, "GET", "alice/0", b""));
        for answer in join_all(reads).await {
            let answer = answer?;
            ensure!(answer.status == 200 && answer.body == b"of alice", "{}", answer.status);
        }
        ensure!(tenant.count("Decrypt")? == 2, "{} unwraps", tenant.count("Decrypt")?);
        ensure!(rig.key_server.count("Decrypt")? == 1, "a key that nobody read");
        ensure!(tenant.count("GenerateDataKey")? == 1, "reading makes no keys");
        Ok(())
    })
    .await
}

/// The calls that make working keys: generates of the first key service, wraps of the second, and the checks of both.
fn calls(first: &KeyServer, second: &KeyServer) -> Result<[usize; 4]> {
    Ok([
        first.count("GenerateDataKey")?,
        first.count("Decrypt")?,
        second.count("Encrypt")?,
        second.count("Decrypt")?,
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn generates_follow_domains_key_services_starts_and_days() -> Result<()> {
    /// What takes the place of a day.
    const DAY: Duration = Duration::from_secs(15);
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let directory = rig.directory().join("second");
        std::fs::create_dir(&directory)?;
        let second = KeyServer::start(&directory, None)?;
        let more = format!(
            "{}\n[[domain]]\nbuckets = [\"{BUCKET}\"]\nprefix = \"a/\"\nname = \"a\"\n\
             [[domain]]\nbuckets = [\"{BUCKET}\"]\nprefix = \"b/\"\nname = \"b\"\n\
             [limits]\nrequired_wraps = 2\nkey_service_probe_interval = \"1h\"\nworking_key_lifetime = \"{}s\"\n",
            key_service("second", &second.endpoint)?,
            DAY.as_secs()
        );
        let write = async |gateway: &Gateway| -> Result<()> {
            let objects = (0..40).map(|number| {
                let domain = if number % 2 == 0 { "a" } else { "b" };
                async move {
                    let key = format!("{domain}/{number}");
                    request(&gateway.endpoint, "PUT", &key, b"content").await
                }
            });
            for answer in join_all(objects).await {
                ensure!(answer?.status == 200);
            }
            Ok(())
        };
        let mut gateways = Vec::new();
        for start in 1..=2 {
            let gateway = gateway(rig, more.clone())?;
            write(&gateway).await?;
            write(&gateway).await?;
            let made = calls(&rig.key_server, &second)?;
            ensure!(made == [2 * start; 4], "{start} starts, two domains: {made:?}");
            gateways.push(gateway);
        }
        // The next day of one of the two.
        let [_, gateway] = gateways.as_slice() else {
            bail!("two gateways");
        };
        tokio::time::sleep(DAY).await;
        write(gateway).await?;
        write(gateway).await?;
        let made = calls(&rig.key_server, &second)?;
        ensure!(made == [6; 4], "{made:?}");
        ensure!(rig.key_server.count("Encrypt")? + second.count("GenerateDataKey")? == 0);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn unwraps_follow_the_age_of_keys_and_probes_their_interval() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        put(&rig.gateway.endpoint.s3()?, BUCKET, "x", b"content").await?;
        let limits =
            "\n[limits]\nworking_key_cache_age = \"2s\"\nkey_service_probe_interval = \"2s\"\n";
        let (unwraps, describes) = (
            rig.key_server.count("Decrypt")?,
            rig.key_server.count("DescribeKey")?,
        );
        let started = Instant::now();
        let reader = gateway(rig, limits.to_owned())?;
        let client = reader.endpoint.s3()?;
        let mut reads = 0;
        while started.elapsed() < Duration::from_secs(9) {
            ensure!(get(&client, BUCKET, "x").await? == b"content", "GET");
            reads += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let intervals = usize::try_from(started.elapsed().as_secs() / 2)? + 1;
        let unwraps = rig.key_server.count("Decrypt")? - unwraps;
        ensure!(reads > 3 * intervals, "only {reads} reads");
        ensure!(
            (3..=intervals).contains(&unwraps),
            "{unwraps} unwraps in {intervals} intervals of {reads} reads"
        );
        // One more asks for the key's name, which an alias does not tell; the rig's own gateway has an interval of a minute.
        let describes = rig.key_server.count("DescribeKey")? - describes;
        ensure!(
            (3..=intervals + 2).contains(&describes),
            "{describes} probes in {intervals} intervals"
        );
        Ok(())
    })
    .await
    .context("calls by age and interval")
}

/// Runs `sealgate keys rewrap` with the configuration of a gateway; its report, and whether it succeeded.
fn rewrap(gateway: &Gateway, arguments: &[&str]) -> Result<(serde_json::Value, bool)> {
    let mut command = gateway.command("keys")?;
    // `--config` belongs to the subcommand.
    let rest: Vec<_> = command.get_args().skip(1).map(ToOwned::to_owned).collect();
    let mut rewrap = std::process::Command::new(command.get_program());
    rewrap
        .args(["keys", "rewrap"])
        .args(rest)
        .arg("--json")
        .args(arguments);
    for (name, value) in command.get_envs() {
        rewrap.env(name, value.context("a variable without a value")?);
    }
    command = rewrap;
    let output = command.output()?;
    let report = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((report, output.status.success()))
}

#[tokio::test(flavor = "multi_thread")]
async fn rewrapping_moves_objects_to_another_key_without_touching_them() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        put(&through, BUCKET, "x", b"content").await?;
        let before = bare.head_object().bucket(BUCKET).key("x").send().await?;

        let directory = rig.directory().join("second");
        std::fs::create_dir(&directory)?;
        let second = KeyServer::start(&directory, None)?;
        let both = gateway(rig, key_service("second", &second.endpoint)?)?;
        let (report, _) = rewrap(&both, &["--dry-run"])?;
        ensure!(
            report["rewrapped"] == 1 && second.count("Encrypt")? == 0,
            "{report}"
        );
        // A key service that is down fails the command, and the next run does what is missing.
        second.set_faults(
            &json!([{"operations": ["Encrypt"], "then": {"error": "AccessDeniedException"}}]),
        )?;
        let (report, succeeded) = rewrap(&both, &[])?;
        ensure!(
            !succeeded && report["failures"][0]["error"].is_string(),
            "{report}"
        );
        second.set_faults(&json!([]))?;
        let (report, succeeded) = rewrap(&both, &["--rate", "50"])?;
        ensure!(succeeded && report["rewrapped"] == 1, "{report}");
        let (report, succeeded) = rewrap(&both, &[])?;
        ensure!(
            succeeded && report["rewrapped"] == 0 && report["up_to_date"] == 1,
            "{report}"
        );
        let (report, succeeded) = rewrap(&both, &["--renew"])?;
        ensure!(succeeded && report["rewrapped"] == 1, "{report}");
        ensure!(
            second.count("ReEncrypt")? == 1 && rig.key_server.count("ReEncrypt")? == 1,
            "renewed"
        );

        // The first key is gone for good; what it wrapped opens, and the object is as it was.
        rig.key_server.kill()?;
        let after = gateway(rig, key_service("second", &second.endpoint)?)?;
        ensure!(
            get(&after.endpoint.s3()?, BUCKET, "x").await? == b"content",
            "GET"
        );
        let now = bare.head_object().bucket(BUCKET).key("x").send().await?;
        ensure!(
            (now.e_tag(), now.last_modified()) == (before.e_tag(), before.last_modified()),
            "the object was touched"
        );
        Ok(())
    })
    .await
}
