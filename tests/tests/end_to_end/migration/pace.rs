//! Options that cut a migration into pieces or bound it do what they say.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use aws_sdk_s3::Client;
use sealgate_tests::{
    content::pattern,
    rig::{bounded, put},
    servers::{Action, Asked, GatewaySettings, Meddler},
};

use super::{BUCKET, LIMIT, MARKED, is_sealed, marked_rig, migrate};

const KEYS: [&str; 6] = ["a/1", "a/2", "b/1", "b/2", "b/3", "c"];

async fn fill(bare: &Client) -> Result<()> {
    for key in KEYS {
        put(bare, BUCKET, key, &pattern(1, 1_000)).await?;
    }
    Ok(())
}

async fn sealed(bare: &Client) -> Result<Vec<&'static str>> {
    let mut found = Vec::new();
    for key in KEYS {
        if is_sealed(bare, key).await? {
            found.push(key);
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_and_a_key_to_resume_from_cut_it_into_pieces() -> Result<()> {
    bounded(LIMIT, async {
        let (rig, bare, _) = marked_rig().await?;
        fill(&bare).await?;
        let pieces: [(&[&str], &[&str]); 4] = [
            (&["--prefix", "b/", "--resume-from", "b/2"], &["b/3"]),
            (&["--prefix", "b/"], &["b/1", "b/2", "b/3"]),
            (&["--resume-from", "b/3"], &["b/1", "b/2", "b/3", "c"]),
            (&["--resume-from", "a/1"], &KEYS[1..]),
        ];
        for (options, expected) in pieces {
            let (succeeded, report) = migrate(&rig.gateway, options)?;
            ensure!(succeeded, "{report}");
            let found = sealed(&bare).await?;
            ensure!(found == expected, "{options:?}: {found:?}");
        }
        let (succeeded, report) = migrate(&rig.gateway, &["--check"])?;
        ensure!(!succeeded && report["clear"] == 1, "{report}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_a_second_are_bounded() -> Result<()> {
    bounded(LIMIT, async {
        let (rig, bare, _) = marked_rig().await?;
        fill(&bare).await?;
        let started = Instant::now();
        let (succeeded, report) = migrate(&rig.gateway, &["--objects-per-second", "1"])?;
        ensure!(succeeded && report["sealed"] == KEYS.len(), "{report}");
        // The first begins at once.
        let least = Duration::from_secs(KEYS.len() as u64 - 1);
        ensure!(started.elapsed() >= least, "{:?}", started.elapsed());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn so_many_objects_are_worked_on_at_once_and_no_more() -> Result<()> {
    bounded(LIMIT, async {
        for concurrency in [1, 3] {
            let (rig, bare, _) = marked_rig().await?;
            fill(&bare).await?;
            let now = Arc::new(AtomicUsize::new(0));
            let most = Arc::new(AtomicUsize::new(0));
            let (counter, peak) = (Arc::clone(&now), Arc::clone(&most));
            // Each object is read once in the clear; while its GET waits, others may come.
            let meddler = Meddler::start(&rig.minio.endpoint, move |asked: Asked| {
                let (counter, peak) = (Arc::clone(&counter), Arc::clone(&peak));
                Box::pin(async move {
                    let is_read = asked.method == "GET"
                        && KEYS
                            .iter()
                            .any(|key| asked.is("GET", &format!("/{BUCKET}/{key}"), ""));
                    if is_read {
                        peak.fetch_max(
                            counter.fetch_add(1, Ordering::SeqCst) + 1,
                            Ordering::SeqCst,
                        );
                        tokio::time::sleep(Duration::from_millis(500)).await;
                        counter.fetch_sub(1, Ordering::SeqCst);
                    }
                    Action::Pass
                })
            })
            .await?;
            let gateway = rig.gateway_with(GatewaySettings {
                more: MARKED.to_owned(),
                upstream: "checksum_trailer = \"never\"".to_owned(),
                ..GatewaySettings::new(&meddler.endpoint, &rig.key_server.endpoint)
            })?;
            let (succeeded, report) =
                migrate(&gateway, &["--concurrency", &concurrency.to_string()])?;
            ensure!(succeeded && report["sealed"] == KEYS.len(), "{report}");
            let most = most.load(Ordering::SeqCst);
            ensure!(
                most == concurrency,
                "{most} at once, {concurrency} asked for"
            );
        }
        Ok(())
    })
    .await
}
