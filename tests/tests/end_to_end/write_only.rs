//! A gateway whose principal at the key service may generate and never decrypt.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::{Client, error::ProvideErrorMetadata};
use sealgate_tests::{
    content::pattern,
    multipart::begin,
    process,
    rig::{Rig, get, put, with_rig},
    servers::{Gateway, GatewaySettings},
};

const BUCKET: &str = "write-only";
const LIMIT: Duration = Duration::from_mins(3);

fn write_only(rig: &Rig) -> Result<Gateway> {
    let writer = rig.key_server.for_a_writer();
    let settings = GatewaySettings {
        top: "mode = \"write-only\"".to_owned(),
        more: "[limits]\nkey_service_probe_interval = \"1s\"\n".to_owned(),
        ..GatewaySettings::new(&rig.minio.endpoint, &writer)
    };
    rig.gateway_with(settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stores_what_others_read_and_cannot_read_back_after_a_restart() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (reader, _) = rig.clients(BUCKET).await?;
        put(&reader, BUCKET, "of the reader", b"before").await?;
        let first = write_only(rig)?;
        let writer = first.endpoint.s3()?;
        let large = pattern(3, 3 << 20);
        put(&writer, BUCKET, "small", b"content").await?;
        put(&writer, BUCKET, "large", &large).await?;
        // What it made itself is in its memory.
        ensure!(get(&writer, BUCKET, "small").await? == b"content");
        // What others made is not, and it says so.
        let refused = get(&writer, BUCKET, "of the reader").await.unwrap_err();
        let refused = format!("{refused:#?}");
        ensure!(
            refused.contains("AccessDenied") && refused.contains("write-only"),
            "{refused}"
        );

        let upload = begin(&writer, (BUCKET, "parts")).await?;
        let part = |client: &Client, upload: &str| {
            client
                .upload_part()
                .bucket(BUCKET)
                .key("parts")
                .upload_id(upload)
                .part_number(1)
                .body(b"a part".to_vec().into())
                .send()
        };
        part(&writer, &upload).await?;

        drop(first);
        let again = write_only(rig)?;
        let writer = again.endpoint.s3()?;
        for key in ["small", "large"] {
            let refused = writer.get_object().bucket(BUCKET).key(key).send().await;
            let refused = refused.err().context("it read back")?;
            ensure!(refused.code() == Some("AccessDenied"), "{refused:?}");
            let head = writer.head_object().bucket(BUCKET).key(key).send().await;
            let status = head
                .err()
                .and_then(|error| error.raw_response().map(|raw| raw.status().as_u16()));
            ensure!(status == Some(403), "{status:?}");
        }
        // Names and lengths need no keys.
        let listed = writer.list_objects_v2().bucket(BUCKET).send().await?;
        let listed: Vec<_> = listed
            .contents()
            .iter()
            .map(|object| (object.key(), object.size()))
            .collect();
        let expected = [
            (Some("large"), Some(3 << 20)),
            (Some("of the reader"), Some(6)),
            (Some("small"), Some(7)),
        ];
        ensure!(listed == expected, "{listed:?}");
        // The upload's record is sealed, too.
        let refused = part(&writer, &upload)
            .await
            .err()
            .context("a part of it was taken")?;
        let message = refused.message().unwrap_or_default();
        ensure!(refused.code() == Some("AccessDenied"), "{refused:?}");
        ensure!(
            message.contains("begun before") && message.contains("Begin a new upload"),
            "{message}"
        );
        put(&writer, BUCKET, "after", b"still writing").await?;
        writer
            .delete_object()
            .bucket(BUCKET)
            .key("large")
            .send()
            .await?;

        // Whoever may decrypt reads all of it, and finishes the upload.
        ensure!(get(&reader, BUCKET, "small").await? == b"content");
        ensure!(get(&reader, BUCKET, "after").await? == b"still writing");
        part(&reader, &upload).await?;

        // The probe of a write-only gateway asks for nothing that its principal may not do, but for the name of its key.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let of_writer: Vec<_> = rig
            .key_server
            .requests()?
            .into_iter()
            .filter(|request| request["principal"] == "writer")
            .collect();
        ensure!(
            of_writer
                .iter()
                .any(|request| request["operation"] == "GenerateDataKey")
        );
        for request in &of_writer {
            let operation = request["operation"].as_str().unwrap_or_default();
            ensure!(
                operation != "Decrypt" && operation != "ReEncrypt",
                "{request}"
            );
            let refused = request["outcome"] != "Success";
            ensure!(!refused || operation == "DescribeKey", "{request}");
        }
        let names = of_writer
            .iter()
            .filter(|request| request["operation"] == "DescribeKey");
        ensure!(names.count() <= 4, "the probe describes");
        Ok(())
    })
    .await
}

/// Runs `sealgate` with the configuration of a gateway; what it said, and whether it succeeded.
fn sealgate(gateway: &Gateway, name: &str, more: &[&str]) -> Result<(String, bool)> {
    let mut command = gateway.command(name)?;
    command.args(more);
    let output = process::run(&mut command, LIMIT)?;
    let said = [output.stdout, output.stderr].concat();
    Ok((
        String::from_utf8_lossy(&said).into_owned(),
        output.status.success(),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_ask_a_principal_that_may_only_generate_for_nothing_else() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let writer = write_only(rig)?;
        let (said, succeeded) = sealgate(&writer, "keys status", &["--json"])?;
        ensure!(succeeded, "{said}");
        let report: serde_json::Value = said
            .find('{')
            .and_then(|start| serde_json::from_str(&said[start..]).ok())
            .with_context(|| said.clone())?;
        ensure!(
            report["key_services"][0]["usable"] == true && report["domains"][0]["quorum"] == true,
            "{report}"
        );

        for (name, more) in [
            ("drill", &["--bucket", BUCKET, "--without-recovery-key"][..]),
            ("keys rewrap", &[]),
            ("keys retire", &["1"]),
            ("keys shred", &["--domain", "rig/x", "--dry-run"]),
            ("verify", &["--deep"]),
            ("export", &["--bucket", BUCKET, "--to-directory", "nowhere"]),
        ] {
            let (said, succeeded) = sealgate(&writer, name, more)?;
            ensure!(
                !succeeded && said.contains("is write-only"),
                "{name}: {said}"
            );
        }

        let plain = rig.directory().join("plain");
        let [sealed, opened] = ["sealed", "opened"].map(|name| rig.directory().join(name));
        let paths = [&plain, &sealed, &opened].map(|path| path.to_string_lossy().into_owned());
        let [plain, sealed, opened] = paths.each_ref().map(String::as_str);
        std::fs::write(plain, b"content")?;
        let (said, succeeded) = sealgate(&writer, "seal", &[plain, sealed])?;
        ensure!(succeeded, "{said}");
        let (said, succeeded) = sealgate(&writer, "open", &[sealed, opened])?;
        ensure!(!succeeded && said.contains("is write-only"), "{said}");
        let (said, succeeded) = sealgate(&rig.gateway, "open", &[sealed, opened])?;
        ensure!(succeeded && std::fs::read(opened)? == b"content", "{said}");

        // What a flush took away, it cannot have back: open uploads too.
        rig.clients(BUCKET).await?;
        let client = writer.endpoint.s3()?;
        let upload = begin(&client, (BUCKET, "parts")).await?;
        let part = || {
            let part = client.upload_part().bucket(BUCKET).key("parts");
            part.upload_id(&upload)
                .part_number(1)
                .body(b"a part".to_vec().into())
                .send()
        };
        part().await?;
        let (said, succeeded) = sealgate(&writer, "keys flush", &[])?;
        ensure!(succeeded, "{said}");
        let refused = part().await.err().context("a part was taken")?;
        let message = refused.message().unwrap_or_default();
        ensure!(message.contains("its keys were flushed"), "{refused:?}");

        for request in rig.key_server.requests()? {
            if request["principal"] == "writer" {
                ensure!(request["operation"] != "Decrypt", "{request}");
            }
        }
        Ok(())
    })
    .await
}
