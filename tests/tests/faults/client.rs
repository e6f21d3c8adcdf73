//! A client: it writes, reads, lists and deletes without pause, on keys that nobody else writes to, and judges every answer.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use aws_sdk_s3::Client as Connection;
use sealgate_tests::{
    random::Random,
    raw_http::{Payload, RawRequest},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    content::Content,
    failure::{Failure, answered},
    judgement::{judge, judge_listing, listed, lose, read, told},
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

    /// Asks until it is acknowledged, with the retries of an SDK or without: the answer, and how many attempts failed before.
    pub(crate) async fn attempt<T, R>(
        &mut self,
        slot: usize,
        operation: &str,
        what: &str,
        ask: impl Fn(Connection) -> R,
    ) -> Result<Option<(T, u32)>>
    where
        R: Future<Output = Result<T, Failure>>,
    {
        for failed in 0..self.attempts() {
            let outcome = ask(self.connection()?).await;
            let outcome = self.counted(operation, outcome);
            self.note(slot, &format!("{what}: {}", told(&outcome)));
            if let Ok(answer) = outcome {
                return Ok(Some((answer, failed)));
            }
            self.pause_before_retry(failed).await;
        }
        Ok(None)
    }

    /// Notes what came of a write, or with no content of a deletion: how many attempts failed before it was acknowledged, if it was. One of
    /// those that failed may still come true later, so nothing else may be written.
    pub(crate) fn settle(
        &mut self,
        slot: usize,
        content: Option<Content>,
        failed: Option<u32>,
    ) -> Result<()> {
        let known = self.known(slot)?;
        match failed {
            Some(failed) => {
                known.acknowledge(content);
                if failed > 0 {
                    known.retire();
                }
            }
            None => known.give_up(content),
        }
        Ok(())
    }

    async fn write(&mut self, slot: usize) -> Result<()> {
        let length = self.length();
        let content = self.world.source.fresh(length);
        let _permit = self.permit(length).await?;
        let key = self.key(slot);
        let body = self.world.source.bytes(content);
        let ask = |connection: Connection| {
            let request = connection.put_object().bucket(BUCKET).key(&key);
            answered(limit(length), request.body(body.clone().into()).send())
        };
        let what = format!("put {content:?}");
        let stored = self.attempt(slot, "put", &what, ask).await?;
        self.settle(slot, Some(content), stored.map(|(_, failed)| failed))
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
        let ask = |connection: Connection| {
            let request = connection.delete_object().bucket(BUCKET).key(&key);
            answered(limit(0), request.send())
        };
        let deleted = self.attempt(slot, "delete", "delete", ask).await?;
        self.settle(slot, None, deleted.map(|(_, failed)| failed))
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
            Ok(_) => self.settle(slot, Some(content), Some(0)),
            Err(failure) if failure.is_not_found() => {
                let known = self.keys.get(from).context("no such key")?;
                lose(&self.world, known, "a copy does not find it");
                Ok(())
            }
            Err(_) => {
                self.known(from)?.retire();
                self.settle(slot, Some(content), None)
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
        let world = Arc::clone(&self.world);
        let known = self.at(place).context("no key")?;
        let what = format!("get {range:?}: {}", told(&outcome));
        known.note(&world.timeline, &what);
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
            judge_listing(&self.world, self.all(), &found);
        }
        Ok(())
    }

    /// Everything that it knows.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Known> {
        self.keys.iter().chain(&self.retired)
    }
}
