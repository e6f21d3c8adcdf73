//! The life of keys through running gateways: flush, rotation by us and inside the key service, and what `keys status` shows.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    endpoint::{Endpoint, REGION},
    rig::{get, put, with_rig},
    servers::{
        Gateway, GatewaySettings,
        key_server::{KEY, REPLICA_REGION},
    },
};
use serde_json::Value;

const BUCKET: &str = "life";
const LIMIT: Duration = Duration::from_mins(4);

/// Runs `sealgate keys NAME --json` with the configuration of a gateway; its report, and whether it succeeded.
fn keys(gateway: &Gateway, name: &str, arguments: &[&str]) -> Result<(Value, bool)> {
    let configured = gateway.command(name)?;
    let mut command = Command::new(configured.get_program());
    command
        .arg("keys")
        .args(configured.get_args())
        .arg("--json")
        .args(arguments);
    for (name, value) in configured.get_envs() {
        command.env(name, value.context("a variable without a value")?);
    }
    let output = command.output()?;
    let report = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((report, output.status.success()))
}

/// A client of a key server, and the full name of the rig's key.
pub(crate) async fn administrator(endpoint: &Endpoint) -> Result<(aws_sdk_kms::Client, String)> {
    let client = endpoint.kms();
    let described = client.describe_key().key_id(KEY).send().await?;
    let arn = described
        .key_metadata
        .and_then(|key| key.arn)
        .context("no ARN")?;
    Ok((client, arn))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_makes_a_disabled_key_count_on_every_replica_within_seconds() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let other = rig.another_gateway()?;
        let clients = [rig.gateway.endpoint.s3()?, other.endpoint.s3()?];
        put(&clients[0], BUCKET, "x", b"content").await?;
        let (kms, key) = administrator(&rig.key_server.endpoint).await?;
        for client in &clients {
            ensure!(get(client, BUCKET, "x").await? == b"content", "GET");
        }
        kms.disable_key().key_id(&key).send().await?;
        for client in &clients {
            ensure!(
                get(client, BUCKET, "x").await? == b"content",
                "still cached"
            );
        }
        let (report, succeeded) = keys(&other, "flush", &[])?;
        ensure!(succeeded, "{report}");
        ensure!(
            report["done"]
                .as_array()
                .is_some_and(|done| done.len() == 2),
            "{report}"
        );
        ensure!(
            report["seconds"]
                .as_f64()
                .is_some_and(|seconds| seconds < 20.0),
            "{report}"
        );
        for client in &clients {
            ensure!(
                get(client, BUCKET, "x").await.is_err(),
                "a disabled key opens"
            );
            ensure!(
                put(client, BUCKET, "y", b"content").await.is_err(),
                "a disabled key seals"
            );
        }
        let (report, has_quorum) = keys(&other, "status", &[])?;
        ensure!(
            !has_quorum && report["key_services"][0]["usable"] == false,
            "{report}"
        );

        kms.enable_key().key_id(&key).send().await?;
        // The refusal is remembered for ten seconds.
        tokio::time::sleep(Duration::from_secs(11)).await;
        for client in &clients {
            ensure!(
                get(client, BUCKET, "x").await? == b"content",
                "enabled again"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_are_followed_without_a_restart_and_old_objects_stay_readable() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (client, _) = rig.clients(BUCKET).await?;
        put(&client, BUCKET, "before", b"content").await?;
        let made = rig.key_server.count("GenerateDataKey")?;
        let (report, succeeded) = keys(&rig.gateway, "rotate", &[])?;
        ensure!(
            succeeded && report["failed"] == serde_json::json!([]),
            "{report}"
        );
        ensure!(
            rig.key_server.count("GenerateDataKey")? == made + 1,
            "one domain, one key"
        );
        put(&client, BUCKET, "after", b"content").await?;
        ensure!(
            rig.key_server.count("GenerateDataKey")? == made + 1,
            "the new key seals"
        );

        // Another version of the same key, inside the key service.
        let (kms, key) = administrator(&rig.key_server.endpoint).await?;
        kms.rotate_key_on_demand().key_id(&key).send().await?;
        keys(&rig.gateway, "flush", &[])?;
        for name in ["before", "after"] {
            ensure!(get(&client, BUCKET, name).await? == b"content", "{name}");
        }
        put(&client, BUCKET, "newest", b"content").await?;
        ensure!(
            get(&client, BUCKET, "newest").await? == b"content",
            "newest"
        );

        let (report, succeeded) = keys(&rig.gateway, "status", &[])?;
        ensure!(succeeded, "{report}");
        ensure!(report["key_services"][0]["key"] == key.as_str(), "{report}");
        let registry = &report["registry"];
        ensure!(
            registry["records"] == 3 && registry["unreadable"] == 0,
            "{report}"
        );
        ensure!(
            registry["domains"][0]["without_a_configured_wrap"] == 0
                && registry["domains"][0]["with_wraps_by_other_keys"] == 0,
            "{report}"
        );
        let gateway = &report["gateways_unauthenticated"][0];
        ensure!(
            gateway["key_services"][0]["generates"].as_u64() >= Some(2),
            "{report}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrap_adds_no_wrap_where_the_same_key_of_another_region_has_made_one() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let (kms, _) = administrator(&rig.key_server.endpoint).await?;
        let created = kms.create_key().multi_region(true).send().await?;
        let primary = created
            .key_metadata
            .and_then(|key| key.arn)
            .context("no ARN")?;
        kms.replicate_key()
            .key_id(&primary)
            .replica_region(REPLICA_REGION)
            .send()
            .await?;
        let replica = primary.replace(REGION, REPLICA_REGION);
        let gateway = |key: &str, more: &str| {
            let endpoint = &rig.key_server.endpoint;
            let settings = GatewaySettings::new(&rig.minio.endpoint, endpoint);
            rig.gateway_with(GatewaySettings {
                key_service: Some(format!(
                    "[[key_service]]\ntype = \"aws-kms\"\nkey = \"{key}\"\nendpoint = \"{}\"\n{more}\n\
                     credentials = {{ access_key_id = \"{}\", secret_access_key = \"env:KEY_SERVER_SECRET\" }}",
                    endpoint.url, endpoint.access_key_id
                )),
                ..settings
            })
        };
        let here = gateway(&primary, "")?;
        put(&here.endpoint.s3()?, BUCKET, "x", b"content").await?;
        let there = gateway(&replica, &format!("related_regions = [\"{REGION}\"]"))?;
        let (report, succeeded) = keys(&there, "rewrap", &[])?;
        ensure!(
            succeeded && report["up_to_date"] == 1 && report["rewrapped"] == 0,
            "{report}"
        );
        // A key that nobody says is the same one wraps by itself.
        let stranger = gateway(&replica, "")?;
        let (report, succeeded) = keys(&stranger, "rewrap", &[])?;
        ensure!(!succeeded && report["up_to_date"] == 0, "{report}");
        ensure!(get(&there.endpoint.s3()?, BUCKET, "x").await? == b"content");
        let (report, succeeded) = keys(&there, "rewrap", &["--renew"])?;
        ensure!(succeeded && report["rewrapped"] == 1, "{report}");
        ensure!(get(&stranger.endpoint.s3()?, BUCKET, "x").await? == b"content");
        Ok(())
    })
    .await
}
