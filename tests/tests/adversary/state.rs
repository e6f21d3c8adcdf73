//! The gateway's own records, altered by whoever stores them: that upload fails, and no object is wrong.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::types::CompletedPart;
use sealgate_tests::{
    content::pattern,
    multipart::{complete, upload_part},
    rig::state_bucket,
    servers::{Action, Ending, GatewaySettings, Reply},
};

use crate::{
    judgement::Outcome,
    scene::{Scene, begin, with_scene},
};

const LIMIT: Duration = Duration::from_mins(4);
const BUCKET: &str = "aes";

/// What lies in the state bucket under a prefix: names and contents.
pub(crate) async fn records(
    scene: &Scene,
    state: &str,
    prefix: &str,
) -> Result<Vec<(String, Vec<u8>)>> {
    let listed = scene
        .bare
        .list_objects_v2()
        .bucket(state)
        .prefix(prefix)
        .send()
        .await?;
    let mut records = Vec::new();
    for name in listed.contents().iter().filter_map(|object| object.key()) {
        let content = sealgate_tests::rig::get(&scene.bare, state, name).await?;
        records.push((name.to_owned(), content));
    }
    Ok(records)
}

async fn write(scene: &Scene, state: &str, name: &str, content: &[u8]) -> Result<()> {
    sealgate_tests::rig::put(&scene.bare, state, name, content).await
}

async fn remove(scene: &Scene, state: &str, name: &str) -> Result<()> {
    scene
        .bare
        .delete_object()
        .bucket(state)
        .key(name)
        .send()
        .await?;
    Ok(())
}

/// An upload with a single part, which waits in the state bucket.
struct Waiting {
    key: String,
    id: String,
    part: CompletedPart,
    plaintext: Vec<u8>,
    /// Its records: the upload's, the part's and the stash.
    records: Vec<(String, Vec<u8>)>,
}

impl Waiting {
    async fn begin(scene: &Scene, state: &str, key: &str, seed: u64) -> Result<Self> {
        let before = records(scene, state, "uploads/").await?;
        let id = begin(&scene.client, BUCKET, key).await?;
        let plaintext = pattern(seed, 1_000);
        let part = upload_part(&scene.client, (BUCKET, key), &id, 1, &plaintext).await?;
        let mut records = records(scene, state, "uploads/").await?;
        records.retain(|record| !before.contains(record));
        ensure!(records.len() == 3, "{} records", records.len());
        Ok(Self {
            key: key.to_owned(),
            id,
            part,
            plaintext,
            records,
        })
    }

    fn named(&self, what: &str) -> Result<&(String, Vec<u8>)> {
        let found = self.records.iter().find(|(name, _)| name.contains(what));
        found.with_context(|| format!("no {what}"))
    }

    /// Completes it. Whatever the answer, what is there afterwards is right or does not open; returns whether it was acknowledged.
    async fn end(&self, scene: &Scene) -> Result<bool> {
        let parts = vec![self.part.clone()];
        let done = complete(&scene.client, (BUCKET, &self.key), &self.id, parts)
            .await
            .is_ok();
        let answer = scene
            .ask("GET", &format!("/{BUCKET}/{}", self.key), &[])
            .await?;
        let outcome = Outcome::of(&answer, &self.plaintext)?;
        ensure!(
            done == (outcome == Outcome::Right),
            "acknowledged: {done}, and {outcome:?}"
        );
        Ok(done)
    }
}

/// Puts another text in the place of the last segment of a name.
fn with_last(name: &str, last: &str) -> String {
    let (before, _) = name.rsplit_once('/').unwrap_or(("", name));
    format!("{before}/{last}")
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_uploads_that_were_altered_swapped_rolled_back_or_deleted_fail_the_upload()
-> Result<()> {
    with_scene("", LIMIT, async |scene| {
        let state = state_bucket(&scene.bare).await?;
        let other = Waiting::begin(scene, &state, "other", 1).await?;
        let make = async |name: &str| Waiting::begin(scene, &state, name, 2).await;
        let flipped = |bytes: &[u8], place: usize| {
            let mut bytes = bytes.to_vec();
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1;
            }
            bytes
        };

        // As a control: it completes as it is.
        ensure!(make("control").await?.end(scene).await?, "the control");

        for place in [0, 4, 10, 17, 30, 100, 300] {
            let upload = make(&format!("record-{place}")).await?;
            let (name, content) = upload.named("/record")?;
            write(scene, &state, name, &flipped(content, place)).await?;
            ensure!(
                !upload.end(scene).await?,
                "an altered upload record, {place}"
            );
        }
        let upload = make("record-of-another").await?;
        write(
            scene,
            &state,
            &upload.named("/record")?.0,
            &other.named("/record")?.1,
        )
        .await?;
        ensure!(!upload.end(scene).await?, "another upload's record");
        let upload = make("record-deleted").await?;
        remove(scene, &state, &upload.named("/record")?.0).await?;
        ensure!(!upload.end(scene).await?, "no upload record");
        let upload = make("record-cut").await?;
        let (name, content) = upload.named("/record")?;
        write(scene, &state, name, content.get(..40).context("cut")?).await?;
        ensure!(!upload.end(scene).await?, "half an upload record");

        // Part records: their names are what they say.
        let upload = make("part-altered").await?;
        let (name, _) = upload.named("/parts/")?;
        remove(scene, &state, name).await?;
        let sealed = name.rsplit('/').next().context("sealed")?;
        let first = if sealed.starts_with('a') { "b" } else { "a" };
        write(
            scene,
            &state,
            &with_last(name, &format!("{first}{}", &sealed[1..])),
            b"",
        )
        .await?;
        ensure!(!upload.end(scene).await?, "an altered part record");
        let upload = make("part-of-another").await?;
        let (name, _) = upload.named("/parts/")?;
        remove(scene, &state, name).await?;
        let foreign = other
            .named("/parts/")?
            .0
            .rsplit('/')
            .next()
            .context("sealed")?
            .to_owned();
        write(scene, &state, &with_last(name, &foreign), b"").await?;
        ensure!(!upload.end(scene).await?, "another upload's part record");
        let upload = make("part-deleted").await?;
        remove(scene, &state, &upload.named("/parts/")?.0).await?;
        ensure!(!upload.end(scene).await?, "no part record");
        let upload = make("part-renumbered").await?;
        let (name, _) = upload.named("/parts/")?;
        remove(scene, &state, name).await?;
        write(scene, &state, &name.replace("/00001/", "/00002/"), b"").await?;
        ensure!(
            !upload.end(scene).await?,
            "a part record under another number"
        );
        let upload = make("part-doubled").await?;
        let (name, _) = upload.named("/parts/")?;
        write(scene, &state, &name.replace("/00001/", "/00002/"), b"").await?;
        write(scene, &state, &name.replace("/00001/", "/00001/0"), b"").await?;
        ensure!(
            upload.end(scene).await?,
            "records that are of nothing do no harm"
        );

        // Stashes.
        for place in [0, 20, 1_027] {
            let upload = make(&format!("stash-{place}")).await?;
            let (name, content) = upload.named("/stash/")?;
            write(scene, &state, name, &flipped(content, place)).await?;
            ensure!(!upload.end(scene).await?, "an altered stash, {place}");
        }
        for (name, content) in [("cut", 500), ("empty", 0)] {
            let upload = make(&format!("stash-{name}")).await?;
            let (name, whole) = upload.named("/stash/")?;
            write(scene, &state, name, whole.get(..content).context("cut")?).await?;
            ensure!(!upload.end(scene).await?, "a cut stash");
        }
        let upload = make("stash-longer").await?;
        let (name, whole) = upload.named("/stash/")?;
        write(scene, &state, name, &[whole.as_slice(), b"more"].concat()).await?;
        ensure!(!upload.end(scene).await?, "a longer stash");
        let upload = make("stash-of-another").await?;
        write(
            scene,
            &state,
            &upload.named("/stash/")?.0,
            &other.named("/stash/")?.1,
        )
        .await?;
        ensure!(!upload.end(scene).await?, "another upload's stash");
        let upload = make("stash-deleted").await?;
        remove(scene, &state, &upload.named("/stash/")?.0).await?;
        ensure!(!upload.end(scene).await?, "no stash");
        // Rolled back: the stash of an attempt that was replaced, under the name of the one that counts.
        let upload = make("stash-attempt").await?;
        let old = upload.named("/stash/")?.1.clone();
        let place = (BUCKET, "stash-attempt");
        let newer = upload_part(&scene.client, place, &upload.id, 1, &pattern(77, 1_000)).await?;
        for (name, content) in records(scene, &state, "uploads/").await? {
            if name.contains("/stash/")
                && !upload.records.iter().any(|(known, _)| *known == name)
                && other.named("/stash/")?.0 != name
                && content.len() == old.len()
            {
                write(scene, &state, &name, &old).await?;
            }
        }
        let done = complete(&scene.client, place, &upload.id, vec![newer]).await;
        ensure!(done.is_err(), "the stash of another attempt");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_forged_records_costs_bounded_work() -> Result<()> {
    with_scene("", LIMIT, async |scene| {
        let state = state_bucket(&scene.bare).await?;
        let upload = Waiting::begin(scene, &state, "flooded", 1).await?;
        let (name, _) = upload.named("/parts/")?;
        let prefix = name.split("parts/").next().context("prefix")?.to_owned();
        let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = std::sync::Arc::clone(&asked);
        // A listing that never ends, of names that look like records.
        scene.adversary.trick(&format!("/{state}"), move |asked, _| {
            let page = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let prefix = prefix.clone();
            async move {
                if asked.method != "GET" || !asked.query.contains("list-type") { return Ok(Action::Pass); }
                let mut document = format!("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>{page}</NextContinuationToken>");
                for number in 0..1_000 {
                    document.extend([format!(
                        "<Contents><Key>{prefix}parts/00001/{page:016x}{number:016x}/{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>0</Size></Contents>",
                        "a".repeat(150)
                    )]);
                }
                document.push_str("</ListBucketResult>");
                Ok(Action::Reply(Reply { status: 200, headers: Vec::new(), body: document.into(), ending: Ending::Clean }))
            }
        });
        let started = Instant::now();
        let done = complete(&scene.client, (BUCKET, "flooded"), &upload.id, vec![upload.part.clone()]).await;
        ensure!(done.is_err(), "it completes");
        let pages = asked.load(std::sync::atomic::Ordering::Relaxed);
        ensure!(pages <= 130, "{pages} pages were asked for");
        ensure!(started.elapsed() < Duration::from_mins(1), "it took {:?}", started.elapsed());
        scene.adversary.behave(&format!("/{state}"));
        ensure!(upload.end(scene).await?, "afterwards it completes");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_was_altered_or_deleted_chooses_no_key_and_inline_wraps_serve() -> Result<()>
{
    with_scene("", LIMIT, async |scene| {
        let state = state_bucket(&scene.bare).await?;
        let plaintext = pattern(1, 5_000);
        for bucket in ["aes", "chacha"] {
            sealgate_tests::rig::put(&scene.client, bucket, "old", &plaintext).await?;
        }
        let registry = records(scene, &state, "registry/").await?;
        ensure!(registry.len() >= 2, "{} working keys", registry.len());
        for what in ["altered", "foreign", "cut", "deleted"] {
            for (number, (name, content)) in registry.iter().enumerate() {
                let foreign = registry
                    .get((number + 1) % registry.len())
                    .context("another")?;
                let mut altered = content.clone();
                match what {
                    "altered" => altered
                        .iter_mut()
                        .skip(8)
                        .step_by(7)
                        .for_each(|byte| *byte ^= 1),
                    "foreign" => altered.clone_from(&foreign.1),
                    _ => altered.truncate(30),
                }
                if what == "deleted" {
                    remove(scene, &state, name).await?;
                } else {
                    write(scene, &state, name, &altered).await?;
                }
            }
            // One that has nothing in memory.
            let fresh = scene.rig.gateway_with(GatewaySettings {
                more: "\n[[domain]]\nbuckets = [\"chacha*\"]\nsuite = \"chacha20-poly1305\"\n"
                    .to_owned(),
                ..GatewaySettings::new(&scene.rig.minio.endpoint, &scene.rig.key_server.endpoint)
            })?;
            let client = fresh.endpoint.s3()?;
            for bucket in ["aes", "chacha"] {
                let found = sealgate_tests::rig::get(&client, bucket, "old")
                    .await
                    .with_context(|| format!("registry {what}"))?;
                ensure!(found == plaintext, "other bytes");
                sealgate_tests::rig::put(&client, bucket, "new", &plaintext).await?;
                ensure!(
                    sealgate_tests::rig::get(&client, bucket, "new").await? == plaintext,
                    "other bytes"
                );
            }
            // It sealed under a key of its own: none that lay there.
            let now = records(scene, &state, "registry/").await?;
            ensure!(
                now.iter()
                    .any(|(name, _)| !registry.iter().any(|(old, _)| old == name)),
                "no new working key"
            );
        }
        Ok(())
    })
    .await
}
