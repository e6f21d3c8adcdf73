//! When all is over: everything that was acknowledged is there, nothing that cannot be read is, and what crashes have left is removed, and
//! nothing else.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use aws_sdk_s3::Client as Connection;
use futures_util::{StreamExt as _, TryStreamExt as _, future::BoxFuture, stream};
use sealgate_envelope::{UploadHash, records::upload_prefix};
use sealgate_tests::{
    endpoint::Endpoint,
    rig::state_bucket,
    servers::{Action, Asked, Gateway, Meddler, Reply, meddler, report},
};
use serde_json::{Value, json};

use crate::{
    client::Client,
    failure::Failure,
    judgement::{judge, judge_listing, listed, read},
    model::Known,
    scene::Scene,
    uploads::{Upload, abort, complete},
    world::{BUCKET, World},
};

/// How long a command may take.
const COMMAND_LIMIT: Duration = Duration::from_mins(5);

/// Objects that are read at the same time.
const READERS: usize = 4;

/// Attempts at what no fault disturbs any more.
const ATTEMPTS: u32 = 3;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Keys that were looked at.
    pub(crate) keys: usize,
    /// Objects that were read whole.
    pub(crate) objects: usize,
    /// Of these, writes without an acknowledgement that came true.
    pub(crate) unacknowledged: usize,
    /// Uploads whose state was removed at first.
    pub(crate) removed: usize,
    /// Uploads that were left open and then completed.
    pub(crate) completed: usize,
    /// Uploads at the storage that no record knows.
    pub(crate) unknown: usize,
}

/// An upload that the storage has.
struct OpenUpload {
    key: String,
    id: String,
    parts: usize,
}

/// Everything of an aftermath.
pub(crate) struct Aftermath<'a> {
    scene: &'a Scene,
    world: &'a World,
    clients: &'a mut [Client],
    /// The storage itself.
    bare: Connection,
    /// A gateway that was not there.
    fresh: Gateway,
    /// What makes the state bucket look old to it.
    _time: Meddler,
    state_bucket: String,
    found: Found,
}

impl<'a> Aftermath<'a> {
    pub(crate) async fn new(
        scene: &'a Scene,
        world: &'a World,
        clients: &'a mut [Client],
    ) -> Result<Self> {
        let bare = scene.minio.endpoint.s3()?;
        let state_bucket = state_bucket(&bare).await?;
        let time = ageing(&scene.minio.endpoint, &state_bucket).await?;
        let fresh = scene.another_gateway(&time.endpoint.url)?;
        Ok(Self {
            scene,
            world,
            clients,
            bare,
            fresh,
            _time: time,
            state_bucket,
            found: Found::default(),
        })
    }

    /// Looks at everything, removes what is left, and looks again.
    pub(crate) async fn look(mut self) -> Result<Found> {
        self.read_everything().await?;
        let connection = self.fresh.endpoint.s3()?;

        let before = self.names(BUCKET).await?;
        let state = self.lasting_state().await?;
        let storage = self.open_at_the_storage().await?;
        // What is young stays, whatever it is.
        let member = self.scene.members.first().context("no gateway")?;
        for verdict in verdicts(&member.gateway)?.values() {
            ensure!(
                verdict == "young",
                "of what is young, something is {verdict}"
            );
        }
        ensure!(
            self.lasting_state().await? == state,
            "gc removes what is young"
        );
        let verdicts = verdicts(&self.fresh)?;
        for (prefix, verdict) in &verdicts {
            let due = if storage.contains_key(prefix) {
                "open"
            } else {
                "garbage"
            };
            let names: Vec<_> = state
                .keys()
                .filter(|name| name.starts_with(prefix))
                .collect();
            ensure!(
                verdict == due,
                "{prefix} is {verdict}, not {due}: {names:#?}"
            );
        }
        let mut garbage = verdicts;
        garbage.retain(|_, verdict| verdict == "garbage");
        self.found.removed = garbage.len();
        let mut due = state;
        due.retain(|name, _| !garbage.keys().any(|prefix| name.starts_with(prefix)));
        let left = self.lasting_state().await?;
        ensure!(left == due, "gc left {left:#?}\nand not {due:#?}");
        ensure!(self.names(BUCKET).await? == before, "gc changes objects");

        // Who began an upload before all this can still end it.
        self.complete_what_is_whole(&connection).await?;
        self.abort_the_rest(&connection).await?;
        let verdicts = self::verdicts(&self.fresh)?;
        ensure!(
            verdicts.values().all(|verdict| verdict == "garbage"),
            "left over: {verdicts:?}"
        );
        let mut left = self.names(&self.state_bucket).await?;
        left.retain(|name, _| !name.starts_with("control/") && !name.starts_with("registry/"));
        ensure!(left.is_empty(), "left over: {:?}", left.keys());
        self.read_everything().await?;
        self.verify()?;
        Ok(self.found)
    }

    /// Reads every key through a gateway that has nothing in memory, and lists all.
    async fn read_everything(&mut self) -> Result<()> {
        let connection = self.fresh.endpoint.s3()?;
        let all: Vec<&Known> = self.clients.iter().flat_map(Client::all).collect();
        let (world, connection) = (self.world, &connection);
        let read: Vec<(bool, bool)> = stream::iter(all.iter().copied())
            .map(|known| async move {
                let outcome = read_surely(connection, world, known).await;
                let is_there = outcome.is_ok();
                if let Err(failure) = &outcome
                    && !failure.is_not_found()
                {
                    let story = known.story(&world.timeline);
                    world
                        .timeline
                        .lose(&format!("cannot be read: {failure}\n{story}"));
                }
                (is_there, judge(world, known, None, outcome))
            })
            .buffer_unordered(READERS)
            .collect()
            .await;
        self.found.keys = all.len();
        self.found.objects = read.iter().filter(|(is_there, _)| *is_there).count();
        self.found.unacknowledged = read.iter().filter(|(_, late)| *late).count();
        let found = listed(connection, "").await;
        let found = found.map_err(|failure| anyhow::anyhow!("no listing: {failure}"))?;
        judge_listing(self.world, all.into_iter(), &found);
        Ok(())
    }

    /// The names in a bucket of the storage, with their entity tags.
    async fn names(&self, bucket: &str) -> Result<BTreeMap<String, String>> {
        let mut pages = self
            .bare
            .list_objects_v2()
            .bucket(bucket)
            .into_paginator()
            .send();
        let mut names = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for object in page?.contents.unwrap_or_default() {
                names.insert(
                    object.key.unwrap_or_default(),
                    object.e_tag.unwrap_or_default(),
                );
            }
        }
        Ok(names)
    }

    /// What the state bucket holds, but for what running gateways write down anew all the time.
    async fn lasting_state(&self) -> Result<BTreeMap<String, String>> {
        let mut names = self.names(&self.state_bucket).await?;
        names.retain(|name, _| !name.starts_with("control/"));
        Ok(names)
    }

    /// The uploads that the storage has, by the prefix of their state. MinIO lists those of a key, not those of a bucket, and among them
    /// directories that were left of uploads which it does not know any more.
    async fn open_at_the_storage(&self) -> Result<BTreeMap<String, OpenUpload>> {
        let bare = &self.bare;
        let keys = self.clients.iter().flat_map(Client::all);
        let found: Vec<Vec<_>> = stream::iter(keys)
            .map(|known| async move {
                let request = bare.list_multipart_uploads().bucket(BUCKET);
                let answer = request.prefix(&known.key).send().await?;
                let uploads = answer.uploads.unwrap_or_default().into_iter();
                let mut open = Vec::new();
                for id in uploads.filter_map(|upload| upload.upload_id) {
                    let request = bare.list_parts().bucket(BUCKET).key(&known.key);
                    let outcome = request.upload_id(&id).send().await;
                    let parts = match outcome.map_err(Failure::from) {
                        Ok(answer) => answer.parts.unwrap_or_default().len(),
                        Err(failure) if failure.is_not_found() => continue,
                        Err(failure) => bail!("the parts of {id}: {failure}"),
                    };
                    let key = known.key.clone();
                    open.push((prefix(&id), OpenUpload { key, id, parts }));
                }
                anyhow::Ok(open)
            })
            .buffer_unordered(READERS)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn complete_what_is_whole(&mut self, connection: &Connection) -> Result<()> {
        for client in &mut *self.clients {
            let (whole, rest): (Vec<Upload>, Vec<Upload>) = std::mem::take(&mut client.open)
                .into_iter()
                .partition(|upload| upload.is_whole);
            client.open = rest;
            for upload in whole {
                let outcome = complete(connection, &upload).await;
                let mut all = client.keys.iter_mut().chain(&mut client.retired);
                let known = all.find(|known| known.key == upload.key);
                let known = known.context("an upload of an unknown key")?;
                let what = format!("complete {} after all: {outcome:?}", upload.id);
                known.note(&self.world.timeline, &what);
                if let Err(failure) = outcome {
                    let story = known.story(&self.world.timeline);
                    let loss = format!("a whole upload cannot be completed: {failure}\n{story}");
                    self.world.timeline.lose(&loss);
                    client.open.push(upload);
                    continue;
                }
                known.acknowledge(Some(upload.content));
                self.found.completed += 1;
            }
        }
        Ok(())
    }

    /// Aborts every other upload: those that clients know through the gateway, and the others as a lifecycle rule of the storage would.
    async fn abort_the_rest(&mut self, connection: &Connection) -> Result<()> {
        for upload in self.clients.iter().flat_map(|client| &client.open) {
            match abort(connection, upload).await {
                Ok(()) => {}
                Err(failure) if failure.is_not_found() => {}
                Err(failure) => bail!("abort of {}: {failure}", upload.id),
            }
        }
        let state = self.names(&self.state_bucket).await?;
        for (prefix, OpenUpload { key, id, parts }) in self.open_at_the_storage().await? {
            if !state.keys().any(|name| name.starts_with(&prefix)) {
                // Its gateway died before its id was told to anyone.
                self.found.unknown += 1;
                ensure!(
                    parts == 0,
                    "{parts} parts of an upload of {key} that no record knows"
                );
            }
            let abort = self.bare.abort_multipart_upload().bucket(BUCKET);
            abort.key(&key).upload_id(&id).send().await?;
        }
        Ok(())
    }

    /// What the operator's own look at everything says.
    fn verify(&self) -> Result<()> {
        let mut command = self.fresh.command("verify")?;
        command.args(["--deep", "--bucket", BUCKET]);
        let (succeeded, document, said) =
            tokio::task::block_in_place(|| report(&mut command, COMMAND_LIMIT))?;
        ensure!(succeeded, "verify --deep: {document:#}\n{said}");
        ensure!(
            document.get("objects") == Some(&json!(self.found.objects)),
            "{} objects were read: {document:#}",
            self.found.objects
        );
        Ok(())
    }
}

fn prefix(upload_id: &str) -> String {
    upload_prefix(UploadHash::of(upload_id))
}

/// The body of an object when nothing is wrong any more.
async fn read_surely(
    connection: &Connection,
    world: &World,
    known: &Known,
) -> Result<bytes::Bytes, Failure> {
    let mut outcome = Err(Failure::named("not asked"));
    for _ in 0..ATTEMPTS {
        outcome = read(connection, &known.key, None, world.longest).await;
        match &outcome {
            Err(failure) if !failure.is_not_found() => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            _ => break,
        }
    }
    outcome
}

/// What `sealgate gc` says of the state of each upload.
fn verdicts(gateway: &Gateway) -> Result<BTreeMap<String, String>> {
    let mut command = gateway.command("gc")?;
    let (succeeded, document, said) =
        tokio::task::block_in_place(|| report(&mut command, COMMAND_LIMIT))?;
    ensure!(succeeded, "gc fails: {said}");
    let uploads = document.get("uploads").and_then(Value::as_array);
    let uploads = uploads.context("no uploads")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(uploads
        .iter()
        .map(|upload| (text(&upload["prefix"]), text(&upload["verdict"])))
        .collect())
}

/// A storage whose state bucket was written long ago.
async fn ageing(storage: &Endpoint, bucket: &str) -> Result<Meddler> {
    let (path, of) = (format!("/{bucket}"), storage.clone());
    let rule = move |asked: Asked| -> BoxFuture<'static, Action> {
        let is_listing = asked.method == "GET"
            && asked.path.trim_end_matches('/') == path
            && asked.query.contains("list-type=2");
        let storage = of.clone();
        Box::pin(async move {
            if !is_listing {
                return Action::Pass;
            }
            match meddler::pass(&storage, &asked, true).await {
                Ok(answer) => {
                    let aged = aged(&answer.text());
                    let mut reply = Reply::from(answer);
                    reply.set("content-length", &aged.len().to_string());
                    reply.body = aged.into();
                    Action::Reply(reply)
                }
                Err(_) => Action::Answer(503, Vec::new()),
            }
        })
    };
    Meddler::start(storage, rule).await
}

fn aged(listing: &str) -> String {
    let mut pieces = listing.split("<LastModified>");
    let mut aged = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (_, rest) = piece.split_once("</LastModified>").unwrap_or_default();
        aged.push_str("<LastModified>2020-01-01T00:00:00.000Z</LastModified>");
        aged.push_str(rest);
    }
    aged
}
