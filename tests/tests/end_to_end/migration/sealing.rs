//! `sealgate migrate` on a storage that does what it should, beside clients, and killed.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::types::{BucketVersioningStatus, ObjectVersion};
use sealgate_tests::{
    content::{Canary, pattern},
    process::Process,
    rig::{Rig, bounded, fingerprint, get, put},
    servers::{GatewaySettings, report},
};

use super::{
    BUCKET, LIMIT, PART, enable_versions, is_sealed, listed, marked_rig, migrate, set_versions,
    staged,
};

/// Files of MinIO that hold the canary. What it has deleted waits in a directory of its own until it gets round to it.
fn plaintext_left(rig: &Rig, canary: &Canary) -> Result<Vec<PathBuf>> {
    let found = canary.found_in(&rig.minio.data)?.into_iter();
    let is_deleted = |path: &PathBuf| path.to_string_lossy().contains(".minio.sys/tmp/");
    Ok(found.filter(|path| !is_deleted(path)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_seals_everything_and_leaves_no_plaintext_behind() -> Result<()> {
    bounded(LIMIT, async {
        let (rig, bare, through) = marked_rig().await?;
        let canary = Canary::generate()?;
        let mut contents = BTreeMap::new();
        for (number, length) in [0, 1, 70_000, 2_000_000, 3 * PART].into_iter().enumerate() {
            let body = [canary.bytes(), &pattern(number as u64, length)].concat();
            contents.insert(format!("a b/{number}+ü"), body);
        }
        contents.insert("empty".to_owned(), Vec::new());
        for (key, body) in &contents {
            bare.put_object()
                .bucket(BUCKET)
                .key(key)
                .content_type("text/before")
                .metadata("color", canary.hexadecimal())
                .tagging("team=blue%20whale")
                .body(body.clone().into())
                .send()
                .await?;
        }
        ensure!(!canary.found_in(&rig.minio.data)?.is_empty());
        let before = listed(&bare).await?;
        let (succeeded, report) = migrate(&rig.gateway, &["--dry-run"])?;
        ensure!(succeeded && report["sealed"] == contents.len(), "{report}");
        ensure!(listed(&bare).await? == before, "a dry run changes nothing");
        ensure!(!migrate(&rig.gateway, &["--check"])?.0, "not done yet");

        let (succeeded, report) = migrate(&rig.gateway, &["--part-size", "5MiB"])?;
        ensure!(succeeded && report["sealed"] == contents.len(), "{report}");
        ensure!(
            report["complete"] == true && report["failed"] == 0,
            "{report}"
        );
        let found = plaintext_left(&rig, &canary)?;
        ensure!(found.is_empty(), "plaintext is left in {found:?}");
        let (succeeded, report) = migrate(&rig.gateway, &["--check"])?;
        ensure!(
            succeeded && report["already_sealed"] == contents.len(),
            "{report}"
        );
        // Once more: nothing to do.
        let (succeeded, report) = migrate(&rig.gateway, &[])?;
        ensure!(succeeded && report["sealed"] == 0, "{report}");

        // A gateway without the mark serves all of it.
        let settings = GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint);
        let unmarked = rig.gateway_with(settings)?;
        let after = unmarked.endpoint.s3()?;
        for (key, body) in &contents {
            ensure!(get(&after, BUCKET, key).await? == *body, "{key}");
            let head = after.head_object().bucket(BUCKET).key(key).send().await?;
            ensure!(head.content_type() == Some("text/before"), "{key}");
            ensure!(head.metadata().context("metadata")?["color"] == canary.hexadecimal());
            let tags = after
                .get_object_tagging()
                .bucket(BUCKET)
                .key(key)
                .send()
                .await?;
            ensure!(tags.tag_set()[0].value() == "blue whale", "{key}");
        }
        let list = listed(&after).await?;
        for (key, body) in &contents {
            ensure!(list[key].0 == i64::try_from(body.len())?, "{key}");
        }
        drop(through);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_by_kill_9_and_the_next_run_finishes() -> Result<()> {
    bounded(LIMIT, async {
        let (rig, bare, through) = marked_rig().await?;
        let canary = Canary::generate()?;
        let mut contents = BTreeMap::new();
        for number in 0..12_u64 {
            let length = if number % 4 == 0 {
                2 * PART + 99
            } else {
                400_000
            };
            let body = [canary.bytes(), &pattern(number, length)].concat();
            put(&bare, BUCKET, &format!("object-{number:02}"), &body).await?;
            contents.insert(format!("object-{number:02}"), fingerprint(&body));
        }
        for (round, pause) in [700, 1_500, 2_500].into_iter().enumerate() {
            let mut command = rig.gateway.command("migrate")?;
            command.args(["--bucket", BUCKET, "--rate", "20MiB", "--part-size", "5MiB"]);
            let mut running =
                Process::start(&format!("migrate-{round}"), &mut command, rig.directory())?;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            running.kill()?;
            for (key, expected) in &contents {
                let found = fingerprint(&get(&through, BUCKET, key).await?);
                ensure!(found == *expected, "{key} after kill {round}");
            }
        }
        let (succeeded, report) = migrate(&rig.gateway, &["--part-size", "5MiB"])?;
        ensure!(succeeded && report["complete"] == true, "{report}");
        for (key, expected) in &contents {
            ensure!(is_sealed(&bare, key).await?, "{key}");
            ensure!(
                fingerprint(&get(&through, BUCKET, key).await?) == *expected,
                "{key}"
            );
        }
        let left = plaintext_left(&rig, &canary)?;
        ensure!(left.is_empty(), "plaintext is left in {left:?}");
        let left = staged(&bare).await?;
        ensure!(left.is_empty(), "staged copies are left: {left:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_write_meanwhile_is_never_overwritten() -> Result<()> {
    bounded(LIMIT, async {
        let (rig, bare, through) = marked_rig().await?;
        for number in 0..20_u64 {
            put(
                &bare,
                BUCKET,
                &format!("object-{number:02}"),
                &pattern(number, 300_000),
            )
            .await?;
        }
        let mut command = rig.gateway.command("migrate")?;
        command.args(["--bucket", BUCKET, "--rate", "2MiB", "--json"]);
        let mut running = Process::start("migrate", &mut command, rig.directory())?;
        let mut written = BTreeMap::new();
        let mut seed = 1_000_u64;
        while !running.has_ended()? {
            seed += 1;
            let key = format!("object-{:02}", seed % 20);
            let body = pattern(seed, 1_000);
            if seed.is_multiple_of(7) {
                through
                    .delete_object()
                    .bucket(BUCKET)
                    .key(&key)
                    .send()
                    .await?;
                written.insert(key, None);
            } else {
                put(&through, BUCKET, &key, &body).await?;
                written.insert(key, Some(body));
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        ensure!(
            written.len() > 5,
            "the migration ended before the writer had done anything"
        );
        for (key, body) in &written {
            match body {
                Some(body) => ensure!(get(&through, BUCKET, key).await? == *body, "{key}"),
                None => ensure!(get(&through, BUCKET, key).await.is_err(), "{key} came back"),
            }
        }
        let (succeeded, report) = migrate(&rig.gateway, &["--check"])?;
        ensure!(succeeded, "{report}\n{}", running.last_words());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_bucket_with_versions_the_clear_one_goes_and_history_stays_until_it_is_deleted()
-> Result<()> {
    bounded(LIMIT, async {
        let (rig, bare, through) = marked_rig().await?;
        put(&bare, BUCKET, "from-before-versioning", b"null version").await?;
        enable_versions(&bare).await?;
        put(&bare, BUCKET, "object", b"the first").await?;
        put(&bare, BUCKET, "object", b"the second").await?;
        let (succeeded, report) = migrate(&rig.gateway, &["--keep-versions"])?;
        ensure!(
            !succeeded && report["sealed"] == 2 && report["clear_versions"] == 1,
            "{report}"
        );
        // Each version by its own header: two in the clear, and the sealed one.
        let versions = through
            .list_object_versions()
            .bucket(BUCKET)
            .prefix("object")
            .send()
            .await?;
        let sizes: Vec<_> = versions
            .versions()
            .iter()
            .map(ObjectVersion::size)
            .collect();
        ensure!(sizes == [Some(10), Some(10), Some(9)], "{sizes:?}");
        for (version, body) in
            versions
                .versions()
                .iter()
                .zip(["the second", "the second", "the first"])
        {
            let answer = through
                .get_object()
                .bucket(BUCKET)
                .key("object")
                .version_id(version.version_id().context("id")?)
                .send()
                .await?;
            ensure!(answer.body.collect().await?.to_vec() == body.as_bytes());
        }
        // What a kill between the two steps leaves, the next run removes; another content stays.
        let (succeeded, report) = migrate(&rig.gateway, &[])?;
        ensure!(
            !succeeded && report["removed_versions"] == 2 && report["clear_versions"] == 1,
            "{report}"
        );
        let (succeeded, report) = migrate(&rig.gateway, &["--delete-clear-versions"])?;
        ensure!(succeeded && report["complete"] == true, "{report}");
        ensure!(get(&through, BUCKET, "object").await? == b"the second");
        ensure!(get(&through, BUCKET, "from-before-versioning").await? == b"null version");
        let versions = bare.list_object_versions().bucket(BUCKET).send().await?;
        ensure!(versions.versions().len() == 2 && versions.delete_markers().is_empty());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sealed_is_named_with_its_fix() -> Result<()> {
    bounded(LIMIT, async {
        let (rig, bare, _) = marked_rig().await?;
        put(&bare, BUCKET, "fine", b"fine").await?;
        bare.put_object()
            .bucket(BUCKET)
            .key("wordy")
            .metadata("story", "x".repeat(1_900))
            .body(b"wordy".to_vec().into())
            .send()
            .await?;
        for arguments in [&["--dry-run"][..], &[]] {
            let (succeeded, report) = migrate(&rig.gateway, arguments)?;
            ensure!(
                !succeeded && report["failed"] == 1 && report["sealed"] == 1,
                "{report}"
            );
            ensure!(report["failures"][0]["key"] == "wordy", "{report}");
            let fix = report["failures"][0]["fix"].as_str().context("fix")?;
            ensure!(fix.contains("shorten"), "{fix}");
        }
        ensure!(
            get(&bare, BUCKET, "wordy").await? == b"wordy",
            "it was left as it is"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_refuses_the_bucket_that_the_run_itself_would_refuse() -> Result<()> {
    bounded(LIMIT, async {
        let (rig, bare, _) = marked_rig().await?;
        enable_versions(&bare).await?;
        put(&bare, BUCKET, "fine", b"fine").await?;
        set_versions(&bare, BucketVersioningStatus::Suspended).await?;
        for arguments in [&["--dry-run"][..], &[]] {
            let mut command = rig.gateway.command("migrate")?;
            command.args(["--bucket", BUCKET]).args(arguments);
            let (succeeded, _, said) = report(&mut command, LIMIT)?;
            ensure!(!succeeded && said.contains("is suspended"), "{said}");
        }
        ensure!(
            !migrate(&rig.gateway, &["--check"])?.0,
            "it can be looked at"
        );
        Ok(())
    })
    .await
}
