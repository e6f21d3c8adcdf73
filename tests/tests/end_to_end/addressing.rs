//! Virtual-host style, from clients and towards the storage.

use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use sealgate_tests::{
    content::pattern,
    endpoint::BASE_DOMAIN,
    raw_http::{Payload, RawRequest},
    rig::{bounded, get, put},
    servers::{Gateway, GatewaySettings, KeyServer, Minio},
};

#[tokio::test(flavor = "multi_thread")]
async fn buckets_in_host_names_on_both_sides() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let minio = Minio::start(directory.path())?;
    let bare = &minio.endpoint;
    // Names below `localhost` are this machine for the gateway, whatever the system's resolver knows (RFC 6761).
    let mut named = bare.clone();
    named.url = bare.url.replace("127.0.0.1", BASE_DOMAIN);
    let key_server = KeyServer::start(directory.path(), None)?;
    let settings = GatewaySettings {
        listener: "external_hosts = [\"elsewhere.example\"]\n".to_owned(),
        upstream: "addressing = \"virtual-host\"\n".to_owned(),
        ..GatewaySettings::new(&named, &key_server.endpoint)
    };
    let gateway = Gateway::start(settings, directory.path())?;
    bounded(Duration::from_mins(1), async {
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket("by-host").send().await?;
        let body = pattern(1, 3 * 1024 * 1024);
        for key in ["plain", "a b/ü+%(1)", "deep/er"] {
            put(&client, "by-host", key, &body).await?;
            ensure!(
                get(&client, "by-host", key).await? == body,
                "other bytes at {key}"
            );
        }
        let listed = bare
            .s3()?
            .list_objects_v2()
            .bucket("by-host")
            .send()
            .await?;
        ensure!(listed.contents().len() == 3, "{listed:?}");

        // A client of the gateway names the bucket in the host: the port does not matter, the signature covers it.
        for host in [
            "by-host.s3.localhost",
            "by-host.s3.localhost:8014",
            "BY-HOST.s3.localhost",
        ] {
            let mut named = gateway.endpoint.clone();
            named.url = format!("http://{host}");
            let answer = RawRequest::new("GET", "/plain")
                .sign(
                    &named,
                    Payload::Named("UNSIGNED-PAYLOAD"),
                    SystemTime::now(),
                )?
                .send(&gateway.endpoint)
                .await?;
            ensure!(
                answer.status == 200 && answer.body == body,
                "{host}: {} {}",
                answer.status,
                answer.error_code().unwrap_or_default()
            );
        }
        // A key may be written on the wire in ways that the storage's own signature does not know.
        for target in [
            "/by-host/a%20b/%c3%bc%2b%25(1)",
            "/by-host/a%20b/%C3%BC+%25%281%29",
        ] {
            let answer = RawRequest::new("GET", target)
                .sign(
                    &gateway.endpoint,
                    Payload::Named("UNSIGNED-PAYLOAD"),
                    SystemTime::now(),
                )?
                .send(&gateway.endpoint)
                .await?;
            ensure!(
                answer.status == 200 && answer.body == body,
                "{target}: {} {}",
                answer.status,
                answer.text()
            );
        }
        // Another host than the one that was signed, unless it is a configured one.
        for (signed, status) in [
            ("elsewhere.example", 200),
            ("elsewhere.example:80", 200),
            ("elsewhere.example:81", 403),
            ("other.example", 403),
        ] {
            let mut named = gateway.endpoint.clone();
            named.url = format!("http://{signed}");
            let request = RawRequest::new("GET", "/by-host/plain").sign(
                &named,
                Payload::Named("UNSIGNED-PAYLOAD"),
                SystemTime::now(),
            )?;
            let answer = request
                .with_host(gateway.endpoint.authority())
                .send(&gateway.endpoint)
                .await?;
            ensure!(
                answer.status == status,
                "{signed}: {} {}",
                answer.status,
                answer.text()
            );
        }
        Ok(())
    })
    .await
}
