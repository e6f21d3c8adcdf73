//! What an object has beside its bytes is given to the sealed one: storage class, website redirect, retention, legal hold.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::{
    Client,
    operation::head_object::HeadObjectOutput,
    primitives::DateTime,
    types::{
        ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention,
        ObjectLockRetentionMode, StorageClass,
    },
};
use sealgate_tests::{
    content::pattern,
    rig::{Rig, bounded, get},
    servers::{Devstore, GatewaySettings},
};

use super::{BUCKET, LIMIT, MARKED, PART, enable_versions, is_sealed, marked_rig, migrate};

/// Sizes that are stored in one request, and in parts.
const SIZES: [(&str, usize); 2] = [("small", 1_000), ("large", PART + 1_000)];

async fn head(bare: &Client, key: &str, version_id: Option<&str>) -> Result<HeadObjectOutput> {
    Ok(bare
        .head_object()
        .bucket(BUCKET)
        .key(key)
        .set_version_id(version_id.map(str::to_owned))
        .send()
        .await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_storage_class_is_given_again() -> Result<()> {
    bounded(LIMIT, async {
        for has_versions in [false, true] {
            let (rig, bare, through) = marked_rig().await?;
            if has_versions {
                enable_versions(&bare).await?;
            }
            for (key, length) in SIZES {
                bare.put_object()
                    .bucket(BUCKET)
                    .key(key)
                    .storage_class(StorageClass::ReducedRedundancy)
                    .body(pattern(1, length).into())
                    .send()
                    .await?;
            }
            let (succeeded, report) = migrate(&rig.gateway, &["--part-size", "5MiB"])?;
            ensure!(succeeded && report["sealed"] == 2, "{report}");
            for (key, length) in SIZES {
                ensure!(is_sealed(&bare, key).await?, "{key}");
                let head = head(&bare, key, None).await?;
                ensure!(
                    head.storage_class() == Some(&StorageClass::ReducedRedundancy),
                    "{key}, versions {has_versions}: {head:?}"
                );
                ensure!(get(&through, BUCKET, key).await? == pattern(1, length));
            }
        }
        Ok(())
    })
    .await
}

/// MinIO drops the header, so this needs another storage.
#[tokio::test(flavor = "multi_thread")]
async fn the_redirect_of_a_website_is_given_again() -> Result<()> {
    bounded(LIMIT, async {
        let rig = Rig::start()?;
        let storage = Devstore::start(rig.directory())?;
        let bare = storage.endpoint.s3()?;
        bare.create_bucket().bucket(BUCKET).send().await?;
        for (key, length) in SIZES {
            bare.put_object()
                .bucket(BUCKET)
                .key(key)
                .website_redirect_location("/elsewhere")
                .body(pattern(1, length).into())
                .send()
                .await?;
        }
        let gateway = rig.gateway_with(GatewaySettings {
            more: MARKED.to_owned(),
            ..GatewaySettings::new(&storage.endpoint, &rig.key_server.endpoint)
        })?;
        let (succeeded, report) = migrate(&gateway, &["--part-size", "5MiB"])?;
        ensure!(succeeded && report["sealed"] == 2, "{report}");
        for (key, _) in SIZES {
            ensure!(is_sealed(&bare, key).await?, "{key}");
            let head = head(&bare, key, None).await?;
            ensure!(
                head.website_redirect_location() == Some("/elsewhere"),
                "{key}: {head:?}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_and_legal_hold_are_given_again_and_keep_the_version_in_the_clear() -> Result<()>
{
    bounded(LIMIT, async {
        let rig = Rig::start_with(MARKED)?;
        let bare = rig.minio.endpoint.s3()?;
        bare.create_bucket()
            .bucket(BUCKET)
            .object_lock_enabled_for_bucket(true)
            .send()
            .await?;
        // In whole seconds, as the storage keeps it.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let until = DateTime::from_secs(i64::try_from(now.as_secs())? + 3_600);
        let mut clear = Vec::new();
        for (key, length) in SIZES {
            let stored = bare
                .put_object()
                .bucket(BUCKET)
                .key(key)
                .object_lock_mode(ObjectLockMode::Governance)
                .object_lock_retain_until_date(until)
                .object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On)
                .body(pattern(1, length).into())
                .send()
                .await?;
            clear.push((key, stored.version_id().context("version")?.to_owned()));
        }
        let (succeeded, report) = migrate(&rig.gateway, &["--part-size", "5MiB"])?;
        ensure!(!succeeded && report["failed"] == 2, "{report}");
        let fix = report["failures"][0]["fix"].as_str().context("fix")?;
        ensure!(fix.contains("retention"), "{fix}");
        for (key, version_id) in &clear {
            ensure!(is_sealed(&bare, key).await?, "{key}");
            let head = head(&bare, key, None).await?;
            ensure!(head.version_id() != Some(version_id.as_str()), "{key}");
            ensure!(
                head.object_lock_mode() == Some(&ObjectLockMode::Governance)
                    && head.object_lock_retain_until_date() == Some(&until)
                    && head.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On),
                "{key}: {head:?}"
            );
        }
        // When the hold and the retention of the versions in the clear have ended, the same command again removes them.
        for (key, version_id) in &clear {
            let off = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::Off);
            bare.put_object_legal_hold()
                .bucket(BUCKET)
                .key(*key)
                .version_id(version_id)
                .legal_hold(off.build())
                .send()
                .await?;
            let soon = SystemTime::now() + Duration::from_secs(2);
            let ended = ObjectLockRetention::builder()
                .mode(ObjectLockRetentionMode::Governance)
                .retain_until_date(soon.into());
            bare.put_object_retention()
                .bucket(BUCKET)
                .key(*key)
                .version_id(version_id)
                .bypass_governance_retention(true)
                .retention(ended.build())
                .send()
                .await?;
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        let (succeeded, report) = migrate(&rig.gateway, &[])?;
        ensure!(succeeded && report["removed_versions"] == 2, "{report}");
        Ok(())
    })
    .await
}
