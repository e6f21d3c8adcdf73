//! A gateway dies; nothing that was acknowledged is lost, because it holds nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    content::pattern,
    multipart::{begin, complete, upload_part},
    process,
    rig::{get, put, with_rig},
};

const BUCKET: &str = "restart";
const PART: usize = 5 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_survives_kill_9_of_its_gateway() -> Result<()> {
    with_rig(Duration::from_mins(3), async |rig| {
        let (first, _) = rig.clients(BUCKET).await?;
        let body = pattern(1, 2 * PART + 500);
        put(&first, BUCKET, "before", b"before").await?;
        let begun = first
            .create_multipart_upload()
            .bucket(BUCKET)
            .key("large")
            .content_type("text/survivor")
            .send()
            .await?;
        let upload = begun.upload_id().context("no upload id")?.to_owned();
        let mut parts = Vec::new();
        let mut client = first.clone();
        for (number, bytes) in (1..).zip(body.chunks(PART)) {
            if number == 2 {
                // A part is on its way when the process dies.
                let lost = client
                    .upload_part()
                    .bucket(BUCKET)
                    .key("large")
                    .upload_id(&upload)
                    .part_number(2)
                    .body(pattern(9, 4 * PART).into())
                    .send();
                let (lost, killed) = tokio::join!(lost, async {
                    tokio::time::sleep(Duration::from_millis(60)).await;
                    rig.gateway.process.kill()
                });
                killed?;
                drop(lost);
                rig.gateway = rig.another_gateway()?;
                client = rig.gateway.endpoint.s3()?;
            }
            parts.push(upload_part(&client, (BUCKET, "large"), &upload, number, bytes).await?);
        }
        complete(&client, (BUCKET, "large"), &upload, parts).await?;
        ensure!(get(&client, BUCKET, "large").await? == body, "large");
        ensure!(get(&client, BUCKET, "before").await? == b"before", "before");
        let head = client
            .head_object()
            .bucket(BUCKET)
            .key("large")
            .send()
            .await?;
        ensure!(
            head.content_type() == Some("text/survivor"),
            "the content type is {:?}",
            head.content_type()
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn gc_leaves_an_open_upload_alone() -> Result<()> {
    with_rig(Duration::from_mins(2), async |rig| {
        let (client, _) = rig.clients(BUCKET).await?;
        let place = (BUCKET, "open");
        let upload = begin(&client, place).await?;
        let part = upload_part(&client, place, &upload, 1, &pattern(1, 100)).await?;
        for arguments in [&["--dry-run"][..], &[]] {
            let mut command = rig.gateway.command("gc")?;
            process::run_successfully(command.args(arguments), Duration::from_mins(1))?;
        }
        complete(&client, place, &upload, vec![part])
            .await
            .context("gc has taken an open upload")?;
        ensure!(
            get(&client, BUCKET, "open").await? == pattern(1, 100),
            "open"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_a_download_finish() -> Result<()> {
    with_rig(Duration::from_mins(2), async |rig| {
        let (client, _) = rig.clients(BUCKET).await?;
        let body = pattern(1, 20 * 1024 * 1024);
        put(&client, BUCKET, "download", &body).await?;
        let mut answer = client
            .get_object()
            .bucket(BUCKET)
            .key("download")
            .send()
            .await?;
        let mut received = answer.body.next().await.context("no body")??.to_vec();
        let process = &mut rig.gateway.process;
        let rest = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            answer.body.collect().await
        });
        let status = tokio::task::block_in_place(|| process.terminate(Duration::from_secs(20)));
        let rest = rest.await?;
        received.extend_from_slice(&rest.context("the download was cut")?.to_vec());
        ensure!(received == body, "the download has other bytes");
        ensure!(status?.success(), "SIGTERM is no clean end");
        Ok(())
    })
    .await
}
