//! What grants have to do with other machines, over TLS: hooks, a list of revocations at a URL, and clients that get credentials by themselves.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use sealgate_tests::{certificates, servers::GatewaySettings, servers::gateway::TlsFiles};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// The longest request that the server takes.
const REQUEST_LIMIT: usize = 1 << 16;

/// What was posted, the oldest first.
type Posts = Arc<Mutex<Vec<String>>>;

/// A web server: it publishes a file, and keeps what is posted to it.
async fn web_server(files: &TlsFiles, published: PathBuf) -> Result<(u16, Posts)> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&files.certificate)?],
            PrivateKeyDer::from_pem_file(&files.key)?,
        )?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let posts = Posts::default();
    let kept = Arc::clone(&posts);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                // A client that goes away is its own business.
                let _ = answer(stream, &published, &kept).await;
            }
        }
    });
    Ok((port, posts))
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    published: &Path,
    posts: &Posts,
) -> Result<()> {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    let (head, body) = loop {
        let length = stream.read(&mut buffer).await?;
        ensure!(length > 0 && received.len() < REQUEST_LIMIT, "no request");
        received.extend_from_slice(buffer.get(..length).unwrap_or_default());
        let text = String::from_utf8_lossy(&received).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let declared = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().ok())?
        });
        if body.len() >= declared.unwrap_or(0) {
            break (head.to_owned(), body.to_owned());
        }
    };
    let content = if head.starts_with("POST /hook ") {
        let mut posts = posts.lock().unwrap_or_else(PoisonError::into_inner);
        posts.push(body);
        Vec::new()
    } else {
        ensure!(head.starts_with("GET /list "), "{head}");
        std::fs::read(published).unwrap_or_default()
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        content.len()
    );
    stream
        .write_all(&[head.as_bytes(), &content].concat())
        .await?;
    stream.shutdown().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_are_told_a_list_comes_by_url_and_the_aws_cli_gets_credentials_by_itself()
-> Result<()> {
    let directory = tempfile::tempdir()?;
    let files = certificates::make(directory.path())?;
    let list = directory.path().join("list");
    let (port, posts) = web_server(&files, list.clone()).await?;
    let path = |name: &str| directory.path().join(name).display().to_string();
    let ca_file = files.ca_file.display().to_string();
    let (told, environment) = (path("told"), path("environment"));
    let more = configuration(
        directory.path(),
        &format!(
            r#"
source = "https://localhost:{port}/list"
ca_file = "{ca_file}"
[grants.notify]
webhook = "https://localhost:{port}/hook"
ca_file = "{ca_file}"
command = ["sh", "-c", "cat >> {told}; env >> {environment}"]
"#
        ),
    )?;
    with_tls_rig_of(&more, LIMIT, async |rig: &mut Rig| {
        let second = rig.gateway_with(GatewaySettings {
            more: more.clone(),
            tls: Some(files.clone()),
            ..GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint)
        })?;
        let (admin, _) = rig.clients(BUCKET).await?;
        put(&admin, BUCKET, "case-7/report", b"of case 7").await?;
        let desk = Desk::new(&second, directory.path());
        let revoker = desk.key(REVOKER)?;
        // Nobody can write to a URL.
        desk.refused("revoke", &["--first", "--key", &revoker], "name the file")?;
        let published = list.display().to_string();
        desk.run("revoke", &["--first", "--key", &revoker, "--list", &published])?;
        let id = desk.approved("10m")?;
        let events = |text: &str| {
            ["grant-requested", "grant-approved"].map(|event| text.matches(event).count())
        };
        let posted = posts.lock().unwrap_or_else(PoisonError::into_inner).concat();
        ensure!(events(&posted) == [1, 2] && posted.contains(&id), "{posted}");
        let told = std::fs::read_to_string(&told)?;
        ensure!(events(&told) == [1, 2] && told.contains("case-7/"), "{told}");
        let environment = std::fs::read_to_string(&environment)?;
        ensure!(environment.contains("SEALGATE_GRANT_EVENT=requested"), "{environment}");
        ensure!(!environment.contains("SECRET"), "{environment}");

        // Lines for a shell, a process, and a role: with nothing but Oscar's own credentials.
        let credentials = desk.credentials(&id)?;
        until_it_counts(&credentials, &[&rig.gateway], None, EFFECTIVE).await?;
        let lines = super::credentials(&second, "SGOSCAR", &id, &["--ca-file", &ca_file])?;
        ensure!(lines.starts_with("export AWS_ACCESS_KEY_ID=SGT"), "{lines}");
        let url = &second.endpoint.url;
        let program = environment::own_program("sealgate")?;
        let secret = &second.endpoint.secret_access_key;
        let profiles = format!(
            "[profile oscar]\naws_access_key_id = SGOSCAR\naws_secret_access_key = {secret}\n\
             [profile process]\ncredential_process = {} grant credentials {id} --profile oscar --format credential-process --endpoint {url} --ca-file {ca_file}\n\
             [profile role]\nrole_arn = arn:aws:iam::000000000000:role/grant/{id}\nsource_profile = oscar\n",
            program.display()
        );
        std::fs::write(path("aws-config"), profiles)?;
        let target = format!("s3://{BUCKET}/case-7/report");
        let run = |profile: &str| {
            let mut command = aws(&second.endpoint)?;
            command
                .args(["--profile", profile, "s3", "cp", &target, "-"])
                .env("AWS_CONFIG_FILE", path("aws-config"))
                .env("AWS_ENDPOINT_URL_STS", url)
                .env_remove("AWS_ACCESS_KEY_ID")
                .env_remove("AWS_SECRET_ACCESS_KEY");
            process::run_successfully(&mut command, COMMAND_LIMIT)
        };
        for profile in ["process", "role"] {
            let copied = run(profile)?;
            ensure!(copied == "of case 7", "{profile}: {copied}");
        }
        // By himself he may do nothing.
        denied(run("oscar"))?;

        // Bob revokes, too, with a key of OpenSSH, which may have a passphrase or be in an agent: `ssh-keygen` signs.
        let bobs = desk.key_file("id_ed25519", OPENSSH_KEY)?;
        let next = path("next.json");
        desk.run("revoke", &[&id, "--prepare", &next, "--list", &published])?;
        let signature = ssh_sign("sealgate-revocations", &bobs, &next)?;
        let signed = ["--signed", &next, "--signature", &signature, "--list", &published];
        // Twice: the first time may have been cut off.
        let lists = [desk.run("revoke", &signed)?, desk.run("revoke", &signed)?];
        ensure!(lists[0] == lists[1], "{lists:?}");
        until_it_counts(&credentials, &[&rig.gateway], Some("AccessDenied"), EFFECTIVE).await?;
        denied(credentials.run_aws(&second, &["s3", "cp", &target, "-"]))?;
        let posted = posts.lock().unwrap_or_else(PoisonError::into_inner).concat();
        ensure!(!posted.contains("grant-revoked"), "{posted}");
        desk.run("revoke", &[&id, "--key", &revoker, "--list", &published])?;
        let posted = posts.lock().unwrap_or_else(PoisonError::into_inner).concat();
        ensure!(posted.contains("grant-revoked"), "{posted}");
        // Another list has followed.
        desk.refused("revoke", &signed, "prepare it again")?;
        Ok(())
    })
    .await
}
