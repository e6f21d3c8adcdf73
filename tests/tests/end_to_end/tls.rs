//! TLS on the links that tests can make: client to gateway, gateway to key server.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sealgate_tests::{
    content::pattern,
    process, python,
    rig::{bounded, get, put},
    servers::{Gateway, GatewaySettings, KeyServer, Minio, gateway::TlsFiles},
};

/// A certificate authority and a server certificate for this machine.
fn make_certificates(directory: &Path) -> Result<TlsFiles> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Clients of OpenSSL insist on it.
    authority.key_usages = vec![
        rcgen::KeyUsagePurpose::KeyCertSign,
        rcgen::KeyUsagePurpose::CrlSign,
        rcgen::KeyUsagePurpose::DigitalSignature,
    ];
    authority
        .distinguished_name
        .push(rcgen::DnType::CommonName, "authority of the rig");
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    server.use_authority_key_identifier_extension = true;
    let certificate = server.signed_by(&key, &issuer)?;
    let files = TlsFiles {
        ca_file: directory.join("ca.pem"),
        certificate: directory.join("server.pem"),
        key: directory.join("server-key.pem"),
    };
    std::fs::write(&files.ca_file, authority_certificate.pem())?;
    std::fs::write(&files.certificate, certificate.pem())?;
    std::fs::write(&files.key, key.serialize_pem())?;
    Ok(files)
}

/// boto3 over https puts checksums into trailers. Sizes around the limit of small objects, and a multipart upload.
const UPLOADS: &str = r#"
import boto3, hashlib, os, sys
client = boto3.client("s3", endpoint_url=sys.argv[1], verify=sys.argv[2])
trailers = []
client.meta.events.register(
    "before-send.s3.PutObject", lambda request, **_: trailers.append(request.headers.get("x-amz-trailer"))
)
client.create_bucket(Bucket="over-tls")
for algorithm in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
    for size in (0, 10, 100_000, (1 << 20) + 1, 3 << 20):
        body = os.urandom(size)
        key = f"{algorithm}-{size}"
        sent = client.put_object(Bucket="over-tls", Key=key, Body=body, ChecksumAlgorithm=algorithm)
        found = client.get_object(Bucket="over-tls", Key=key, ChecksumMode="ENABLED")
        assert found["Body"].read() == body, key
        assert found[f"Checksum{algorithm}"] == sent[f"Checksum{algorithm}"], key
        assert "aws-chunked" not in found.get("ContentEncoding", ""), found["ContentEncoding"]
assert len(trailers) == 25 and all(trailers), trailers
upload = client.create_multipart_upload(Bucket="over-tls", Key="parts", ChecksumAlgorithm="CRC32")["UploadId"]
bodies, parts = [os.urandom(5 << 20), os.urandom(100)], []
for number, body in enumerate(bodies, 1):
    answer = client.upload_part(
        Bucket="over-tls", Key="parts", UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32"
    )
    parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": answer["ChecksumCRC32"]})
client.complete_multipart_upload(Bucket="over-tls", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
assert client.get_object(Bucket="over-tls", Key="parts")["Body"].read() == b"".join(bodies)
print("done")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn clients_and_key_server_over_tls() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let files = make_certificates(directory.path())?;
    let minio = Minio::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), Some(files.clone()))?;
    let settings = GatewaySettings {
        tls: Some(files.clone()),
        ..GatewaySettings::new(&minio.endpoint, &key_server.endpoint)
    };
    let gateway = Gateway::start(settings, directory.path())?;
    ensure!(
        gateway.endpoint.url.starts_with("https://")
            && key_server.endpoint.url.starts_with("https://"),
        "no TLS: {} {}",
        gateway.endpoint.url,
        key_server.endpoint.url
    );
    bounded(Duration::from_mins(3), async {
        let mut command = python::python(&gateway.endpoint, "tests")?;
        command.args(["-c", UPLOADS, &gateway.endpoint.url]);
        command.arg(&files.ca_file);
        process::run_successfully(&mut command, Duration::from_mins(2))
            .with_context(|| gateway.process.last_words())?;

        let client = gateway.endpoint.s3()?;
        let body = pattern(1, 3 * 1024 * 1024);
        put(&client, "over-tls", "rust", &body).await?;
        ensure!(
            get(&client, "over-tls", "rust").await? == body,
            "the Rust client gets other bytes"
        );
        let mut plain = gateway.endpoint.clone();
        plain.url = plain.url.replace("https://", "http://");
        ensure!(
            get(&plain.s3()?, "over-tls", "rust").await.is_err(),
            "the listener speaks plaintext as well"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_server_that_nobody_vouches_for_gets_no_request() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let files = make_certificates(directory.path())?;
    let elsewhere = tempfile::tempdir()?;
    let other_authority = make_certificates(elsewhere.path())?;
    let minio = Minio::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), Some(files))?;
    let mut trusted = key_server.endpoint.clone();
    trusted.ca_file = Some(other_authority.ca_file);
    let gateway = Gateway::start(
        GatewaySettings::new(&minio.endpoint, &trusted),
        directory.path(),
    )?;
    bounded(Duration::from_mins(1), async {
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket("untrusted").send().await?;
        ensure!(
            put(&client, "untrusted", "x", b"x").await.is_err(),
            "a key server with another authority's certificate was believed"
        );
        Ok(())
    })
    .await
}
