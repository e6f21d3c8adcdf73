//! Two gateways share everything: neither holds what the other needs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::{Client, types::CompletedPart};
use sealgate_tests::{
    content::pattern,
    multipart::{self, upload_part, upload_parts},
    rig::{get, with_rig},
};

const PART: usize = 5 * 1024 * 1024;

async fn begin(client: &Client, bucket: &str, key: &str) -> Result<String> {
    let answer = client
        .create_multipart_upload()
        .bucket(bucket)
        .key(key)
        .metadata("made-by", "two gateways")
        .send()
        .await?;
    Ok(answer.upload_id().context("no upload id")?.to_owned())
}

/// Completes an upload; the entity tag of the object.
async fn complete(
    client: &Client,
    key: &str,
    upload: &str,
    parts: Vec<CompletedPart>,
) -> Result<String> {
    let answer = multipart::complete(client, ("shared", key), upload, parts).await?;
    Ok(answer.e_tag().context("no entity tag")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_alternate_and_either_completes() -> Result<()> {
    with_rig(Duration::from_mins(3), async |rig| {
        let second = rig.another_gateway()?;
        let (one, _) = rig.clients("shared").await?;
        let two = second.endpoint.s3()?;
        let body = pattern(4, 4 * PART + 77);
        for (key, completing) in [("by-the-first", &one), ("by-the-second", &two)] {
            let upload = begin(&one, "shared", key).await?;
            let mut parts = Vec::new();
            for (number, bytes) in (1..).zip(body.chunks(PART)) {
                let client = if number % 2 == 0 { &one } else { &two };
                parts.push(upload_part(client, ("shared", key), &upload, number, bytes).await?);
            }
            let listed = two
                .list_parts()
                .bucket("shared")
                .key(key)
                .upload_id(&upload)
                .send()
                .await?;
            ensure!(
                listed.parts().len() == parts.len(),
                "the second gateway lists {} parts",
                listed.parts().len()
            );
            complete(completing, key, &upload, parts).await?;
            for client in [&one, &two] {
                ensure!(
                    get(client, "shared", key).await? == body,
                    "{key} comes back otherwise"
                );
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_complete_at_once() -> Result<()> {
    with_rig(Duration::from_mins(3), async |rig| {
        let second = rig.another_gateway()?;
        let (one, _) = rig.clients("shared").await?;
        let two = second.endpoint.s3()?;
        for round in 0..5_u8 {
            let key = format!("raced-{round}");
            let body = pattern(u64::from(round), PART + 1_000);
            let upload = begin(&one, "shared", &key).await?;
            let parts = upload_parts(&one, ("shared", &key), &upload, &body, PART).await?;
            let (left, right) = tokio::join!(
                complete(&one, &key, &upload, parts.clone()),
                complete(&two, &key, &upload, parts)
            );
            ensure!(
                left.is_ok() || right.is_ok(),
                "neither completes: {left:?} {right:?}"
            );
            ensure!(
                get(&two, "shared", &key).await? == body,
                "{key} comes back otherwise"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_aborts_is_gone_for_the_other() -> Result<()> {
    with_rig(Duration::from_mins(2), async |rig| {
        let second = rig.another_gateway()?;
        let (one, _) = rig.clients("shared").await?;
        let two = second.endpoint.s3()?;
        let upload = begin(&one, "shared", "aborted").await?;
        let part = upload_part(&two, ("shared", "aborted"), &upload, 1, &pattern(1, 100)).await?;
        one.abort_multipart_upload()
            .bucket("shared")
            .key("aborted")
            .upload_id(&upload)
            .send()
            .await?;
        ensure!(
            upload_part(&two, ("shared", "aborted"), &upload, 2, b"late")
                .await
                .is_err(),
            "the other gateway took a part of an aborted upload"
        );
        ensure!(
            complete(&two, "aborted", &upload, vec![part])
                .await
                .is_err(),
            "the other gateway completed an aborted upload"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_try_that_lands_while_the_upload_is_completed_does_no_harm() -> Result<()> {
    with_rig(Duration::from_mins(3), async |rig| {
        let second = rig.another_gateway()?;
        let (one, _) = rig.clients("shared").await?;
        let two = second.endpoint.s3()?;
        let body = pattern(6, 2 * PART);
        for round in 0..24_u64 {
            let key = format!("late-{round}");
            let place = ("shared", key.as_str());
            let upload = begin(&one, "shared", &key).await?;
            let parts = upload_parts(&one, place, &upload, &body, PART).await?;
            let completion = async {
                tokio::time::sleep(Duration::from_millis(round * 5)).await;
                complete(&one, &key, &upload, parts).await
            };
            // Refused where it comes after the completion.
            let late = upload_part(&two, place, &upload, 2, &body[PART..]);
            let (_, completed) = tokio::join!(late, completion);
            completed.with_context(|| format!("round {round}"))?;
            ensure!(get(&two, "shared", &key).await? == body, "{key}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_completed_and_aborted_at_once_is_one_of_both() -> Result<()> {
    with_rig(Duration::from_mins(3), async |rig| {
        let second = rig.another_gateway()?;
        let (one, _) = rig.clients("shared").await?;
        let two = second.endpoint.s3()?;
        for round in 0..24_u64 {
            let key = format!("ended-{round}");
            let place = ("shared", key.as_str());
            let upload = begin(&one, "shared", &key).await?;
            let part = upload_part(&one, place, &upload, 1, b"content").await?;
            let request = two.abort_multipart_upload().bucket("shared").key(&key);
            let abort = async {
                tokio::time::sleep(Duration::from_millis(round)).await;
                request.upload_id(&upload).send().await
            };
            let (completed, aborted) =
                tokio::join!(complete(&one, &key, &upload, vec![part]), abort);
            ensure!(
                completed.is_ok() != aborted.is_ok(),
                "round {round}: {completed:?}, {aborted:?}"
            );
            let is_there = get(&two, "shared", &key).await.is_ok();
            ensure!(is_there == completed.is_ok(), "round {round}");
        }
        Ok(())
    })
    .await
}
