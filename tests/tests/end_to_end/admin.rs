//! The admin listener: whether a gateway is alive and ready, told without making anything happen and without any data.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    admin::{AdminEndpoint, check},
    certificates,
    endpoint::{Endpoint, REGION},
    rig::{bounded, get, put},
    servers::{Devstore, Gateway, GatewaySettings, KEY, KeyServer},
};
use serde_json::json;

const LIMIT: Duration = Duration::from_mins(2);

/// A change shows at the next probe, ten seconds later at most.
const CHANGE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn health_over_tls_with_no_data_behind_it() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let files = certificates::make(directory.path())?;
    let storage = Devstore::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), Some(files.clone()))?;
    let admin = AdminEndpoint::new(Some(&files))?;
    let gateway = Gateway::start(
        GatewaySettings {
            tls: Some(files),
            more: admin.table(),
            ..GatewaySettings::new(&storage.endpoint, &key_server.endpoint)
        },
        directory.path(),
    )?;
    bounded(LIMIT, async {
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket("admin").send().await?;
        put(&client, "admin", "key", b"content").await?;

        let live = admin.get("/livez").await?;
        ensure!(live.status == 200 && live.text().contains("\"alive\": true"));
        let (ready, document) = admin.readiness().await?;
        ensure!(ready, "{document:#}");
        for name in ["storage", "key_service:1", "key_quorum", "not_draining"] {
            ensure!(check(&document, name)["ok"] == true, "{name}: {document:#}");
        }
        // The probe has opened what it made.
        ensure!(key_server.count("Decrypt")? >= 1);

        for target in ["/", "/admin/key", "/admin", "/?list-type=2", "/readyz/key"] {
            let answer = admin.get(target).await?;
            ensure!(answer.status == 404, "{target}: {}", answer.status);
            ensure!(
                !answer.text().contains("content"),
                "{target}: {}",
                answer.text()
            );
        }
        // Asking costs nobody anything.
        let before = key_server.requests()?.len();
        for _ in 0..100 {
            admin.get("/readyz").await?;
        }
        ensure!(
            key_server.requests()?.len() <= before + 2,
            "asking asks the key service"
        );
        Ok(())
    })
    .await
    .with_context(|| gateway.process.last_words())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_its_storage_refuses_serves_and_is_not_ready() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let storage = Devstore::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), None)?;
    let admin = AdminEndpoint::new(None)?;
    let refused = storage
        .endpoint
        .with_credentials(&storage.endpoint.access_key_id, "a secret of somebody else");
    let gateway = Gateway::start(
        GatewaySettings {
            more: admin.table(),
            ..GatewaySettings::new(&refused, &key_server.endpoint)
        },
        directory.path(),
    )?;
    bounded(LIMIT, async {
        let printed = gateway.process.printed();
        ensure!(
            printed
                .iter()
                .any(|line| line.starts_with("serving http://"))
                && !printed.iter().any(|line| line.starts_with("ready")),
            "{printed:?}"
        );
        ensure!(admin.get("/livez").await?.status == 200);
        let (ready, document) = admin.readiness().await?;
        ensure!(!ready, "{document:#}");
        let found = check(&document, "storage");
        let (cause, fix) = (found["cause"].to_string(), found["fix"].to_string());
        ensure!(cause.contains("SignatureDoesNotMatch"), "{cause}");
        ensure!(fix.contains("credentials"), "{fix}");
        ensure!(
            check(&document, "key_service:1")["ok"] == true,
            "{document:#}"
        );
        let logged = gateway.process.logged()?;
        ensure!(
            logged.contains("not ready")
                && logged.contains("SignatureDoesNotMatch")
                && logged.contains("fix="),
            "{logged}"
        );
        ensure!(admin.get("/readyz?exclude=storage").await?.status == 200);
        // It accepts requests, and says of each that the storage is the matter.
        let answer = get(&gateway.endpoint.s3()?, "bucket", "key").await;
        ensure!(answer.is_err());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_service_that_opens_nothing_is_found_although_its_key_is_described() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let storage = Devstore::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), None)?;
    let admin = AdminEndpoint::new(None)?;
    let gateway = Gateway::start(
        GatewaySettings {
            more: format!(
                "{}[limits]\nkey_service_probe_interval = \"1s\"\n",
                admin.table()
            ),
            ..GatewaySettings::new(&storage.endpoint, &key_server.endpoint)
        },
        directory.path(),
    )?;
    bounded(LIMIT, async {
        admin.until_ready(true, CHANGE).await?;
        key_server.set_faults(
            &json!([{"operations": ["Decrypt"], "then": {"error": "AccessDeniedException"}}]),
        )?;
        let document = admin.until_ready(false, CHANGE).await?;
        ensure!(
            check(&document, "key_service:1")["ok"] == false,
            "{document:#}"
        );
        ensure!(
            check(&document, "key_quorum")["ok"] == false,
            "{document:#}"
        );
        ensure!(check(&document, "storage")["ok"] == true, "{document:#}");
        ensure!(admin.get("/livez").await?.status == 200);
        // Where cached keys are to go on serving, a load balancer leaves the quorum out.
        ensure!(admin.get("/readyz?exclude=key_quorum").await?.status == 200);
        key_server.set_faults(&json!([]))?;
        admin.until_ready(true, CHANGE).await?;
        Ok(())
    })
    .await
    .with_context(|| gateway.process.last_words())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_key_that_is_disabled_takes_no_gateway_from_the_others() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let storage = Devstore::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), None)?;
    let kms = key_server.endpoint.kms();
    let made = kms.create_key().send().await?;
    let of_tenant = made
        .key_metadata
        .and_then(|key| key.arn)
        .context("no ARN")?;
    let table = |name: &str, key: &str| {
        let Endpoint {
            url, access_key_id, ..
        } = &key_server.endpoint;
        format!(
            "[[key_service]]\nname = \"{name}\"\ntype = \"aws-kms\"\nkey = \"{key}\"\nendpoint = \"{url}\"\nregion = \"{REGION}\"\n\
             credentials = {{ access_key_id = \"{access_key_id}\", secret_access_key = \"env:KEY_SERVER_SECRET\" }}\n\n"
        )
    };
    let admin = AdminEndpoint::new(None)?;
    let gateway = Gateway::start(
        GatewaySettings {
            top: "domain = [{ buckets = [\"tenant\"], name = \"acme/tenant\", key_services = [\"tenant\"] }, \
                  { buckets = [\"*\"], key_services = [\"rest\"] }]"
                .to_owned(),
            key_service: Some(table("tenant", &of_tenant) + &table("rest", KEY)),
            more: format!(
                "{}[limits]\nkey_service_probe_interval = \"1s\"\n",
                admin.table()
            ),
            ..GatewaySettings::new(&storage.endpoint, &key_server.endpoint)
        },
        directory.path(),
    )?;
    bounded(LIMIT, async {
        admin.until_ready(true, CHANGE).await?;
        kms.disable_key().key_id(&of_tenant).send().await?;
        let deadline = tokio::time::Instant::now() + CHANGE;
        let document = loop {
            let answer = admin.get("/readyz").await?;
            ensure!(answer.status == 200, "{}", answer.text());
            let document: serde_json::Value = serde_json::from_str(&answer.text())?;
            if check(&document, "key_quorum_of_every_domain")["ok"] == false {
                break document;
            }
            ensure!(tokio::time::Instant::now() < deadline, "{document:#}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let found = check(&document, "key_quorum_of_every_domain");
        let cause = found["cause"].to_string();
        ensure!(
            cause.contains("acme/tenant") && !cause.contains("(*)"),
            "{cause}"
        );
        ensure!(check(&document, "key_quorum")["ok"] == true, "{document:#}");
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket("others").send().await?;
        put(&client, "others", "key", b"content").await?;
        Ok(())
    })
    .await
    .with_context(|| gateway.process.last_words())
}
