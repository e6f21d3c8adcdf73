//! `sealgate keys shred` with a key in a PKCS#11 token.

use std::{process::Stdio, time::Duration};

use anyhow::{Result, ensure};
use sealgate_tests::rig::{get, put, with_rig};
use sealgate_tests::servers::{Gateway, GatewaySettings, KEY, report};
use serde_json::Value;

use super::pkcs11;

const BUCKET: &str = "shredded";
const LIMIT: Duration = Duration::from_mins(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_token_goes_with_its_domain_and_with_no_other() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let (softhsm, key_service) = pkcs11::token_with_a_key(rig.directory())?;
        let named = key_service.replace("[[key_service]]", "[[key_service]]\nname = \"alice\"");
        let endpoint = &rig.key_server.endpoint;
        let rest = format!(
            "\n[[key_service]]\nname = \"rest\"\ntype = \"aws-kms\"\nkey = \"{KEY}\"\nendpoint = \"{}\"\nregion = \"{}\"\n\
             credentials = {{ access_key_id = \"{}\", secret_access_key = \"env:KEY_SERVER_SECRET\" }}\n",
            endpoint.url,
            sealgate_tests::endpoint::REGION,
            endpoint.access_key_id
        );
        let domains = format!(
            "domain = [{{ buckets = [\"{BUCKET}\"], prefix = \"alice/\", name = \"acme/alice\", key_services = [\"alice\"] }}, \
             {{ buckets = [\"*\"], key_services = [\"rest\"] }}]"
        );
        let settings = || GatewaySettings {
            top: domains.clone(),
            key_service: Some(format!("{named}\n{rest}")),
            environment: vec![(
                "SOFTHSM2_CONF".to_owned(),
                softhsm.display().to_string(),
            )],
            ..GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint)
        };
        let gateway = rig.gateway_with(settings())?;
        let through = gateway.endpoint.s3()?;
        put(&through, BUCKET, "alice/a", b"content").await?;
        put(&through, BUCKET, "other", b"content").await?;

        let shred = |gateway: &Gateway, arguments: &[&str]| -> Result<(bool, Value, String)> {
            let mut command = gateway.command("keys shred")?;
            command
                .current_dir(rig.directory())
                .stdin(Stdio::null())
                .args(["--domain", "acme/alice"])
                .args(arguments);
            report(&mut command, LIMIT)
        };
        let (would, plan, said) = shred(&gateway, &["--dry-run"])?;
        ensure!(would, "{plan} {said}");
        let place = plan["keys"][0]["place"].to_string();
        ensure!(place.contains("rig of sealgate"), "the token is named: {place}");
        let arguments = ["--confirm", "acme/alice", "--certificate", "alice.json"];
        let (done, result, said) = shred(&gateway, &arguments)?;
        ensure!(done && result["shredded"] == true, "{result} {said}");
        let key = &result["certificate"]["keys"][0];
        ensure!(key["manner"] == "destroyed in its token", "{result}");
        ensure!(key["not_covered"].to_string().contains("backups of the token"), "{result}");
        ensure!(result["certificate"]["objects"]["refused_after"] == 1, "{result}");

        let late = rig.gateway_with(settings())?;
        for gateway in [&gateway, &late] {
            let through = gateway.endpoint.s3()?;
            ensure!(get(&through, BUCKET, "alice/a").await.is_err(), "it opens");
            ensure!(get(&through, BUCKET, "other").await? == b"content");
        }
        Ok(())
    })
    .await
}
