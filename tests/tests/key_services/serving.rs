//! Gateways that stand on a key service other than AWS KMS: what is stored before a restart is read after it.

use std::time::Duration;

use anyhow::{Result, ensure};
use sealgate_tests::content::pattern;
use sealgate_tests::rig::{Rig, get, put, with_rig};
use sealgate_tests::servers::{GatewaySettings, Vault};
use serde_json::json;

use super::pkcs11;

const BUCKET: &str = "served";
const LIMIT: Duration = Duration::from_mins(3);

async fn keeps_objects(rig: &Rig, settings: GatewaySettings) -> Result<()> {
    let (_, storage) = rig.clients(BUCKET).await?;
    let body = pattern(4, 3 << 20);
    let first = rig.gateway_with(settings.clone())?;
    let client = first.endpoint.s3()?;
    put(&client, BUCKET, "small", b"content").await?;
    put(&client, BUCKET, "large", &body).await?;
    ensure!(get(&client, BUCKET, "large").await? == body);
    ensure!(get(&storage, BUCKET, "small").await? != b"content");
    drop(first);
    let second = rig.gateway_with(settings)?;
    let client = second.endpoint.s3()?;
    ensure!(get(&client, BUCKET, "small").await? == b"content");
    ensure!(get(&client, BUCKET, "large").await? == body);
    // The rig's own gateway has another key service, and cannot.
    ensure!(
        get(&rig.gateway.endpoint.s3()?, BUCKET, "small")
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_on_vault_reads_after_a_restart_what_it_stored() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let vault = Vault::start(rig.directory())?;
        vault.make_key("sealgate")?;
        let (role_id, _) = vault.make_role("gateway", "sealgate", &json!({}), rig.directory())?;
        let key_service = format!(
            "[[key_service]]\ntype = \"vault-transit\"\nendpoint = \"{}\"\nkey = \"sealgate\"\n\
             login = {{ method = \"approle\", role_id = \"{role_id}\", secret_id = \"file:gateway-secret-id\" }}",
            vault.url
        );
        let settings = GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint);
        let key_service = Some(key_service);
        keeps_objects(rig, GatewaySettings { key_service, ..settings }).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_on_a_pkcs11_token_reads_after_a_restart_what_it_stored() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (softhsm, key_service) = pkcs11::token_with_a_key(rig.directory())?;
        let settings = GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint);
        let settings = GatewaySettings {
            key_service: Some(key_service),
            environment: vec![("SOFTHSM2_CONF".to_owned(), softhsm.display().to_string())],
            ..settings
        };
        keeps_objects(rig, settings).await
    })
    .await
}
