//! Behind load balancers and proxies of other people: HAProxy, nginx, and bytes that nobody should believe.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::{
    presigning::PresigningConfig,
    types::{CompletedMultipartUpload, CompletedPart},
};
use sealgate_tests::{
    certificates,
    content::pattern,
    endpoint::Endpoint,
    process::{free_port, run_successfully},
    raw_connection::RawConnection,
    raw_http::{Payload, RawRequest},
    rig::{Rig, bounded, get, put, with_rig},
    servers::{Gateway, GatewaySettings, Terminator, gateway::TlsFiles},
};

const BUCKET: &str = "behind-proxies";
const LIMIT: Duration = Duration::from_mins(2);
const UNSIGNED: Payload<'_> = Payload::Named("UNSIGNED-PAYLOAD");

/// The host that clients use where a proxy replaces it.
const EXTERNAL: &str = "s3.example.org";

/// Where browsers are, which is not where the proxies are: so a log that names it has believed the proxy.
const BROWSER: &str = "127.0.0.2";

/// Where the nodes of the content delivery network are.
const NETWORK: &str = "127.0.0.3";

/// The configurations that users copy.
const PRINTED: &str = include_str!("../../../docs/behind-proxies.md");

fn gateway(rig: &Rig, listener: &str, tls: Option<TlsFiles>) -> Result<Gateway> {
    rig.gateway_with(GatewaySettings {
        listener: listener.to_owned(),
        tls,
        ..GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint)
    })
}

/// The gateway's credentials at another address.
fn at(gateway: &Gateway, url: String, ca_file: Option<&TlsFiles>) -> Endpoint {
    Endpoint {
        url,
        ca_file: ca_file.map(|files| files.ca_file.clone()),
        ..gateway.endpoint.clone()
    }
}

fn get_request(target: &str, endpoint: &Endpoint) -> Result<RawRequest> {
    RawRequest::new("GET", target).sign(endpoint, UNSIGNED, SystemTime::now())
}

/// The blocks of code below a heading of the documentation, without their indentation.
fn printed(heading: &str) -> Result<Vec<String>> {
    let start = format!("\n## {heading}\n");
    let (_, rest) = PRINTED.split_once(&start).context("no such heading")?;
    let section = rest.split("\n## ").next().unwrap_or(rest);
    let mut blocks = vec![String::new()];
    for line in section.lines() {
        match (line.strip_prefix("    "), blocks.last_mut()) {
            (Some(code), Some(block)) => {
                block.push_str(code);
                block.push('\n');
            }
            (None, Some(block)) if !block.is_empty() => blocks.push(String::new()),
            _ => {}
        }
    }
    blocks.retain(|block| !block.is_empty());
    Ok(blocks)
}

/// A printed configuration with the names of this machine instead of the example's, each of which must occur.
fn filled_in(printed: &str, names: &[(&str, &str)]) -> Result<String> {
    let mut text = printed.to_owned();
    for (example, actual) in names {
        ensure!(text.contains(example), "{example} is not in\n{text}");
        text = text.replace(example, actual);
    }
    Ok(text)
}

/// What a printed `[listener]` has beside its address and certificate, for a proxy at 127.0.0.1.
fn printed_listener(block: &str) -> Result<String> {
    let block = filled_in(block, &[("[listener]\n", ""), ("10.0.0.5", "127.0.0.1")])?;
    let kept = block
        .lines()
        .filter(|line| !line.starts_with("address =") && !line.starts_with("tls ="));
    Ok(kept.flat_map(|line| [line, "\n"]).collect())
}

/// One request by curl from an address of this machine: the status. What it sends and receives are files.
fn curl(from: &str, trusted: &TlsFiles, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "60"])
        .args(["--interface", from, "--write-out", "%{http_code}"])
        .arg("--cacert")
        .arg(&trusted.ca_file)
        .args(arguments);
    Ok(run_successfully(&mut command, LIMIT)?.trim().to_owned())
}

/// A presigned URL of each method, used by a browser elsewhere.
async fn use_presigned(
    endpoint: &Endpoint,
    name: &str,
    trusted: &TlsFiles,
    directory: &Path,
) -> Result<()> {
    let client = endpoint.s3()?;
    let valid = || PresigningConfig::expires_in(Duration::from_mins(5));
    let key = format!("{name}-presigned/a +ü");
    let (sent, received) = (directory.join("sent"), directory.join("received"));
    let (sent_text, received_text) = (sent.display().to_string(), received.display().to_string());
    let body = pattern(11, 300_000);
    std::fs::write(&sent, &body)?;
    let upload = ["--upload-file", &sent_text, "--output", "/dev/null"];
    let download = ["--output", received_text.as_str()];
    let browse = |uri: &str, arguments: &[&str], expected: &str| -> Result<()> {
        let status = curl(BROWSER, trusted, &[arguments, &[uri]].concat())?;
        ensure!(status == expected, "{status} instead of {expected}: {uri}");
        Ok(())
    };

    let put = client.put_object().bucket(BUCKET).key(&key);
    browse(put.presigned(valid()?).await?.uri(), &upload, "200")?;
    let get = client.get_object().bucket(BUCKET).key(&key);
    let url = get.presigned(valid()?).await?.uri().to_owned();
    browse(&url, &download, "200")?;
    ensure!(std::fs::read(&received)? == body, "other bytes");
    let ranged = [&["--range", "100000-199999"], &download[..]].concat();
    browse(&url, &ranged, "206")?;
    let range = body.get(100_000..200_000).unwrap_or_default();
    ensure!(std::fs::read(&received)? == range, "other bytes of a range");
    // The signature is looked at: what was signed for one key opens no other.
    browse(&url.replace("presigned/a", "presigned/b"), &download, "403")?;
    let head = client.head_object().bucket(BUCKET).key(&key);
    let head = head.presigned(valid()?).await?.uri().to_owned();
    browse(&head, &["--head", "--output", "/dev/null"], "200")?;

    let parts = format!("{name}-presigned/parts");
    let begun = client.create_multipart_upload().bucket(BUCKET).key(&parts);
    let begun = begun.send().await?;
    let id = begun.upload_id().context("no upload id")?;
    let part = client.upload_part().bucket(BUCKET).key(&parts);
    let part = part.upload_id(id).part_number(1).presigned(valid()?);
    browse(part.await?.uri(), &upload, "200")?;
    let abort = client.abort_multipart_upload().bucket(BUCKET).key(&parts);
    abort.upload_id(id).send().await?;

    let delete = client.delete_object().bucket(BUCKET).key(&key);
    let delete = delete.presigned(valid()?).await?.uri().to_owned();
    browse(&delete, &["--request", "DELETE"], "204")?;
    browse(&head, &["--head", "--output", "/dev/null"], "404")
}

/// Uploads of each kind, and a multipart upload, whose Location is returned.
async fn use_everything(endpoint: &Endpoint, name: &str) -> Result<String> {
    let client = endpoint.s3()?;
    for size in [0, 10_000, 2 * 1024 * 1024] {
        let (key, body) = (format!("{name}/{size} +ü"), pattern(7, size));
        put(&client, BUCKET, &key, &body).await?;
        ensure!(
            get(&client, BUCKET, &key).await? == body,
            "other bytes at {key}"
        );
    }
    let key = format!("{name}/parts");
    let upload = client
        .create_multipart_upload()
        .bucket(BUCKET)
        .key(&key)
        .send()
        .await?;
    let id = upload.upload_id().context("no upload id")?;
    let part = client
        .upload_part()
        .bucket(BUCKET)
        .key(&key)
        .upload_id(id)
        .part_number(1)
        .body(pattern(8, 100_000).into())
        .send()
        .await?;
    let part = CompletedPart::builder()
        .part_number(1)
        .set_e_tag(part.e_tag)
        .set_checksum_crc32(part.checksum_crc32)
        .build();
    let done = client
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key(&key)
        .upload_id(id)
        .multipart_upload(CompletedMultipartUpload::builder().parts(part).build())
        .send()
        .await?;
    ensure!(get(&client, BUCKET, &key).await? == pattern(8, 100_000));
    Ok(done.location().context("no Location")?.to_owned())
}

/// The addresses that the gateway has logged for requests about keys below a name.
fn clients_logged(gateway: &Gateway, name: &str) -> Result<Vec<String>> {
    let log = gateway.process.logged()?;
    let found = log
        .lines()
        .filter(|line| line.contains(&format!("/{BUCKET}/{name}")) && line.contains("client="))
        .filter_map(|line| line.split("client=").nth(1)?.split_whitespace().next())
        .map(ToOwned::to_owned)
        .collect();
    Ok(found)
}

fn all_from(gateway: &Gateway, name: &str, client: &str) -> Result<()> {
    let clients = clients_logged(gateway, name)?;
    ensure!(
        !clients.is_empty() && clients.iter().all(|found| found == client),
        "{name} is logged as of {clients:?}, not {client}\n{}",
        gateway.process.last_words()
    );
    Ok(())
}

/// Everything, by the SDK here and by a browser elsewhere, through the proxy at a port.
async fn used_through(
    rig: &Rig,
    gateway: &Gateway,
    name: &str,
    port: u16,
    trusted: &TlsFiles,
) -> Result<()> {
    let endpoint = at(gateway, format!("https://127.0.0.1:{port}"), Some(trusted));
    let location = use_everything(&endpoint, name).await?;
    let expected = format!("https://127.0.0.1:{port}/{BUCKET}/{name}/parts");
    ensure!(location == expected, "Location is {location}");
    all_from(gateway, &format!("{name}/"), "127.0.0.1")?;
    use_presigned(&endpoint, name, trusted, rig.directory()).await?;
    // The uploads of the parts' test are begun and aborted by the SDK.
    let mut clients: BTreeMap<String, usize> = BTreeMap::new();
    for client in clients_logged(gateway, &format!("{name}-presigned/"))? {
        *clients.entry(client).or_default() += 1;
    }
    ensure!(
        clients.get(BROWSER) == Some(&8) && clients.get("127.0.0.1") == Some(&2),
        "logged are {clients:?}\n{}",
        gateway.process.last_words()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_as_printed_passes_tcp_on_and_terminates_tls() -> Result<()> {
    let rig = Rig::start()?;
    let through = rig.clients(BUCKET).await?.0;
    let files = certificates::make(rig.directory())?;
    let blocks = printed("HAProxy")?;
    let [passing, passing_listener, terminating, terminating_listener] = &blocks[..] else {
        anyhow::bail!("other blocks than expected: {blocks:#?}");
    };
    let tls = gateway(
        &rig,
        &printed_listener(passing_listener)?,
        Some(files.clone()),
    )?;
    let plain_listener = printed_listener(terminating_listener)?;
    let plain = gateway(&rig, &plain_listener, None)?;
    let forwarded_listener = filled_in(&plain_listener, &[("proxy_protocol", "trusted_proxies")])?;
    let forwarded = gateway(&rig, &forwarded_listener, None)?;
    let pem = rig.directory().join("haproxy.pem");
    let both = [
        std::fs::read(&files.certificate)?,
        std::fs::read(&files.key)?,
    ];
    std::fs::write(&pem, both.concat())?;
    let pem = pem.display().to_string();

    let kinds = [
        ("passing", passing, &tls, "10.0.0.10:8443", "send-proxy-v2"),
        ("text", passing, &tls, "10.0.0.10:8443", "send-proxy"),
        (
            "terminating",
            terminating,
            &plain,
            "10.0.0.10:8014",
            "send-proxy-v2",
        ),
        ("forwarded", terminating, &forwarded, "10.0.0.10:8014", ""),
    ];
    let mut configuration =
        "global\n    log stderr format raw local0 warning\ndefaults\n    timeout connect 5s\n    \
         timeout client 1m\n    timeout server 1m\n"
            .to_owned();
    let mut ports = Vec::new();
    for (name, block, gateway, address, header) in kinds {
        let port = free_port()?;
        let bind = format!("bind 127.0.0.1:{port}");
        configuration += &filled_in(
            block,
            &[
                ("listen s3", &format!("listen {name}")),
                ("bind :443", &bind),
                (address, gateway.endpoint.authority()),
                ("send-proxy-v2", header),
            ],
        )?
        .replace("/etc/haproxy/s3.pem", &pem);
        if name == "forwarded" {
            configuration += "    option forwardfor\n";
        }
        ports.push(port);
    }
    let _haproxy = Terminator::haproxy(rig.directory(), &configuration, &ports)?;
    bounded(LIMIT, async {
        for ((name, _, gateway, ..), port) in kinds.into_iter().zip(ports) {
            used_through(&rig, gateway, name, port, &files)
                .await
                .with_context(|| name)?;
        }
        ensure!(get(&through, BUCKET, "passing/10000 +ü").await? == pattern(7, 10_000));
        Ok(())
    })
    .await
}

/// nginx with the printed configuration, altered by the caller, in front of a gateway.
fn nginx(
    directory: &Path,
    files: &TlsFiles,
    gateway: &Gateway,
    port: u16,
    more: &[(&str, &str)],
) -> Result<Terminator> {
    let blocks = printed("nginx")?;
    let server = blocks.first().context("no configuration of nginx")?;
    let names = [
        ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl")),
        ("/etc/nginx/s3.pem", files.certificate.display().to_string()),
        ("/etc/nginx/s3.key", files.key.display().to_string()),
        ("10.0.0.10:8014", gateway.endpoint.authority().to_owned()),
    ];
    let mut names: Vec<_> = names
        .iter()
        .map(|(from, to)| (*from, to.as_str()))
        .collect();
    names.extend(more);
    let home = directory.join(format!("nginx-{port}"));
    std::fs::create_dir_all(&home)?;
    Terminator::nginx(&home, &filled_in(server, &names)?, &[port])
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_as_printed_keeps_the_host_and_says_who_asked() -> Result<()> {
    let rig = Rig::start()?;
    rig.clients(BUCKET).await?;
    let files = certificates::make(rig.directory())?;
    let blocks = printed("nginx")?;
    let [_, listener] = &blocks[..] else {
        anyhow::bail!("other blocks than expected: {blocks:#?}");
    };
    let port = free_port()?;
    let behind = gateway(&rig, &printed_listener(listener)?, None)?;
    let _nginx = nginx(rig.directory(), &files, &behind, port, &[])?;
    bounded(LIMIT, used_through(&rig, &behind, "nginx", port, &files)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_may_replace_the_host_and_a_content_delivery_network_stand_before_it() -> Result<()> {
    let rig = Rig::start()?;
    rig.clients(BUCKET).await?;
    let files = certificates::make(rig.directory())?;
    let port = free_port()?;
    let behind = gateway(
        &rig,
        &format!(
            "external_hosts = [\"127.0.0.1:{port}\", \"{EXTERNAL}\"]\ntrusted_proxies = [\"127.0.0.1\", \"{NETWORK}\"]\n"
        ),
        None,
    )?;
    // nginx sends the gateway's own address as the host: only the configured name makes the signatures right.
    let replaces = [(
        "proxy_set_header Host $http_host;   # not $host, which loses the port",
        "",
    )];
    let _nginx = nginx(rig.directory(), &files, &behind, port, &replaces)?;
    bounded(LIMIT, async {
        used_through(&rig, &behind, "nginx", port, &files).await?;

        // Presigned for the name in public, by way of a network that replaces it and adds headers of its own.
        let public = at(&behind, format!("https://{EXTERNAL}"), None).s3()?;
        let valid = || PresigningConfig::expires_in(Duration::from_mins(5));
        let body = pattern(9, 50_000);
        let (sent, received) = (
            rig.directory().join("cdn-sent"),
            rig.directory().join("cdn"),
        );
        let (sent_text, received_text) =
            (sent.display().to_string(), received.display().to_string());
        std::fs::write(&sent, &body)?;
        let upload = public.put_object().bucket(BUCKET).key("cdn/presigned");
        let upload = upload.presigned(valid()?).await?;
        let download = public.get_object().bucket(BUCKET).key("cdn/presigned");
        let download = download.presigned(valid()?).await?;
        let origin = |uri: &str| {
            uri.replace(
                &format!("https://{EXTERNAL}"),
                &format!("https://127.0.0.1:{port}"),
            )
        };
        // The last address is who asked the network; what stands before it was written by that client itself.
        let network = [
            "--header",
            "via: 1.1 edge.example",
            "--header",
            "accept-encoding: gzip, br",
            "--header",
            "x-forwarded-for: 198.51.100.9, 203.0.113.7",
        ];
        let put = ["--upload-file", &sent_text, &origin(upload.uri())];
        ensure!(curl(NETWORK, &files, &[&network[..], &put].concat())?.ends_with("200"));
        let get = ["--output", &received_text, &origin(download.uri())];
        ensure!(curl(NETWORK, &files, &[&network[..], &get].concat())? == "200");
        ensure!(std::fs::read(&received)? == body, "other bytes");
        all_from(&behind, "cdn/", "203.0.113.7")?;
        // Who is no node of the network and says the same is not believed.
        ensure!(curl(BROWSER, &files, &[&network[..], &get].concat())? == "200");
        let last = clients_logged(&behind, "cdn/")?.pop();
        ensure!(last.as_deref() == Some(BROWSER), "{last:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_header_is_required_from_those_who_send_it_and_from_nobody_else() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let through = rig.clients(BUCKET).await?.0;
        put(&through, BUCKET, "named", b"named").await?;
        let behind = gateway(rig, "proxy_protocol = [\"127.0.0.0/8\"]\n", None)?;
        let request =
            get_request(&format!("/{BUCKET}/named"), &behind.endpoint)?.bytes(&behind.endpoint);
        let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        binary.extend([203, 0, 113, 8, 192, 0, 2, 1, 0x12, 0x67, 1, 0xbb]);
        for (header, client) in [
            (
                b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n".to_vec(),
                "203.0.113.7",
            ),
            (
                b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n".to_vec(),
                "2001:db8::7",
            ),
            (binary, "203.0.113.8"),
            (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        ] {
            let mut connection = RawConnection::open(&behind.endpoint).await?;
            // The header and the request may come in one piece.
            connection.write(&[&header[..], &request].concat()).await?;
            let answer = connection.answer(false).await?;
            ensure!(
                answer.status == 200 && answer.body == b"named",
                "{}",
                answer.text()
            );
            // It is about the connection, and so about each of its requests.
            connection.write(&request).await?;
            ensure!(connection.answer(false).await?.status == 200);
            let logged = clients_logged(&behind, "named")?;
            ensure!(
                logged.iter().rev().take(2).all(|found| found == client),
                "{logged:?} instead of {client}"
            );
        }
        // Without a header, with a broken one, and with half of one.
        for bytes in [
            request.clone(),
            [&b"PROXY TCP4 nonsense\r\n"[..], &request].concat(),
            [&[b'P'; 200][..], &request].concat(),
        ] {
            let mut connection = RawConnection::open(&behind.endpoint).await?;
            connection.write(&bytes).await?;
            let (rest, _) = connection.rest().await?;
            ensure!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
        }
        // A gateway that expects none takes it for what it is: no request.
        let header = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n";
        let mut connection = RawConnection::open(&rig.gateway.endpoint).await?;
        connection.write(&[&header[..], &request].concat()).await?;
        let answer = connection.answer(false).await?;
        ensure!(
            answer.status == 400 && answer.error_code().is_some(),
            "{}",
            answer.text()
        );
        ensure!(connection.rest().await?.0.is_empty());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_addresses_of_strangers_are_not_believed() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let through = rig.clients(BUCKET).await?.0;
        for name in ["stranger", "proxy"] {
            put(&through, BUCKET, name, b"x").await?;
        }
        let trusting =
            "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\nforwarded_header = \"forwarded\"\n";
        let elsewhere = "trusted_proxies = [\"10.0.0.0/8\"]\nforwarded_header = \"forwarded\"\n";
        let forwarded = "for=127.0.0.1, for=\"[2001:db8::7]:4711\";proto=https, for=10.0.0.3";
        for (listener, name, client) in [
            (trusting, "proxy", "2001:db8::7"),
            (elsewhere, "stranger", "127.0.0.1"),
        ] {
            let gateway = gateway(rig, listener, None)?;
            let answer = get_request(&format!("/{BUCKET}/{name}"), &gateway.endpoint)?
                .unsigned_header("forwarded", forwarded)
                .unsigned_header("x-forwarded-for", "192.0.2.1")
                .send(&gateway.endpoint)
                .await?;
            ensure!(answer.status == 200, "{}", answer.text());
            all_from(&gateway, name, client)?;
        }
        Ok(())
    })
    .await
}
