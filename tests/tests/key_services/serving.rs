//! Gateways that stand on a key service other than AWS KMS: what is stored before a restart is read after it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::Client;
use sealgate_envelope::header::Header;
use sealgate_tests::content::pattern;
use sealgate_tests::rig::{Rig, get, put, with_rig};
use sealgate_tests::servers::{Gateway, GatewaySettings, Vault, report};
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

fn on_vault(vault: &Vault, role_id: &str) -> String {
    format!(
        "[[key_service]]\ntype = \"vault-transit\"\nendpoint = \"{}\"\nkey = \"sealgate\"\n\
         login = {{ method = \"approle\", role_id = \"{role_id}\", secret_id = \"file:gateway-secret-id\" }}",
        vault.url
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_on_vault_reads_after_a_restart_what_it_stored() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let vault = Vault::start(rig.directory())?;
        vault.make_key("sealgate")?;
        let (role_id, _) = vault.make_role("gateway", "sealgate", &json!({}), rig.directory())?;
        let settings = GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint);
        let key_service = Some(on_vault(&vault, &role_id));
        keeps_objects(
            rig,
            GatewaySettings {
                key_service,
                ..settings
            },
        )
        .await
    })
    .await
}

/// What stands in the first wrap of an object's header: of Transit `vault:vN:…`, which names the version of the key.
async fn wrap_of(storage: &Client, key: &str) -> Result<String> {
    let head = storage.head_object().bucket(BUCKET).key(key).send().await?;
    let text = head
        .metadata()
        .and_then(|metadata| metadata.get("sealgate"));
    let header = Header::from_text(text.context("no header")?)?;
    let wrap = header.wraps().first().context("no wrap")?;
    Ok(String::from_utf8_lossy(wrap.blob()).into_owned())
}

/// Makes the gateway forget its keys, so that it has to ask.
fn flush(gateway: &Gateway) -> Result<()> {
    let (succeeded, report, said) = report(&mut gateway.command("keys flush")?, LIMIT)?;
    ensure!(succeeded, "{report} {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_inside_vault_is_followed_without_a_restart() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, storage) = rig.clients(BUCKET).await?;
        let vault = Vault::start(rig.directory())?;
        vault.make_key("sealgate")?;
        let (role_id, _) = vault.make_role("gateway", "sealgate", &json!({}), rig.directory())?;
        // Alone in its deployment: nobody else answers to a flush.
        let gateway = rig.gateway_with(GatewaySettings {
            deployment: "on-vault".to_owned(),
            key_service: Some(on_vault(&vault, &role_id)),
            ..GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint)
        })?;
        let client = gateway.endpoint.s3()?;
        put(&client, BUCKET, "before", b"content").await?;
        ensure!(wrap_of(&storage, "before").await?.starts_with("vault:v1:"));

        vault.write("transit/keys/sealgate/rotate", &json!({}))?;
        flush(&gateway)?;
        ensure!(get(&client, BUCKET, "before").await? == b"content");
        put(&client, BUCKET, "after", b"content").await?;
        ensure!(wrap_of(&storage, "after").await?.starts_with("vault:v2:"));

        // The version that is no longer allowed takes its objects along, unless the record was renewed; the new one stays.
        let (succeeded, report, said) =
            report(gateway.command("keys rewrap")?.arg("--renew"), LIMIT)?;
        ensure!(succeeded, "{report} {said}");
        let newest = json!({ "min_decryption_version": 2 });
        vault.write("transit/keys/sealgate/config", &newest)?;
        flush(&gateway)?;
        for key in ["before", "after"] {
            ensure!(get(&client, BUCKET, key).await? == b"content", "{key}");
        }
        Ok(())
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
