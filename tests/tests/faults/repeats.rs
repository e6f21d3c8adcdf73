//! What a client is told that repeats a Complete which had succeeded, while the storage does not answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use futures_util::FutureExt as _;
use sealgate_tests::{
    multipart::{begin, upload_part},
    rig::with_rig,
    servers::{Action, Asked, GatewaySettings, Meddler},
};

use crate::{
    content::Source,
    uploads::{Upload, complete},
    world::BUCKET,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_complete_says_so_when_nobody_can_tell_what_became_of_the_first() -> Result<()> {
    with_rig(Duration::from_mins(2), async |rig| {
        let silent = Arc::new(AtomicBool::new(false));
        let is_silent = Arc::clone(&silent);
        let rule = move |asked: Asked| {
            let refuses = is_silent.load(Ordering::Relaxed) && asked.method == "HEAD";
            let action = if refuses {
                Action::Answer(503, Vec::new())
            } else {
                Action::Pass
            };
            async move { action }.boxed()
        };
        let storage = Meddler::start(&rig.minio.endpoint, rule).await?;
        let settings = GatewaySettings::new(&storage.endpoint, &rig.key_server.endpoint);
        let gateway = rig.gateway_with(settings)?;
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        let source = Source::new(1_000);
        let content = source.fresh(1_000);
        let key = "repeated".to_owned();
        let id = begin(&client, (BUCKET, &key)).await?;
        let bytes = source.bytes(content);
        let part = upload_part(&client, (BUCKET, &key), &id, 1, &bytes).await?;
        let upload = Upload {
            key,
            id,
            content,
            parts: vec![part],
            is_whole: true,
        };
        ensure!(complete(&client, &upload).await.is_ok(), "the first");
        silent.store(true, Ordering::Relaxed);
        let outcome = complete(&client, &upload).await;
        let status = outcome.as_ref().err().and_then(|failure| failure.status);
        ensure!(status == Some(503), "the second: {outcome:?}");
        silent.store(false, Ordering::Relaxed);
        let outcome = complete(&client, &upload).await;
        ensure!(outcome.is_ok(), "the third: {outcome:?}");
        Ok(())
    })
    .await
}
