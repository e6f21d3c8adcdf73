//! A client: it writes, reads, lists and deletes without pause, on keys that nobody else writes to, and judges every answer.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use aws_sdk_s3::Client as Connection;
use bytes::Bytes;
use sealgate_tests::{
    random::Random,
    raw_http::{Payload, RawRequest},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    content::Content,
    failure::{Failure, answered},
    model::Known,
    uploads::Upload,
    world::{BUCKET, LARGE, World, limit},
};

/// Keys that a client writes to at one time.
const KEYS: usize = 6;

/// Connections that a client has, each of which is at one of the gateways.
const CONNECTIONS: usize = 3;

/// Attempts at a request by a client that does not give up at once.
const ATTEMPTS: u32 = 4;

/// Keys of one page of a listing: few, so that there are several pages.
const PAGE: i32 = 25;

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: u64,
    pub(crate) random: Random,
    pub(crate) world: Arc<World>,
    connections: Vec<Connection>,
    /// The keys that it writes to.
    pub(crate) keys: Vec<Known>,
    /// Those that it must not write to any more.
    pub(crate) retired: Vec<Known>,
    /// Uploads in parts that are open, as far as it knows.
    pub(crate) open: Vec<Upload>,
    named: u64,
}

impl Client {
    pub(crate) fn new(number: u64, seed: u64, world: Arc<World>) -> Result<Self> {
        let mut client = Self {
            number,
            random: Random(seed.wrapping_mul(1_000_003).wrapping_add(number)),
            world,
            connections: Vec::new(),
            keys: Vec::new(),
            retired: Vec::new(),
            open: Vec::new(),
            named: 0,
        };
        for _ in 0..CONNECTIONS {
            client.connections.push(client.world.endpoint.s3()?);
        }
        for _ in 0..KEYS {
            let key = client.new_key();
            client.keys.push(key);
        }
        Ok(client)
    }

    fn new_key(&mut self) -> Known {
        self.named += 1;
        Known::new(format!("{}{:04}", self.prefix(), self.named))
    }

    fn prefix(&self) -> String {
        format!("client-{}/", self.number)
    }

    /// Works until it is told to stop.
    pub(crate) async fn run(mut self) -> Result<Self> {
        while !self.world.stop.load(Ordering::Relaxed) {
            let slot = self.random.below(self.keys.len());
            match self.random.below(100) {
                0..=24 => self.write(slot).await?,
                25..=36 => self.upload(slot).await?,
                37..=43 => self.delete(slot).await?,
                44..=48 => self.copy(slot).await?,
                49..=52 => self.break_off(slot).await?,
                53..=74 => self.read(false).await?,
                75..=86 => self.read(true).await?,
                87..=93 => self.head().await?,
                _ => self.list().await?,
            }
            self.replace_retired();
            // The SDK remembers the time that an answer had, and would go on signing for that of a gateway whose clock is wrong.
            if self.random.chance(20) {
                let place = self.random.below(self.connections.len());
                let fresh = self.world.endpoint.s3()?;
                if let Some(connection) = self.connections.get_mut(place) {
                    *connection = fresh;
                }
            }
        }
        Ok(self)
    }

    fn replace_retired(&mut self) {
        for slot in 0..self.keys.len() {
            if self.keys.get(slot).is_some_and(Known::is_retired) {
                let fresh = self.new_key();
                if let Some(known) = self.keys.get_mut(slot) {
                    self.retired.push(mem::replace(known, fresh));
                }
            }
        }
    }

    pub(crate) fn connection(&mut self) -> Result<Connection> {
        let connection = self.random.pick(&self.connections).cloned();
        connection.context("a client without connections")
    }

    pub(crate) fn key(&self, slot: usize) -> String {
        self.keys
            .get(slot)
            .map(|known| known.key.clone())
            .unwrap_or_default()
    }

    pub(crate) fn known(&mut self, slot: usize) -> Result<&mut Known> {
        self.keys.get_mut(slot).context("no such key")
    }

    pub(crate) fn note(&mut self, slot: usize, what: &str) {
        let timeline = &self.world.timeline;
        if let Some(known) = self.keys.get_mut(slot) {
            known.note(timeline, what);
        }
    }

    /// How often this request is tried: as often as an SDK would, or once.
    pub(crate) fn attempts(&mut self) -> u32 {
        if self.random.chance(60) { ATTEMPTS } else { 1 }
    }

    /// Counts a request and its outcome.
    pub(crate) fn counted<T>(
        &self,
        operation: &str,
        outcome: Result<T, Failure>,
    ) -> Result<T, Failure> {
        let timeline = &self.world.timeline;
        timeline.count(&format!("operation {operation}"));
        match &outcome {
            Ok(_) => timeline.count(&format!("acknowledged {operation}")),
            Err(failure) => timeline.count(&format!("failure {failure}, {operation}")),
        }
        outcome
    }

    pub(crate) async fn pause_before_retry(&mut self, attempt: u32) {
        let pause = 50 + self.random.below(200 << attempt);
        tokio::time::sleep(Duration::from_millis(pause as u64)).await;
    }

    pub(crate) fn length(&mut self) -> usize {
        let around = |random: &mut Random, length: usize| length + random.below(length / 2 + 1);
        let length = match self.random.below(100) {
            0..=4 => self.random.below(2),
            5..=49 => around(&mut self.random, 4 << 10),
            50..=64 => (64 << 10) + self.random.below(3) - 1,
            65..=84 => around(&mut self.random, 200_000),
            85..=93 => around(&mut self.random, 1 << 20),
            94..=97 => around(&mut self.random, 4 << 20),
            98 => around(&mut self.random, 32 << 20),
            _ => around(&mut self.random, 170 << 20),
        };
        length.min(self.world.longest)
    }

    /// A write, with the retries of an SDK or without.
    async fn write(&mut self, slot: usize) -> Result<()> {
        let length = self.length();
        let content = self.world.source.fresh(length);
        let _permit = self.permit(length).await?;
        let key = self.key(slot);
        let attempts = self.attempts();
        for attempt in 0..attempts {
            let connection = self.connection()?;
            let body = self.world.source.bytes(content);
            let request = connection.put_object().bucket(BUCKET).key(&key);
            let outcome = answered(limit(length), request.body(body.into()).send()).await;
            let outcome = self.counted("put", outcome);
            self.note(slot, &format!("put {content:?}: {}", told(&outcome)));
            if outcome.is_ok() {
                return self.acknowledge(slot, Some(content), attempt);
            }
            self.pause_before_retry(attempt).await;
        }
        self.known(slot)?.give_up(Some(content));
        Ok(())
    }

    /// After failed attempts at the same, one of these may still come true later, so nothing else may be written.
    pub(crate) fn acknowledge(
        &mut self,
        slot: usize,
        content: Option<Content>,
        failed: u32,
    ) -> Result<()> {
        let known = self.known(slot)?;
        known.acknowledge(content);
        if failed > 0 {
            known.retire();
        }
        Ok(())
    }

    pub(crate) async fn permit(
        &self,
        length: usize,
    ) -> Result<Option<tokio::sync::OwnedSemaphorePermit>> {
        if length <= LARGE {
            return Ok(None);
        }
        let large = Arc::clone(&self.world.large);
        Ok(Some(large.acquire_owned().await?))
    }

    async fn delete(&mut self, slot: usize) -> Result<()> {
        let key = self.key(slot);
        let attempts = self.attempts();
        for attempt in 0..attempts {
            let request = self.connection()?.delete_object().bucket(BUCKET).key(&key);
            let outcome = answered(limit(0), request.send()).await;
            let outcome = self.counted("delete", outcome);
            self.note(slot, &format!("delete: {}", told(&outcome)));
            if outcome.is_ok() {
                return self.acknowledge(slot, None, attempt);
            }
            self.pause_before_retry(attempt).await;
        }
        self.known(slot)?.give_up(None);
        Ok(())
    }

    /// Copies another key to this one. A copy that is still on its way would copy what is there later, so both keys rest after a failure.
    async fn copy(&mut self, slot: usize) -> Result<()> {
        let from = (slot + 1) % self.keys.len();
        let Some(content) = self.known(from)?.certain() else {
            return Ok(());
        };
        let (key, source) = (self.key(slot), format!("{BUCKET}/{}", self.key(from)));
        let request = self.connection()?.copy_object().bucket(BUCKET).key(&key);
        let outcome = answered(limit(content.length), request.copy_source(source).send()).await;
        let outcome = self.counted("copy", outcome);
        self.note(slot, &format!("copy of {content:?}: {}", told(&outcome)));
        match outcome {
            Ok(_) => self.acknowledge(slot, Some(content), 0),
            Err(failure) if failure.is_not_found() => {
                self.lose(from, "a copy does not find it")?;
                Ok(())
            }
            Err(_) => {
                self.known(slot)?.give_up(Some(content));
                self.known(from)?.retire();
                Ok(())
            }
        }
    }

    /// Sends a part of a body and leaves. Nothing of it may ever appear.
    async fn break_off(&mut self, slot: usize) -> Result<()> {
        let length = self.length().clamp(2, LARGE);
        let content = self.world.source.fresh(length);
        let endpoint = &self.world.endpoint;
        let body = self.world.source.bytes(content);
        let sent = self.random.below(length);
        let target = format!("/{BUCKET}/{}", self.key(slot));
        let request = RawRequest::new("PUT", &target)
            .header("content-length", &length.to_string())
            .sign(
                endpoint,
                Payload::Named("UNSIGNED-PAYLOAD"),
                SystemTime::now(),
            )?;
        let head = request.bytes(endpoint);
        let sending = async {
            let mut stream = TcpStream::connect(endpoint.authority()).await?;
            stream.write_all(&head).await?;
            stream.write_all(&body.slice(..sent)).await
        };
        let outcome = match tokio::time::timeout(limit(length), sending).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Failure::named("connection failed")),
        };
        let outcome = self.counted("put broken off", outcome);
        let what = format!(
            "put {content:?} broken off after {sent}: {}",
            told(&outcome)
        );
        self.note(slot, &what);
        Ok(())
    }

    /// One of its keys, of which some are retired.
    fn some_key(&mut self) -> (bool, usize) {
        let retired = self.random.chance(30) && !self.retired.is_empty();
        let of = if retired { &self.retired } else { &self.keys };
        let place = self.random.below(of.len());
        (retired, place)
    }

    fn at(&mut self, (retired, place): (bool, usize)) -> Option<&mut Known> {
        let of = if retired {
            &mut self.retired
        } else {
            &mut self.keys
        };
        of.get_mut(place)
    }

    async fn read(&mut self, is_ranged: bool) -> Result<()> {
        let place = self.some_key();
        let known = self.at(place).context("no key")?;
        let key = known.key.clone();
        let shortest = known.shortest().unwrap_or_default();
        let mut range = None;
        if is_ranged {
            if shortest == 0 {
                return Ok(());
            }
            let first = self.random.below(shortest);
            range = Some((first, first + self.random.below(shortest - first)));
        }
        let longest = range.map_or(self.world.longest, |(first, last)| last - first);
        let connection = self.connection()?;
        let outcome = read(&connection, &key, range, longest).await;
        let outcome = self.counted("get", outcome);
        let what = format!("get {range:?}: {}", told(&outcome));
        self.judge(place, range, outcome, &what)
    }

    fn judge(
        &mut self,
        place: (bool, usize),
        range: Option<(usize, usize)>,
        outcome: Result<Bytes, Failure>,
        what: &str,
    ) -> Result<()> {
        let world = Arc::clone(&self.world);
        let known = self.at(place).context("no key")?;
        known.note(&world.timeline, what);
        judge(&world, known, range, outcome);
        Ok(())
    }

    async fn head(&mut self) -> Result<()> {
        let place = self.some_key();
        let key = self.at(place).context("no key")?.key.clone();
        let request = self.connection()?.head_object().bucket(BUCKET).key(&key);
        let outcome = answered(limit(0), request.send()).await;
        let outcome = self.counted("head", outcome);
        let world = Arc::clone(&self.world);
        let known = self.at(place).context("no key")?;
        known.note(&world.timeline, &format!("head: {}", told(&outcome)));
        let problem = match outcome {
            Ok(answer) => {
                let length = usize::try_from(answer.content_length().unwrap_or(-1))?;
                (!known.may_have_length(length)).then(|| format!("HEAD says {length} bytes"))
            }
            Err(failure) if failure.is_not_found() => {
                (!known.may_be_absent()).then(|| format!("HEAD says {failure}"))
            }
            Err(_) => None,
        };
        if let Some(problem) = problem {
            lose(&world, known, &problem);
        }
        Ok(())
    }

    async fn list(&mut self) -> Result<()> {
        let connection = self.connection()?;
        let outcome = listed(&connection, &self.prefix()).await;
        let outcome = self.counted("list", outcome);
        if let Ok(found) = outcome {
            judge_listing(&self.world, self.keys.iter().chain(&self.retired), &found);
        }
        Ok(())
    }

    /// Everything that it knows.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Known> {
        self.keys.iter().chain(&self.retired)
    }

    fn lose(&mut self, slot: usize, problem: &str) -> Result<()> {
        let world = Arc::clone(&self.world);
        lose(&world, self.known(slot)?, problem);
        Ok(())
    }
}

/// What an answer is noted as.
pub(crate) fn told<T>(outcome: &Result<T, Failure>) -> String {
    match outcome {
        Ok(_) => "acknowledged".to_owned(),
        Err(failure) => failure.to_string(),
    }
}

/// Notes that something is not as it has to be.
pub(crate) fn lose(world: &World, known: &Known, problem: &str) {
    let story = known.story(&world.timeline);
    world.timeline.lose(&format!("{problem}\n{story}"));
}

/// The body of an object, or of its range, if it comes whole.
pub(crate) async fn read(
    connection: &Connection,
    key: &str,
    range: Option<(usize, usize)>,
    longest: usize,
) -> Result<Bytes, Failure> {
    let reading = async {
        let request = connection.get_object().bucket(BUCKET).key(key);
        let range = range.map(|(first, last)| format!("bytes={first}-{last}"));
        let answer = answered(limit(0), request.set_range(range).send()).await?;
        let body = answer.body.collect().await;
        Ok(body.map_err(|_| Failure::named("answer cut"))?.into_bytes())
    };
    tokio::time::timeout(limit(longest), Box::pin(reading))
        .await
        .unwrap_or_else(|_| Err(Failure::named("timed out")))
}

/// Judges what a read gave. Returns whether it gave an object that was never acknowledged.
pub(crate) fn judge(
    world: &World,
    known: &Known,
    range: Option<(usize, usize)>,
    outcome: Result<Bytes, Failure>,
) -> bool {
    match outcome {
        Ok(bytes) => {
            let found = known.may_be(&world.source, range, &bytes);
            if found.is_none() {
                let problem = format!(
                    "{} bytes (range {range:?}) that it cannot hold",
                    bytes.len()
                );
                lose(world, known, &problem);
            }
            found == Some(true)
        }
        Err(failure) => {
            if failure.is_not_found() && !known.may_be_absent() {
                lose(world, known, &format!("GET says {failure}"));
            }
            false
        }
    }
}

/// The keys with this prefix, and their lengths, page by page.
pub(crate) async fn listed(
    connection: &Connection,
    prefix: &str,
) -> Result<BTreeMap<String, usize>, Failure> {
    let mut found = BTreeMap::new();
    let mut next = None;
    loop {
        let request = connection.list_objects_v2().bucket(BUCKET).prefix(prefix);
        let request = request.max_keys(PAGE).set_continuation_token(next);
        let page = answered(limit(0), request.send()).await?;
        for object in page.contents() {
            let length = usize::try_from(object.size().unwrap_or(-1)).unwrap_or(usize::MAX);
            found.insert(object.key().unwrap_or_default().to_owned(), length);
        }
        next = page.next_continuation_token;
        if next.is_none() {
            return Ok(found);
        }
    }
}

/// Whether a listing tells what may be there, and all that has to be.
pub(crate) fn judge_listing<'a>(
    world: &World,
    all: impl Iterator<Item = &'a Known>,
    found: &BTreeMap<String, usize>,
) {
    let mut left = found.clone();
    for known in all {
        match left.remove(&known.key) {
            Some(length) if !known.may_have_length(length) => {
                lose(world, known, &format!("listed with {length} bytes"));
            }
            None if !known.may_be_absent() => lose(world, known, "not listed"),
            _ => {}
        }
    }
    for key in left.keys() {
        world
            .timeline
            .lose(&format!("{key} is listed, which nobody has written"));
    }
}
