//! A storage that ignores conditions, loses answers, loses objects or hangs, and two commands at once: nothing is lost, and nothing that was asked
//! for is taken for done.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::{Client, types::StorageClass};
use futures_util::future::BoxFuture;
use sealgate_tests::{
    content::pattern,
    process::Process,
    rig::{bounded, get, put},
    servers::{Action, Asked, Gateway, GatewaySettings, Meddler},
};

use super::{BUCKET, LIMIT, MARKED, PART, enable_versions, is_sealed, marked_rig, migrate, staged};

const OBJECT: &str = "/migrated/object";
const CONTENT: &[u8] = b"in the clear";

/// A storage that a rule meddles with, with one object in the clear.
struct Meddled {
    rig: sealgate_tests::rig::Rig,
    /// Whose commands meet the meddler.
    gateway: Gateway,
    bare: Client,
    _meddler: Meddler,
}

impl Meddled {
    async fn start(
        content: &[u8],
        has_versions: bool,
        rule: impl Fn(Asked) -> BoxFuture<'static, Action> + Send + Sync + 'static,
    ) -> Result<Self> {
        let (rig, bare, _) = marked_rig().await?;
        if has_versions {
            enable_versions(&bare).await?;
        }
        bare.put_object()
            .bucket(BUCKET)
            .key("object")
            .tagging("team=whale")
            .storage_class(StorageClass::ReducedRedundancy)
            .body(content.to_vec().into())
            .send()
            .await?;
        let meddler = Meddler::start(&rig.minio.endpoint, rule).await?;
        let gateway = rig.gateway_with(GatewaySettings {
            more: MARKED.to_owned(),
            upstream: "checksum_trailer = \"never\"".to_owned(),
            ..GatewaySettings::new(&meddler.endpoint, &rig.key_server.endpoint)
        })?;
        Ok(Self {
            rig,
            gateway,
            bare,
            _meddler: meddler,
        })
    }

    async fn content(&self) -> Result<Vec<u8>> {
        get(&self.rig.gateway.endpoint.s3()?, BUCKET, "object").await
    }

    /// How many versions of the object there are, and whether the current one is sealed.
    async fn versions(&self) -> Result<(usize, bool)> {
        let listing = self
            .bare
            .list_object_versions()
            .bucket(BUCKET)
            .send()
            .await?;
        Ok((
            listing.versions().len() + listing.delete_markers().len(),
            is_sealed(&self.bare, "object").await?,
        ))
    }

    /// Whether the object still has the tag and the storage class that it was written with.
    async fn has_labels(&self) -> Result<bool> {
        let head = self
            .bare
            .head_object()
            .bucket(BUCKET)
            .key("object")
            .send()
            .await?;
        let tags = self
            .bare
            .get_object_tagging()
            .bucket(BUCKET)
            .key("object")
            .send()
            .await?;
        Ok(tags
            .tag_set()
            .first()
            .is_some_and(|tag| tag.value() == "whale")
            && head.storage_class() == Some(&StorageClass::ReducedRedundancy))
    }
}

/// A rule that needs nothing but the request.
fn rule(
    decide: impl Fn(&Asked) -> Action + Send + Sync + 'static,
) -> impl Fn(Asked) -> BoxFuture<'static, Action> + Send + Sync + 'static {
    move |asked| {
        let action = decide(&asked);
        Box::pin(async move { action })
    }
}

fn is_write(asked: &Asked) -> bool {
    asked.is("PUT", OBJECT, "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storage_that_ignores_a_condition_on_complete_gets_each_object_in_one_request()
-> Result<()> {
    bounded(LIMIT, async {
        let completions = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&completions);
        let content = pattern(1, 2 * PART + 5);
        let storage = Meddled::start(
            &content,
            false,
            rule(move |asked| {
                if asked.is("POST", OBJECT, "uploadId=") {
                    seen.fetch_add(1, Ordering::Relaxed);
                }
                if asked.method == "POST" && asked.query.contains("uploadId=") {
                    return Action::PassWithoutCondition;
                }
                Action::Pass
            }),
        )
        .await?;
        let (succeeded, report) = migrate(&storage.gateway, &["--part-size", "5MiB"])?;
        ensure!(succeeded && report["sealed"] == 1, "{report}");
        ensure!(
            completions.load(Ordering::Relaxed) == 0,
            "a client's write could have been lost"
        );
        ensure!(storage.content().await? == content);
        let listing = storage.bare.list_objects_v2().bucket(BUCKET).send().await?;
        ensure!(
            listing.contents().len() == 1,
            "a probe is left: {listing:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_version_whose_answer_got_lost_is_proven_before_the_clear_one_goes() -> Result<()> {
    bounded(LIMIT, async {
        let once = AtomicBool::new(false);
        let storage = Meddled::start(
            CONTENT,
            true,
            rule(move |asked| {
                if is_write(asked) && !once.swap(true, Ordering::Relaxed) {
                    return Action::LoseAnswer;
                }
                Action::Pass
            }),
        )
        .await?;
        let (succeeded, report) = migrate(&storage.gateway, &[])?;
        ensure!(succeeded && report["complete"] == true, "{report}");
        ensure!(
            storage.versions().await? == (1, true),
            "the report says that nothing is left in the clear: {report}"
        );
        ensure!(storage.content().await? == CONTENT && storage.has_labels().await?);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_write_that_arrives_after_all_still_has_its_staged_copy() -> Result<()> {
    bounded(LIMIT, async {
        let writes = AtomicU32::new(0);
        let storage = Meddled::start(
            CONTENT,
            false,
            rule(move |asked| {
                if !is_write(asked) {
                    return Action::Pass;
                }
                match writes.fetch_add(1, Ordering::Relaxed) {
                    0 => Action::PassLate(Duration::from_secs(10)),
                    _ => Action::Answer(503, Vec::new()),
                }
            }),
        )
        .await?;
        let (succeeded, report) = migrate(&storage.gateway, &[])?;
        ensure!(!succeeded && report["failed"] == 1, "{report}");
        ensure!(
            !is_sealed(&storage.bare, "object").await?,
            "too slow a test"
        );
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        while !is_sealed(&storage.bare, "object").await? {
            ensure!(std::time::Instant::now() < deadline, "it never arrived");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        ensure!(
            !staged(&storage.bare).await?.is_empty(),
            "nobody has read the object back, and its copy is gone"
        );
        let (succeeded, report) = migrate(&storage.gateway, &[])?;
        ensure!(succeeded && report["complete"] == true, "{report}");
        ensure!(staged(&storage.bare).await?.is_empty());
        ensure!(storage.content().await? == CONTENT);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_object_that_is_missing_after_its_write_keeps_its_staged_copy() -> Result<()> {
    bounded(LIMIT, async {
        let written = AtomicBool::new(false);
        let storage = Meddled::start(
            CONTENT,
            false,
            rule(move |asked| {
                if is_write(asked) {
                    written.store(true, Ordering::Relaxed);
                } else if asked.path == OBJECT && written.load(Ordering::Relaxed) {
                    return Action::Answer(404, Vec::new());
                }
                Action::Pass
            }),
        )
        .await?;
        let (_, report) = migrate(&storage.gateway, &[])?;
        ensure!(
            report["sealed"] == 0 && report["deleted_meanwhile"] == 1,
            "{report}"
        );
        ensure!(
            staged(&storage.bare).await?.len() == 1,
            "the only copy that is known to be whole was removed"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_object_that_was_damaged_in_its_place_is_put_again_with_its_labels() -> Result<()> {
    bounded(LIMIT, async {
        let writes = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&writes);
        let damaged = AtomicBool::new(false);
        let storage = Meddled::start(
            CONTENT,
            false,
            rule(move |asked| {
                if is_write(asked) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                let is_back = asked.is("GET", OBJECT, "") && count.load(Ordering::Relaxed) > 0;
                if is_back && !damaged.swap(true, Ordering::Relaxed) {
                    return Action::Damage;
                }
                Action::Pass
            }),
        )
        .await?;
        let (succeeded, report) = migrate(&storage.gateway, &[])?;
        ensure!(succeeded && report["sealed"] == 1, "{report}");
        ensure!(writes.load(Ordering::Relaxed) == 2, "it was put again");
        ensure!(storage.has_labels().await?, "its labels are lost");
        ensure!(storage.content().await? == CONTENT);
        ensure!(staged(&storage.bare).await?.is_empty());
        Ok(())
    })
    .await
}

const GRANTS: &str = "<AccessControlPolicy xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Owner><ID>o</ID></Owner><AccessControlList>\
    <Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"><ID>o</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant>\
    <Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"Group\"><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant>\
    </AccessControlList></AccessControlPolicy>";

/// MinIO keeps no access control lists: this does, by version, and hangs when the first is given.
#[derive(Default)]
struct Grants {
    hung: AtomicBool,
    given: Mutex<BTreeMap<String, Vec<u8>>>,
    written: AtomicBool,
}

impl Grants {
    fn answer(&self, asked: &Asked) -> Action {
        if is_write(asked) {
            self.written.store(true, Ordering::Relaxed);
        }
        if asked.path != OBJECT || !asked.query.starts_with("acl=") {
            return Action::Pass;
        }
        let Ok(mut given) = self.given.lock() else {
            return Action::Answer(500, Vec::new());
        };
        if asked.method == "PUT" {
            if !self.hung.swap(true, Ordering::Relaxed) {
                return Action::Hang;
            }
            given.insert(asked.query.clone(), asked.body.to_vec());
            return Action::Answer(200, Vec::new());
        }
        // What was there at the beginning has grants; what took its place has those that it was given.
        let first = given
            .entry("first".to_owned())
            .or_insert_with(|| asked.query.clone().into());
        let is_first = *first == asked.query.as_bytes()
            && (asked.query.contains("versionId") || !self.written.load(Ordering::Relaxed));
        let found = if is_first {
            GRANTS.into()
        } else {
            given.get(&asked.query).cloned().unwrap_or_else(|| {
                b"<AccessControlPolicy><Owner><ID>o</ID></Owner><AccessControlList/></AccessControlPolicy>".to_vec()
            })
        };
        Action::Answer(200, found)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn grants_survive_a_kill_between_the_write_and_their_return() -> Result<()> {
    bounded(LIMIT, async {
        for (has_versions, keeps) in [(false, false), (true, false), (true, true)] {
            let options: &[&str] = if keeps { &["--keep-versions"] } else { &[] };
            let grants = Arc::new(Grants::default());
            let keeper = Arc::clone(&grants);
            let storage = Meddled::start(
                CONTENT,
                has_versions,
                rule(move |asked| keeper.answer(asked)),
            )
            .await?;
            let mut command = storage.gateway.command("migrate")?;
            command.args(["--bucket", BUCKET]).args(options);
            let mut running = Process::start("migrate", &mut command, storage.rig.directory())?;
            let deadline = std::time::Instant::now() + Duration::from_mins(1);
            while !grants.hung.load(Ordering::Relaxed) {
                ensure!(!running.has_ended()?, "{}", running.last_words());
                ensure!(std::time::Instant::now() < deadline, "no grants were given");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            running.kill()?;
            ensure!(is_sealed(&storage.bare, "object").await?);
            let (succeeded, report) = migrate(&storage.gateway, options)?;
            ensure!(
                succeeded != keeps && report["complete"] == !keeps && report["failed"] == 0,
                "{report}"
            );
            let given = grants
                .given
                .lock()
                .map_err(|_| anyhow::anyhow!("poisoned"))?
                .clone();
            ensure!(
                given.values().any(|document| document == GRANTS.as_bytes()),
                "versions {has_versions}, kept {keeps}: the grants are lost: {given:?}"
            );
            ensure!(storage.has_labels().await?);
            if has_versions {
                ensure!(storage.versions().await? == (1 + usize::from(keeps), true));
            }
            ensure!(staged(&storage.bare).await?.is_empty());
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_version_that_has_become_the_object_again_is_sealed_and_not_deleted() -> Result<()> {
    bounded(LIMIT, async {
        // Deletes the newer version as soon as the older one is looked at.
        let client: Arc<Mutex<Option<(Client, String, String)>>> = Arc::default();
        let armed = Arc::clone(&client);
        let storage = Meddled::start(CONTENT, true, move |asked: Asked| {
            let armed = Arc::clone(&armed);
            Box::pin(async move {
                let found = armed.lock().ok().and_then(|mut armed| {
                    let is_it = armed.as_ref().is_some_and(|(_, older, _)| {
                        asked.method == "HEAD" && asked.query.contains(older)
                    });
                    if is_it { armed.take() } else { None }
                });
                if let Some((client, _, newer)) = found {
                    let deleted = client
                        .delete_object()
                        .bucket(BUCKET)
                        .key("object")
                        .version_id(newer)
                        .send()
                        .await;
                    if deleted.is_err() {
                        return Action::Answer(500, Vec::new());
                    }
                }
                Action::Pass
            })
        })
        .await?;
        let head = storage
            .bare
            .head_object()
            .bucket(BUCKET)
            .key("object")
            .send()
            .await?;
        // Up to what may be percent-encoded.
        let older = head.version_id().context("id")?;
        let older = older.split('-').next().unwrap_or(older).to_owned();
        let newer = storage
            .rig
            .gateway
            .endpoint
            .s3()?
            .put_object()
            .bucket(BUCKET)
            .key("object")
            .body(b"sealed".to_vec().into())
            .send()
            .await?;
        let newer = newer.version_id().context("id")?.to_owned();
        *client.lock().map_err(|_| anyhow::anyhow!("poisoned"))? =
            Some((storage.bare.clone(), older, newer));
        let (succeeded, report) = migrate(&storage.gateway, &["--delete-clear-versions"])?;
        let has_met = client
            .lock()
            .map_err(|_| anyhow::anyhow!("poisoned"))?
            .is_none();
        ensure!(has_met, "the newer version was never deleted: {report}");
        ensure!(succeeded && report["sealed"] == 1, "{report}");
        ensure!(
            storage.content().await? == CONTENT,
            "the object was deleted"
        );
        ensure!(storage.versions().await? == (1, true));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_commands_at_once_lose_nothing() -> Result<()> {
    bounded(LIMIT, async {
        for has_versions in [false, true] {
            let (rig, bare, through) = marked_rig().await?;
            if has_versions {
                enable_versions(&bare).await?;
            }
            let bodies: Vec<_> = (0..12).map(|seed| pattern(seed, 600_000)).collect();
            for (number, body) in bodies.iter().enumerate() {
                put(&bare, BUCKET, &format!("object-{number}"), body).await?;
            }
            let start = |name: &str| {
                let mut command = rig.gateway.command("migrate")?;
                Process::start(name, command.args(["--bucket", BUCKET]), rig.directory())
            };
            let mut both = [start("migrate-1")?, start("migrate-2")?];
            for running in &mut both {
                while !running.has_ended()? {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            let (succeeded, report) = migrate(&rig.gateway, &[])?;
            ensure!(succeeded && report["complete"] == true, "{report}");
            for (number, body) in bodies.iter().enumerate() {
                let key = format!("object-{number}");
                ensure!(is_sealed(&bare, &key).await?, "{key}");
                ensure!(get(&through, BUCKET, &key).await? == *body, "{key}");
            }
            let left = staged(&bare).await?;
            ensure!(left.is_empty(), "{left:?}");
        }
        Ok(())
    })
    .await
}
