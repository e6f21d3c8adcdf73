//! A receiver that is away for long: the gateway serves and spools, also when it is killed meanwhile, and both logs verify all the time.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sealgate_tests::rig::{bounded, get, put};

use super::{BUCKET, LIMIT, Place, files, use_it};

/// Until what was done is signed: checkpoints are signed every 50 ms.
const SIGNED: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_while_the_receiver_was_away_is_there_when_it_is_back() -> Result<()> {
    bounded(LIMIT, async {
        let place = Place::new()?;
        let mut receiver = place.receiver()?;
        let mut gateway = place.gateway("")?;
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        use_it(&client, 3).await?;
        let size = place.published_beyond(6).await?;
        receiver.kill()?;
        let held = std::fs::read(place.checkpoint())?;
        let (audit, copy) = (place.path("audit"), files(&place.copy())?);

        // What was countersigned before the outage vouches for both, and the gateway's goes on.
        let whole = |what: &str| -> Result<()> {
            ensure!(
                std::fs::read(place.checkpoint())? == held,
                "{what}: published"
            );
            ensure!(files(&place.copy())? == copy, "{what}: the copy changed");
            for directory in [&audit, &place.copy()] {
                let (is_clean, said) = place.verify(directory)?;
                ensure!(is_clean, "{what}: {said}");
            }
            Ok(())
        };
        put(&client, BUCKET, "during the outage", b"1").await?;
        tokio::time::sleep(SIGNED).await;
        whole("away")?;
        gateway.process.kill()?;
        whole("away, and the gateway was killed")?;
        let mut gateway = place.gateway("")?;
        let client = gateway.endpoint.s3()?;
        ensure!(get(&client, BUCKET, "during the outage").await? == b"1");
        tokio::time::sleep(SIGNED).await;
        whole("away, and the gateway is another process")?;

        // A record that waits is changed: no key of the log's is needed to find that.
        let newest = files(&audit)?;
        let (name, content) = newest
            .iter()
            .rfind(|(name, _)| name.starts_with("segments"))
            .context("no segment")?;
        let text = String::from_utf8(content.clone())?;
        ensure!(text.matches("during the outage").count() >= 2, "{text}");
        let altered = text.replacen("during the outage", "during the 0utage", 1);
        let elsewhere = place.path("elsewhere");
        std::fs::create_dir_all(elsewhere.join("segments"))?;
        for (name, content) in &newest {
            std::fs::write(elsewhere.join(name), content)?;
        }
        std::fs::write(elsewhere.join(name), altered)?;
        let (is_clean, said) = place.verify(&elsewhere)?;
        ensure!(!is_clean && said.contains("\"altered\""), "{said}");

        let _receiver = place.receiver()?;
        // At least intent and outcome of the upload and of the download, and a start.
        place.published_beyond(size + 4).await?;
        ensure!(gateway.process.terminate(LIMIT)?.success());
        ensure!(
            files(&audit)? == files(&place.copy())?,
            "the copy is another one"
        );
        for directory in [&audit, &place.copy()] {
            let (is_clean, said) = place.verify(directory)?;
            ensure!(is_clean, "{said}");
        }
        // What somebody kept from before the outage says the same.
        std::fs::write(place.checkpoint(), held)?;
        let (is_clean, said) = place.verify(&place.copy())?;
        ensure!(is_clean, "{said}");
        Ok(())
    })
    .await
}
