//! TLS on every link: client to gateway, gateway to key server, gateway to storage.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    certificates,
    content::pattern,
    process, python,
    rig::{bounded, get, put},
    servers::{Gateway, GatewaySettings, KeyServer, Minio, minio::MinioSettings},
};

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
    let files = certificates::make(directory.path())?;
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
    let files = certificates::make(directory.path())?;
    let elsewhere = tempfile::tempdir()?;
    let other_authority = certificates::make(elsewhere.path())?;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_storage_over_tls() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let files = certificates::make(directory.path())?;
    let settings = MinioSettings {
        tls: Some(files.clone()),
    };
    let minio = Minio::start_with(directory.path(), &settings)?;
    minio.answers().await?;
    let key_server = KeyServer::start(directory.path(), None)?;
    let settings = GatewaySettings::new(&minio.endpoint, &key_server.endpoint);
    let gateway = Gateway::start(settings.clone(), directory.path())?;
    ensure!(
        minio.endpoint.url.starts_with("https://"),
        "no TLS: {}",
        minio.endpoint.url
    );

    let elsewhere = tempfile::tempdir()?;
    let other_authority = certificates::make(elsewhere.path())?;
    let mut suspicious = settings;
    suspicious.storage.ca_file = Some(other_authority.ca_file);
    let suspicious = Gateway::start(suspicious, directory.path())?;

    bounded(Duration::from_mins(2), async {
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket("storage-tls").send().await?;
        for size in [0, 1_000, 3 * 1024 * 1024] {
            let (key, body) = (format!("{size}"), pattern(2, size));
            put(&client, "storage-tls", &key, &body).await?;
            ensure!(
                get(&client, "storage-tls", &key).await? == body,
                "other bytes come back over TLS"
            );
            let stored = get(&minio.endpoint.s3()?, "storage-tls", &key).await?;
            ensure!(size == 0 || stored != body, "the storage holds plaintext");
        }
        ensure!(
            put(&suspicious.endpoint.s3()?, "storage-tls", "x", b"x")
                .await
                .is_err(),
            "a storage with another authority's certificate was believed"
        );
        ensure!(
            !minio
                .endpoint
                .s3()?
                .list_objects_v2()
                .bucket("storage-tls")
                .send()
                .await?
                .contents()
                .iter()
                .any(|object| object.key() == Some("x")),
            "a storage that was not believed got an object"
        );
        Ok(())
    })
    .await
}
