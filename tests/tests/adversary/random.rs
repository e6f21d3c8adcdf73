//! A random storage: sequences of what clients do, with random misbehaviour between, against a model that knows every byte that was ever
//! written to a key. What is read is one of these, or an error; while the storage behaves, it is what was written last.
//!
//! The environment says how long and from where: `ADVERSARY_SECONDS`, `ADVERSARY_SEED`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use sealgate_tests::{content::pattern, environment::number, random::Random, servers::Planted};

use crate::{
    judgement::{Outcome, check_labels},
    material::{Kind, sealed_length, store},
    scene::{PART, SUITES, Scene, with_scene},
};

/// Sequences that run at the same time, each on keys of its own.
const AT_ONCE: u64 = 4;

/// Steps of one sequence.
const STEPS: u64 = 16;

/// Keys of one sequence.
const KEYS: u64 = 3;

/// How many seconds new sequences begin, where the environment names none.
const SECONDS: u64 = 4;

const LENGTHS: [usize; 8] = [
    0,
    1,
    100,
    65_536,
    65_537,
    200_000,
    1 << 20,
    (1 << 20) + 70_000,
];

/// What is known of one key.
#[derive(Debug, Default)]
struct Known {
    /// Everything that was ever written to it, the last one last.
    written: Vec<Vec<u8>>,
    /// What lay at the storage after each write.
    stored: Vec<Planted>,
    /// Whether there is an object.
    exists: bool,
    /// Whether the storage serves something else in its place.
    planted: bool,
    /// Whether what the storage really has may be a lie that was copied.
    tainted: bool,
}

impl Known {
    fn is_lied_about(&self) -> bool {
        self.planted || self.tainted
    }
}

/// What one sequence did.
#[derive(Debug, Default)]
struct Tally {
    reads: u64,
    right: u64,
    failed: u64,
    lies: u64,
}

struct Sequence<'a> {
    scene: &'a Scene,
    random: Random,
    bucket: &'static str,
    name: u64,
    keys: BTreeMap<u64, Known>,
    tally: Tally,
    /// What was done, for the message of a failure.
    story: Vec<String>,
}

impl Sequence<'_> {
    fn key(&self, number: u64) -> String {
        format!("random-{}-{number}", self.name)
    }

    fn path(&self, number: u64) -> String {
        format!("/{}/{}", self.bucket, self.key(number))
    }

    async fn run(&mut self) -> Result<()> {
        for _ in 0..STEPS {
            let number = self.random.number() % KEYS;
            match self.random.below(12) {
                0..=2 => self.write(number).await?,
                3 => self.copy(number).await?,
                4 => self.delete(number).await?,
                5..=7 => self.lie(number),
                8 => self.behave(number),
                _ => self.read(number).await?,
            }
        }
        for number in 0..KEYS {
            self.behave(number);
            self.read(number).await?;
        }
        Ok(())
    }

    async fn write(&mut self, number: u64) -> Result<()> {
        let is_in_parts = self.random.chance(20);
        let length = LENGTHS.get(self.random.below(LENGTHS.len())).copied();
        let mut length = length.context("a length")?;
        let kind = if !is_in_parts {
            Kind::Single(length)
        } else if self.random.chance(15) {
            length += PART;
            Kind::Parts(vec![PART, length - PART])
        } else {
            Kind::Parts(vec![length])
        };
        let plaintext = pattern(self.random.number(), length);
        self.story.push(format!("write {number} {kind:?}"));
        let key = self.key(number);
        store(self.scene, self.bucket, &key, &kind, &plaintext).await?;
        self.keep(number, plaintext).await
    }

    /// Remembers what was written, and what the storage has of it.
    async fn keep(&mut self, number: u64, plaintext: Vec<u8>) -> Result<()> {
        let storage = &self.scene.rig.minio.endpoint;
        let stored = Planted::fetch(storage, &self.path(number)).await?;
        let known = self.keys.entry(number).or_default();
        known.written.push(plaintext);
        known.stored.push(stored);
        known.exists = true;
        known.tainted = false;
        Ok(())
    }

    async fn copy(&mut self, number: u64) -> Result<()> {
        let source = (number + 1) % KEYS;
        let exists = self.keys.get(&source).is_some_and(|known| known.exists);
        let lied =
            [source, number].map(|key| self.keys.get(&key).is_some_and(Known::is_lied_about));
        self.story.push(format!("copy {source} to {number}"));
        let (from, to) = (self.path(source), self.path(number));
        let headers = [
            ("x-amz-copy-source", from.as_str()),
            ("content-length", "0"),
        ];
        let answer = self.scene.ask("PUT", &to, &headers).await?;
        let succeeded = answer.status == 200 && answer.error_code().is_none();
        let mut of_source = self.written(source);
        if lied == [false, false] {
            ensure!(
                succeeded == exists,
                "an honest copy: {} {}",
                answer.status,
                answer.text()
            );
        }
        if succeeded && !lied[0] {
            return self
                .keep(number, of_source.pop().context("a copy of nothing")?)
                .await;
        }
        if lied != [false, false] {
            // Which version it is the storage has chosen; or nothing that opens, or nothing at all.
            let known = self.keys.entry(number).or_default();
            known.written.splice(0..0, of_source);
            known.tainted = true;
        }
        Ok(())
    }

    fn written(&self, number: u64) -> Vec<Vec<u8>> {
        self.keys
            .get(&number)
            .map(|known| known.written.clone())
            .unwrap_or_default()
    }

    async fn delete(&mut self, number: u64) -> Result<()> {
        self.story.push(format!("delete {number}"));
        let answer = self.scene.ask("DELETE", &self.path(number), &[]).await?;
        ensure!(answer.status == 204, "DELETE: {}", answer.status);
        if let Some(known) = self.keys.get_mut(&number) {
            known.exists = false;
            known.tainted = false;
        }
        Ok(())
    }

    fn behave(&mut self, number: u64) {
        self.story.push(format!("behave {number}"));
        self.scene.adversary.behave(&self.path(number));
        if let Some(known) = self.keys.get_mut(&number) {
            known.planted = false;
        }
    }

    /// Serves something else in the place of an object.
    fn lie(&mut self, number: u64) {
        let other = (number + 1) % KEYS;
        let foreign = self
            .keys
            .get(&other)
            .and_then(|known| known.stored.last().cloned());
        let Some(known) = self.keys.get(&number) else {
            return;
        };
        let Some(mut object) = known
            .stored
            .get(self.random.below(known.stored.len()))
            .cloned()
        else {
            return;
        };
        let another = known
            .stored
            .get(self.random.below(known.stored.len()))
            .cloned();
        let what = self.random.below(9);
        let place = self.random.below(object.body.len());
        let mut body = object.body.to_vec();
        match what {
            0 => body
                .iter_mut()
                .skip(place)
                .take(1)
                .for_each(|byte| *byte ^= 1 << (place % 8)),
            1 => body.truncate(place),
            2 => body.extend(pattern(7, 1 + place % 70_000)),
            3 => {
                // Exchanged with as many bytes elsewhere.
                let (start, length) = (self.random.below(body.len()), self.random.below(70_000));
                let piece: Vec<u8> = body.iter().skip(start).take(length).copied().collect();
                body.iter_mut()
                    .skip(place)
                    .zip(piece)
                    .for_each(|(byte, from)| *byte = from);
            }
            4 => {
                // As much of a version of the same key as fits.
                let from = another.map(|another| another.body).unwrap_or_default();
                body.iter_mut()
                    .zip(from)
                    .skip(place)
                    .for_each(|(byte, from)| *byte = from);
            }
            5 => object = foreign.unwrap_or(object),
            6 => {
                let header = foreign.and_then(|foreign| Some(foreign.header().ok()?.to_owned()));
                object = object.with_headers(&[&header.unwrap_or_default()]);
            }
            7 => {
                let plain = known.written.last().cloned().unwrap_or_default();
                body = plain;
                let padded = sealed_length(body.len());
                body.resize(padded, 0);
            }
            // A whole version of the same key, old or new.
            _ => {}
        }
        let altered = if what == 5 || what == 8 {
            object
        } else {
            object.with_body(body)
        };
        let altered = if self.random.chance(50) {
            altered
        } else {
            altered.tagged(&format!("lie-{}", self.random.number()))
        };
        self.story
            .push(format!("lie {what} about {number} at {place}"));
        self.scene.adversary.plant(&self.path(number), altered);
        self.tally.lies += 1;
        if let Some(known) = self.keys.get_mut(&number) {
            known.planted = true;
        }
    }

    async fn read(&mut self, number: u64) -> Result<()> {
        let range = match self.random.below(4) {
            0 => {
                let first = self.random.below(140_000);
                let last = first + self.random.below(140_000);
                Some((first, last))
            }
            _ => None,
        };
        self.story.push(format!("read {number} {range:?}"));
        let text = range.map(|(first, last)| format!("bytes={first}-{last}"));
        let headers: Vec<_> = text.iter().map(|text| ("range", text.as_str())).collect();
        let answer = self.scene.ask("GET", &self.path(number), &headers).await?;
        self.tally.reads += 1;
        let unknown = Known::default();
        let known = self.keys.get(&number).unwrap_or(&unknown);
        let due = |written: &Vec<u8>| -> Vec<u8> {
            let (first, end) = range.map_or((0, written.len()), |(first, last)| (first, last + 1));
            let end = end.min(written.len());
            written
                .get(first..end)
                .map(<[u8]>::to_vec)
                .unwrap_or_default()
        };
        if !known.is_lied_about() {
            let last = known.written.last().filter(|_| known.exists);
            let beyond =
                last.is_none_or(|last| range.is_some_and(|(first, _)| first >= last.len()));
            if beyond {
                ensure!(
                    matches!(answer.status, 404 | 416),
                    "status {} of nothing",
                    answer.status
                );
                return Ok(());
            }
            let expected = due(last.context("nothing")?);
            let outcome = Outcome::of(&answer, &expected)?;
            ensure!(
                outcome == Outcome::Right,
                "{outcome:?} of an honest storage: {}",
                answer.text()
            );
            check_labels(&answer)?;
            self.tally.right += 1;
            return Ok(());
        }
        if answer.status >= 400 {
            self.tally.failed += 1;
            return Ok(());
        }
        let candidates = known.written.iter().map(due);
        let judged: Vec<Result<Outcome>> =
            candidates.map(|due| Outcome::of(&answer, &due)).collect();
        let found = judged.iter().find_map(|judged| judged.as_ref().ok());
        match found {
            Some(Outcome::Right) => {
                check_labels(&answer)?;
                self.tally.right += 1;
            }
            Some(_) => self.tally.failed += 1,
            None => anyhow::bail!(
                "{} bytes that were never written to the key",
                answer.body.len()
            ),
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_random_storage_does_a_read_is_right_or_an_error() -> Result<()> {
    let (seconds, seed) = (number("ADVERSARY_SECONDS")?, number("ADVERSARY_SEED")?);
    // One seed replays one sequence.
    let only_one = seconds.is_none() && seed.is_some();
    let (seconds, first) = (seconds.unwrap_or(SECONDS), seed.unwrap_or(1));
    let limit = Duration::from_secs(seconds + 120);
    with_scene("", limit, async |scene| {
        let until = Instant::now() + Duration::from_secs(seconds);
        let lanes = if only_one { 1 } else { AT_ONCE };
        let lanes = (0..lanes).map(|lane| async move {
            let (mut seed, mut total) = (first + lane, (0, Tally::default()));
            loop {
                let mut sequence = Sequence {
                    scene,
                    random: Random(seed),
                    bucket: SUITES
                        .get(usize::try_from(seed % 2)?)
                        .copied()
                        .context("suite")?,
                    name: seed,
                    keys: BTreeMap::new(),
                    tally: Tally::default(),
                    story: Vec::new(),
                };
                if let Err(failure) = sequence.run().await {
                    anyhow::bail!(
                        "seed {seed} (replay it with ADVERSARY_SEED={seed}): {failure:#}\n{}",
                        sequence.story.join("\n")
                    );
                }
                let tally = sequence.tally;
                total.0 += 1;
                total.1.reads += tally.reads;
                total.1.right += tally.right;
                total.1.failed += tally.failed;
                total.1.lies += tally.lies;
                seed += AT_ONCE;
                if only_one || Instant::now() > until {
                    return Ok(total);
                }
            }
        });
        let totals: Vec<(u64, Tally)> = try_join_all(lanes).await?;
        let sum = |of: fn(&Tally) -> u64| totals.iter().map(|(_, tally)| of(tally)).sum::<u64>();
        let sequences: u64 = totals.iter().map(|(count, _)| count).sum();
        let report = format!(
            "seeds from {first}: {sequences} sequences, {} lies, {} reads, {} right, {} failed",
            sum(|tally| tally.lies),
            sum(|tally| tally.reads),
            sum(|tally| tally.right),
            sum(|tally| tally.failed)
        );
        std::io::Write::write_all(&mut std::io::stderr(), format!("{report}\n").as_bytes())?;
        if !only_one {
            ensure!(
                sum(|tally| tally.failed) > 0 && sum(|tally| tally.right) > 0,
                "{report}"
            );
        }
        Ok(())
    })
    .await
}
