//! What takes effect while a gateway runs, and what becomes of a configuration that can't be used.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use sealgate_tests::{
    admin::{AdminEndpoint, check},
    certificates::Authority,
    endpoint::Endpoint,
    raw_http::{Payload, RawAnswer, RawRequest},
    rig::{bounded, get, put},
    servers::{Devstore, Gateway, GatewaySettings, KeyServer},
    tls_client::connect,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

const BUCKET: &str = "reload";
const LIMIT: Duration = Duration::from_mins(3);

/// Files are looked at every two seconds, twice before they count.
const NOTICE: Duration = Duration::from_secs(20);

/// The certificate that a new connection is shown.
async fn shown(endpoint: &Endpoint, ca_file: &Path) -> Result<CertificateDer<'static>> {
    let stream = connect(endpoint.authority(), ca_file).await?;
    let chain = stream.get_ref().1.peer_certificates();
    let first = chain.and_then(|chain| chain.first());
    Ok(first.context("no certificate")?.clone().into_owned())
}

async fn until<F>(what: &str, mut holds: impl FnMut() -> F) -> Result<()>
where
    F: Future<Output = Result<bool>>,
{
    let deadline = Instant::now() + NOTICE;
    while !holds().await? {
        ensure!(Instant::now() < deadline, "not within {NOTICE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// One request on a connection that stays open.
async fn ask(stream: &mut TlsStream<TcpStream>, endpoint: &Endpoint) -> Result<u16> {
    let request = RawRequest::new("HEAD", &format!("/{BUCKET}"))
        .sign(endpoint, Payload::Signed(b""), SystemTime::now())?
        .bytes(endpoint);
    stream.write_all(&request).await?;
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        let mut piece = [0; 1_024];
        let length = stream.read(&mut piece).await?;
        ensure!(length > 0, "the connection was closed");
        received.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
    let line = String::from_utf8_lossy(&received).into_owned();
    let status = line.split(' ').nth(1).context("no status")?;
    Ok(status.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_exchanged_without_a_dropped_connection() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new(directory.path())?;
    // As Kubernetes does: the names are links into a directory that a link stands for.
    let volume = |version: &str| directory.path().join(version);
    for version in ["one", "two"] {
        std::fs::create_dir(volume(version))?;
        authority.server(&volume(version), "tls")?;
    }
    let current = directory.path().join("current");
    std::os::unix::fs::symlink(volume("one"), &current)?;
    let mut files = authority.server(&volume("one"), "tls")?;
    files.certificate = current.join("tls.pem");
    files.key = current.join("tls-key.pem");

    let storage = Devstore::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), None)?;
    let admin = AdminEndpoint::new(Some(&files))?;
    let gateway = Gateway::start(
        GatewaySettings {
            tls: Some(files.clone()),
            more: admin.table(),
            ..GatewaySettings::new(&storage.endpoint, &key_server.endpoint)
        },
        directory.path(),
    )?;
    bounded(LIMIT, async {
        let endpoint = &gateway.endpoint;
        let client = endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        let ca_file = authority.ca_file();
        let before = shown(endpoint, ca_file).await?;
        ensure!(before == CertificateDer::from_pem_file(volume("one").join("tls.pem"))?);
        let mut old = connect(endpoint.authority(), ca_file).await?;
        ensure!(ask(&mut old, endpoint).await? == 200);

        // A key that does not fit changes nothing.
        std::fs::remove_file(&current)?;
        std::fs::create_dir(volume("broken"))?;
        authority.server(&volume("broken"), "tls")?;
        std::fs::copy(
            volume("one").join("tls-key.pem"),
            volume("broken").join("tls-key.pem"),
        )?;
        std::os::unix::fs::symlink(volume("broken"), &current)?;
        until("a broken certificate is told", || async {
            let (ready, document) = admin.readiness().await?;
            let found = check(&document, "configuration");
            Ok(ready
                && found["ok"] == false
                && found["cause"]
                    .to_string()
                    .contains("can't be used together"))
        })
        .await?;
        ensure!(shown(endpoint, ca_file).await? == before);
        let metrics = admin.get("/metrics").await?.text();
        ensure!(
            metrics.contains("sealgate_configuration_last_reload_successful 0"),
            "{metrics}"
        );
        ensure!(
            gateway
                .process
                .logged()?
                .contains("what was in effect stays in effect")
        );

        // One rename, so that nobody sees a state between.
        let next = directory.path().join("next");
        std::os::unix::fs::symlink(volume("two"), &next)?;
        std::fs::rename(&next, &current)?;
        let after = CertificateDer::from_pem_file(volume("two").join("tls.pem"))?;
        until("the new certificate", || async {
            Ok(shown(endpoint, ca_file).await? == after)
        })
        .await?;
        ensure!(ask(&mut old, endpoint).await? == 200, "an old connection");
        put(&client, BUCKET, "key", b"content").await?;
        // The admin listener has the same files.
        until("the admin listener's certificate", || async {
            let (_, document) = admin.readiness().await?;
            Ok(check(&document, "configuration")["ok"] == true)
        })
        .await?;
        let metrics = admin.get("/metrics").await?.text();
        ensure!(
            metrics.contains("sealgate_configuration_last_reload_successful 1"),
            "{metrics}"
        );
        Ok(())
    })
    .await
    .with_context(|| gateway.process.last_words())
}

async fn refused(endpoint: &Endpoint) -> Result<Option<String>> {
    let answer: RawAnswer = RawRequest::new("GET", &format!("/{BUCKET}?list-type=2"))
        .sign(endpoint, Payload::Signed(b""), SystemTime::now())?
        .send(endpoint)
        .await?;
    Ok(answer.error_code())
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_limits_and_the_log_level_change_and_the_rest_waits() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let storage = Devstore::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), None)?;
    let admin = AdminEndpoint::new(None)?;
    let secret = directory.path().join("second-secret");
    std::fs::write(&secret, "the first of the second")?;
    let second = format!(
        "[[identity]]\nname = \"second\"\n[[identity.credential]]\naccess_key_id = \"SGSECOND\"\nsecret_access_key = \"file:{}\"\n",
        secret.display()
    );
    let gateway = Gateway::start(
        GatewaySettings {
            more: format!("{second}{}[log]\nlevel = \"info\"\n", admin.table()),
            ..GatewaySettings::new(&storage.endpoint, &key_server.endpoint)
        },
        directory.path(),
    )?;
    bounded(LIMIT, async {
        let endpoint = &gateway.endpoint;
        let client = endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        let old = endpoint.with_credentials("SGSECOND", "the first of the second");
        let new = endpoint.with_credentials("SGSECOND", "the next of the second");
        ensure!(refused(&old).await?.is_none());
        ensure!(refused(&new).await?.as_deref() == Some("SignatureDoesNotMatch"));

        // A secret in a file of its own, which only changes its content.
        std::fs::write(&secret, "the next of the second")?;
        until("the new secret", || async {
            Ok(refused(&new).await?.is_none())
        })
        .await?;
        ensure!(refused(&old).await?.as_deref() == Some("SignatureDoesNotMatch"));

        // A file that is no configuration changes nothing, and is told at once on SIGHUP.
        let good = std::fs::read_to_string(&gateway.configuration)?;
        std::fs::write(
            &gateway.configuration,
            format!("{good}\n[[identity]]\nnmae = \"third\"\n"),
        )?;
        gateway.process.signal("HUP")?;
        until("a broken file is told", || async {
            let (ready, document) = admin.readiness().await?;
            let cause = check(&document, "configuration")["cause"].to_string();
            Ok(ready && cause.contains("nmae") && cause.contains("unknown key"))
        })
        .await?;
        ensure!(refused(&new).await?.is_none());
        get(&client, BUCKET, "missing").await.unwrap_err();

        // Identities, limits and the level take effect; the region waits.
        let changed = good
            .replace(&second, "")
            .replace("level = \"info\"", "level = \"error\"")
            .replacen("region = \"us-east-1\"", "region = \"eu-west-1\"", 1);
        ensure!(changed != good && !changed.contains("SGSECOND"));
        let changed = format!("{changed}\n[limits]\nunsigned_requests = 7\nconnections = 99\n");
        std::fs::write(&gateway.configuration, changed)?;
        gateway.process.signal("HUP")?;
        until("a revoked identity", || async {
            Ok(refused(&new).await?.as_deref() == Some("InvalidAccessKeyId"))
        })
        .await?;
        put(&client, BUCKET, "key", b"content").await?;
        let (ready, document) = admin.readiness().await?;
        let cause = check(&document, "configuration")["cause"].to_string();
        ensure!(ready, "{document:#}");
        ensure!(
            cause.contains("upstream.region") && cause.contains("limits.connections"),
            "{cause}"
        );
        ensure!(
            !cause.contains("identity") && !cause.contains("log") && !cause.contains("unsigned"),
            "{cause}"
        );
        let lines = gateway.process.logged()?.lines().count();
        ensure!(refused(&new).await?.is_some());
        ensure!(
            gateway.process.logged()?.lines().count() == lines,
            "the level did not change"
        );
        let metrics = admin.get("/metrics").await?.text();
        ensure!(
            metrics.contains("sealgate_configuration_needs_restart 1"),
            "{metrics}"
        );
        Ok(())
    })
    .await
    .with_context(|| gateway.process.last_words())
}
