//! Every alteration of every kind of object, read in every way.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use sealgate_tests::servers::Planted;

use crate::{
    alterations::{Alteration, all},
    judgement::{Outcome, Promise, check_labels},
    material::{Kind, Material, SEGMENT},
    scene::{PART, SUITES, Scene, with_scene},
};

const LIMIT: Duration = Duration::from_mins(5);
/// Alterations of the objects of [`kinds`] that these do not allow, for the reasons that their `needs` give.
const LEFT_OUT: usize = 163;

const MIB: usize = 1 << 20;

/// A read, by what is asked for and which plaintext is due.
struct Read {
    name: String,
    query: String,
    range: Option<String>,
    due: Range<usize>,
}

fn reads(of: &Material) -> Vec<Read> {
    let length = of.kind.length();
    let of_range = |range: String, due: Range<usize>| Read {
        name: range.clone(),
        query: String::new(),
        range: Some(range),
        due,
    };
    let mut reads = Vec::new();
    if length > 0 {
        let first = length.min(100);
        reads.push(of_range(format!("bytes=0-{}", first - 1), 0..first));
        let last = length.min(10);
        reads.push(of_range(format!("bytes=-{last}"), length - last..length));
    }
    if length > 2 * SEGMENT {
        let middle = length / 2;
        reads.push(of_range(format!("bytes={middle}-"), middle..length));
        let across = SEGMENT - 1..SEGMENT + 2;
        reads.push(of_range(
            format!("bytes={}-{}", across.start, across.end - 1),
            across,
        ));
    }
    if of.kind.is_multipart() {
        let mut start = 0;
        for (number, part) in (1..).zip(of.kind.parts()) {
            reads.push(Read {
                name: format!("part {number}"),
                query: format!("?partNumber={number}"),
                range: None,
                due: start..start + part,
            });
            start += part;
        }
    }
    reads
}

/// Whether what a read needs is as it was: then it may succeed, although something else was altered.
fn is_untouched(of: &Material, altered: &Planted, due: &Range<usize>) -> bool {
    let body = &of.object.body;
    let same = |range: &Range<usize>| altered.body.get(range.clone()) == body.get(range.clone());
    altered.header().ok() == of.object.header().ok()
        && altered.body.len() == body.len()
        && of.segments.iter().all(|segment| {
            segment.plaintext.end <= due.start
                || due.end <= segment.plaintext.start
                || same(&segment.sealed)
        })
}

/// What goes through all cells.
struct Run<'a> {
    scene: &'a Scene,
    failures: Mutex<Vec<String>>,
    cells: AtomicUsize,
    ran: Mutex<BTreeSet<(&'static str, &'static str)>>,
    /// Alterations that an object does not allow, with the reason.
    left_out: Mutex<BTreeMap<String, &'static str>>,
}

impl<'a> Run<'a> {
    fn new(scene: &'a Scene) -> Self {
        Self {
            scene,
            failures: Mutex::default(),
            cells: AtomicUsize::new(0),
            ran: Mutex::default(),
            left_out: Mutex::default(),
        }
    }

    fn fail(&self, text: String) {
        if let Ok(mut failures) = self.failures.lock() {
            failures.push(text);
        }
    }

    /// Reads an object as it is, and then altered in every way. `ways`: how many of the other reads follow that of the whole, in turn.
    async fn go_through(&self, of: &Material, ways: usize, only: &[&str]) -> Result<()> {
        let whole = 0..of.kind.length();
        let (answer, outcome) = self.read(of, "", None, &whole).await.context("as it is")?;
        ensure!(outcome == Outcome::Right, "{}: {outcome:?}", of.path());
        check_labels(&answer)?;
        let mut tag = 0;
        for alteration in all() {
            if !only.is_empty() && !only.contains(&alteration.name) {
                continue;
            }
            if let Some(reason) = alteration.needs.reason(of) {
                if let Ok(mut left_out) = self.left_out.lock() {
                    left_out.insert(format!("{}: {}", of.path(), alteration.name), reason);
                }
                continue;
            }
            if let Ok(mut ran) = self.ran.lock() {
                ran.insert((of.bucket, alteration.name));
            }
            let made = (alteration.make)(of).with_context(|| alteration.name.to_owned())?;
            ensure!(!made.is_empty(), "{}: nothing was made", alteration.name);
            for (number, altered) in made.into_iter().enumerate() {
                let name = format!("{}: {} ({number})", of.path(), alteration.name);
                tag += 1;
                // A tag that was never seen, so that nothing that is remembered helps; but where the tag is the point.
                let altered = if alteration.name.contains("entity tag") {
                    altered
                } else {
                    altered.tagged(&format!("altered-{tag}"))
                };
                // A header that is refused is refused whatever is read.
                let same_body = altered.body == of.object.body && of.kind.length() > 1;
                let ways = tag..tag + if same_body { ways.min(1) } else { ways };
                self.try_alteration(of, &alteration, &altered, &name, ways)
                    .await;
            }
        }
        self.scene.adversary.behave(&of.path());
        let (_, outcome) = self
            .read(of, "", None, &whole)
            .await
            .context("afterwards")?;
        ensure!(
            outcome == Outcome::Right,
            "{}: {outcome:?} afterwards",
            of.path()
        );
        Ok(())
    }

    async fn try_alteration(
        &self,
        of: &Material,
        alteration: &Alteration,
        altered: &Planted,
        name: &str,
        ways: Range<usize>,
    ) {
        self.scene.adversary.plant(&of.path(), altered.clone());
        let first = of
            .segments
            .first()
            .map_or(0..0, |first| first.sealed.clone());
        let first_segment = altered.body.get(first.clone()) != of.object.body.get(first);
        let record_first = of.kind.needs_record() || of.segments.len() <= 1;
        let whole = 0..of.kind.length();
        let judged = self
            .read(of, "", None, &whole)
            .await
            .and_then(|(answer, outcome)| {
                if outcome == Outcome::Right {
                    check_labels(&answer)?;
                }
                alteration
                    .promise
                    .check(outcome, first_segment, record_first)
            });
        if let Err(failure) = judged {
            self.fail(format!("{name}: {failure:#}"));
        }
        let reads = reads(of);
        for way in ways {
            // HEAD takes its turn with the others.
            let Some(read) = reads.get(way % (reads.len() + 1)) else {
                if let Err(failure) = self.head(of, alteration, altered).await {
                    self.fail(format!("{name}: HEAD: {failure:#}"));
                }
                continue;
            };
            let may_succeed =
                alteration.promise == Promise::Right || is_untouched(of, altered, &read.due);
            match self
                .read(of, &read.query, read.range.as_deref(), &read.due)
                .await
            {
                Ok((_, outcome)) if outcome != Outcome::Right || may_succeed => {}
                Ok(_) => self.fail(format!("{name}: {} succeeds", read.name)),
                Err(failure) => self.fail(format!("{name}: {}: {failure:#}", read.name)),
            }
        }
    }

    async fn read(
        &self,
        of: &Material,
        query: &str,
        range: Option<&str>,
        due: &Range<usize>,
    ) -> Result<(sealgate_tests::raw_http::RawAnswer, Outcome)> {
        self.cells.fetch_add(1, Ordering::Relaxed);
        let headers: Vec<(&str, &str)> = range.map(|range| ("range", range)).into_iter().collect();
        let target = format!("{}{query}", of.path());
        let answer = self.scene.ask("GET", &target, &headers).await?;
        let expected = of.plaintext.get(due.clone()).context("due")?;
        let outcome = Outcome::of(&answer, expected)?;
        self.scene.note(&answer, &outcome);
        Ok((answer, outcome))
    }

    /// HEAD sees header and length. Of an object in parts only a read finds that the length is a lie.
    async fn head(&self, of: &Material, alteration: &Alteration, altered: &Planted) -> Result<()> {
        self.cells.fetch_add(1, Ordering::Relaxed);
        let answer = self.scene.ask("HEAD", &of.path(), &[]).await?;
        let length = (!of.kind.is_multipart()).then(|| of.kind.length());
        let outcome = Outcome::of_head(&answer, length)?;
        self.scene.note(&answer, &outcome);
        let same_header = altered.header().ok() == of.object.header().ok()
            && altered.with_headers(&[]).headers.len() + 1 == altered.headers.len();
        let same_length = altered.body.len() == of.object.body.len() || of.kind.is_multipart();
        let may_succeed = same_header && same_length;
        ensure!(may_succeed || outcome == Outcome::Error, "it succeeds");
        ensure!(
            outcome == Outcome::Right || alteration.promise != Promise::Right,
            "it fails"
        );
        Ok(())
    }

    fn end(self) -> Result<()> {
        let failures = self.failures.into_inner().unwrap_or_default();
        ensure!(
            failures.is_empty(),
            "{} failures in {} cells:\n{}",
            failures.len(),
            self.cells.into_inner(),
            failures.join("\n")
        );
        Ok(())
    }
}

/// One object of every kind at least, and every length at which something begins; what the suite has no part in, in one of them.
fn kinds(bucket: &str) -> Vec<Kind> {
    let mut kinds = vec![
        Kind::Single(0),
        Kind::Single(1),
        Kind::Single(SEGMENT),
        Kind::Single(5 * SEGMENT),
        Kind::Single(MIB + 1),
        Kind::Parts(vec![70_000]),
        Kind::Parts(vec![PART, PART, 70_000]),
    ];
    if bucket == "aes" {
        kinds.extend([
            Kind::Single(300_000),
            Kind::Parts(vec![0]),
            Kind::Parts(vec![PART + 1, 2 * SEGMENT]),
        ]);
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn every_alteration_of_every_kind_of_object_is_an_error_or_verified_bytes_and_a_reset()
-> Result<()> {
    with_scene("", LIMIT, async |scene| {
        let run = Run::new(scene);
        let cells = SUITES.into_iter().flat_map(|bucket| {
            let run = &run;
            kinds(bucket).into_iter().map(move |kind| async move {
                let of = Material::make(scene, bucket, "object", kind).await?;
                let ways = if of.kind.length() < 4 * MIB { 3 } else { 1 };
                run.go_through(&of, ways, &[]).await
            })
        });
        try_join_all(cells).await?;
        for alteration in all() {
            for bucket in SUITES {
                let ran = run
                    .ran
                    .lock()
                    .is_ok_and(|ran| ran.contains(&(bucket, alteration.name)));
                ensure!(ran, "{} was never tried in {bucket}", alteration.name);
            }
        }
        let left_out = run
            .left_out
            .lock()
            .map(|left_out| left_out.len())
            .unwrap_or_default();
        ensure!(
            left_out == LEFT_OUT,
            "{left_out} cells are left out, and {LEFT_OUT} were declared"
        );
        run.end()?;
        scene.check_books().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_200_mib_too() -> Result<()> {
    with_scene("", LIMIT, async |scene| {
        let run = Run::new(scene);
        let (large, parts) = (200 * MIB, vec![64 * MIB, 64 * MIB, 64 * MIB, 8 * MIB]);
        let only = [
            "a bit of a tag",
            "cut by a byte",
            "a bit of the commit record",
            "two parts swapped",
        ];
        for (bucket, kind) in SUITES
            .into_iter()
            .zip([Kind::Single(large), Kind::Parts(parts)])
        {
            let of = Material::alone(scene, bucket, kind).await?;
            run.go_through(&of, 2, &only).await?;
        }
        run.end()?;
        scene.check_books().await
    })
    .await
}
