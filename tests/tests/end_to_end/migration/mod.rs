//! A bucket that was there before the gateway: read while it is half sealed, sealed in place, and nothing lost whatever happens meanwhile.

mod faults;
mod labels;
mod pace;
mod sealing;
mod serving;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::{
    Client,
    types::{BucketVersioningStatus, VersioningConfiguration},
};
use sealgate_tests::{
    rig::{Rig, state_bucket},
    servers::{Gateway, report},
};
use serde_json::Value;

use crate::stored::PART;

const BUCKET: &str = "migrated";
const MARKED: &str = "[[migrating]]\nbuckets = [\"migrated\"]\n";
const LIMIT: Duration = Duration::from_mins(4);

/// A rig whose gateway serves [`BUCKET`] as migrating; the bucket is made bare.
async fn marked_rig() -> Result<(Rig, Client, Client)> {
    let rig = Rig::start_with(MARKED)?;
    let bare = rig.minio.endpoint.s3()?;
    bare.create_bucket().bucket(BUCKET).send().await?;
    let through = rig.gateway.endpoint.s3()?;
    Ok((rig, bare, through))
}

/// Runs `sealgate migrate` and reads its JSON report; with its exit status.
fn migrate(gateway: &Gateway, arguments: &[&str]) -> Result<(bool, Value)> {
    let mut command = gateway.command("migrate")?;
    command.args(["--bucket", BUCKET]).args(arguments);
    let (succeeded, report, said) = report(&mut command, LIMIT)?;
    ensure!(report.is_object(), "no report: {said}");
    Ok((succeeded, report))
}

async fn enable_versions(bare: &Client) -> Result<()> {
    set_versions(bare, BucketVersioningStatus::Enabled).await
}

async fn set_versions(bare: &Client, status: BucketVersioningStatus) -> Result<()> {
    let status = VersioningConfiguration::builder().status(status).build();
    bare.put_bucket_versioning()
        .bucket(BUCKET)
        .versioning_configuration(status)
        .send()
        .await?;
    Ok(())
}

/// The names of staged copies in the state bucket.
async fn staged(bare: &Client) -> Result<Vec<String>> {
    let listing = bare
        .list_objects_v2()
        .bucket(state_bucket(bare).await?)
        .prefix("migration/")
        .send()
        .await?;
    let keys = listing.contents().iter().filter_map(|object| object.key());
    Ok(keys.map(str::to_owned).collect())
}

/// What the listing shows: size and tag by key.
async fn listed(client: &Client) -> Result<BTreeMap<String, (i64, String)>> {
    let page = client.list_objects_v2().bucket(BUCKET).send().await?;
    let objects = page.contents().iter().map(|object| {
        let key = object.key().context("no key")?.to_owned();
        let tag = object.e_tag().context("no tag")?.to_owned();
        Ok((key, (object.size().context("no size")?, tag)))
    });
    objects.collect()
}

/// Whether the storage has a sealed header for the object.
async fn is_sealed(bare: &Client, key: &str) -> Result<bool> {
    let head = bare.head_object().bucket(BUCKET).key(key).send().await?;
    Ok(head
        .metadata()
        .is_some_and(|metadata| metadata.contains_key("sealgate")))
}
