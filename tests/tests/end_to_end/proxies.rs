//! Behind load balancers and proxies of other people: HAProxy, nginx, and bytes that nobody should believe.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::{
    presigning::PresigningConfig,
    types::{CompletedMultipartUpload, CompletedPart},
};
use sealgate_tests::{
    certificates,
    content::pattern,
    endpoint::Endpoint,
    process::free_port,
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

/// Uploads of each kind, a presigned URL of each method, and a multipart upload, whose Location is returned.
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
        .filter(|line| line.contains(&format!("/{name}")))
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

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_passes_tcp_on_and_terminates_tls() -> Result<()> {
    let rig = Rig::start()?;
    let through = rig.clients(BUCKET).await?.0;
    let files = certificates::make(rig.directory())?;
    let proxied = "proxy_protocol = [\"127.0.0.1\"]\n";
    let tls = gateway(&rig, proxied, Some(files.clone()))?;
    let plain = gateway(
        &rig,
        &format!("{proxied}external_scheme = \"https\"\n"),
        None,
    )?;
    let pem = rig.directory().join("haproxy.pem");
    std::fs::write(
        &pem,
        [
            std::fs::read(&files.certificate)?,
            std::fs::read(&files.key)?,
        ]
        .concat(),
    )?;
    let ports = [free_port()?, free_port()?, free_port()?];
    let [passing, passing_text, terminating] = ports;
    let configuration = format!(
        "global
    log stderr format raw local0 warning
defaults
    timeout connect 5s
    timeout client 1m
    timeout server 1m
listen passing
    mode tcp
    bind 127.0.0.1:{passing}
    server gateway {tls} send-proxy-v2
listen passing_text
    mode tcp
    bind 127.0.0.1:{passing_text}
    server gateway {tls} send-proxy
listen terminating
    mode http
    bind 127.0.0.1:{terminating} ssl crt {pem} alpn h2,http/1.1
    server gateway {plain} send-proxy-v2
",
        tls = tls.endpoint.authority(),
        plain = plain.endpoint.authority(),
        pem = pem.display(),
    );
    let _haproxy = Terminator::haproxy(rig.directory(), &configuration, &ports)?;
    bounded(LIMIT, async {
        for (name, port, gateway) in [
            ("passing", passing, &tls),
            ("text", passing_text, &tls),
            ("terminating", terminating, &plain),
        ] {
            let endpoint = at(gateway, format!("https://127.0.0.1:{port}"), Some(&files));
            let location = use_everything(&endpoint, name)
                .await
                .with_context(|| name)?;
            let expected = format!("https://127.0.0.1:{port}/{BUCKET}/{name}/parts");
            ensure!(location == expected, "Location is {location}");
            all_from(gateway, name, "127.0.0.1")?;
        }
        ensure!(get(&through, BUCKET, "passing/10000 +ü").await? == pattern(7, 10_000));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_rewrites_the_host_and_says_who_asked() -> Result<()> {
    let rig = Rig::start()?;
    rig.clients(BUCKET).await?;
    let files = certificates::make(rig.directory())?;
    let port = free_port()?;
    let behind = gateway(
        &rig,
        &format!(
            "external_hosts = [\"127.0.0.1:{port}\", \"{EXTERNAL}\"]\ntrusted_proxies = [\"127.0.0.1\"]\n"
        ),
        None,
    )?;
    let http = format!(
        "server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    client_max_body_size 0;
    ignore_invalid_headers off;
    location / {{
        proxy_pass http://{gateway};
        proxy_http_version 1.1;
        proxy_set_header Connection \"\";
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_request_buffering off;
        proxy_buffering off;
    }}
}}
",
        certificate = files.certificate.display(),
        key = files.key.display(),
        gateway = behind.endpoint.authority(),
    );
    let _nginx = Terminator::nginx(rig.directory(), &http, &[port])?;
    bounded(LIMIT, async {
        let endpoint = at(&behind, format!("https://127.0.0.1:{port}"), Some(&files));
        // nginx sends the gateway's own address as the host: only the configured name makes the signatures right.
        let location = use_everything(&endpoint, "nginx").await?;
        ensure!(
            location == format!("https://127.0.0.1:{port}/{BUCKET}/nginx/parts"),
            "Location is {location}"
        );
        all_from(&behind, "nginx", "127.0.0.1")?;

        // Presigned for the name in public, by way of a content delivery network that replaces it and adds headers of its own.
        let public = at(&behind, format!("https://{EXTERNAL}"), None).s3()?;
        let valid = PresigningConfig::expires_in(Duration::from_mins(5))?;
        let body = pattern(9, 50_000);
        let upload = public
            .put_object()
            .bucket(BUCKET)
            .key("cdn/presigned")
            .content_length(50_000)
            .presigned(valid.clone())
            .await?;
        let download = public
            .get_object()
            .bucket(BUCKET)
            .key("cdn/presigned")
            .presigned(valid)
            .await?;
        let target = |uri: &str| {
            uri.trim_start_matches(&format!("https://{EXTERNAL}"))
                .to_owned()
        };
        let mut request = RawRequest::new("PUT", &target(upload.uri())).body(&body);
        for (name, value) in upload.headers() {
            request = request.header(name, value);
        }
        if request.signed("content-length").is_none() {
            request = request.header("content-length", "50000");
        }
        let answer = request
            .header("x-forwarded-for", "203.0.113.7")
            .header("via", "1.1 edge.example")
            .send(&behind.endpoint)
            .await?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        let answer = RawRequest::new("GET", &target(download.uri()))
            .header("x-forwarded-for", "198.51.100.9, 203.0.113.7")
            .header("x-forwarded-proto", "https")
            .header("accept-encoding", "gzip, br")
            .send(&behind.endpoint)
            .await?;
        ensure!(
            answer.status == 200 && answer.body == body,
            "{}",
            answer.status
        );
        // Who is not trusted is never believed: the leftmost address was written by the client itself.
        all_from(&behind, "cdn", "203.0.113.7")
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
