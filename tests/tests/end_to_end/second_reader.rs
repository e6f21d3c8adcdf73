//! The independent reader (tests/reader-py) opens what the gateway stored, straight from the storage, with keys from the key
//! server.

use std::time::Duration;

use anyhow::{Result, ensure};
use sealgate_tests::{
    content::pattern,
    process, python,
    python::run_aws,
    rig::{Rig, fingerprint, put, with_rig},
};

const BUCKET: &str = "readable";
const MEBIBYTE: usize = 1024 * 1024;

fn read(rig: &Rig, key: &str, domain: &str, range: Option<(usize, usize)>) -> Result<Vec<u8>> {
    let output = rig.directory().join("read");
    let mut command = python::python(&rig.minio.endpoint, "tests/reader-py")?;
    let key_server = &rig.key_server.endpoint;
    command
        .env("SEALGATE_KMS_ACCESS_KEY_ID", &key_server.access_key_id)
        .env(
            "SEALGATE_KMS_SECRET_ACCESS_KEY",
            &key_server.secret_access_key,
        )
        .args(["-m", "sealgate_reader", "object"])
        .args(["--endpoint", &rig.minio.endpoint.url])
        .args(["--kms-endpoint", &key_server.url])
        .args(["--bucket", BUCKET, "--key", key, "--domain", domain])
        .arg("--output")
        .arg(&output);
    if let Some((first, last)) = range {
        command.args(["--range", &format!("{first}-{last}")]);
    }
    process::run_successfully(&mut command, Duration::from_mins(2))?;
    let bytes = std::fs::read(&output)?;
    std::fs::remove_file(output)?;
    Ok(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_reader_opens_what_the_gateway_stored() -> Result<()> {
    with_rig(Duration::from_mins(5), async |rig| {
        let (through, _) = rig.clients(BUCKET).await?;
        let domain = format!("rig/{BUCKET}");
        for (key, length) in [
            ("empty", 0),
            ("small", 1_000),
            ("segments", 200_000),
            ("large", 3 * MEBIBYTE + 1),
            ("sp ace/ü+%", 70_000),
        ] {
            let body = pattern(1, length);
            put(&through, BUCKET, key, &body).await?;
            ensure!(
                read(rig, key, &domain, None)? == body,
                "{key} is read otherwise"
            );
        }

        let body = pattern(2, 20 * MEBIBYTE + 5);
        let file = rig.directory().join("parts.bin");
        std::fs::write(&file, &body)?;
        run_aws(
            &rig.gateway.endpoint,
            [
                "s3",
                "cp",
                "--no-progress",
                &file.display().to_string(),
                "s3://readable/parts",
            ],
        )?;
        ensure!(
            fingerprint(&read(rig, "parts", &domain, None)?) == fingerprint(&body),
            "a multipart object is read otherwise"
        );
        let border = 8 * MEBIBYTE;
        for (first, last) in [
            (0, 0),
            (border - 10, border + 10),
            (65_530, 65_545),
            (body.len() - 1, body.len() - 1),
        ] {
            ensure!(
                Some(read(rig, "parts", &domain, Some((first, last)))?.as_slice())
                    == body.get(first..=last),
                "the range {first}-{last} is read otherwise"
            );
        }

        // It looks at what it opens: in another domain there is no such object.
        ensure!(
            read(rig, "small", "rig/another-bucket", None).is_err(),
            "an object opened in another domain"
        );
        Ok(())
    })
    .await
}
