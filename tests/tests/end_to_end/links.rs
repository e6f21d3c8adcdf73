//! What each link offers in its handshake, and client certificates in both directions.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, NamedGroup, ProtocolVersion, RootCertStore, ServerConfig};
use sealgate_tests::{
    certificates::{Authority, Pair},
    endpoint::Endpoint,
    raw_http::{Payload, RawRequest},
    rig::bounded,
    servers::{Devstore, Gateway, GatewaySettings, KEY, KeyServer, gateway::TlsFiles},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const LIMIT: Duration = Duration::from_mins(2);
const BUCKET: &str = "links";

/// What one handshake came to.
#[derive(Debug)]
struct Handshake {
    version: Option<ProtocolVersion>,
    group: Option<NamedGroup>,
    has_certificate: bool,
}

/// A server that takes certificates of the authority, tells of each handshake, and answers nothing.
async fn mute_server(files: &TlsFiles) -> Result<(u16, mpsc::UnboundedReceiver<Handshake>)> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.ca_file)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&files.certificate)?],
            PrivateKeyDer::from_pem_file(&files.key)?,
        )?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let session = stream.get_ref().1;
            let handshake = Handshake {
                version: session.protocol_version(),
                group: session
                    .negotiated_key_exchange_group()
                    .map(rustls::crypto::SupportedKxGroup::name),
                has_certificate: session.peer_certificates().is_some(),
            };
            if sender.send(handshake).is_err() {
                return;
            }
        }
    });
    Ok((port, receiver))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_link_prefers_the_hybrid_key_exchange_and_shows_its_certificate() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new(directory.path())?;
    let files = authority.server(directory.path(), "server")?;
    let own = authority.client(directory.path(), "gateway", &[])?;
    let (storage_port, mut storage) = mute_server(&files).await?;
    let (kms_port, mut kms) = mute_server(&files).await?;
    let (vault_port, mut vault) = mute_server(&files).await?;
    let server = |port: u16| Endpoint {
        url: format!("https://127.0.0.1:{port}"),
        access_key_id: "somebody".to_owned(),
        secret_access_key: "a secret of somebody".to_owned(),
        ca_file: Some(files.ca_file.clone()),
    };
    let client_certificate = format!(
        "client_certificate = {{ certificate = \"{}\", key = \"{}\" }}",
        own.certificate.display(),
        own.key.display()
    );
    let ca_file = files.ca_file.display();
    let key_services = format!(
        "[[key_service]]\ntype = \"aws-kms\"\nkey = \"{KEY}\"\nregion = \"us-east-1\"\nendpoint = \"https://127.0.0.1:{kms_port}\"\nca_file = \"{ca_file}\"\ncredentials = {{ access_key_id = \"k\", secret_access_key = \"env:KEY_SERVER_SECRET\" }}\n\
         [[key_service]]\ntype = \"vault-transit\"\nkey = \"sealgate\"\nendpoint = \"https://127.0.0.1:{vault_port}\"\nca_file = \"{ca_file}\"\nlogin = {{ method = \"token\", token = \"env:KEY_SERVER_SECRET\" }}\n{client_certificate}\n"
    );
    let settings = GatewaySettings {
        tls: Some(files.clone()),
        upstream: client_certificate.clone(),
        key_service: Some(key_services),
        ..GatewaySettings::new(&server(storage_port), &server(kms_port))
    };
    let gateway = Gateway::start(settings, directory.path())?;
    bounded(LIMIT, async {
        for (name, link, shows) in [
            ("storage", &mut storage, true),
            ("kms", &mut kms, false),
            ("vault", &mut vault, true),
        ] {
            let handshake = link
                .recv()
                .await
                .with_context(|| format!("{name}: no handshake"))?;
            ensure!(
                handshake.version == Some(ProtocolVersion::TLSv1_3),
                "{name}: {handshake:?}"
            );
            ensure!(
                handshake.group == Some(NamedGroup::X25519MLKEM768),
                "{name}: {handshake:?}"
            );
            ensure!(handshake.has_certificate == shows, "{name}: {handshake:?}");
        }
        // The gateway's own listener, asked with both versions.
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(&files.ca_file)?)?;
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])?
                .with_root_certificates(roots)
                .with_no_client_auth();
            let stream = TcpStream::connect(gateway.endpoint.authority()).await?;
            let stream = TlsConnector::from(Arc::new(config))
                .connect(ServerName::try_from("localhost")?, stream)
                .await?;
            let group = stream.get_ref().1.negotiated_key_exchange_group();
            let is_hybrid = group.map(rustls::crypto::SupportedKxGroup::name)
                == Some(NamedGroup::X25519MLKEM768);
            ensure!(
                is_hybrid == (version.version == ProtocolVersion::TLSv1_3),
                "{group:?}"
            );
        }
        Ok(())
    })
    .await
    .with_context(|| gateway.process.last_words())
}

/// The status and the error's code of one signed request over a connection with this certificate.
async fn ask(
    endpoint: &Endpoint,
    certificate: Option<&Pair>,
    method: &str,
) -> Result<(u16, Option<String>)> {
    let mut roots = RootCertStore::empty();
    let ca_file = endpoint.ca_file.as_ref().context("no TLS")?;
    roots.add(CertificateDer::from_pem_file(ca_file)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match certificate {
        None => builder.with_no_client_auth(),
        Some(pair) => builder.with_client_auth_cert(
            vec![CertificateDer::from_pem_file(&pair.certificate)?],
            PrivateKeyDer::from_pem_file(&pair.key)?,
        )?,
    };
    let stream = TcpStream::connect(endpoint.authority()).await?;
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("localhost")?, stream)
        .await?;
    let request = RawRequest::new(method, &format!("/{BUCKET}"))
        .header("content-length", "0")
        .sign(endpoint, Payload::Signed(b""), SystemTime::now())?
        .to_bytes(endpoint);
    stream.write_all(&request).await?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await?;
    let text = String::from_utf8_lossy(&received).into_owned();
    let status = text.split(' ').nth(1).context("no answer")?.parse()?;
    let code = text
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"));
    Ok((status, code.map(|(code, _)| code.to_owned())))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_adds_to_the_signature_and_never_stands_for_it() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new(directory.path())?;
    let files = authority.server(directory.path(), "server")?;
    let own = authority.client(directory.path(), "app", &["app.example.org"])?;
    let others = authority.client(directory.path(), "somebody-else", &["else.example.org"])?;
    let elsewhere = tempfile::tempdir()?;
    let forged =
        Authority::new(elsewhere.path())?.client(elsewhere.path(), "app", &["app.example.org"])?;
    let storage = Devstore::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), None)?;
    for mode in ["optional", "required"] {
        let tls = TlsFiles {
            more: format!(
                ", client_ca = \"{}\", client_certificates = \"{mode}\"",
                authority.ca_file().display()
            ),
            ..files.clone()
        };
        let settings = GatewaySettings {
            tls: Some(tls),
            more: "[[identity]]\nname = \"bound\"\ncertificates = [\"CN=nobody\", \"DNS:app.example.org\"]\n[[identity.credential]]\naccess_key_id = \"SGBOUND\"\nsecret_access_key = \"env:BOUND_SECRET\"\n".to_owned(),
            environment: vec![("BOUND_SECRET".to_owned(), "a secret of the bound".to_owned())],
            ..GatewaySettings::new(&storage.endpoint, &key_server.endpoint)
        };
        let gateway = Gateway::start(settings, directory.path())?;
        bounded(LIMIT, async {
            let free = &gateway.endpoint;
            let bound = free.with_credentials("SGBOUND", "a secret of the bound");
            let wrong = free.with_credentials("SGBOUND", "another secret");
            let denied = (403, Some("AccessDenied".to_owned()));

            // Its own certificate and its own signature.
            let method = if mode == "optional" { "PUT" } else { "GET" };
            ensure!(ask(&bound, Some(&own), method).await?.0 == 200);
            // The certificate alone.
            let (_, code) = ask(&wrong, Some(&own), "GET").await?;
            ensure!(code.as_deref() == Some("SignatureDoesNotMatch"), "{code:?}");
            // The signature alone, or with somebody else's certificate.
            ensure!(ask(&bound, Some(&others), "GET").await? == denied);
            // Another identity is bound to none.
            ensure!(ask(free, Some(&others), "GET").await?.0 == 200);
            // What another authority signed is no certificate at all.
            if ask(free, Some(&forged), "GET").await.is_ok() {
                bail!("{mode}: a forged certificate was taken");
            }
            match mode {
                "optional" => {
                    ensure!(ask(&bound, None, "GET").await? == denied);
                    ensure!(ask(free, None, "GET").await?.0 == 200);
                }
                _ => ensure!(
                    ask(free, None, "GET").await.is_err(),
                    "no certificate was asked for"
                ),
            }
            Ok(())
        })
        .await
        .with_context(|| gateway.process.last_words())?;
    }
    Ok(())
}
